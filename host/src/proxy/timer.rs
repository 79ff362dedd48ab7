//! Coarse time-outs: a connection writes its deadlines into cells, and one sweep per worker wakes those that are due.
//!
//! Arming and disarming is a store: no timer is inserted or removed for a request.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

/// How often deadlines are looked at; a time-out fires at most this much late.
pub const SWEEP: Duration = Duration::from_millis(50);

/// What a deadline is for: a streaming exchange waits for all at once.
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
}

/// The deadlines of one connection.
#[derive(Debug)]
pub struct Timer {
    deadlines: [Cell<u64>; 5],
    waker: RefCell<Option<Waker>>,
}

const NEVER: u64 = u64::MAX;

impl Timers {
    /// A clock that starts now.
    pub fn new() -> Self {
        Self { started: Instant::now(), now: Cell::new(0), timers: RefCell::default() }
    }

    /// Milliseconds of this clock, as of the last sweep.
    pub fn now(&self) -> u64 {
        self.now.get()
    }

    /// Deadlines for a new connection.
    pub fn register(&self) -> Rc<Timer> {
        let timer = Rc::new(Timer { deadlines: std::array::from_fn(|_| Cell::new(NEVER)), waker: RefCell::default() });
        self.timers.borrow_mut().push(Rc::downgrade(&timer));
        timer
    }

    /// Advances the clock, wakes whom it concerns and forgets connections that are gone.
    pub fn sweep(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(NEVER - 1);
        self.now.set(now);
        self.timers.borrow_mut().retain(|timer| {
            let Some(timer) = timer.upgrade() else { return false };
            if timer.deadlines.iter().any(|d| d.get() <= now) {
                timer.wake();
            }
            true
        });
    }

    /// Wakes every connection, so that those that wait for a request see that the worker is draining.
    pub fn wake_all(&self) {
        self.timers.borrow().iter().filter_map(Weak::upgrade).for_each(|t| t.wake());
    }

    /// Sets a deadline.
    pub fn arm(&self, timer: &Timer, wait: Wait, patience: Duration) {
        // The clock lags by up to one sweep: without adding it a time-out could fire early.
        let patience = u64::try_from((patience + SWEEP).as_millis()).unwrap_or(NEVER);
        timer.deadlines[wait as usize].set(self.now.get().saturating_add(patience));
    }

    /// Whether a deadline has passed.
    pub fn is_due(&self, timer: &Timer, wait: Wait) -> bool {
        timer.deadlines[wait as usize].get() <= self.now.get()
    }

    /// Waits for `future` no longer than the deadline that was armed.
    pub async fn watch<T>(&self, timer: &Timer, wait: Wait, future: impl Future<Output = T>) -> Result<T, Elapsed> {
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

impl Timer {
    /// Takes a deadline back.
    pub fn disarm(&self, wait: Wait) {
        self.deadlines[wait as usize].set(NEVER);
    }

    fn remember(&self, waker: &Waker) {
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
