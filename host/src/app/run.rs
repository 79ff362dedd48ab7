//! The proxy from start to stop.

use std::future::pending;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::control::{AdminControl, ControlPlane};
use super::data_plane::{self, End, Start};
use super::descriptors::Shares;
use super::intake::{self, Intake, KERNEL_SPREADS};
use super::signals::{Event, Signals};
use super::watch::watch;
use super::watchdog::Watchdog;
use crate::admin::{self, Readiness, StatsView};
use crate::config::Config;
use crate::ground;
use crate::policy::{Engine, EngineOptions, PolicyError};
use crate::proxy::access_log::LogWriter;
use crate::proxy::{Admission, Forwarding, Settings};
use crate::recording::{RecordWriter, Recorder};
use crate::rollout::Keep;
use crate::stats::Stats;
use crate::upstream::{Registry, resolve};

/// Where a proxy that has started can be reached.
#[derive(Debug, Clone)]
pub struct Reachable {
    /// The data plane.
    pub listen: Vec<SocketAddr>,
    /// The admin side, if it is on.
    pub admin: Option<SocketAddr>,
}

/// How long workers are waited for beyond the drain time.
const WORKERS_END: Duration = Duration::from_secs(5);
/// How long each log is waited for at the end: a reader that takes nothing must not keep the
/// process alive.
const LOGS_END: Duration = Duration::from_secs(2);
/// A drain time without an end is one: tokio's clock has an end itself.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Runs the proxy until a signal, and until what was in flight then has ended. `started` is called
/// once it serves.
pub async fn run(
    mut config: Config,
    signals: Signals,
    started: impl FnOnce(&Reachable, &LogWriter),
) -> Result<()> {
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let shares = Shares::claim(config.workers).map_err(anyhow::Error::msg)?;
    if let Some(lowered) = shares.lower(&mut config.limits) {
        tracing::warn!("{lowered}");
    }
    ground::fault_point("start");
    let config = Arc::new(config);
    let stats = Stats::new(config.workers);
    let control = load(&config, &stats).await?;
    let intake = Intake::open(&config.listen, config.workers, KERNEL_SPREADS)?;
    let log =
        LogWriter::start(&config.access_log).with_context(|| match &config.access_log.path {
            Some(path) => format!("the access log {} can't be opened", path.display()),
            None => "the access log can't be opened".to_owned(),
        })?;
    let records =
        match &config.record {
            None => None,
            Some(record) => Some(RecordWriter::start(record, &config, &stats).with_context(
                || format!("`record.file` {} can't be written", record.file.display()),
            )?),
        };
    let (stop, stopping) = watch::channel(false);
    let listen = intake.addresses.clone();
    let admin = admin_side(&config, &control, shares.admin, stopping.clone())?;
    let recorder = records.as_ref().map(RecordWriter::recorder);
    let admission = Arc::new(Admission::new(&config.limits, shares.turned_away));
    let mut ends = start_workers(
        &config,
        &control,
        intake,
        (&log, recorder),
        &admission,
        &stopping,
    )?;
    let adoption = control.adoption();
    tokio::select! {
        begun = tokio::time::timeout(Duration::from_secs(30), adoption.wait(1)) => {
            begun.context("the workers have not started")?;
        }
        Some(End { index, .. }) = ends.recv() => bail!("worker {index} has failed while it started"),
    }
    signals.serving(config.timeouts.drain.saturating_add(WORKERS_END));
    // Before the log says so: who reads there that it listens, and asks, is not to hear that it is
    // starting.
    control.set_readiness(Readiness::Ready);
    let watchdog = Watchdog::start(control.stats())?;
    for address in &listen {
        tracing::info!(addr = %address, workers = config.workers, "listening");
    }
    let reachable = Reachable {
        listen,
        admin: admin.as_ref().map(|(address, _)| *address),
    };
    if let Some(address) = reachable.admin {
        tracing::info!(addr = %address, "admin listening");
    }
    started(&reachable, &log);
    Running {
        config,
        control,
        signals,
        ends,
        admin,
        stop,
        log,
        records,
        watchdog,
        failure: None,
    }
    .run_to_the_end()
    .await
}

/// A proxy that serves.
struct Running {
    config: Arc<Config>,
    control: Arc<ControlPlane>,
    signals: Signals,
    ends: mpsc::UnboundedReceiver<End>,
    admin: AdminSide,
    stop: watch::Sender<bool>,
    log: LogWriter,
    records: Option<RecordWriter>,
    watchdog: Watchdog,
    /// What has failed, in a sentence.
    failure: Option<String>,
}

