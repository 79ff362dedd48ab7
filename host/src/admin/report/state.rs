//! The state of a backend in a word: the same in statistics, metrics, answers and the page. Where
//! nothing else is said, that is one of the three below; others are those of `upstream`.

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
pub(super) const UNASKED: &str = "it has answered neither a request nor a probe yet";

/// What is said in place of `healthy`, and why: a backend that nothing speaks against is not known
/// to work. No ejection comes before enough requests have failed, and none at all where nothing is
/// sent.
pub(super) fn doubted(
    consecutive_failures: u64,
    has_answered: bool,
    in_flight: u64,
) -> Option<(&'static str, String)> {
    Some(match (consecutive_failures, has_answered) {
        (0, true) => return None,
        (0, false) => (UNPROVEN, unanswered(in_flight)),
        (1, _) => (FAILING, "the last attempt failed".to_owned()),
        (n, _) => (FAILING, format!("the last {n} attempts failed")),
    })
}

fn unanswered(in_flight: u64) -> String {
    match in_flight {
        0 => UNASKED.to_owned(),
        1 => "a request waits for it, and it has answered none yet".to_owned(),
        n => format!("{n} requests wait for it, and it has answered none yet"),
    }
}
