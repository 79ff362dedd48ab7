//! The commands of the command line.

use std::process::ExitCode;

use anyhow::{Context, Result};

use super::ask::{
    ask_for_backends, ask_for_config, ask_for_health, ask_for_reload, ask_for_samples,
    ask_for_upgrade, ask_proxy, ask_to_reopen,
};
use super::check::{How, check};
use super::pages::{write_completions, write_pages};
use super::rehearse::rehearse;
use super::reload::Source;
use super::run::run;
use super::signals::{Held, Signals};
use super::supervisor::Activation;
use crate::cli::{Cli, Command, Format, Policy, Task};
use crate::config::ConfigErrors;
use crate::ground::{self, Form, Manner};
use crate::remote::RemoteError;

/// The exit code for a file that can't be read.
pub(super) const UNREADABLE: u8 = 2;

/// Runs the command and returns the exit code.
pub fn execute(cli: Cli, held: Held, activation: Activation) -> Result<ExitCode> {
    if let Some(slip) = cli.slip() {
        slip.exit();
    }
    let environment = |name: &str| std::env::var_os(name);
    let serves = cli.command.serves();
    let manner = if serves {
        Manner::Queued
    } else {
        Manner::Direct
    };
    let form = match cli.form_of_log(environment)? {
        Format::Text => Form::Text,
        Format::Json => Form::Json,
    };
    let filter = cli.log_filter(environment)?;
    ground::start(filter, manner, form).context("standard error can't be used")?;
    let signals = if serves {
        Some(Signals::listen()?)
    } else {
        None
    };
    drop(held);
    match cli.command {
        // Needs no runtime.
        Command::Policy(Policy {
            json,
            task: Task::Offline(offline),
        }) => Ok(rehearse(offline, json)),
        #[cfg(feature = "authoring")]
        Command::Policy(Policy {
            json,
            task: Task::Begin(begin),
        }) => {
            anyhow::ensure!(
                !json,
                "--json is for commands that have a result; this one writes files"
            );
            super::begin::begin_policy(&begin)
        }
        Command::Completions(completions) => write_completions(completions),
        Command::Man(pages) => write_pages(&pages),
        command => with_runtime(command, signals, activation),
    }
}

/// The exit code of a command that has failed: 2 for a mistake in its command line, such as a file
/// that can't be read.
pub fn code_of(error: &anyhow::Error) -> ExitCode {
    let is_unreadable = |cause: &(dyn std::error::Error + 'static)| {
        cause
            .downcast_ref()
            .is_some_and(ConfigErrors::is_of_command_line)
            || matches!(cause.downcast_ref(), Some(RemoteError::File { .. }))
    };
    match error.chain().any(is_unreadable) {
        true => ExitCode::from(UNREADABLE),
        false => ExitCode::FAILURE,
    }
}

/// Runs the commands for a running proxy.
async fn ask_running(command: Command) -> Result<ExitCode> {
    match command {
        Command::Policy(Policy {
            json,
            task: Task::Remote(action),
        }) => ask_proxy(json, action).await?,
        Command::Reload(reload) => ask_for_reload(reload).await?,
        Command::Upgrade(upgrade) => ask_for_upgrade(upgrade).await?,
        Command::Reopen(remote) => ask_to_reopen(remote).await?,
        Command::Config(remote) => ask_for_config(remote).await?,
        Command::Backends(backends) => ask_for_backends(backends).await?,
        Command::Tap(tap) => ask_for_samples(tap).await?,
        Command::Healthcheck(healthcheck) => ask_for_health(healthcheck).await?,
        // `execute` and `with_runtime` have handled the others.
        _ => return Ok(ExitCode::FAILURE),
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs the commands that need a runtime. `signals` is there for those that serve.
fn with_runtime(
    command: Command,
    signals: Option<Signals>,
    activation: Activation,
) -> Result<ExitCode> {
    let environment = |name: &str| std::env::var_os(name);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // For the admin listener and timers; blocking work has separate threads.
        .worker_threads(1)
        .thread_name("control")
        .enable_all()
        .build()
        .context("the control runtime can't be created")?;
    let code = runtime.block_on(async {
        match (command, signals) {
            (Command::Run(settings), Some(signals)) => {
                let source = Source::new(settings.sources(environment)?);
                run(source, signals, Some(activation), |_, _| ())
                    .await
                    .map(|()| ExitCode::SUCCESS)
            }
            #[cfg(feature = "demo")]
            (Command::Demo(demo), Some(signals)) => super::demo::serve_demo(demo, signals)
                .await
                .map(|()| ExitCode::SUCCESS),
            #[cfg(feature = "demo")]
            (Command::Origin(origin), Some(signals)) => super::demo::serve_origin(origin, signals)
                .await
                .map(|()| ExitCode::SUCCESS),
            (Command::Check(flags), _) => {
                let how = How {
                    offline: flags.offline,
                    json: flags.json,
                };
                check(flags.settings.sources(environment)?, how).await
            }
            (command, _) => ask_running(command).await,
        }
    });
    // A component that is still being compiled must not delay the end of the process.
    runtime.shutdown_background();
    code
}
