//! The proxy from start to stop.

use std::future::pending;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::{mpsc, watch};

use super::control::{AdminControl, ControlPlane};
use super::data_plane::{self, Start};
use super::descriptors;
use super::intake::{self, Intake, KERNEL_SPREADS};
use super::signals::Signals;
use super::watch::watch;
use crate::admin::{self, Readiness, StatsView};
use crate::config::Config;
use crate::policy::{Engine, EngineOptions, PolicyError};
use crate::proxy::access_log::LogWriter;
use crate::proxy::{Admission, Forwarding, Settings};
use crate::recording::{RecordWriter, Recorder};
use crate::rollout::Keep;
use crate::stats::Stats;
use crate::upstream::resolve;

/// Where a proxy that has started can be reached.
#[derive(Debug, Clone)]
pub struct Reachable {
    /// The data plane.
    pub listen: Vec<SocketAddr>,
    /// The admin side, if it is on.
    pub admin: Option<SocketAddr>,
}

/// Runs the proxy until a signal, and until what was in flight then has ended. `started` is called once it serves.
pub async fn run(config: Config, started: impl FnOnce(&Reachable)) -> Result<()> {
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    if let Some(limit) = descriptors::raise_limit() {
        tracing::debug!(limit, "file descriptors");
    }
    let mut signals = Signals::listen()?;
    let config = Arc::new(config);
    let stats = Stats::new(config.workers);
    let control = load(&config, &stats).await?;
    let intake = Intake::open(&config.listen, config.workers, KERNEL_SPREADS)?;
    let log = LogWriter::start(&config.access_log).context("the access log can't be opened")?;
    let records = match &config.record {
        None => None,
        Some(record) => Some(
            RecordWriter::start(record, &config, &stats)
                .with_context(|| format!("`record.file` {} can't be written", record.file.display()))?,
        ),
    };
    let (stop, stopping) = watch::channel(false);
    let addresses = intake.addresses.clone();
    let mut admin = admin_side(&config, &control, stopping.clone())?;
    let recorder = records.as_ref().map(RecordWriter::recorder);
    let workers = start_workers(&config, &control, intake, (&log, recorder), &stopping)?;
    tokio::time::timeout(Duration::from_secs(30), control.adoption().wait(1))
        .await
        .context("the workers have not started")?;
    // Before the log says so: who reads there that it listens, and asks, is not to hear that it is starting.
    control.set_readiness(Readiness::Ready);
    for address in &addresses {
        tracing::info!(addr = %address, workers = config.workers, "listening");
    }
    if let Some((address, _)) = &admin {
        tracing::info!(addr = %address, "admin listening");
    }
    started(&Reachable { listen: addresses, admin: admin.as_ref().map(|(address, _)| *address) });

    let watching = tokio::spawn(watch(Arc::clone(&control)));
    let (name, _) = tokio::select! {
        signal = signals.next() => signal,
        ended = admin_ended(&mut admin) => return Err(ended),
    };
    tracing::info!("{name}: finishing what is in flight; a second signal stops at once");
    control.set_readiness(Readiness::Draining);
    watching.abort();
    tokio::spawn(async move {
        let (name, code) = signals.next().await;
        tracing::warn!("{name} again: stopping at once");
        std::process::exit(code);
    });
    // Workers that have gone already have nothing to finish.
    let _ = stop.send(true);
    tokio::task::spawn_blocking(move || finish(workers, log, records))
        .await
        .context("the workers can't be waited for")??;
    tracing::info!("stopped");
    Ok(())
}

