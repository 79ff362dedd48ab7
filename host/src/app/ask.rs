//! The commands that talk to a running proxy.

use anyhow::Result;

use super::signals::interrupted;
use crate::cli::{self, Action, BackendsTask, By, Mode};
use crate::policy::Stickiness;
use crate::remote::{
    self, Backends, Change, Command, Deploy, Proxy, Role, Said, Surroundings, Watching,
};

/// Sends a command about policies to a running proxy.
pub(super) async fn ask_proxy(json: bool, action: Action) -> Result<()> {
    let reach = action.reach().clone();
    ask(cli::Remote { reach, json }, command(action)).await
}

/// Has a running proxy read its configuration again.
pub(super) async fn ask_for_reload(reload: cli::Reload) -> Result<()> {
    let check = reload.check;
    ask(reload.remote, Command::Reload { check }).await
}

/// Has a running proxy replaced by another process of the program.
pub(super) async fn ask_for_upgrade(upgrade: cli::Upgrade) -> Result<()> {
    let binary = upgrade.binary.map(std::path::absolute).transpose()?;
    ask(upgrade.remote, Command::Upgrade { binary }).await
}

/// Has a running proxy open its logs anew.
pub(super) async fn ask_to_reopen(remote: cli::Remote) -> Result<()> {
    ask(remote, Command::Reopen).await
}

/// Shows the configuration of a running proxy.
pub(super) async fn ask_for_config(remote: cli::Remote) -> Result<()> {
    ask(remote, Command::Config).await
}

/// Shows or changes the backends of a running proxy.
pub(super) async fn ask_for_backends(backends: cli::Backends) -> Result<()> {
    let task = backends.task.unwrap_or(BackendsTask::List { pool: None });
    ask(backends.remote, Command::Backends(about_backends(task))).await
}

/// Prints sampled requests of a running proxy.
pub(super) async fn ask_for_samples(tap: cli::Tap) -> Result<()> {
    let wanted = remote::Tap {
        route: tap.route,
        status: tap.status,
        policy: tap.policy,
        pool: tap.pool,
        limit: tap.limit,
    };
    ask(tap.remote, Command::Tap(wanted)).await
}

/// Asks a running proxy whether it is ready.
pub(super) async fn ask_for_health(healthcheck: cli::Healthcheck) -> Result<()> {
    ask(healthcheck.remote(), Command::Health).await
}

fn about_backends(task: BackendsTask) -> Backends {
    let say = |named: cli::Named, said| Backends::Say {
        pool: named.pool,
        addresses: named.addresses,
        said,
    };
    match task {
        BackendsTask::List { pool } => Backends::List { pool },
        BackendsTask::Add {
            pool,
            addresses,
            weight,
            labels,
        } => Backends::Add {
            pool,
            addresses,
            weight,
            labels,
        },
        BackendsTask::Remove(cli::Named { pool, addresses }) => {
            Backends::Remove { pool, addresses }
        }
        BackendsTask::Drain(named) => say(named, Said::Drain),
        BackendsTask::Up(named) => say(named, Said::Up),
        BackendsTask::Down(named) => say(named, Said::Down),
        BackendsTask::SetWeight {
            pool,
            address,
            weight,
        } => Backends::Say {
            pool,
            addresses: vec![address],
            said: Said::Weight(weight.0),
        },
    }
}

async fn ask(remote: cli::Remote, command: Command) -> Result<()> {
    let environment = |name: &str| std::env::var_os(name);
    let dumb = environment("TERM").is_some_and(|kind| kind == "dumb");
    let around = Surroundings {
        environment,
        terminal: std::io::IsTerminal::is_terminal(&std::io::stderr()) && !dumb,
        json: remote.json,
        interrupted: interrupted(),
    };
    let proxy = Proxy {
        address: remote.reach.address(environment)?,
        token_file: remote.reach.token_file,
    };
    Ok(remote::execute(proxy, command, around).await?)
}

fn command(action: Action) -> Command {
    let (name, change) = match action {
        Action::Status { name, .. } => return Command::Status { name },
        Action::Token { .. } => return Command::Token,
        Action::Deploy(flags) => return Command::Deploy(deploy(flags)),
        Action::Promote {
            name, generation, ..
        } => (name, Change::Promote { generation }),
        Action::Rollback {
            name, generation, ..
        } => (name, Change::Rollback { generation }),
        Action::Withdraw { name, .. } => (name, Change::Withdraw),
        Action::Canary {
            name, percent, by, ..
        } => {
            let by = by.map(stickiness);
            (name, Change::Canary { percent, by })
        }
    };
    Command::Change { name, change }
}

fn deploy(flags: cli::Deploy) -> Deploy {
    Deploy {
        name: flags.name,
        file: flags.file,
        role: match flags.mode {
            Mode::Active => Role::Active,
            Mode::Shadow => Role::Shadow,
            Mode::Canary => Role::Canary,
        },
        percent: flags.percent,
        by: flags.by.map(stickiness),
        watching: match (flags.watch, flags.no_watch) {
            (true, _) => Watching::Always,
            (false, true) => Watching::Never,
            (false, false) => Watching::AtTerminal,
        },
        promote_after: flags.promote_after,
    }
}

fn stickiness(by: By) -> Stickiness {
    match by {
        By::Client => Stickiness::Client,
        By::Request => Stickiness::Request,
    }
}
