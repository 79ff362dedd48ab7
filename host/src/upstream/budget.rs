//! How many connections to backends this process may have: what its file descriptors allow.
//!
//! Touched when a connection is opened and when it is closed, not when a pooled one is used. Where
//! all are in use, a new one takes the place of one that is idle: of this worker at once, of
//! another at its next sweep.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How long a new connection waits for one that is idle on another worker: some sweeps.
const PATIENCE: Duration = Duration::from_millis(500);
/// The log says this often, in seconds, that there is nothing left.
const SAYS_SO: u64 = 10;

/// The connections to backends that all workers together may have.
#[derive(Debug)]
pub struct Budget {
    /// `None` if there is no limit.
    free: Option<Semaphore>,
    count: usize,
    /// New connections that wait.
    waiting: AtomicUsize,
    started: Instant,
    /// Until when, in seconds since then, the log is silent.
    says_so_at: AtomicU64,
}

/// The right to open one connection; given back when it is dropped.
#[derive(Debug)]
pub struct Room(Option<Arc<Budget>>);

impl Budget {
    /// So many connections; `usize::MAX` is no limit.
    pub fn new(count: usize) -> Self {
        let free = (count < Semaphore::MAX_PERMITS).then(|| Semaphore::new(count));
        Self {
            free,
            count,
            waiting: AtomicUsize::new(0),
            started: Instant::now(),
            says_so_at: AtomicU64::new(0),
        }
    }

    /// Whether a new connection would have to wait.
    pub(super) fn is_used_up(&self) -> bool {
        let free = self.free.as_ref();
        free.is_some_and(|free| free.available_permits() == 0)
    }

    /// How many new connections wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// The right to a new connection, which may have to wait for a while; `None` if that was in
    /// vain.
    pub(super) async fn take(self: &Arc<Self>) -> Option<Room> {
        let Some(free) = &self.free else {
            return Some(Room(Some(Arc::clone(self))));
        };
        let permit = match free.try_acquire() {
            Ok(permit) => permit,
            Err(_) => {
                let _waiting = Waiting::begin(&self.waiting);
                match timeout(PATIENCE, free.acquire()).await {
                    Ok(Ok(permit)) => permit,
                    _ => {
                        self.say_so();
                        return None;
                    }
                }
            }
        };
        permit.forget();
        Some(Room(Some(Arc::clone(self))))
    }

    /// Connections have been closed.
    pub(super) fn give_back(&self, count: usize) {
        if let Some(free) = &self.free {
            free.add_permits(count);
        }
    }

    #[cold]
    fn say_so(&self) {
        let now = self.started.elapsed().as_secs();
        let due = self.says_so_at.load(Relaxed);
        let next = now + SAYS_SO;
        let mine = |due| {
            self.says_so_at
                .compare_exchange(due, next, Relaxed, Relaxed)
        };
        if now >= due && mine(due).is_ok() {
            tracing::warn!(
                target: "upstream",
                "all {} connections to backends that this process may have are in use, and \
                 requests that need another one are refused; raise `ulimit -n` (systemd: \
                 LimitNOFILE), or lower `limits.h2-streams` or `limits.connections-per-client`",
                self.count
            );
        }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(usize::MAX)
    }
}

impl Room {
    /// The connection is there: what holds it gives the right back by [`Budget::give_back`].
    pub(super) fn pass_on(mut self) {
        self.0 = None;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(budget) = &self.0 {
            budget.give_back(1);
        }
    }
}

/// Counts a new connection for as long as it waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
