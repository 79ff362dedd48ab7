//! One worker: everything that its connections share, on one thread.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rand::rngs::SmallRng;

use super::completions::Completions;
use super::entry::Entry;
use super::forward_proxy::{LookUp, OpenTunnels};
use super::h2::WorkerHeads;
use super::runner::Runner;
use super::scratch::Scratch;
use super::settings::Settings;
use super::slow::Holds;
use super::snapshot::WorkerSnapshot;
use super::spares::Spares;
use super::tap::WorkerTap;
use crate::config::LoggedRequests;
use crate::decision::{FaultLog, Tokens};
use crate::message::RequestHead;
use crate::net::{Buffers, ConnectionInfo, Timers};
use crate::observe::Outcome;
use crate::observe::access_log::AccessLog;
use crate::observe::tap::Tap;
use crate::observe::traces::WorkerTraces;
use crate::stats::{Stats, WorkerShard};
use crate::upstream::{Destinations, Registry};
use crate::users::Door;

/// What all workers have in common for the life of the process.
#[derive(Clone)]
pub struct Shared {
    /// All counters.
    pub stats: Stats,
    /// Which tokens have a request explained.
    pub explain: Tokens,
    /// The watchers of requests.
    pub tap: Tap,
    /// Renders the statistics for the settings' path.
    pub stats_page: StatsPage,
    /// Gives endpoints their ids and connections their budget.
    pub registry: Registry,
    /// Looks up the names that clients of the forward proxy ask for.
    pub look_up: LookUp,
    /// Who those clients may be.
    pub door: Arc<Door>,
    /// Their tunnels.
    pub tunnels: Arc<OpenTunnels>,
}