/// Resolves the backends and loads the policies.
async fn load(config: &Arc<Config>, stats: &Stats) -> Result<Arc<ControlPlane>> {
    let topologies: Vec<_> = resolve(&config.pools).await?.into_iter().map(Arc::new).collect();
    let topologies: Arc<[_]> = topologies.into();
    let options =
        EngineOptions { workers: config.workers, cache: config.cache_dir.clone(), ..EngineOptions::default() };
    let engine = match Engine::new(options.clone()) {
        // Without it a start takes longer, which is better than no start.
        Err(e @ PolicyError::Cache { .. }) => {
            tracing::warn!("{e}; components are compiled at each start");
            Engine::new(EngineOptions { cache: None, ..options })?
        }
        engine => engine?,
    };
    let keep = match &config.state_dir {
        None => None,
        Some(folder) => {
            Some(Keep::open(folder).with_context(|| format!("`state-dir` {} can't be used", folder.display()))?)
        }
    };
    let control = Arc::new(ControlPlane::new(Arc::clone(config), engine, stats.clone(), topologies, keep));
    control.load_all().await?;
    Ok(control)
}

type AdminSide = Option<(SocketAddr, tokio::task::JoinHandle<Result<()>>)>;

fn admin_side(config: &Config, control: &Arc<ControlPlane>, mut stopping: watch::Receiver<bool>) -> Result<AdminSide> {
    let Some(settings) = &config.admin else { return Ok(None) };
    let listener = intake::admin(settings.listen)?;
    let address = listener.local_addr()?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let stopped = async move {
        // The admin side goes on while the data plane drains: /readyz says so. It ends with the process.
        let _ = stopping.wait_for(|stop| *stop).await;
        pending::<()>().await;
    };
    let serving = admin::serve(listener, settings.token.clone(), Arc::new(AdminControl(Arc::clone(control))), stopped);
    Ok(Some((address, tokio::spawn(async move { Ok(serving.await?) }))))
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
    stopping: &watch::Receiver<bool>,
) -> Result<Vec<JoinHandle<()>>> {
    let admission = Arc::new(Admission::new(&config.limits));
    let stats_page = config.stats_path.clone().map(|path| {
        let control = Arc::clone(control);
        let page = move |accept: Option<&[u8]>| {
            admin::stats_page(&StatsView { stats: control.stats(), policies: &control.policies() }, accept)
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
    };
    let mut workers = Vec::with_capacity(config.workers);
    let mut hands = Vec::with_capacity(config.workers);
    for (index, listeners) in intake.by_worker.into_iter().enumerate() {
        let (hand, handed) = mpsc::unbounded_channel();
        hands.push(hand);
        workers.push(data_plane::spawn(Start {
            index,
            settings: settings.clone(),
            stats: control.stats().clone(),
            access_log: log.handle(Arc::clone(&control.stats().workers()[index])),
            listeners,
            handed,
            admission: Arc::clone(&admission),
            snapshots: control.subscribe(),
            adoption: control.adoption(),
            stop: stopping.clone(),
        })?);
    }
    for listener in intake.shared {
        tokio::spawn(hand_out(tokio::net::TcpListener::from_std(listener)?, hands.clone(), stopping.clone()));
    }
    Ok(workers)
}

/// Where the kernel does not spread connections, one task takes them all and deals them out in turn.
async fn hand_out(
    listener: tokio::net::TcpListener,
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

fn finish(workers: Vec<JoinHandle<()>>, log: LogWriter, records: Option<RecordWriter>) -> Result<()> {
    let mut failed = 0;
    for worker in workers {
        failed += usize::from(worker.join().is_err());
    }
    log.finish();
    if let Some(records) = records {
        records.finish();
    }
    if failed > 0 {
        bail!("{failed} workers have failed; this is a bug of the proxy");
    }
    Ok(())
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
        let listener = loopback_listener().unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let (hands, mut handed): (Vec<_>, Vec<_>) = (0..2).map(|_| mpsc::unbounded_channel()).unzip();
        let (stop, stopping) = watch::channel(false);
        let dealing = tokio::spawn(hand_out(tokio::net::TcpListener::from_std(listener).unwrap(), hands, stopping));
        let clients: Vec<_> = (0..4).map(|_| TcpStream::connect(address).unwrap()).collect();
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
