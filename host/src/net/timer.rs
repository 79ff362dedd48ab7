//! Coarse time-outs: a connection writes its deadlines into cells, and one sweep per worker wakes
//! those that are due.
//!
//! Arming and disarming is a store: no timer is inserted or removed for a request.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::moved::{Moved, Slowness};

/// How often deadlines are looked at; a time-out fires at most this much late.
pub const SWEEP: Duration = Duration::from_millis(50);

/// What a deadline is for: a streaming exchange waits for several things at the same time.
#[derive(Debug, Clone, Copy)]
pub enum Wait {
    /// Bytes from the client.
    ClientRead,
    /// Room for bytes to the client.
    ClientWrite,
    /// Bytes from the backend.
    UpstreamRead,
    /// Room for bytes to the backend.
    UpstreamWrite,
    /// A wait that is long enough for the client to be watched.
    Presence,
}

/// The time was up.
#[derive(Debug)]
pub struct Elapsed;

/// The worker's clock and the deadlines of its connections.
#[derive(Debug)]
pub struct Timers {
    started: Instant,
    /// Milliseconds since `started`, as of the last sweep.
    now: Cell<u64>,
    timers: RefCell<Vec<Weak<Timer>>>,
    /// Connections whose room for what clients send was widened, as of the last sweep.
    pub wide: Cell<usize>,
}

/// The deadlines of one connection.
#[derive(Debug)]
pub struct Timer {
    deadlines: [Cell<u64>; 5],
    waker: RefCell<Option<Waker>>,
    /// What has moved on the connection.
    pub moved: Moved,
    /// Its place among those that hold limited connections.
    pub hold: Cell<usize>,
}

const NEVER: u64 = u64::MAX;
/// Later than all deadlines: something waits, and only the sweep ends it.
const WATCHED: u64 = NEVER - 1;

impl Default for Timers {
    fn default() -> Self {
        Self::new()
    }
}

impl Timers {
    /// A clock that starts now.
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            now: Cell::new(0),
            timers: RefCell::default(),
            wide: Cell::new(0),
        }
    }

    /// Milliseconds of this clock, as of the last sweep.
    pub fn now(&self) -> u64 {
        self.now.get()
    }

    /// Deadlines for a new connection.
    pub fn register(&self) -> Rc<Timer> {
        let timer = Rc::new(Timer {
            deadlines: std::array::from_fn(|_| Cell::new(NEVER)),
            waker: RefCell::default(),
            moved: Moved::default(),
            hold: Cell::new(0),
        });
        self.timers.borrow_mut().push(Rc::downgrade(&timer));
        timer
    }

    /// Advances the clock, wakes the tasks whose deadline has passed and forgets connections that
    /// are gone.
    pub fn sweep(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(NEVER - 1);
        self.now.set(now);
        let mut wide = 0;
        self.timers.borrow_mut().retain(|timer| {
            let Some(timer) = timer.upgrade() else {
                return false;
            };
            wide += usize::from(timer.moved.wide.get());
            if timer.deadlines.iter().any(|d| d.get() <= now) {
                timer.wake();
            }
            true
        });
        self.wide.set(wide);
    }

    /// Wakes every connection, so that those that wait for a request see that the worker is
    /// draining.
    pub fn wake_all(&self) {
        self.timers
            .borrow()
            .iter()
            .filter_map(Weak::upgrade)
            .for_each(|t| t.wake());
    }

    /// Sets a deadline.
    pub fn arm(&self, timer: &Timer, wait: Wait, patience: Duration) {
        // The clock lags by up to one sweep: without adding it a time-out could fire early.
        let patience = millis(patience).saturating_add(millis(SWEEP));
        timer.deadlines[wait as usize].set(self.now.get().saturating_add(patience));
    }

    /// Extends a deadline, if there is one and it has not passed.
    pub fn extend(&self, timer: &Timer, wait: Wait, patience: Duration) {
        if (self.now.get() + 1..WATCHED).contains(&timer.deadlines[wait as usize].get()) {
            self.arm(timer, wait, patience);
        }
    }

    /// For how long a wait of this patience has been going on; zero if there is none.
    pub fn waited(&self, timer: &Timer, wait: Wait, patience: Duration) -> Duration {
        let left = Duration::from_millis(
            timer.deadlines[wait as usize]
                .get()
                .saturating_sub(self.now.get()),
        );
        (patience + SWEEP).saturating_sub(left)
    }

    /// Whether a deadline has passed.
    pub fn is_due(&self, timer: &Timer, wait: Wait) -> bool {
        timer.deadlines[wait as usize].get() <= self.now.get()
    }

    /// Waits for `future` no longer than the deadline that was armed.
    pub async fn watch<T>(
        &self,
        timer: &Timer,
        wait: Wait,
        future: impl Future<Output = T>,
    ) -> Result<T, Elapsed> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            if self.is_due(timer, wait) {
                return Poll::Ready(Err(Elapsed));
            }
            timer.remember(cx.waker());
            Poll::Pending
        })
        .await
    }

    /// Waits for `future` so long from now.
    pub async fn limit<T>(
        &self,
        timer: &Timer,
        wait: Wait,
        patience: Duration,
        future: impl Future<Output = T>,
    ) -> Result<T, Elapsed> {
        self.arm(timer, wait, patience);
        let output = self.watch(timer, wait, future).await;
        timer.disarm(wait);
        output
    }
}

