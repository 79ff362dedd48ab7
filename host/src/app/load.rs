//! What a start loads before the first listener opens: backends, certificates, policies.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use tokio::sync::mpsc;

use super::backend_files;
use super::certificates::ListenerCertificates;
use super::control::{
    Carried, CarriedBackends, ControlPlane, Process, Reloads, UpgradeRequest, warning,
};
use super::descriptors::Shares;
use super::forward::read_users;
use super::names::Names;
use crate::config::Config;
use crate::policy::{Engine, EngineOptions, PolicyError};
use crate::rollout::StateDir;
use crate::stats::Stats;
use crate::upstream::{Budget, Registry, TlsFiles, Topology, topology, unresolved};

/// The topology as far as names are known in time.
async fn first_topology(
    config: &Config,
    registry: &Registry,
    names: &Arc<Names>,
) -> Result<Topology> {
    let asked = names.ask(&config.pools, &config.resolver).await;
    let _asked = asked.map_err(anyhow::Error::msg)?;
    let missing = unresolved(&config.pools, names.discovery());
    for error in missing {
        if config.resolver.strict && error.is_written() {
            return Err(error.into());
        }
        tracing::warn!("{}", warning(&error));
    }
    let first = topology(&config.pools, registry, names.discovery(), TlsFiles::Read)?;
    let followed = names.follow(&config.pools, &config.resolver);
    followed.map_err(anyhow::Error::msg)?;
    Ok(first)
}

/// Resolves the backends and loads the policies.
pub(super) async fn load(
    config: &Arc<Config>,
    (shares, state_dir): (Shares, Option<StateDir>),
    ((carried, mut backends), clock_began): ((Carried, CarriedBackends), Option<Instant>),
    (reloads, upgrades): (Reloads, mpsc::Sender<UpgradeRequest>),
) -> Result<Arc<ControlPlane>> {
    let registry = Registry::new(config.workers).with(Budget::new(shares.backends));
    let names = Names::new(&config.resolver, shares.names).map_err(anyhow::Error::msg)?;
    let state = state_dir.as_ref();
    let backend_files = backend_files::start(config, names.discovery(), state, &mut backends)?;
    let topology = first_topology(config, &registry, &names).await?;
    let options = EngineOptions {
        workers: config.workers,
        cache: config.cache_dir.clone(),
        clock_began,
        ..EngineOptions::default()
    };
    let engine = match Engine::new(options.clone()) {
        // Without the cache a start takes longer, which is better than no start.
        Err(e @ PolicyError::Cache { .. }) => {
            tracing::warn!("{e}; every start compiles all components");
            Engine::new(EngineOptions {
                cache: None,
                ..options
            })?
        }
        engine => engine?,
    };
    let certificates = ListenerCertificates::load(config)
        .map_err(|problems| anyhow::Error::msg(problems.join("\n")))?;
    certificates.log_notes();
    let process = Process {
        engine,
        stats: Stats::new(config.workers),
        registry,
        state_dir,
        carried,
        certificates: Arc::new(certificates),
        reloads,
        upgrades,
        names,
        backend_files,
        door: Arc::default(),
    };
    let control = ControlPlane::new(Arc::clone(config), &Arc::new(topology), process);
    let control = Arc::new(control);
    let users = read_users(config).map_err(anyhow::Error::msg)?;
    control.follow_users(users);
    if backends.has_changes() {
        // The former process may have had another `state-dir`, or none. What can't be kept was
        // logged.
        let _ = control.keep_backends().await;
    }
    control.load_all().await?;
    Ok(control)
}
