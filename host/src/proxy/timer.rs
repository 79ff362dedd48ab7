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
    /// Connections whose room for what clients send was widened, as of the last sweep.
    pub(super) wide: Cell<usize>,
}

/// The deadlines of one connection.
#[derive(Debug)]
pub struct Timer {
    deadlines: [Cell<u64>; 5],
    waker: RefCell<Option<Waker>>,
    /// What has moved on the connection.
    pub(super) moved: Moved,
    /// Its place among those that hold limited connections.
    pub(super) hold: Cell<usize>,
}

/// What has moved on a client's connection, and what it was asked to note of itself.
#[derive(Debug, Default)]
pub struct Moved {
    /// Bytes read from the client.
    pub read: Cell<u64>,
    /// Bytes that the socket took for the client.
    pub written: Cell<u64>,
    /// How long writes to the client have waited for it to read, in milliseconds.
    pub waited: Cell<u64>,
    /// Set by the sweep: what waits is to note what follows, with its next poll.
    pub asked: Cell<bool>,
    /// Of what was written, the bytes that the client has not acknowledged; `None` if that was not
    /// noted.
    pub unsent: Cell<Option<u64>>,
    /// Whether so much lies unread in front of the end of the client's side that the end may be
    /// hidden.
    pub hidden: Cell<bool>,
    /// Whether the kernel has got more room for what the client sends.
    pub wide: Cell<bool>,
    /// Why the exchange was broken off.
    pub broken_off: Cell<Option<Slowness>>,
}

/// In which way a client keeps others waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slowness {
    /// It does not send its request.
    Sends,
    /// It does not take its response.
    Takes,
    /// What it has sent and nobody can take yet hides whether it is there.
    Hides,
}