impl Running {
    async fn run_to_the_end(mut self) -> Result<()> {
        let control = Arc::clone(&self.control);
        // Nothing that it knows is lost: a new one compares the files with what was configured.
        let watching = tokio::spawn(async move {
            ground::stays("the watcher of the policies' files", || {
                watch(Arc::clone(&control))
            })
            .await;
        });
        if ground::caught(self.serve()).await.is_err() {
            self.failure = Some("the control side has failed".to_owned());
        }
        if let Some(failure) = &self.failure {
            tracing::error!("{failure}: finishing what is in flight, then the process ends");
        }
        self.control.set_readiness(
            self.failure
                .clone()
                .map_or(Readiness::Draining, Readiness::Failed),
        );
        watching.abort();
        self.signals.stop_begins();
        // Workers that have gone already have nothing to finish.
        let _ = self.stop.send(true);
        self.workers_end().await;
        let Self {
            log,
            records,
            failure,
            watchdog,
            ..
        } = self;
        drop(watchdog);
        let logs_end = move || {
            log.finish(LOGS_END);
            if let Some(records) = records {
                records.finish(LOGS_END);
            }
        };
        tokio::task::spawn_blocking(logs_end)
            .await
            .context("the logs can't be waited for")?;
        if let Some(failure) = failure {
            bail!("{failure}; this is a bug of the proxy, and a supervisor should start it again");
        }
        tracing::info!("stopped");
        Ok(())
    }

    /// Until a signal, or until something fails without which the process is no proxy any more.
    async fn serve(&mut self) {
        loop {
            tokio::select! {
                event = self.signals.next() => match event {
                    Event::Stop => return,
                    Event::Reopen => {
                        ground::fault_point("control");
                        self.reopen();
                    }
                },
                Some(end) = self.ends.recv() => {
                    self.failure = Some(format!("worker {} has failed", end.index));
                    self.control.adoption().gone(end.index);
                    return;
                }
                failed = admin_ended(&mut self.admin) => {
                    self.admin = None;
                    self.failure = Some(format!("{failed:#}"));
                    return;
                }
            }
        }
    }

    fn reopen(&self) {
        tracing::info!("SIGUSR1: opening the logs again");
        self.log.reopen();
        if let Some(records) = &self.records {
            records.reopen();
        }
    }

    /// Waits for the workers, within a limit.
    async fn workers_end(&mut self) {
        let deadline = Instant::now()
            + self
                .config
                .timeouts
                .drain
                .saturating_add(WORKERS_END)
                .min(LONGEST);
        let mut left: Vec<usize> = (0..self.config.workers).collect();
        left.retain(|index| !self.control.adoption().is_gone(*index));
        while !left.is_empty() {
            tokio::select! {
                end = self.ends.recv() => {
                    let Some(end) = end else { break };
                    left.retain(|index| *index != end.index);
                    if end.panicked {
                        self.failure.get_or_insert(format!("worker {} has failed", end.index));
                    }
                }
                () = self.signals.reopen() => self.reopen(),
                () = sleep_until(deadline) => {
                    let names = left.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                    self.failure.get_or_insert(format!("these workers have not ended in time: {names}"));
                    return;
                }
            }
        }
    }
}

/// Resolves the backends and loads the policies.
async fn load(config: &Arc<Config>, stats: &Stats) -> Result<Arc<ControlPlane>> {
    let topologies: Vec<_> = resolve(&config.pools, &Registry::new(config.workers))
        .await?
        .into_iter()
        .map(Arc::new)
        .collect();
    let topologies: Arc<[_]> = topologies.into();
    let options = EngineOptions {
        workers: config.workers,
        cache: config.cache_dir.clone(),
        ..EngineOptions::default()
    };
    let engine = match Engine::new(options.clone()) {
        // Without it a start takes longer, which is better than no start.
        Err(e @ PolicyError::Cache { .. }) => {
            tracing::warn!("{e}; components are compiled at each start");
            Engine::new(EngineOptions {
                cache: None,
                ..options
            })?
        }
        engine => engine?,
    };
    let keep = match &config.state_dir {
        None => None,
        Some(folder) => Some(
            Keep::open(folder)
                .with_context(|| format!("`state-dir` {} can't be used", folder.display()))?,
        ),
    };
    let control = Arc::new(ControlPlane::new(
        Arc::clone(config),
        engine,
        stats.clone(),
        topologies,
        keep,
    ));
    control.load_all().await?;
    Ok(control)
}

type AdminSide = Option<(SocketAddr, tokio::task::JoinHandle<Result<()>>)>;

