//! The proxy from start to stop.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::{mpsc, watch};

use super::certificates::ListenerCertificates;
use super::control::{ControlPlane, Process};
use super::data_plane::End;
use super::descriptors::Shares;
use super::intake::{Intake, KERNEL_SPREADS};
use super::running::{Running, admin_side, stop_within};
use super::signals::Signals;
use super::watchdog::Watchdog;
use super::workers::start_workers;
use crate::admin::Readiness;
use crate::config::{Config, ListenAddress, Listener};
use crate::ground;
use crate::observe::access_log::LogWriter;
use crate::policy::{Engine, EngineOptions, PolicyError};
use crate::proxy::{Admission, Entry};
use crate::recording::RecordWriter;
use crate::rollout::StateDir;
use crate::stats::Stats;
use crate::upstream::{Budget, Registry, resolve};

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
    mut config: Config,
    signals: Signals,
    started: impl FnOnce(&Reachable, &LogWriter),
) -> Result<()> {
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let shares = shares(&mut config)?;
    ground::fault_point("start");
    let config = Arc::new(config);
    let stats = Stats::new(config.workers);
    let control = load(&config, &stats, shares).await?;
    let entries = entries(&config.listeners, control.listener_certificates());
    let mut intake = Intake::open(&config.listeners, config.workers, KERNEL_SPREADS)?;
    let (log, records) = open_logs(&config, &stats)?;
    let (stop, stopping) = watch::channel(false);
    let listen = intake.addresses.clone();
    let socket_files = std::mem::take(&mut intake.files);
    let admin = admin_side(&config, &control, shares.admin, stopping.clone())?;
    let recorder = records.as_ref().map(RecordWriter::recorder);
    let admission = Arc::new(Admission::new(shares.turned_away));
    let mut ends = start_workers(
        &config,
        &control,
        (intake, entries),
        (&log, recorder),
        &admission,
        &stopping,
    )?;
    workers_serve(&control, &mut ends).await?;
    signals.serving(stop_within(&config));
    // Before the log says "listening": a script that waits for that line must not find the proxy
    // "starting".
    control.set_readiness(Readiness::Ready);
    let watchdog = Watchdog::start(control.stats())?;
    let reachable = Reachable {
        listen,
        admin: admin.as_ref().map(|(address, _)| *address),
    };
    reachable.log(config.workers);
    started(&reachable, &log);
    Running {
        control,
        signals,
        ends,
        admin,
        stop,
        log,
        records,
        watchdog,
        socket_files,
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
    }
    Ok(shares)
}

/// What listeners do with their connections.
fn entries(listeners: &[Listener], certificates: &ListenerCertificates) -> Vec<Entry> {
    let numbered = listeners.iter().enumerate();
    numbered
        .map(|(number, listener)| {
            let acceptor = certificates.acceptor(number);
            Entry::new(listener, acceptor, certificates.http_challenges())
        })
        .collect()
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

/// Opens the access log and, if there is one, the recording.
fn open_logs(config: &Config, stats: &Stats) -> Result<(LogWriter, Option<RecordWriter>)> {
    let log = LogWriter::start(&config.access_log);
    let log = log.with_context(|| match &config.access_log.path {
        Some(path) => log_failed(path),
        None => "the access log can't be opened".to_owned(),
    })?;
    let records = match &config.record {
        None => None,
        Some(record) => {
            Some(RecordWriter::start(record, stats).with_context(|| record_failed(&record.file))?)
        }
    };
    Ok((log, records))
}

/// What is said of an access log that can't be opened.
pub(super) fn log_failed(path: &Path) -> String {
    format!("the access log {} can't be opened", path.display())
}

/// What is said of a recording that can't be written.
pub(super) fn record_failed(path: &Path) -> String {
    format!("`record.file` {} can't be written", path.display())
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

/// Resolves the backends and loads the policies.
async fn load(config: &Arc<Config>, stats: &Stats, shares: Shares) -> Result<Arc<ControlPlane>> {
    let registry = Registry::new(config.workers).with(Budget::new(shares.backends));
    let topology = resolve(&config.pools, &registry).await?;
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
    let state_dir = match &config.state_dir {
        None => None,
        Some(folder) => Some(
            StateDir::open(folder)
                .with_context(|| format!("`state-dir` {} can't be used", folder.display()))?,
        ),
    };
    let certificates = ListenerCertificates::load(config)
        .map_err(|problems| anyhow::Error::msg(problems.join("\n")))?;
    certificates.log_notes();
    let process = Process {
        engine,
        stats: stats.clone(),
        registry,
        shares,
        state_dir,
        certificates: Arc::new(certificates),
    };
    let control = ControlPlane::new(Arc::clone(config), &Arc::new(topology), process);
    let control = Arc::new(control);
    control.load_all().await?;
    Ok(control)
}
