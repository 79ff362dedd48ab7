//! Whose component is compiled next.
//!
//! One of a policy name at a time, so that asking more often gains nothing; in the order in which
//! they came. A few at once, and one that has worked for longer than a second no longer counts: it
//! goes on, and those behind it do too.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// After this time a turn no longer counts as one of the few.
pub(super) const SHORT: Duration = Duration::from_secs(1);
/// Processes in all: each may take a gigabyte for some seconds.
const MOST: usize = 16;

/// The queue.
#[derive(Debug)]
pub(in super::super) struct Turns {
    queue: Mutex<Queue>,
    changed: Condvar,
    /// How many at once, of those that have just begun.
    few: usize,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<(u64, String)>,
    under_way: Vec<UnderWay>,
    last: u64,
}

#[derive(Debug)]
struct UnderWay {
    number: u64,
    policy: String,
    digest: String,
    counts: bool,
}

/// A turn; the next may begin when it is dropped.
#[derive(Debug)]
pub(in super::super) struct Turn<'a> {
    turns: &'a Turns,
    number: u64,
}

impl Turns {
    /// With as many at once as there are cores, at least two.
    pub(in crate::policy) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self::with(cores.clamp(2, MOST))
    }

    fn with(few: usize) -> Self {
        Self {
            queue: Mutex::default(),
            changed: Condvar::new(),
            few,
        }
    }

    /// Waits until it is this policy's turn, with a component of this digest.
    pub(in crate::policy) fn take(&self, policy: &str, digest: &str) -> Turn<'_> {
        let mut queue = self.lock();
        queue.last += 1;
        let number = queue.last;
        queue.waiting.push_back((number, policy.to_owned()));
        while queue.next(self.few) != Some(number) {
            queue = self
                .changed
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
        queue.waiting.retain(|(waiting, _)| *waiting != number);
        let (policy, digest) = (policy.to_owned(), digest.to_owned());
        queue.under_way.push(UnderWay {
            number,
            policy,
            digest,
            counts: true,
        });
        // There may be room for another.
        self.changed.notify_all();
        Turn {
            turns: self,
            number,
        }
    }

    /// Whether the component of this digest is being compiled, and takes long.
    pub(in crate::policy) fn takes_long(&self, digest: &str) -> bool {
        self.lock()
            .under_way
            .iter()
            .any(|turn| turn.digest == digest && !turn.counts)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// The first of those that wait whose policy has none under way, if there is room.
    fn next(&self, few: usize) -> Option<u64> {
        let counted = self.under_way.iter().filter(|turn| turn.counts).count();
        if counted >= few || self.under_way.len() >= MOST {
            return None;
        }
        let free = |policy: &str| self.under_way.iter().all(|turn| turn.policy != policy);
        self.waiting
            .iter()
            .find(|(_, policy)| free(policy))
            .map(|(number, _)| *number)
    }
}

impl Turn<'_> {
    /// It takes long: others may begin meanwhile.
    pub(in crate::policy) fn is_long(&self) {
        if let Some(turn) = self
            .turns
            .lock()
            .under_way
            .iter_mut()
            .find(|turn| turn.number == self.number)
        {
            turn.counts = false;
        }
        self.turns.changed.notify_all();
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns
            .lock()
            .under_way
            .retain(|turn| turn.number != self.number);
        self.turns.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread;

    use super::*;

    /// Waits for its turn on a separate thread, reports that it has it, and gives it back on
    /// request.
    fn queue<'s>(
        scope: &'s thread::Scope<'s, '_>,
        turns: &'s Turns,
        policy: &'static str,
        began: &Sender<&'static str>,
    ) -> Sender<()> {
        crate::ground::limit_this_test();
        let (done, wait) = channel();
        let began = began.clone();
        let before = there(turns);
        scope.spawn(move || {
            let _turn = turns.take(policy, policy);
            began.send(policy).unwrap();
            let _ = wait.recv();
        });
        while there(turns) == before {
            thread::yield_now();
        }
        done
    }

    /// Those who wait and those whose turn it is.
    fn there(turns: &Turns) -> usize {
        let queue = turns.lock();
        queue.waiting.len() + queue.under_way.len()
    }

    fn next(began: &Receiver<&'static str>) -> &'static str {
        began.recv_timeout(Duration::from_secs(60)).unwrap()
    }

    #[test]
    fn a_policy_that_asks_often_has_one_turn_at_a_time_and_others_pass_it() {
        let turns = Turns::with(2);
        let (sender, began) = channel();
        thread::scope(|scope| {
            let first = queue(scope, &turns, "greedy", &sender);
            assert_eq!(next(&began), "greedy");
            let second = queue(scope, &turns, "greedy", &sender);
            let other = queue(scope, &turns, "other", &sender);
            assert_eq!(next(&began), "other");
            drop(first);
            assert_eq!(next(&began), "greedy");
            drop((second, other));
        });
    }

    #[test]
    fn what_takes_long_does_not_hold_those_behind_it() {
        let turns = Turns::with(1);
        let (sender, began) = channel();
        thread::scope(|scope| {
            let turn = turns.take("slow", "bytes");
            let next_one = queue(scope, &turns, "next", &sender);
            assert!(began.try_recv().is_err(), "no room yet");
            assert!(!turns.takes_long("bytes"));
            turn.is_long();
            assert!(turns.takes_long("bytes") && !turns.takes_long("next"));
            assert_eq!(next(&began), "next");
            drop(next_one);
        });
        assert!(turns.lock().under_way.is_empty());
    }

    #[test]
    fn waiting_turns_are_served_in_order_of_arrival() {
        let turns = Turns::with(1);
        let (sender, began) = channel();
        thread::scope(|scope| {
            let turn = turns.take("first", "first");
            let waiting: Vec<_> = ["a", "b", "c"]
                .map(|policy| queue(scope, &turns, policy, &sender))
                .into();
            drop(turn);
            for (policy, done) in ["a", "b", "c"].into_iter().zip(waiting) {
                assert_eq!(next(&began), policy);
                drop(done);
            }
        });
    }
}
