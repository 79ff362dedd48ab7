//! The commands of the command line.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};

use super::policies;
use super::run::run;
use super::signals::{Held, Signals, interrupted};
use crate::cli::{Action, Cli, Command, Offline, Policy, Remote, Task};
use crate::config::{Config, OnFailure, Pool, Sources};
use crate::ground::{self, Manner as LogManner};
use crate::policy::{Engine, EngineOptions, PolicyError};
use crate::rehearsal::{self, Manner, Outcome};
use crate::remote::{self, Surroundings};
use crate::rollout::StateDir;
use crate::stats::Stats;
use crate::text::count;
use crate::upstream::{PoolTopology, Registry, resolve_pool};

/// Prints a line. A reader that has left, such as `head`, is not an error; a full disk is one.
macro_rules! say {
    ($($line:tt)*) => {
        ground::print(&format!("{}\n", format_args!($($line)*)))
            .context("standard output can't be written")
    };
}

/// Runs the command and returns the exit code.
pub fn execute(cli: Cli, held: Held) -> Result<ExitCode> {
    if let Some(slip) = cli.slip() {
        slip.exit();
    }
    let environment = |name: &str| std::env::var_os(name);
    let serves = cli.command.serves();
    let manner = if serves {
        LogManner::Queued
    } else {
        LogManner::Direct
    };
    ground::start(cli.log_filter(environment)?, manner).context("standard error can't be used")?;
    let signals = if serves {
        Some(Signals::listen()?)
    } else {
        None
    };
    drop(held);
    match cli.command {
        // Needs no runtime.
        Command::Policy(Policy {
            remote,
            task: Task::Offline(offline),
        }) => Ok(rehearse(&offline, remote.json)),
        #[cfg(feature = "authoring")]
        Command::Policy(Policy {
            task: Task::Begin(begin),
            ..
        }) => super::begin::begin_policy(&begin),
        command => with_runtime(command, signals),
    }
}

/// Runs the commands that need a runtime. `signals` is there for those that serve.
fn with_runtime(command: Command, signals: Option<Signals>) -> Result<ExitCode> {
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
                let config = Config::load(settings.sources(environment)?)?;
                run(config, signals, |_, _| ())
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
            (Command::Check(settings), _) => check(settings.sources(environment)?).await,
            (
                Command::Policy(Policy {
                    remote,
                    task: Task::Remote(action),
                }),
                _,
            ) => ask_proxy(remote, action).await.map(|()| ExitCode::SUCCESS),
            // `execute` has handled these.
            (Command::Policy(_), _) | (_, None) => Ok(ExitCode::FAILURE),
        }
    });
    // A component that is still being compiled must not delay the end of the process.
    runtime.shutdown_background();
    code
}

/// Runs a command about a policy that needs no proxy.
fn rehearse(offline: &Offline, json: bool) -> ExitCode {
    let manner = Manner {
        json,
        terminal: std::io::IsTerminal::is_terminal(&std::io::stderr()),
    };
    match rehearsal::execute(offline, manner) {
        Ok(Outcome::Fine) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        Err(e) => {
            ground::complain(&e.told());
            ExitCode::from(if e.is_about_the_policy() { 1 } else { 2 })
        }
    }
}

/// Reports every problem that `run` would meet.
async fn check(sources: Sources) -> Result<ExitCode> {
    let config = Config::load(sources)?;
    for warning in &config.warnings {
        say!("warning: {warning}")?;
    }
    let mut failed = 0_usize;
    let topologies = check_pools(&config, &mut failed).await?;
    let options = EngineOptions {
        workers: config.workers,
        cache: config.cache_dir.clone(),
        ..EngineOptions::default()
    };
    let engine = match Engine::new(options.clone()) {
        Err(e @ PolicyError::Cache { .. }) => {
            failed += 1;
            say!("error: {e}")?;
            Engine::new(EngineOptions {
                cache: None,
                ..options
            })?
        }
        engine => engine?,
    };
    let config = Arc::new(config);
    let checked = Arc::clone(&config);
    let load =
        move || policies::load_all(&engine, &checked, &topologies, &Stats::new(checked.workers));
    let loaded = tokio::task::spawn_blocking(load)
        .await
        .context("loading the policies failed")?;
    for (policy, loaded) in config.policies.iter().zip(loaded) {
        match loaded {
            Ok(generation) => {
                let hooks: Vec<_> = generation.hooks().names().collect();
                say!(
                    "policy {:?}: ok, {}, hooks: {}",
                    policy.name,
                    generation.digest(),
                    hooks.join(", ")
                )?;
            }
            Err(e) => {
                failed += 1;
                say!("error: {e:#}")?;
                if let OnFailure::Status(status) = policy.while_absent {
                    say!(
                        "  without it, routes that name policy {:?} answer {status}",
                        policy.name
                    )?;
                }
            }
        }
    }
    if let Some(Err(e)) = config.state_dir.as_deref().map(StateDir::examine) {
        failed += 1;
        say!("error: `state-dir` can't be used: {e}")?;
    }
    say!("{}", summary(&config))?;
    match failed {
        0 => say!("ok: the proxy would start with this configuration")?,
        n => say!(
            "{}: the proxy would not start, or not serve all routes",
            count(n, "error")
        )?,
    }
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// How much there is in a configuration.
fn summary(config: &Config) -> String {
    let policies = match config.policies.len() {
        1 => "1 policy".to_owned(),
        n => format!("{n} policies"),
    };
    let (routes, pools) = (config.routes.len(), config.pools.len());
    format!(
        "{}, {}, {policies}",
        count(routes, "route"),
        count(pools, "pool")
    )
}

/// Resolves one pool at a time, so that a name that can't be resolved does not hide other errors.
async fn check_pools(config: &Config, failed: &mut usize) -> Result<Vec<Arc<PoolTopology>>> {
    let mut topologies = Vec::with_capacity(config.pools.len());
    let registry = Registry::new(config.workers);
    let ids = registry.pools(config.pools.iter().map(|pool| pool.name.as_str()));
    for (pool, id) in config.pools.iter().zip(ids) {
        match resolve_pool(pool, id, &registry).await {
            Ok(topology) => {
                let endpoints = topology.endpoints.iter();
                let addresses: Vec<String> = endpoints.map(|e| e.address.to_string()).collect();
                say!("pool {:?}: {}", topology.name, addresses.join(", "))?;
                topologies.push(topology);
            }
            Err(e) => {
                *failed += 1;
                say!("error: {e}")?;
                // The policies are still loaded, as if the pool had no backends.
                let empty = Pool {
                    backends: vec![],
                    ..pool.clone()
                };
                topologies.push(resolve_pool(&empty, id, &registry).await?);
            }
        }
    }
    Ok(topologies.into_iter().map(Arc::new).collect())
}

/// Sends a command to a running proxy.
async fn ask_proxy(remote: Remote, action: Action) -> Result<()> {
    let dumb = std::env::var_os("TERM").is_some_and(|kind| kind == "dumb");
    let around = Surroundings {
        environment: |name: &str| std::env::var_os(name),
        terminal: std::io::IsTerminal::is_terminal(&std::io::stderr()) && !dumb,
        interrupted: interrupted(),
    };
    Ok(remote::execute(remote, action, around).await?)
}
