//! How fast a client sends its body.

use std::cell::Cell;

/// A client that made its backends wait for this long in all, in milliseconds, may have been too
/// slow for them.
pub(in crate::proxy) const SLOW: u64 = 1_000;

/// How long the attempts of a request have waited for its client's body, in milliseconds of the
/// worker's clock.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Pace {
    waited: Cell<u64>,
    since: Cell<Option<u64>>,
}

impl Pace {
    /// From now on the client is waited for.
    pub(in crate::proxy) fn wait(&self, now: u64) {
        self.since.set(Some(now));
    }

    /// The client has sent something.
    pub(in crate::proxy) fn go_on(&self, now: u64) {
        self.waited.set(self.total(now));
        self.since.set(None);
    }

    /// Whether the backend may have lost its patience with the client: it is the client that is
    /// waited for, or was for long.
    pub(in crate::proxy) fn is_slow(&self, now: u64) -> bool {
        self.since.get().is_some() || self.total(now) >= SLOW
    }

    fn total(&self, now: u64) -> u64 {
        let since = self.since.get();
        self.waited.get() + since.map_or(0, |since| now.saturating_sub(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_slow_while_it_is_waited_for_and_once_it_was_for_long_enough_in_all() {
        let pace = Pace::default();
        assert!(!pace.is_slow(10_000), "nobody waits");
        pace.wait(10_000);
        assert!(pace.is_slow(10_000), "it is waited for, however short");
        pace.go_on(10_600);
        assert!(!pace.is_slow(20_000), "600 ms, and nobody waits");
        pace.wait(20_000);
        pace.go_on(20_399);
        assert!(!pace.is_slow(20_399));
        pace.wait(20_399);
        pace.go_on(20_400);
        assert!(pace.is_slow(20_400), "what was waited stays waited");
    }
}
