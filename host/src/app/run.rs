//! The proxy from start to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::{mpsc, watch};

use super::backend_files;
use super::certificates::ListenerCertificates;
use super::control::{ControlPlane, Process, Reloads, warning};
use super::data_plane::End;
use super::descriptors::Shares;
use super::intake;
use super::names::Names;
use super::open_listeners::{NextListeners, OpenListeners, Wanted};
use super::reload::{AdminListener, Source, start_log, start_records};
use super::running::{Running, stop_within};
use super::signals::Signals;
use super::watchdog::Watchdog;
use super::workers::start_workers;
use crate::admin::Readiness;
use crate::config::{Config, ListenAddress};
use crate::ground;
use crate::observe::access_log::LogWriter;
use crate::policy::{Engine, EngineOptions, PolicyError};
use crate::proxy::{Admission, Equipment};
use crate::recording::RecordWriter;
use crate::rollout::StateDir;
use crate::stats::Stats;
use crate::upstream::{Budget, Registry, TlsFiles, Topology, topology, unresolved};

/// Where a proxy that has started can be reached.
#[derive(Debug, Clone)]
pub(super) struct Reachable {
    /// The addresses of the data plane, in the order of the configuration.
    pub listen: Vec<ListenAddress>,
    /// The address of the admin listener, if there is one.
    pub admin: Option<SocketAddr>,
}

/// How long the workers may take to begin.
const WORKERS_START: Duration = Duration::from_secs(30);

/// Runs the proxy until a signal and the drain that follows it. `started` is called once it serves.
pub(super) async fn run(
    source: Source,
    signals: Signals,
    started: impl FnOnce(&Reachable, &LogWriter),
) -> Result<()> {
    let (mut config, written) = source.read()?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let shares = shares(&mut config)?;
    ground::fault_point("start");
    let config = Arc::new(config);
    let stats = Stats::new(config.workers);
    let (reloads, requests) = Reloads::new(written);
    let control = load(&config, &stats, shares, reloads).await?;
    let opened = first_listeners(&config, &control)?;
    let log = start_log(&config)?;
    let records = start_records(&config, &control)?;
    let (stop, stopping) = watch::channel(false);
    control.equip(Equipment {
        listeners: opened.listening(),
        log: log.handle(),
        recorder: records.as_ref().map(RecordWriter::recorder),
    });
    let admin = admin_side(&config, &control, shares.admin)?;
    let admission = Arc::new(Admission::new(shares.turned_away));
    let (hands, mut ends) = start_workers(config.workers, &control, &admission, &stopping)?;
    let mut listeners = OpenListeners::default();
    listeners.follow(opened, &hands, &stopping);
    workers_serve(&control, &mut ends).await?;
    signals.serving(stop_within(&config));
    // Before the log says "listening": a script that waits for that line must not find the proxy
    // "starting".
    control.set_readiness(Readiness::Ready);
    let watchdog = Watchdog::start(control.stats())?;
    let reachable = Reachable {
        listen: listeners.addresses(),
        admin: admin.as_ref().map(|admin| admin.address),
    };
    reachable.log(config.workers);
    started(&reachable, &log);
    Running {
        control,
        source,
        requests,
        signals,
        ends,
        admin,
        admin_connections: shares.admin,
        hands,
        listeners,
        stop,
        log,
        records,
        watchdog,
        failure: None,
    }
    .run_to_the_end()
    .await
}

/// Divides the descriptors of the process, and lowers the limits to what there is.
fn shares(config: &mut Config) -> Result<Shares> {
    let shares = Shares::claim(config.workers, config.listeners.len());
    let shares = shares.map_err(anyhow::Error::msg)?;
    if let Some(lowered) = shares.lower(&mut config.limits) {
        tracing::warn!("{lowered}");
        config.warnings.push(lowered);
    }
    Ok(shares)
}

/// Opens the listeners of the first configuration.
fn first_listeners(config: &Config, control: &ControlPlane) -> Result<NextListeners> {
    let certificates = control.listener_certificates();
    let wanted = Wanted {
        known: &[],
        certificates: &certificates,
        config,
        next_certificates: &certificates,
    };
    wanted.open()
}

/// The admin listener, if it is on.
fn admin_side(
    config: &Config,
    control: &Arc<ControlPlane>,
    connections: usize,
) -> Result<Option<AdminListener>> {
    let Some(settings) = &config.admin else {
        return Ok(None);
    };
    let socket = Arc::new(intake::admin(settings.listen)?);
    AdminListener::serve(settings.clone(), socket, connections, control).map(Some)
}

impl Reachable {
    fn log(&self, workers: usize) {
        for address in &self.listen {
            tracing::info!(addr = %address, workers, "listening");
        }
        if let Some(address) = self.admin {
            tracing::info!(addr = %address, "admin listening");
        }
    }
}

/// Waits until every worker serves the first snapshot.
async fn workers_serve(
    control: &ControlPlane,
    ends: &mut mpsc::UnboundedReceiver<End>,
) -> Result<()> {
    let adoption = control.adoption();
    tokio::select! {
        begun = tokio::time::timeout(WORKERS_START, adoption.wait(1)) => {
            begun.context("the workers have not started")
        }
        Some(End { index, .. }) = ends.recv() => bail!("worker {index} failed while it started"),
    }
}

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
        if config.resolver.strict {
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
async fn load(
    config: &Arc<Config>,
    stats: &Stats,
    shares: Shares,
    reloads: Reloads,
) -> Result<Arc<ControlPlane>> {
    let registry = Registry::new(config.workers).with(Budget::new(shares.backends));
    let names = Names::new(&config.resolver).map_err(anyhow::Error::msg)?;
    let state_dir = match &config.state_dir {
        None => None,
        Some(folder) => Some(
            StateDir::open(folder)
                .with_context(|| format!("`state-dir` {} can't be used", folder.display()))?,
        ),
    };
    let backend_files = backend_files::start(config, names.discovery(), state_dir.as_ref())?;
    let topology = first_topology(config, &registry, &names).await?;
    let options = EngineOptions {
        workers: config.workers,
        cache: config.cache_dir.clone(),
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
        stats: stats.clone(),
        registry,
        state_dir,
        certificates: Arc::new(certificates),
        reloads,
        names,
        backend_files,
    };
    let control = ControlPlane::new(Arc::clone(config), &Arc::new(topology), process);
    let control = Arc::new(control);
    control.load_all().await?;
    Ok(control)
}
