//! The commands of `waypost policy` that need no proxy.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::{Compiling, Format, Offline, Rehearsed};
use crate::ground;
use crate::rehearsal::{
    self, Bench, Command, Component, Diff, Inspect, Manner, Outcome, Playback, Replay, Test,
};

/// Runs a command about a policy. Its errors are told apart by the exit code.
pub(super) fn rehearse(offline: Offline, json: bool) -> ExitCode {
    let manner = Manner {
        json: json || offline.format() == Format::Json,
        terminal: std::io::IsTerminal::is_terminal(&std::io::stderr()),
    };
    match rehearsal::execute(&command(offline), manner) {
        Ok(Outcome::Fine) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        Err(e) => {
            ground::complain(&e.told());
            ExitCode::from(if e.is_about_the_policy() { 1 } else { 2 })
        }
    }
}

fn command(offline: Offline) -> Command {
    match offline {
        Offline::Inspect(flags) => Command::Inspect(Inspect {
            component: component(flags.file, flags.compiling),
            settings: flags.settings,
        }),
        #[cfg(feature = "authoring")]
        Offline::Pack(flags) => Command::Pack(rehearsal::Pack {
            module: flags.module,
            output: flags.output,
            compiling: flags.compiling.limits(),
        }),
        Offline::Test(flags) => Command::Test(Test {
            component: component(flags.file, flags.compiling),
            scenarios: flags.scenarios,
            junit: flags.junit,
            filter: flags.filter,
        }),
        Offline::Bench(flags) => Command::Bench(Bench {
            component: component(flags.file, flags.compiling),
            settings: flags.settings,
            scenarios: flags.scenarios,
            seconds: flags.seconds,
        }),
        Offline::Replay(flags) => Command::Replay(Replay {
            file: flags.file,
            playback: playback(flags.rehearsed),
            expect_same: flags.expect_same,
        }),
        Offline::Diff(flags) => Command::Diff(Diff {
            old: flags.old,
            new: flags.new,
            old_settings: flags.old_settings,
            new_settings: flags.new_settings,
            playback: playback(flags.rehearsed),
        }),
    }
}

fn component(file: PathBuf, compiling: Compiling) -> Component {
    Component {
        file,
        compiling: compiling.limits(),
        cache: cache(),
    }
}

/// Where the user's programs keep what they can make again: `$XDG_CACHE_HOME` or `~/.cache`.
fn cache() -> Option<PathBuf> {
    let folder = |name| {
        let set = std::env::var_os(name).map(PathBuf::from);
        set.filter(|path| path.is_absolute())
    };
    // A home that is not there, as of services, is not made.
    let home = folder("HOME").filter(|home| home.is_dir());
    let base = folder("XDG_CACHE_HOME").or_else(|| Some(home?.join(".cache")));
    Some(base?.join("waypost"))
}

fn playback(Rehearsed { recording, common }: Rehearsed) -> Playback {
    Playback {
        recording,
        policy: common.policy,
        settings: common.settings,
        deadline: common.deadline,
        memory: common.memory,
        compiling: common.compiling.limits(),
        cache: cache(),
        fuel: common.fuel,
        samples: common.samples,
        lenient: common.lenient,
    }
}