const NEVER: u64 = u64::MAX;
/// Later than all deadlines: something waits, and only the sweep ends it.
const WATCHED: u64 = NEVER - 1;

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

    /// Advances the clock, wakes whom it concerns and forgets connections that are gone.
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

    /// Sets a deadline anew, if there is one and it has not passed.
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

    /// Whether the exchange is being broken off.
    pub(super) fn is_broken_off(&self) -> bool {
        self.moved.broken_off.get().is_some()
    }

    /// Has a wait without a deadline end when the sweep says so.
    pub(super) fn watch(&self, wait: Wait) {
        self.deadlines[wait as usize].set(WATCHED);
    }

    /// In which way the client is waited for now, and since when, as far as `patience` for a piece
    /// tells.
    pub(super) fn slowness(
        &self,
        patience: impl Fn(Wait) -> Duration,
    ) -> Option<(Slowness, Option<u64>)> {
        let began = |wait: Wait| {
            let armed = self.deadlines[wait as usize].get();
            let patience = millis(patience(wait)).saturating_add(millis(SWEEP));
            (armed != NEVER).then(|| armed.saturating_sub(patience))
        };
        if let Some(since) = began(Wait::ClientRead) {
            return Some((Slowness::Sends, Some(since)));
        }
        if began(Wait::ClientWrite).is_some() {
            // The socket takes more only when a good part of it is empty: nobody knows what
            // happened since the last time.
            return Some((Slowness::Takes, None));
        }
        let watched = self.deadlines[Wait::Presence as usize].get() != NEVER;
        (watched && self.moved.hidden.get()).then_some((Slowness::Hides, None))
    }

    /// Has what waits note what is known of it.
    pub(super) fn ask(&self) {
        self.moved.unsent.set(None);
        self.moved.hidden.set(false);
        self.moved.asked.set(true);
        self.wake();
    }

    /// Ends the wait for the client.
    pub(super) fn break_off(&self, slowness: Slowness) {
        let wait = match slowness {
            Slowness::Sends => Wait::ClientRead,
            Slowness::Takes => Wait::ClientWrite,
            Slowness::Hides => Wait::Presence,
        };
        self.moved.broken_off.set(Some(slowness));
        self.deadlines[wait as usize].set(0);
        self.wake();
    }

    pub(super) fn remember(&self, waker: &Waker) {
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
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    const ALL: [Wait; 5] = [
        Wait::ClientRead,
        Wait::ClientWrite,
        Wait::UpstreamRead,
        Wait::UpstreamWrite,
        Wait::Presence,
    ];

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Wakes {
        fn taken(&self) -> usize {
            self.0.swap(0, Ordering::Relaxed)
        }
    }

    /// A clock that stands at this, and a connection.
    fn at(now: u64) -> (Timers, Rc<Timer>) {
        let timers = Timers::new();
        timers.now.set(now);
        let timer = timers.register();
        (timers, timer)
    }

    /// A time so long ago that all deadlines have passed.
    fn long_ago(now: u64) -> Timers {
        let started = Instant::now()
            .checked_sub(Duration::from_millis(now))
            .unwrap();
        Timers {
            started,
            ..Timers::new()
        }
    }

    #[test]
    fn a_deadline_passes_one_sweep_after_its_time_and_not_before() {
        for wait in ALL {
            let (timers, timer) = at(1_000);
            assert!(!timers.is_due(&timer, wait), "none is set");
            timers.arm(&timer, wait, Duration::from_millis(100));
            for other in ALL {
                let left = timer.deadlines[other as usize].get();
                assert_eq!(
                    left,
                    if other as usize == wait as usize {
                        1_150
                    } else {
                        NEVER
                    },
                    "{other:?}"
                );
            }
            timers.now.set(1_149);
            assert!(!timers.is_due(&timer, wait));
            timers.now.set(1_150);
            assert!(timers.is_due(&timer, wait));
            timer.disarm(wait);
            assert!(!timers.is_due(&timer, wait));
        }
    }

    #[test]
    fn a_part_of_a_millisecond_counts_as_one_and_no_patience_is_too_long() {
        for (patience, expected) in [
            (Duration::ZERO, 0),
            (Duration::from_nanos(1), 1),
            (Duration::from_millis(1), 1),
            (Duration::from_micros(1_001), 2),
            (Duration::new(2, 999_999_999), 3_000),
            (Duration::MAX, NEVER),
        ] {
            assert_eq!(millis(patience), expected, "{patience:?}");
        }
        let (timers, timer) = at(1_000);
        timers.arm(&timer, Wait::ClientRead, Duration::MAX);
        assert!(!timers.is_due(&timer, Wait::ClientRead));
    }

    #[test]
    fn only_a_deadline_that_is_set_and_has_not_passed_is_extended() {
        let (timers, timer) = at(1_000);
        let deadline = || timer.deadlines[Wait::ClientWrite as usize].get();
        let extend = || timers.extend(&timer, Wait::ClientWrite, Duration::from_millis(500));
        extend();
        assert_eq!(deadline(), NEVER, "there is none");
        timer.watch(Wait::ClientWrite);
        extend();
        assert_eq!(deadline(), WATCHED, "it has no end");
        for (set, extended) in [(999, 999), (1_000, 1_000), (1_001, 1_550), (9_000, 1_550)] {
            timer.deadlines[Wait::ClientWrite as usize].set(set);
            extend();
            assert_eq!(deadline(), extended, "{set}");
        }
    }

    #[test]
    fn a_wait_began_when_its_deadline_was_set() {
        let (timers, timer) = at(1_000);
        let patience = Duration::from_secs(1);
        let waited = || {
            timers
                .waited(&timer, Wait::ClientWrite, patience)
                .as_millis()
        };
        assert_eq!(waited(), 0, "nothing waits");
        timers.arm(&timer, Wait::ClientWrite, patience);
        assert_eq!(waited(), 0);
        timers.now.set(1_400);
        assert_eq!(waited(), 400);
        timers.now.set(9_000);
        assert_eq!(waited(), 1_050, "no longer than its deadline");
    }

    #[test]
    fn a_sweep_wakes_what_is_due_and_forgets_what_is_gone() {
        let timers = long_ago(10_000);
        let wakes = Arc::new(Wakes::default());
        let [due, later, none, gone] = std::array::from_fn(|_| timers.register());
        [&due, &later, &none, &gone]
            .iter()
            .for_each(|timer| timer.remember(&Arc::clone(&wakes).into()));
        timers.arm(&due, Wait::UpstreamRead, Duration::from_secs(9));
        timers.arm(&later, Wait::UpstreamRead, Duration::from_secs(3_600));
        timers.arm(&gone, Wait::UpstreamRead, Duration::ZERO);
        [&due, &later, &gone]
            .iter()
            .for_each(|timer| timer.moved.wide.set(true));
        drop(gone);
        timers.sweep();
        assert!(
            (10_000..3_600_000).contains(&timers.now()),
            "{}",
            timers.now()
        );
        assert_eq!(
            (
                wakes.taken(),
                timers.timers.borrow().len(),
                timers.wide.get()
            ),
            (1, 3, 2)
        );
        due.disarm(Wait::UpstreamRead);
        timers.sweep();
        assert_eq!(wakes.taken(), 0);
        timers.wake_all();
        assert_eq!(wakes.taken(), 3, "and a drain wakes all");
    }

    #[test]
    fn a_timer_wakes_what_has_waited_last() {
        let (timers, timer) = at(0);
        let [first, last] = [(); 2].map(|()| Arc::new(Wakes::default()));
        timers.wake_all();
        timer.remember(&Arc::clone(&first).into());
        timer.remember(&Arc::clone(&last).into());
        timers.wake_all();
        assert_eq!((first.taken(), last.taken()), (0, 1));
    }

    #[tokio::test]
    async fn a_limit_ends_with_the_future_or_with_its_time_and_leaves_no_deadline() {
        let timers = Timers::new();
        let timer = timers.register();
        let none = |wait: Wait| timer.deadlines[wait as usize].get() == NEVER;
        let patience = Duration::from_millis(100);
        assert_eq!(
            timers
                .limit(&timer, Wait::ClientRead, patience, async { 7 })
                .await
                .ok(),
            Some(7)
        );
        assert!(none(Wait::ClientRead));
        let sweep = async {
            loop {
                tokio::time::sleep(Duration::from_millis(10)).await;
                timers.sweep();
            }
        };
        let began = Instant::now();
        let silent = timers.limit(
            &timer,
            Wait::ClientRead,
            patience,
            std::future::pending::<()>(),
        );
        tokio::select! {
            ended = silent => assert!(ended.is_err()),
            () = sweep => {}
        }
        assert!(began.elapsed() >= patience, "never early");
        assert!(none(Wait::ClientRead));
        timers.arm(&timer, Wait::ClientRead, Duration::ZERO);
        timers.now.set(timers.now() + 1_000);
        assert_eq!(
            timers
                .watch(&timer, Wait::ClientRead, async { 7 })
                .await
                .ok(),
            Some(7),
            "what is there counts"
        );
        assert!(
            timers
                .watch(&timer, Wait::ClientRead, std::future::pending::<()>())
                .await
                .is_err()
        );
    }

    #[test]
    fn what_a_client_is_waited_for_is_what_it_sends_before_what_it_takes_before_whether_it_is_there()
     {
        let (timers, timer) = at(1_000);
        let patience = Duration::from_secs(1);
        let slowness = || timer.slowness(|_| patience);
        assert_eq!(slowness(), None);
        timers.arm(&timer, Wait::UpstreamRead, patience);
        timers.arm(&timer, Wait::UpstreamWrite, patience);
        timer.moved.hidden.set(true);
        assert_eq!(slowness(), None, "it is the backend that is waited for");
        timer.watch(Wait::Presence);
        assert_eq!(slowness(), Some((Slowness::Hides, None)));
        timer.moved.hidden.set(false);
        assert_eq!(slowness(), None, "nothing hides it");
        timer.moved.hidden.set(true);
        timers.arm(&timer, Wait::ClientWrite, patience);
        assert_eq!(slowness(), Some((Slowness::Takes, None)));
        timers.arm(&timer, Wait::ClientRead, patience);
        timers.now.set(1_700);
        assert_eq!(slowness(), Some((Slowness::Sends, Some(1_000))));
    }

    #[test]
    fn what_waits_is_asked_to_note_anew_and_a_break_ends_the_wait_that_is_to_blame() {
        let wakes = Arc::new(Wakes::default());
        let (timers, timer) = at(1_000);
        timer.remember(&Arc::clone(&wakes).into());
        timer.moved.unsent.set(Some(5));
        timer.moved.hidden.set(true);
        timer.ask();
        let moved = &timer.moved;
        assert_eq!(
            (
                moved.unsent.get(),
                moved.hidden.get(),
                moved.asked.get(),
                wakes.taken()
            ),
            (None, false, true, 1)
        );
        for (slowness, wait) in [
            (Slowness::Sends, Wait::ClientRead),
            (Slowness::Takes, Wait::ClientWrite),
            (Slowness::Hides, Wait::Presence),
        ] {
            let timer = timers.register();
            timer.remember(&Arc::clone(&wakes).into());
            ALL.iter()
                .for_each(|wait| timers.arm(&timer, *wait, Duration::from_secs(60)));
            assert!(!timer.is_broken_off());
            timer.break_off(slowness);
            assert!(timer.is_broken_off() && timer.moved.broken_off.get() == Some(slowness));
            assert_eq!(wakes.taken(), 1);
            for other in ALL {
                assert_eq!(
                    timers.is_due(&timer, other),
                    other as usize == wait as usize,
                    "{slowness:?} {other:?}"
                );
            }
        }
    }
}
