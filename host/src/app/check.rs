//! `waypost check`: every problem that `run` would meet, without serving.

mod unasked;

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};

use super::backend_files;
use super::certificates::ListenerCertificates;
use super::descriptors::Shares;
use super::forward::read_users;
use super::names::Names;
use super::pid_file::pid_file_problem;
use super::policies;
use super::reload::{log_problem, record_problem};
use super::traces::traces_problem;
use super::unix_socket;
use crate::config::{Config, ListenAddress, OnFailure, Policy, Pool, ResolverConfig, Sources};
use crate::ground;
use crate::policy::{Engine, EngineOptions, Generation, Hooks, PolicyError};
use crate::rollout::StateDir;
use crate::stats::Stats;
use crate::units::counted;
use crate::upstream::{
    Origin, Overlay, PoolTopology, Registry, TlsFiles, pool_topology, unresolved,
};
use unasked::Unasked;

/// Prints a line. A reader that has left, such as `head`, is not an error; a full disk is one.
macro_rules! say {
    ($($line:tt)*) => {
        ground::print(&format!("{}\n", format_args!($($line)*)))
            .context("standard output can't be written")
    };
}

pub(super) async fn check(sources: Sources) -> Result<ExitCode> {
    let config = Config::load(sources)?;
    for warning in &config.warnings {
        say!("warning: {warning}")?;
    }
    let mut check = Check {
        config: Arc::new(config),
        errors: 0,
    };
    let topologies = check.pools().await?;
    let engine = check.engine()?;
    check.policies(engine, topologies).await?;
    check.state_dir()?;
    check.certificates()?;
    check.users()?;
    check.unix_sockets()?;
    check.files_to_write()?;
    check.descriptors()?;
    say!("{}", summary(&check.config))?;
    match check.errors {
        0 => {
            say!("ok: the proxy would start with this configuration")?;
            Ok(ExitCode::SUCCESS)
        }
        n => {
            say!(
                "{}: the proxy would not start, or not serve all routes",
                counted(n, "error")
            )?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// A configuration that is being checked. An error is printed and counted, and the check goes on.
struct Check {
    config: Arc<Config>,
    errors: usize,
}

impl Check {
    /// Resolves all pools, so that a name that can't be resolved does not hide other errors.
    async fn pools(&mut self) -> Result<Vec<Arc<PoolTopology>>> {
        let config = Arc::clone(&self.config);
        let registry = Registry::new(config.workers);
        let shares = Shares::claim(config.workers, config.listeners.len());
        let at_once = shares.map_or(1, |shares| shares.names);
        let names = Names::new(&config.resolver, at_once).map_err(anyhow::Error::msg)?;
        let strict = ResolverConfig {
            strict: true,
            ..config.resolver.clone()
        };
        for pool in &config.pools {
            let Some(path) = &pool.file else { continue };
            match backend_files::read(path, pool) {
                Ok(added) => {
                    let edits = Default::default();
                    let overlay = Overlay { added, edits };
                    names.discovery().overlay(&pool.name, Origin::File, overlay);
                }
                Err(unusable) => {
                    self.errors += 1;
                    let reason = unusable.reason();
                    say!("error: pool {:?}: `file`: {reason}", pool.name)?;
                }
            }
        }
        let asked = names.ask(&config.pools, &strict).await;
        let _asked = asked.map_err(anyhow::Error::msg)?;
        let discovery = names.discovery();
        let mut topologies = Vec::with_capacity(config.pools.len());
        let ids = registry.pools(config.pools.iter().map(|pool| pool.name.as_str()));
        for (pool, id) in config.pools.iter().zip(ids) {
            let missing = unresolved(std::slice::from_ref(pool), discovery);
            self.errors += missing.len();
            for error in missing {
                say!("error: {error}")?;
            }
            match pool_topology(pool, id, &registry, (discovery, TlsFiles::Read)) {
                Ok(topology) if topology.endpoints.is_empty() => topologies.push(topology),
                Ok(topology) => {
                    let endpoints = topology.endpoints.iter();
                    let addresses: Vec<String> = endpoints.map(|e| e.address.to_string()).collect();
                    say!("pool {:?}: {}", topology.name, addresses.join(", "))?;
                    topologies.push(topology);
                }
                Err(e) => {
                    self.errors += 1;
                    say!("error: {e}")?;
                    // The policies are still loaded, as if the pool had no backends.
                    let empty = Pool {
                        backends: vec![],
                        ..pool.clone()
                    };
                    let empty = pool_topology(&empty, id, &registry, (discovery, TlsFiles::Read));
                    topologies.push(empty?);
                }
            }
        }
        Ok(topologies.into_iter().map(Arc::new).collect())
    }

    /// The engine; without its cache if that can't be used, or is not there yet. Creates no folder:
    /// it would belong to the caller, and perhaps not to the user that the proxy runs as.
    fn engine(&mut self) -> Result<Engine> {
        let exists = |folder: &PathBuf| match fs::symlink_metadata(folder) {
            Err(e) => e.kind() != ErrorKind::NotFound,
            Ok(_) => true,
        };
        let options = EngineOptions {
            workers: self.config.workers,
            cache: self.config.cache_dir.clone().filter(exists),
            ..EngineOptions::default()
        };
        match Engine::new(options.clone()) {
            Err(e @ PolicyError::Cache { .. }) => {
                self.errors += 1;
                say!("error: {e}")?;
                Ok(Engine::new(EngineOptions {
                    cache: None,
                    ..options
                })?)
            }
            engine => Ok(engine?),
        }
    }

    async fn policies(&mut self, engine: Engine, topologies: Vec<Arc<PoolTopology>>) -> Result<()> {
        let config = Arc::clone(&self.config);
        let load =
            move || policies::load_all(&engine, &config, &topologies, &Stats::new(config.workers));
        let loaded = tokio::task::spawn_blocking(load)
            .await
            .context("loading the policies failed")?;
        let exported: Vec<Option<Hooks>> = loaded
            .iter()
            .map(|loaded| loaded.as_ref().ok().map(|generation| generation.hooks()))
            .collect();
        for (at, loaded) in loaded.into_iter().enumerate() {
            self.errors += usize::from(loaded.is_err());
            report(&self.config.policies[at], loaded)?;
        }
        let unasked = Unasked::new(&self.config, &exported);
        for warning in unasked.warnings() {
            say!("warning: {warning}")?;
        }
        for error in unasked.errors() {
            self.errors += 1;
            say!("error: {error}")?;
        }
        Ok(())
    }

    fn certificates(&mut self) -> Result<()> {
        match ListenerCertificates::load(&self.config) {
            Ok(certificates) => {
                for line in certificates.lines() {
                    say!("{line}")?;
                }
                for note in certificates.notes() {
                    say!("warning: {note}")?;
                }
            }
            Err(problems) => {
                self.errors += problems.len();
                for problem in problems {
                    say!("error: {problem}")?;
                }
            }
        }
        Ok(())
    }

    /// Those of the forward proxy.
    fn users(&mut self) -> Result<()> {
        match read_users(&self.config) {
            Ok(None) => Ok(()),
            Ok(Some((_, users))) => say!("forward: {}", counted(users.len(), "user")),
            Err(problem) => {
                self.errors += 1;
                say!("error: {problem}")
            }
        }
    }

    fn unix_sockets(&mut self) -> Result<()> {
        for listener in &self.config.listeners {
            if let ListenAddress::Unix { path, .. } = &listener.address
                && let Err(e) = unix_socket::examine(path)
            {
                self.errors += 1;
                say!("error: can't listen on {}: {e:#}", listener.address)?;
            }
        }
        Ok(())
    }

    /// The files that a start opens to write to them.
    fn files_to_write(&mut self) -> Result<()> {
        let config = &self.config;
        for problem in log_problem(config)
            .into_iter()
            .chain(record_problem(config))
            .chain(traces_problem(config))
            .chain(pid_file_problem(config))
        {
            self.errors += 1;
            say!("error: {problem}")?;
        }
        Ok(())
    }

    /// Whether this process, at least, may open enough files.
    fn descriptors(&mut self) -> Result<()> {
        let Config {
            workers, listeners, ..
        } = &*self.config;
        if let Err(e) = Shares::claim(*workers, listeners.len()) {
            self.errors += 1;
            say!("error: {e}")?;
        }
        Ok(())
    }

    fn state_dir(&mut self) -> Result<()> {
        if let Some(Err(e)) = self.config.state_dir.as_deref().map(StateDir::examine) {
            self.errors += 1;
            say!("error: `state-dir` can't be used: {e}")?;
        }
        Ok(())
    }
}

/// Prints what came of loading a policy.
fn report(policy: &Policy, loaded: Result<Arc<Generation>>) -> Result<()> {
    match loaded {
        Ok(generation) => {
            let hooks: Vec<_> = generation.hooks().names().collect();
            say!(
                "policy {:?}: ok, {}, hooks: {}",
                policy.name,
                generation.digest(),
                hooks.join(", ")
            )
        }
        Err(e) => {
            say!("error: {e:#}")?;
            match policy.while_absent {
                OnFailure::Status(status) => say!(
                    "  without it, routes that name policy {:?} answer {status}",
                    policy.name
                ),
                _ => Ok(()),
            }
        }
    }
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
        counted(routes, "route"),
        counted(pools, "pool")
    )
}