/// Whole milliseconds, rounded up. `Duration::as_millis` calculates with 128 bits, and every read
/// and write asks.
fn millis(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_mul(1_000)
        .saturating_add(u64::from(duration.subsec_nanos().div_ceil(1_000_000)))
}

impl Timer {
    /// Takes a deadline back.
    pub fn disarm(&self, wait: Wait) {
        self.deadlines[wait as usize].set(NEVER);
    }

    /// Whether there is a deadline.
    pub fn is_armed(&self, wait: Wait) -> bool {
        self.deadlines[wait as usize].get() != NEVER
    }

    /// Whether the exchange is being broken off.
    pub fn is_broken_off(&self) -> bool {
        self.moved.broken_off.get().is_some()
    }

    /// Has a wait without a deadline end when the sweep says so.
    pub fn watch(&self, wait: Wait) {
        self.deadlines[wait as usize].set(WATCHED);
    }

    /// What the connection waits for from its client, and since when, as far as `patience` for a
    /// piece shows.
    pub fn slowness(&self, patience: impl Fn(Wait) -> Duration) -> Option<(Slowness, Option<u64>)> {
        let began = |wait: Wait| {
            let armed = self.deadlines[wait as usize].get();
            let patience = millis(patience(wait)).saturating_add(millis(SWEEP));
            (armed != NEVER).then(|| armed.saturating_sub(patience))
        };
        if let Some(since) = began(Wait::ClientRead) {
            return Some((Slowness::Sends, Some(since)));
        }
        if began(Wait::ClientWrite).is_some() {
            // The socket takes more only when a good part of it is empty, so the time since the
            // last write shows nothing.
            return Some((Slowness::Takes, None));
        }
        let watched = self.deadlines[Wait::Presence as usize].get() != NEVER;
        (watched && self.moved.hidden.get()).then_some((Slowness::Hides, None))
    }

    /// Requests that the waiting side notes its progress.
    pub fn ask(&self) {
        self.moved.unsent.set(None);
        self.moved.hidden.set(false);
        self.moved.asked.set(true);
        self.wake();
    }

    /// Ends the wait for the client.
    pub fn break_off(&self, slowness: Slowness) {
        let wait = match slowness {
            Slowness::Sends => Wait::ClientRead,
            Slowness::Takes => Wait::ClientWrite,
            Slowness::Hides => Wait::Presence,
        };
        self.moved.broken_off.set(Some(slowness));
        self.deadlines[wait as usize].set(0);
        self.wake();
    }

    /// Has this be woken when a deadline has passed.
    pub fn remember(&self, waker: &Waker) {
        let mut remembered = self.waker.borrow_mut();
        if !remembered.as_ref().is_some_and(|w| w.will_wake(waker)) {
            *remembered = Some(waker.clone());
        }
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests;