/// Renders the statistics: from the request's `accept` field to a content type and a body.
pub type StatsPage = Arc<dyn Fn(Option<&[u8]>) -> (&'static str, Vec<u8>) + Send + Sync>;

/// A worker. Connections hold an `Rc` of it.
pub struct Worker {
    /// What it shares with the others.
    pub shared: Shared,
    /// This worker's counters.
    pub shard: Arc<WorkerShard>,
    /// This worker's number.
    pub index: usize,
    /// Deadlines.
    pub timers: Timers,
    /// Buffers that are not in use.
    pub buffers: Buffers,
    /// This worker's end of the access log.
    pub access_log: AccessLog,
    /// This worker's end of the exporter of traces.
    pub traces: WorkerTraces,
    /// The watchers.
    pub(super) tap: WorkerTap,
    /// For the host's own choices.
    pub rng: RefCell<SmallRng>,
    /// Requests that hold limited connections.
    pub holds: Holds,
    /// Connections that end while their clients are sending still.
    pub lingering: Rc<Cell<usize>>,
    /// The same of those that were turned away.
    pub turned_away: Rc<Cell<usize>>,
    /// Connections of HTTP/2 with a large window for bodies.
    pub windows: Rc<Cell<usize>>,
    /// Where clients of the forward proxy go.
    pub(super) destinations: Destinations,
    /// Bytes of the heads of all streams of clients.
    pub(super) heads: Rc<WorkerHeads>,
    /// The log of policies' faults.
    pub faults: FaultLog,
    view: RefCell<Rc<WorkerSnapshot>>,
    /// Generation of the view's topology.
    topology: Cell<u64>,
    /// Memory for requests, not in use.
    scratch: Spares<Box<Scratch>>,
    /// Requests that have ended, of which policies are to hear.
    pub(super) completions: Completions,
    /// Tasks that wait for streams.
    pub(super) runners: Rc<Spares<Runner>>,
    date: Cell<[u8; 29]>,
    date_second: Cell<u64>,
    draining: Cell<Option<Instant>>,
    swept_upstream: Cell<u64>,
}

/// Backends' idle connections are looked at this often, in milliseconds.
const UPSTREAM_SWEEP: u64 = 1_000;

impl Worker {
    /// A worker that has not served anything.
    pub fn new(index: usize, shared: Shared, access_log: AccessLog, view: WorkerSnapshot) -> Self {
        let shard = Arc::clone(&shared.stats.workers()[index]);
        let worker = Self {
            destinations: Destinations::new(&shared.registry, index, &shard),
            traces: {
                let to = view.snapshot.equipment.traces.clone();
                WorkerTraces::new(Arc::clone(&shard), to)
            },
            shard,
            shared,
            index,
            timers: Timers::new(),
            buffers: Buffers::default(),
            access_log,
            tap: WorkerTap::default(),
            rng: RefCell::new(rand::make_rng()),
            holds: Holds::default(),
            lingering: Rc::default(),
            turned_away: Rc::default(),
            windows: Rc::default(),
            heads: Rc::default(),
            faults: FaultLog::default(),
            topology: Cell::new(view.pools.generation),
            view: RefCell::new(Rc::new(view)),
            scratch: Spares::default(),
            completions: Completions::default(),
            runners: Rc::default(),
            date: Cell::new([b' '; 29]),
            date_second: Cell::new(0),
            draining: Cell::new(None),
            swept_upstream: Cell::new(0),
        };
        worker.update_date();
        worker
    }

    /// What decides requests that begin now.
    pub fn view(&self) -> Rc<WorkerSnapshot> {
        Rc::clone(&self.view.borrow())
    }

    /// Reads the newest settings, for what is not part of a request.
    #[inline]
    pub fn latest<T>(&self, read: impl FnOnce(&Settings) -> T) -> T {
        read(&self.view.borrow().settings)
    }

    /// The generation of the topology that policies know.
    #[inline]
    pub fn topology(&self) -> u64 {
        self.topology.get()
    }

    /// Lets the next requests be decided by another snapshot.
    pub fn adopt(&self, view: WorkerSnapshot) {
        self.topology.set(view.pools.generation);
        // The old one may free instances when it is dropped: not while the cell is borrowed.
        let old = self.view.replace(Rc::new(view));
        drop(old);
    }

    /// The present moment as `date` wants it.
    pub fn date(&self) -> [u8; 29] {
        self.date.get()
    }

    /// The second of the last sweep, since 1970.
    #[inline]
    pub(super) fn second(&self) -> u64 {
        self.date_second.get()
    }

    /// Whether the worker only finishes its requests and accepts no new connections.
    pub fn is_draining(&self) -> bool {
        self.draining.get().is_some()
    }

    /// Whether connections of this listener end after their present request.
    #[inline]
    pub(super) fn ends(&self, entry: &Entry) -> bool {
        self.is_draining() || entry.is_replaced()
    }

    /// Whether clients whose requests were on their way have had the time to send them.
    pub(super) fn is_past_grace(&self, entry: &Entry) -> bool {
        let is_over = |since: Instant| {
            let grace = self.latest(|settings| settings.timeouts.drain_idle);
            since.elapsed() >= grace
        };
        self.draining.get().is_some_and(is_over) || entry.is_past_grace()
    }

    /// From now on connections end after their present request.
    pub fn drain(&self) {
        if !self.is_draining() {
            self.draining.set(Some(Instant::now()));
        }
        self.timers.wake_all();
    }

    /// Runs every [`crate::net::SWEEP`].
    pub fn sweep(&self) {
        self.shard.heartbeats.increment();
        self.timers.sweep();
        self.holds.sweep(self.timers.now());
        self.update_date();
        self.access_log.flush();
        self.traces.flush();
        self.tap.follow(&self.shared.tap, self.index);
        self.scratch.trim();
        self.runners.trim();
        self.completions.trim();
        let now = self.timers.now();
        self.view.borrow().pools.make_room();
        self.destinations.make_room();
        if now >= self.swept_upstream.get() + UPSTREAM_SWEEP {
            self.swept_upstream.set(now);
            let view = self.view();
            let idle = view.settings.timeouts.upstream_idle.as_millis();
            let idle = u64::try_from(idle).unwrap_or(u64::MAX);
            view.pools.sweep(now, now.saturating_sub(idle));
            self.destinations.sweep(now, now.saturating_sub(idle));
        }
    }

    /// Waits for requests of other workers that need the places of this worker's pooled
    /// connections, and closes those.
    pub async fn make_room(&self) {
        let pools = Rc::clone(&self.view.borrow().pools);
        pools.wanted().await;
        pools.make_room();
    }

    /// Scratch space for a request.
    pub(super) fn scratch(&self) -> Box<Scratch> {
        self.scratch.take().unwrap_or_default()
    }

    /// Takes scratch space back.
    pub(super) fn take_back(&self, scratch: Box<Scratch>) {
        if scratch.is_small() {
            self.scratch.keep(scratch);
        }
    }

    /// Counts what became of a request, and logs it if such requests are.
    pub(super) fn observe(
        &self,
        logged: LoggedRequests,
        outcome: &Outcome,
        head: &RequestHead,
        from: &ConnectionInfo,
    ) {
        outcome.count(&self.shard);
        self.access_log.record(logged, outcome, Some(head), from);
    }

    fn update_date(&self) {
        let now = SystemTime::now();
        let second = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO)
            .as_secs();
        if self.date_second.replace(second) != second {
            let mut date = [b' '; 29];
            let text = httpdate::fmt_http_date(now);
            for (to, from) in date.iter_mut().zip(text.bytes()) {
                *to = from;
            }
            self.date.set(date);
        }
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}
