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
fn a_sweep_wakes_due_tasks_and_forgets_closed_connections() {
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
fn a_client_is_slow_in_sending_before_reading_before_hiding() {
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