fn admin_side(
    config: &Config,
    control: &Arc<ControlPlane>,
    connections: usize,
    mut stopping: watch::Receiver<bool>,
) -> Result<AdminSide> {
    let Some(settings) = &config.admin else {
        return Ok(None);
    };
    let listener = intake::admin(settings.listen)?;
    let address = listener.local_addr()?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let stopped = async move {
        // The admin side goes on while the data plane drains: /readyz says so. It ends with the
        // process.
        let _ = stopping.wait_for(|stop| *stop).await;
        pending::<()>().await;
    };
    let reached = Arc::new(AdminControl(Arc::clone(control)));
    let serving = admin::serve(
        listener,
        settings.token.clone(),
        connections,
        reached,
        stopped,
    );
    Ok(Some((
        address,
        tokio::spawn(async move { Ok(serving.await?) }),
    )))
}

async fn admin_ended(admin: &mut AdminSide) -> anyhow::Error {
    match admin {
        None => pending().await,
        Some((_, task)) => match task.await {
            Ok(Ok(())) => anyhow::anyhow!("the admin listener has ended"),
            Ok(Err(e)) => e.context("the admin listener has failed"),
            Err(e) => anyhow::Error::new(e).context("the admin listener has failed"),
        },
    }
}

fn start_workers(
    config: &Arc<Config>,
    control: &Arc<ControlPlane>,
    intake: Intake,
    (log, recorder): (&LogWriter, Option<Recorder>),
    admission: &Arc<Admission>,
    stopping: &watch::Receiver<bool>,
) -> Result<mpsc::UnboundedReceiver<End>> {
    let stats_page = config.stats_path.clone().map(|path| {
        let control = Arc::clone(control);
        let page = move |accept: Option<&[u8]>| {
            admin::stats_page(
                &StatsView {
                    stats: control.stats(),
                    policies: &control.policies(),
                },
                accept,
            )
        };
        (path, Arc::new(page) as _)
    });
    let settings = Settings {
        limits: config.limits.clone(),
        timeouts: config.timeouts.clone(),
        forwarding: Arc::new(Forwarding::new(&config.forwarded)),
        paths: config.paths,
        explain: control.explain_tokens(),
        stats_page,
        recorder,
        keeps_spelling: config.routes.iter().any(|route| route.preserve_header_case),
    };
    let (ended, ends) = mpsc::unbounded_channel();
    let mut hands = Vec::with_capacity(config.workers);
    for (index, listeners) in intake.by_worker.into_iter().enumerate() {
        let (hand, handed) = mpsc::unbounded_channel();
        hands.push(hand);
        let start = Start {
            index,
            settings: settings.clone(),
            stats: control.stats().clone(),
            access_log: log.handle(Arc::clone(&control.stats().workers()[index])),
            listeners,
            handed,
            admission: Arc::clone(admission),
            snapshots: control.subscribe(),
            adoption: control.adoption(),
            stop: stopping.clone(),
        };
        data_plane::spawn(start, ended.clone())?;
    }
    for listener in intake.shared {
        let listener = Arc::new(tokio::net::TcpListener::from_std(listener)?);
        let (hands, stopping) = (hands.clone(), stopping.clone());
        tokio::spawn(async move {
            ground::stays("what hands connections out", || {
                hand_out(Arc::clone(&listener), hands.clone(), stopping.clone())
            })
            .await;
        });
    }
    Ok(ends)
}

/// Where the kernel does not spread connections, one task takes them all and deals them out in
/// turn.
async fn hand_out(
    listener: Arc<tokio::net::TcpListener>,
    hands: Vec<mpsc::UnboundedSender<(TcpStream, SocketAddr)>>,
    mut stopping: watch::Receiver<bool>,
) {
    for hand in hands.iter().cycle() {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        match accepted.and_then(|(stream, peer)| Ok((stream.into_std()?, peer))) {
            // A worker that is gone is only so at the very end.
            Ok(connection) => drop(hand.send(connection)),
            Err(e) => {
                tracing::warn!("connections can't be accepted: {e}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// A listener for an origin of the demo, whose port must be known before the proxy starts.
pub fn loopback_listener() -> Result<TcpListener> {
    TcpListener::bind(("127.0.0.1", 0)).context("no port on 127.0.0.1 can be had")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_are_dealt_out_in_turn() {
        ground::limit_this_test();
        let listener = loopback_listener().unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let (hands, mut handed): (Vec<_>, Vec<_>) =
            (0..2).map(|_| mpsc::unbounded_channel()).unzip();
        let (stop, stopping) = watch::channel(false);
        let dealing = tokio::spawn(hand_out(
            Arc::new(tokio::net::TcpListener::from_std(listener).unwrap()),
            hands,
            stopping,
        ));
        let clients: Vec<_> = (0..4)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        let mut seen = Vec::new();
        for turn in 0..4 {
            seen.push(handed[turn % 2].recv().await.unwrap().1);
        }
        let expected: Vec<_> = clients.iter().map(|c| c.local_addr().unwrap()).collect();
        assert_eq!(seen, expected);
        stop.send(true).unwrap();
        dealing.await.unwrap();
    }
}
