//! The proxy from start to stop.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::sync::{mpsc, watch};

use super::control::{
    Carried, CarriedBackends, ControlPlane, Reloads, Request, UpgradeRequest, upgrades,
};
use super::data_plane::End;
use super::descriptors::Shares;
use super::intake;
use super::load::load;
use super::open_listeners::{NextListeners, OpenListeners, Wanted};
use super::passed::PassedSockets;
use super::pid_file::PidFile;
use super::reload::{AdminListener, Source, record_problem, start_log, start_records};
use super::running::{Running, stop_within};
use super::signals::Signals;
use super::supervisor::{Activation, Notifier};
use super::traces::{TraceExporter, start_traces, traces_problem};
use super::upgrade::{Predecessor, Program};
use super::watchdog::Watchdog;
use super::workers::{Workers, start_workers};
use crate::admin::Readiness;
use crate::config::{Config, ListenAddress};
use crate::ground;
use crate::observe::access_log::LogWriter;
use crate::proxy::{Admission, Equipment};
use crate::recording::RecordWriter;
use crate::rollout::StateDir;

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
///
/// `activation` has the sockets that were passed to the process. Without it, the process is no
/// service of its own: it replaces no other, none replaces it, and no supervisor is notified.
pub(super) async fn run(
    source: Source,
    signals: Signals,
    activation: Option<Activation>,
    started: impl FnOnce(&Reachable, &LogWriter),
) -> Result<()> {
    let environment = |name: &str| std::env::var_os(name);
    let mut beginning = Beginning {
        source,
        signals,
        passed: PassedSockets::default(),
        state_lock: None,
        policies: None,
        backends: None,
        clock: None,
        program: None,
        notifier: Notifier::default(),
    };
    let mut former = None;
    if let Some(activation) = activation {
        let program = Program::of_this_process();
        let unknown = |e: &_| tracing::warn!("the own program can't be found: {e}");
        beginning.program = program.inspect_err(unknown).ok();
        beginning.notifier = Notifier::new(environment);
        if let Some((mut found, sockets)) = Predecessor::greet(environment)? {
            tracing::info!("taking over from process {}", found.pid);
            beginning.passed = sockets;
            beginning.state_lock = found.state_lock.take();
            beginning.policies = found.policies.take();
            beginning.backends = found.backends.take();
            beginning.clock = found.clock;
            former = Some(found);
        }
        beginning.passed.extend(activation.sockets()?);
    }
    let mut running = match (beginning.begin(former.as_ref(), started).await, former) {
        (Ok(running), None) => running,
        (Ok(running), Some(former)) => {
            former.serves().await?;
            running
        }
        (Err(e), former) => {
            former.inspect(|former| former.refused(&format!("{e:#}")));
            return Err(e);
        }
    };
    running.is_alone();
    running.run_to_the_end().await
}

/// A proxy that does not serve yet.
struct Beginning {
    source: Source,
    signals: Signals,
    passed: PassedSockets,
    /// The lock of the state directory, if another process has it and this one too.
    state_lock: Option<File>,
    /// What that one had deployed.
    policies: Option<File>,
    /// What that one knew of backends.
    backends: Option<File>,
    /// From when the clock of its policies counts.
    clock: Option<Instant>,
    program: Option<Program>,
    notifier: Notifier,
}

/// What is there before anything is served.
struct Ready {
    config: Arc<Config>,
    shares: Shares,
    control: Arc<ControlPlane>,
    reloads: mpsc::Receiver<Request>,
    upgrades: mpsc::Receiver<UpgradeRequest>,
    listeners: NextListeners,
    admin: Option<TcpListener>,
    log: LogWriter,
}

impl Beginning {
    /// Begins to serve: once `former` allows it, if there is such a process. It is ready before the
    /// log says "listening": a script that waits for that line must not find it "starting".
    async fn begin(
        mut self,
        former: Option<&Predecessor>,
        started: impl FnOnce(&Reachable, &LogWriter),
    ) -> Result<Running> {
        let ready = self.prepare().await?;
        let (config, control, log) = (ready.config, ready.control, ready.log);
        let (stop, stopping) = watch::channel(false);
        let version = control.equip(Equipment {
            log: log.handle(),
            ..Equipment::default()
        });
        let admission = Arc::new(Admission::new(ready.shares.turned_away));
        let mut workers = start_workers(config.workers, &control, &admission, &stopping)?;
        workers_adopt(&control, &mut workers, version).await?;
        if let Some(former) = former {
            may_serve(former, &control, self.passed.taken()).await?;
        }
        let records = start_records(&config, &control)?;
        let traces = start_traces(&config, control.stats())?;
        let pid_file = config.pid_file.as_deref().map(pid_file).transpose()?;
        let admin = admin_side(&config, &control, ready.admin, ready.shares.admin)?;
        let version = control.equip(Equipment {
            listeners: ready.listeners.listening(),
            log: log.handle(),
            recorder: records.as_ref().map(RecordWriter::recorder),
            traces: traces.as_ref().map(TraceExporter::handle),
        });
        let mut listeners = OpenListeners::default();
        listeners.follow(ready.listeners, &workers.hands, &stopping);
        workers_adopt(&control, &mut workers, version).await?;
        self.signals.serving(stop_within(&config));
        control.set_readiness(Readiness::Ready);
        let watchdog = Watchdog::start(control.stats(), control.adoption())?;
        let reachable = Reachable::of(&listeners, admin.as_ref());
        started(reachable.logged(config.workers), &log);
        Ok(Running {
            control,
            source: self.source,
            reloads: ready.reloads,
            upgrades: ready.upgrades,
            signals: self.signals,
            program: self.program,
            notifier: self.notifier,
            admin,
            admin_end: None,
            admin_connections: ready.shares.admin,
            workers,
            listeners,
            stop,
            log,
            records,
            traces,
            former_traces: Vec::new(),
            pid_file,
            watchdog,
            successor: None,
            failure: None,
        })
    }

