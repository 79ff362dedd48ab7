//! `waypost check`: every problem that `run` would meet, without serving.

mod report;
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
use crate::policy::{Engine, EngineOptions, Hooks, PolicyError};
use crate::rollout::StateDir;
use crate::stats::Stats;
use crate::units::counted;
use crate::upstream::{
    Origin, Overlay, PoolTopology, Registry, TlsFiles, pool_topology, unresolved,
};
use report::Report;
use unasked::Unasked;

/// What is asked of a check.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    /// No name of a backend is looked up.
    pub offline: bool,
    /// One object in place of lines.
    pub json: bool,
}

pub(super) async fn check(sources: Sources, how: How) -> Result<ExitCode> {
    let mut report = Report::new(how.json);
    let config = match Config::load(sources) {
        Ok(config) => config,
        Err(errors) => return report.unusable(&errors),
    };
    report.follow(&config.written);
    for warning in &config.warnings {
        report.doubt(warning)?;
    }
    let mut check = Check {
        config: Arc::new(config),
        report,
    };
    let topologies = check.pools(how.offline).await?;
    let engine = check.engine()?;
    check.policies(engine, topologies).await?;
    check.state_dir()?;
    check.certificates()?;
    check.users()?;
    check.unix_sockets()?;
    check.files_to_write()?;
    check.descriptors()?;
    check.report.conclude(&check.config)
}

/// A configuration that is being checked. An error is noted, and the check goes on.
struct Check {
    config: Arc<Config>,
    report: Report,
}

impl Check {
    /// Resolves all pools, so that a name that can't be resolved does not hide other errors.
    async fn pools(&mut self, offline: bool) -> Result<Vec<Arc<PoolTopology>>> {
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
                    let reason = unusable.reason();
                    let message = format!("pool {:?}: `file`: {reason}", pool.name);
                    let key = format!("pools.{}.file", pool.name);
                    self.report.error(&[&key], message)?;
                }
            }
        }
        let asked: &[Pool] = if offline { &[] } else { &config.pools };
        let asked = names.ask(asked, &strict).await;
        let _asked = asked.map_err(anyhow::Error::msg)?;
        let discovery = names.discovery();
        let mut topologies = Vec::with_capacity(config.pools.len());
        let ids = registry.pools(config.pools.iter().map(|pool| pool.name.as_str()));
        for (pool, id) in config.pools.iter().zip(ids) {
            let missing = unresolved(std::slice::from_ref(pool), discovery);
            let name = &pool.name;
            let sections = ["pools", "hosts"].map(|section| format!("{section}.{name}"));
            let backends = format!("pools.{name}.backends");
            for error in missing {
                // Of a name that was not looked up nothing is known.
                if !offline {
                    self.report.error(&[&backends, &sections[1]], error)?;
                }
            }
            match pool_topology(pool, id, &registry, (discovery, TlsFiles::Read)) {
                Ok(topology) => {
                    self.report.pool(&topology)?;
                    topologies.push(topology);
                }
                Err(e) => {
                    self.report.error(&[&sections[0], &sections[1]], e)?;
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
                // Without a key it is in the folder of the state.
                self.report.error(&["cache-dir", "state-dir"], e)?;
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
            let config = Arc::clone(&self.config);
            let policy = &config.policies[at];
            match loaded {
                Ok(generation) => self.report.policy(policy, &generation)?,
                Err(e) => self.absent(policy, &e)?,
            }
        }
        let unasked = Unasked::new(&self.config, &exported);
        for warning in unasked.warnings() {
            self.report.warning(warning)?;
        }
        for error in unasked.errors() {
            self.report.error(&["forward.policies", "forward"], error)?;
        }
        Ok(())
    }

    fn certificates(&mut self) -> Result<()> {
        match ListenerCertificates::load(&self.config) {
            Ok(certificates) => {
                for line in certificates.lines() {
                    self.report.line(line)?;
                }
                for note in certificates.notes() {
                    self.report.warning(note)?;
                }
            }
            Err(problems) => {
                for problem in problems {
                    self.report.error(&[], problem)?;
                }
            }
        }
        Ok(())
    }

    /// Those of the forward proxy.
    fn users(&mut self) -> Result<()> {
        match read_users(&self.config) {
            Ok(None) => Ok(()),
            Ok(Some((_, users))) => self
                .report
                .line(format_args!("forward: {}", counted(users.len(), "user"))),
            Err(problem) => self.report.error(&["forward.authentication"], problem),
        }
    }

    fn unix_sockets(&mut self) -> Result<()> {
        for (at, listener) in self.config.listeners.iter().enumerate() {
            if let ListenAddress::Unix { path, .. } = &listener.address
                && let Err(e) = unix_socket::examine(path)
            {
                let message = format!("can't listen on {}: {e:#}", listener.address);
                let key = format!("listeners[{at}].address");
                self.report.error(&[&key, "listen"], message)?;
            }
        }
        Ok(())
    }

    /// The files that a start opens to write to them.
    fn files_to_write(&mut self) -> Result<()> {
        let config = &self.config;
        let problems = [
            ("access-log.path", log_problem(config)),
            ("record.file", record_problem(config)),
            ("pid-file", pid_file_problem(config)),
        ];
        for (key, problem) in problems {
            if let Some(problem) = problem {
                self.report.error(&[key], problem)?;
            }
        }
        if let Some(problem) = traces_problem(config) {
            // It begins with the key.
            let key = problem.split('`').nth(1).unwrap_or_default().to_owned();
            self.report.error(&[&key, "tracing"], problem)?;
        }
        Ok(())
    }

    /// Whether this process, at least, may open enough files.
    fn descriptors(&mut self) -> Result<()> {
        let Config {
            workers, listeners, ..
        } = &*self.config;
        if let Err(e) = Shares::claim(*workers, listeners.len()) {
            self.report.error(&["workers"], e)?;
        }
        Ok(())
    }

    fn state_dir(&mut self) -> Result<()> {
        if let Some(Err(e)) = self.config.state_dir.as_deref().map(StateDir::examine) {
            let message = format!("`state-dir` can't be used: {e}");
            self.report.error(&["state-dir"], message)?;
        }
        Ok(())
    }

    /// A policy can't be loaded, and what that means for its routes.
    fn absent(&mut self, policy: &Policy, error: &anyhow::Error) -> Result<()> {
        let section = format!("policies.{}", policy.name);
        let of_settings = error.chain().any(|cause| {
            let refused: Option<&PolicyError> = cause.downcast_ref();
            refused.is_some_and(PolicyError::is_of_settings)
        });
        let key = match of_settings {
            true => format!("{section}.settings"),
            false => format!("{section}.component"),
        };
        self.report
            .error(&[&key, &section], format_args!("{error:#}"))?;
        match policy.while_absent {
            OnFailure::Status(status) => self.report.line(format_args!(
                "  without it, routes that name policy {:?} answer {status}",
                policy.name
            )),
            _ => Ok(()),
        }
    }
}
