//! Latencies that nothing has confirmed for a while: an endpoint that was slow once would otherwise
//! never be measured again, because policies send it nothing.

use super::super::condition::Condition;
use super::Review;
use super::seen::Seen;
use crate::upstream::Topology;

/// How often an old average is halved, in milliseconds.
pub(super) const TICK: u64 = 250;
/// From when on an average is old.
const OLD: u64 = 1_000;

impl Review {
    /// Brings old averages closer to what is usual in their pool, where others have been measured
    /// meanwhile.
    pub(super) fn age(&self, topology: &Topology, now: u64) {
        for pool in topology.pools.iter().filter(|pool| pool.has_choice()) {
            let seen = || pool.taking().filter_map(|e| self.endpoints.get(&e.id));
            let fresh = seen().filter(|seen| now < seen.answered_at() + OLD);
            let Some(usual) = median(fresh.map(Seen::latency).filter(|l| *l > 0).collect()) else {
                continue;
            };
            seen().for_each(|seen| seen.age(usual, now));
        }
    }
}

impl Seen {
    fn age(&self, usual: u64, now: u64) {
        if self.waits_since.is_some() {
            return;
        }
        for (worker, condition) in self.workers.iter().zip(&self.health.workers) {
            let condition: &Condition = condition;
            let latency = condition.latency_microseconds();
            if latency > usual && now >= worker.answered_at + OLD {
                condition.age((latency / 2).max(usual));
            }
        }
    }
}

/// The lower one of the two in the middle.
pub(super) fn median(mut all: Vec<u64>) -> Option<u64> {
    all.sort_unstable();
    all.get(all.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn at_most_half_are_above_the_median() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![9]), Some(9));
        assert_eq!(median(vec![9, 1]), Some(1));
        assert_eq!(median(vec![9, 1, 5]), Some(5));
        assert_eq!(median(vec![9, 1, 5, 4]), Some(4));
    }
}
