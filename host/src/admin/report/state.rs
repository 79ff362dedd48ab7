//! The state of a backend in a word: the same in statistics, metrics, answers and the page. Where
//! nothing else is said, that is one of the three below; others are those of `upstream`.

use super::Backend;

/// It has answered, and the last attempt did not fail.
pub(in crate::admin) const HEALTHY: &str = "healthy";
/// Nothing speaks against it, and it has answered nothing yet.
pub(in crate::admin) const UNPROVEN: &str = "unproven";
/// The last attempts failed, and it gets requests still.
pub(in crate::admin) const FAILING: &str = "failing";

/// Whether requests go to a backend in this state, as far as nothing is known to be wrong.
pub(in crate::admin) fn is_usable(state: &str) -> bool {
    matches!(state, HEALTHY | UNPROVEN)
}

/// Why an endpoint that no worker knows yet is unproven.
const UNASKED: &str = "it has answered neither a request nor a probe yet";

impl Backend {
    /// One that no request was sent to.
    pub(in crate::admin) fn none() -> Self {
        Self {
            healthy: true,
            state: UNPROVEN,
            reason: UNASKED.to_owned(),
            share_percent: 100,
            ..Self::default()
        }
    }

    /// A backend that nothing speaks against is not known to work: no ejection comes before enough
    /// requests have failed, and none at all where nothing is sent.
    pub(super) fn judged(mut self) -> Self {
        if self.state != HEALTHY {
            return self;
        }
        // A request is counted when it is sent.
        let has_answered = self.latency.all.0.count > 0 || self.probes > self.failed_probes;
        let (state, reason) = match (self.consecutive_failures, has_answered) {
            (0, true) => return self,
            (0, false) => (UNPROVEN, unanswered(self.in_flight)),
            (1, _) => (FAILING, "the last attempt failed".to_owned()),
            (n, _) => (FAILING, format!("the last {n} attempts failed")),
        };
        (self.state, self.reason) = (state, reason);
        self
    }
}

fn unanswered(in_flight: u64) -> String {
    match in_flight {
        0 => UNASKED.to_owned(),
        1 => "a request waits for it, and it has answered none yet".to_owned(),
        n => format!("{n} requests wait for it, and it has answered none yet"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_healthy_once_it_has_answered_and_while_it_does() {
        let state = |change: fn(&mut Backend)| {
            let mut counted = Backend {
                state: HEALTHY,
                reason: String::new(),
                ..Backend::none()
            };
            change(&mut counted);
            let judged = counted.judged();
            (judged.state, judged.reason)
        };
        assert_eq!(state(|_| {}), (UNPROVEN, UNASKED.to_owned()));
        // A request that waits is counted, and proves nothing.
        let (hanging, reason) = state(|b| (b.requests, b.in_flight) = (3, 3));
        assert_eq!(hanging, UNPROVEN);
        assert!(reason.starts_with("3 requests wait for it"), "{reason}");
        assert_eq!(state(|b| b.latency.all.0.count = 1).0, HEALTHY);
        assert_eq!(state(|b| b.probes = 1).0, HEALTHY);
        assert_eq!(state(|b| (b.probes, b.failed_probes) = (2, 2)).0, UNPROVEN);
        let failed = state(|b| (b.latency.all.0.count, b.consecutive_failures) = (1, 1));
        assert_eq!(failed.0, FAILING);
        let ejected = state(|b| (b.state, b.consecutive_failures) = ("ejected", 3));
        assert_eq!(ejected.0, "ejected", "routing's own word is kept");
    }
}
