//! The clock of the deadlines: a thread that advances the epochs of the engines.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use wasmtime::Engine;

use crate::ground;

/// The time between two ticks.
///
/// Each tick may take the core from a worker: at 1 ms that was measured at 6 % of a worker's time
/// on a pinned core. A call that a tick has found under way asks for the next one by an [`Alarm`].
pub(super) const TICK: Duration = Duration::from_millis(2);
/// The shortest time in which an alarm is asked for: many calls that are late together have few
/// ticks more.
const LEAST: Duration = Duration::from_micros(200);

/// The thread; it ends when this is dropped.
pub(super) struct Ticker {
    alarm: Arc<Alarm>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A tick before the next one is due, for calls whose time is over sooner.
#[derive(Debug)]
pub(super) struct Alarm {
    began: Instant,
    /// Nanoseconds after `began`; [`NONE`] if no call waits.
    due: AtomicU64,
    /// The clock, which sleeps until then.
    clock: OnceLock<Thread>,
}

const NONE: u64 = u64::MAX;

impl Alarm {
    /// Has a tick come in this time, unless the usual one comes sooner.
    pub(super) fn set(&self, left: Duration) {
        let due = self.began.elapsed().saturating_add(left.max(LEAST));
        let due = u64::try_from(due.as_nanos()).unwrap_or(NONE);
        if left < TICK && self.due.fetch_min(due, Ordering::AcqRel) > due {
            self.clock.get().into_iter().for_each(Thread::unpark);
        }
    }

    /// When it is due, if it is set.
    fn due(&self) -> Option<Instant> {
        let due = self.due.load(Ordering::Acquire);
        (due != NONE).then(|| self.began + Duration::from_nanos(due))
    }
}

impl Default for Alarm {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            due: AtomicU64::new(NONE),
            clock: OnceLock::new(),
        }
    }
}

impl Ticker {
    /// Starts ticking for these engines.
    pub(super) fn start(engines: Vec<Engine>) -> std::io::Result<Self> {
        let (stop, alarm) = (Arc::new(AtomicBool::new(false)), Arc::new(Alarm::default()));
        let (stopped, rings) = (Arc::clone(&stop), Arc::clone(&alarm));
        let thread = thread::Builder::new()
            .name("policy-ticker".to_owned())
            .spawn(move || {
                rings.clock.get_or_init(thread::current);
                wakes_at_once();
                // Without it no deadline is kept.
                ground::keeps_running("the clock of the deadlines", || {
                    tick(&engines, &rings, &stopped)
                });
            })?;
        Ok(Self {
            alarm,
            stop,
            thread: Some(thread),
        })
    }

    /// For calls that are under way.
    pub(super) fn alarm(&self) -> &Arc<Alarm> {
        &self.alarm
    }
}

fn tick(engines: &[Engine], alarm: &Alarm, stopped: &AtomicBool) {
    let mut next = Instant::now() + TICK;
    while !stopped.load(Ordering::Relaxed) {
        let due = alarm.due().map_or(next, |due| due.min(next));
        let now = Instant::now();
        if now < due {
            // It may be woken sooner, by an alarm that was set meanwhile or by nothing.
            thread::park_timeout(due - now);
            continue;
        }
        ground::fault_point("policy-ticker");
        // Before the tick: a call that is still running sets it again.
        alarm.due.store(NONE, Ordering::Release);
        engines.iter().for_each(Engine::increment_epoch);
        next = now + TICK;
    }
}

/// Has the kernel give this thread a core as soon as it wakes, though a worker computes on it.
/// Otherwise it may wait for the end of that one's slice, some 3 ms, and every deadline with it.
/// Slices of a thread's own are known since Linux 6.12; before that nothing changes.
#[cfg(target_os = "linux")]
fn wakes_at_once() {
    /// The shortest that the kernel takes, in nanoseconds.
    const SLICE: u64 = 100_000;
    let Ok(nice) = rustix::process::getpriority_process(None) else {
        return;
    };
    let attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: libc::SCHED_OTHER as u32,
        sched_flags: 0,
        sched_nice: nice,
        sched_priority: 0,
        sched_runtime: SLICE,
        sched_deadline: 0,
        sched_period: 0,
    };
    #[allow(
        unsafe_code,
        reason = "invariant: sched_setattr(2) reads as many bytes as `size` says, and writes none"
    )]
    // SAFETY: the pointer is to a whole `sched_attr`, which outlives the call; 0 is this thread.
    unsafe {
        libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0);
    }
}

#[cfg(not(target_os = "linux"))]
fn wakes_at_once() {}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// Far beyond any deadline, and far from overflowing the epoch.
const MAX_TICKS: u64 = 1 << 40;

/// How many ticks a deadline is, rounded up. The first may come at once, so this may be up to one
/// tick less.
pub(super) fn ticks(deadline: Duration) -> u64 {
    u64::try_from(deadline.as_nanos().div_ceil(TICK.as_nanos()))
        .map_or(MAX_TICKS, |n| n.clamp(1, MAX_TICKS))
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_alarms_the_soonest_counts_and_those_beyond_the_next_tick_do_not() {
        let alarm = Alarm::default();
        alarm.set(TICK);
        assert_eq!(alarm.due(), None);
        alarm.set(TICK / 2);
        let due = alarm.due().unwrap();
        alarm.set(TICK * 3 / 4);
        assert_eq!(alarm.due(), Some(due));
        assert!(due > alarm.began && due <= Instant::now() + TICK / 2);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_thread_has_a_short_slice_where_the_kernel_supports_it() {
        let slice = thread::spawn(|| {
            wakes_at_once();
            let status = std::fs::read_to_string("/proc/thread-self/sched").unwrap_or_default();
            let line = status.lines().find(|line| line.starts_with("se.slice"))?;
            line.rsplit(' ').next()?.parse::<u64>().ok()
        });
        assert!(slice.join().unwrap().is_none_or(|slice| slice == 100_000));
    }

    #[test]
    fn deadlines_round_up() {
        assert_eq!(ticks(Duration::from_millis(1)), 1);
        assert_eq!(ticks(Duration::from_micros(2500)), 2);
        assert_eq!(ticks(Duration::ZERO), 1);
    }
}