    /// Reads the configuration, loads what it names and opens what it needs.
    async fn prepare(&mut self) -> Result<Ready> {
        let (mut config, written) = self.source.read()?;
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        let shares = shares(&mut config)?;
        ground::fault_point("start");
        let config = Arc::new(config);
        let (reloads, reload_requests) = Reloads::new(written);
        let (upgrades, upgrade_requests) = upgrades();
        let state_dir = state_dir(&config, self.state_lock.take())?;
        let carried = carried(self.policies.take(), self.backends.take())?;
        let former = (carried, self.clock);
        let asked = (reloads, upgrades);
        let control = load(&config, (shares, state_dir), former, asked).await?;
        let listeners = first_listeners(&config, &control, &mut self.passed)?;
        let admin = match &config.admin {
            None => None,
            Some(admin) => Some(match self.passed.take_admin(admin.listen) {
                Some(passed) => passed,
                None => intake::admin(admin.listen)?,
            }),
        };
        self.passed.refuse_rest()?;
        let log = start_log(&config)?;
        let problems = [record_problem(&config), traces_problem(&config)];
        if let Some(problem) = problems.into_iter().flatten().next() {
            bail!("{problem}");
        }
        Ok(Ready {
            config,
            shares,
            control,
            reloads: reload_requests,
            upgrades: upgrade_requests,
            listeners,
            admin,
            log,
        })
    }
}

/// Divides the descriptors of the process, and lowers the limits to what there is.
fn shares(config: &mut Config) -> Result<Shares> {
    let shares = Shares::claim(config.workers, config.listeners.len());
    let shares = shares.map_err(anyhow::Error::msg)?;
    if let Some(lowered) = shares.lower(&mut config.limits) {
        tracing::warn!("{lowered}");
        config.warnings.push(lowered.into());
    }
    Ok(shares)
}

/// Opens the listeners of the first configuration, those that were passed apart.
fn first_listeners(
    config: &Config,
    control: &ControlPlane,
    passed: &mut PassedSockets,
) -> Result<NextListeners> {
    let certificates = control.listener_certificates();
    let wanted = Wanted {
        known: &[],
        certificates: &certificates,
        config,
        next_certificates: &certificates,
    };
    wanted.open(passed)
}

/// Serves the admin listener, if it is on.
fn admin_side(
    config: &Config,
    control: &Arc<ControlPlane>,
    socket: Option<TcpListener>,
    connections: usize,
) -> Result<Option<AdminListener>> {
    let Some((settings, socket)) = config.admin.as_ref().zip(socket) else {
        return Ok(None);
    };
    let socket = Arc::new(socket);
    AdminListener::serve(settings.clone(), socket, connections, control).map(Some)
}

fn pid_file(path: &Path) -> Result<PidFile> {
    let written = PidFile::write(path);
    written.with_context(|| format!("`pid-file` {} can't be written", path.display()))
}

/// What another process had deployed, and knew: that one goes on if it can't be read.
fn carried(policies: Option<File>, backends: Option<File>) -> Result<(Carried, CarriedBackends)> {
    let policies = policies.map(Carried::read).transpose();
    let policies = policies.context("the policies that were deployed can't be taken over")?;
    let backends = backends.map(CarriedBackends::read).transpose();
    let backends = backends.context("what was known of backends can't be taken over")?;
    Ok((policies.unwrap_or_default(), backends.unwrap_or_default()))
}

/// Opens the state directory, whose lock this process may have from the one that it replaces.
fn state_dir(config: &Config, lock: Option<File>) -> Result<Option<StateDir>> {
    let Some(folder) = &config.state_dir else {
        return Ok(None);
    };
    let opened = StateDir::open(folder, lock);
    let opened =
        opened.with_context(|| format!("`state-dir` {} can't be used", folder.display()))?;
    Ok(Some(opened))
}

impl Reachable {
    fn of(listeners: &OpenListeners, admin: Option<&AdminListener>) -> Self {
        Self {
            listen: listeners.addresses(),
            admin: admin.map(|admin| admin.address),
        }
    }

    /// The same, once the log has said it.
    fn logged(&self, workers: usize) -> &Self {
        for address in &self.listen {
            tracing::info!(addr = %address, workers, "listening");
        }
        if let Some(address) = self.admin {
            tracing::info!(addr = %address, "admin listening");
        }
        self
    }
}

/// Returns when the other process allows this one to serve with these listeners of it.
async fn may_serve(
    former: &Predecessor,
    control: &Arc<ControlPlane>,
    listeners: Vec<usize>,
) -> Result<()> {
    control.all_loaded().await?;
    control.resume().await;
    let last = former.ready(listeners).await?;
    if let Some(Err(e)) = last.stores.map(|stores| control.restore_stores(stores)) {
        tracing::error!("the stores of policies begin anew: {e}");
    }
    if let Some(Err(e)) = last.health.map(|health| control.restore_health(health)) {
        tracing::error!("the health of backends begins anew: {e}");
    }
    // Where that one was ready, so is this one.
    control.set_readiness(Readiness::Ready);
    Ok(())
}

/// Waits until every worker has adopted this snapshot.
async fn workers_adopt(control: &ControlPlane, workers: &mut Workers, version: u64) -> Result<()> {
    let adoption = control.adoption();
    tokio::select! {
        begun = tokio::time::timeout(WORKERS_START, adoption.wait(version)) => {
            begun.context("the workers have not started")
        }
        Some(End { index, .. }) = workers.ends.recv() => {
            bail!("worker {index} failed while it started")
        }
    }
}
