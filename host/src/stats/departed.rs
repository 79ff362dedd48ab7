//! What nothing uses any more, and when it is to be forgotten.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// For how long what has gone is remembered: one that comes back before is the same again.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);

/// What has gone, and since when.
#[derive(Debug)]
pub struct Departed<K> {
    since: HashMap<K, Instant>,
    /// The most that are remembered.
    most: usize,
}

impl<K: Clone + Eq + Hash + Ord> Departed<K> {
    /// Remembers this many at most.
    pub fn new(most: usize) -> Self {
        Self {
            since: HashMap::new(),
            most,
        }
    }

    /// Notes what is gone at this moment; what is not has come back. Returns what should be
    /// forgotten: what has been gone for ten minutes, and the longest gone of those that are too
    /// many.
    pub fn look(&mut self, gone: impl IntoIterator<Item = K>, now: Instant) -> Vec<K> {
        let since = |key: K| {
            let since = self.since.get(&key).copied().unwrap_or(now);
            (key, since)
        };
        self.since = gone.into_iter().map(since).collect();
        let mut oldest: Vec<(Instant, K)> = Vec::with_capacity(self.since.len());
        oldest.extend(self.since.iter().map(|(key, at)| (*at, key.clone())));
        oldest.sort_unstable();
        let too_many = oldest.len().saturating_sub(self.most);
        let is_over = |(at, (since, _)): &(usize, (Instant, K))| {
            *at < too_many || now.duration_since(*since) >= REMEMBERED
        };
        let over = oldest.into_iter().enumerate().take_while(is_over);
        over.map(|(_, (_, key))| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gone_are_forgotten_first_and_all_after_their_time() {
        let mut departed = Departed::new(2);
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        assert!(departed.look(["c"], begin).is_empty());
        assert!(departed.look(["a", "c"], after(1)).is_empty());
        assert_eq!(departed.look(["a", "b", "c"], after(2)), ["c"]);
        assert!(departed.look(["a", "b"], after(3)).is_empty());
        assert_eq!(departed.look(["a", "b"], after(601)), ["a"]);
        // One that came back for a moment begins anew.
        assert!(departed.look(["b"], after(601)).is_empty());
        assert!(departed.look(["a", "b"], after(601)).is_empty());
        assert_eq!(departed.look(["a", "b"], after(602)), ["b"]);
        assert_eq!(departed.look(["a", "b"], after(1_201)), ["b", "a"]);
    }
}
