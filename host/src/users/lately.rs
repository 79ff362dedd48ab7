//! What has happened lately, for a bounded number of keys.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Values that are forgotten after a while. Where there is no more room, the one that is forgotten
/// first makes it.
#[derive(Debug)]
pub(super) struct Lately<K, V> {
    known: Mutex<HashMap<K, (V, Instant)>>,
    time: Duration,
    most: usize,
}

impl<K: Hash + Eq + Clone, V: Copy> Lately<K, V> {
    pub(super) fn new(time: Duration, most: usize) -> Self {
        Self {
            known: Mutex::default(),
            time,
            most,
        }
    }

    pub(super) fn find(&self, key: &K) -> Option<V> {
        let known = self.known();
        let (value, until) = known.get(key)?;
        (Instant::now() < *until).then_some(*value)
    }

    /// Changes the value of this key, or notes a first one. Its time does not begin anew.
    pub(super) fn note(&self, key: K, first: V, change: impl FnOnce(V) -> V) {
        let now = Instant::now();
        let mut known = self.known();
        if let Some((value, until)) = known.get_mut(&key)
            && now < *until
        {
            *value = change(*value);
            return;
        }
        if known.len() >= self.most {
            known.retain(|_, (_, until)| now < *until);
        }
        if known.len() >= self.most {
            let oldest = known.iter().min_by_key(|(_, (_, until))| *until);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                known.remove(&oldest);
            }
        }
        known.insert(key, (first, now + self.time));
    }

    fn known(&self) -> MutexGuard<'_, HashMap<K, (V, Instant)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_found_until_its_time_or_its_room_is_over() {
        let lately = Lately::new(Duration::from_secs(60), 2);
        lately.note(1, 1, |n| n + 1);
        lately.note(1, 1, |n| n + 1);
        lately.note(2, 1, |n| n + 1);
        assert_eq!((lately.find(&1), lately.find(&2)), (Some(2), Some(1)));
        lately.note(3, 1, |n| n + 1);
        assert_eq!((lately.find(&1), lately.find(&3)), (None, Some(1)));
        let over = Lately::new(Duration::ZERO, 2);
        over.note(1, 1, |n| n + 1);
        assert_eq!(over.find(&1), None);
    }
}
