//! When a call has taken too long.
//!
//! Epochs follow wall-clock time, and on a busy machine a thread can lose several milliseconds of
//! it in the middle of a call that takes a microsecond. That must not cost a warm instance and the
//! policy's decision. So the thread's own time counts, from the first tick of the epoch that finds
//! the call under way: a guest gets at least its deadline of that time, and at most a tick more,
//! because an extra tick is scheduled for the end of the deadline. The thread's time is not read
//! earlier, because that would be a system call in each call, and hardly any call meets a tick.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use wasmtime::UpdateDeadline;

use super::ticker::{Alarm, ticks};

/// The time that a call may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    /// On the wall, in ticks, before the thread's time is looked at.
    pub ticks: u64,
    /// Of the thread, after that.
    thread_time: Duration,
}

impl Allowance {
    /// This much of the thread's time.
    pub(super) fn of_thread(time: Duration) -> Self {
        Self {
            ticks: 1,
            thread_time: time,
        }
    }

    /// The thread time that it allows.
    pub(super) fn thread_time(self) -> Duration {
        self.thread_time
    }

    /// No more of the thread's time than this.
    pub(super) fn at_most(self, most: Duration) -> Self {
        Self {
            thread_time: self.thread_time.min(most),
            ..self
        }
    }

    /// This much on the wall, and after that a quarter of it of the thread's time: while a busy
    /// machine runs other threads, an instance that needs a moment must not miss its time.
    pub(super) fn on_wall(time: Duration) -> Self {
        // One more, because the first tick may come at once and nothing is added after the last.
        Self {
            ticks: ticks(time) + 1,
            thread_time: time / 4,
        }
    }
}

/// The deadline of the call that is under way.
#[derive(Debug, Default)]
pub(super) struct Deadline {
    thread_time: Duration,
    /// The thread time at the first check.
    used: Option<Duration>,
}

impl Deadline {
    /// A call begins.
    #[inline]
    pub(super) fn begin(&mut self, allowance: Allowance) {
        self.thread_time = allowance.thread_time;
        self.used = None;
    }

    /// A tick has found the call under way, and the ticks that it had before a look are over.
    pub(super) fn reached(&mut self, alarm: &Alarm) -> UpdateDeadline {
        // Without the clock a call ends at its first tick rather than never.
        let Some(left) = thread_time().and_then(|now| self.left(now)) else {
            return UpdateDeadline::Interrupt;
        };
        alarm.set(left);
        UpdateDeadline::Continue(1)
    }

    /// The remaining time, if there is any.
    fn left(&mut self, now: Duration) -> Option<Duration> {
        let used = *self.used.get_or_insert(now);
        self.thread_time
            .checked_sub(now.saturating_sub(used))
            .filter(|left| !left.is_zero())
    }
}

/// The CPU time of this thread so far; `None` where the system does not report it.
pub(super) fn thread_time() -> Option<Duration> {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .ok()
        .map(Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_thread_that_was_away_goes_on_and_one_that_worked_is_interrupted() {
        let mut deadline = Deadline::default();
        deadline.begin(Allowance::of_thread(2 * MS));
        assert_eq!(deadline.left(100 * MS), Some(2 * MS));
        assert_eq!(deadline.left(100 * MS), Some(2 * MS));
        assert_eq!(deadline.left(101 * MS), Some(MS));
        assert_eq!(deadline.left(102 * MS), None);
        deadline.begin(Allowance::of_thread(2 * MS));
        assert_eq!(deadline.left(103 * MS), Some(2 * MS));
    }

    #[test]
    fn after_the_time_on_the_wall_a_thread_that_was_away_has_a_quarter_of_it() {
        let mut deadline = Deadline::default();
        deadline.begin(Allowance::on_wall(8 * MS));
        assert_eq!(deadline.left(5 * MS), Some(2 * MS));
        assert_eq!(deadline.left(6 * MS), Some(MS));
        assert_eq!(deadline.left(7 * MS), None);
    }

    #[test]
    fn a_threads_time_grows_while_it_works() {
        let start = thread_time();
        assert!(start.is_some());
        while thread_time() == start {}
        assert!(thread_time() > start);
    }
}
