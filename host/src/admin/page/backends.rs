//! The rows of the table of backends.

use std::fmt::Write as _;
use std::time::Duration;

use super::super::escaped::Escaped;
use super::super::report::Backend;
use crate::units::{duration, microseconds, number};

pub(super) fn backend_row(address: &str, b: &Backend) -> Vec<String> {
    let state = backend_state(b);
    let all = &b.latency.all.0;
    vec![
        Escaped(address).to_string(),
        state,
        number(b.requests),
        number(b.failures),
        number(b.consecutive_failures),
        number(b.in_flight),
        number(b.connections),
        microseconds(b.latency.ewma_microseconds),
        microseconds(all.quantile(0.5)),
        microseconds(all.quantile(0.9)),
        microseconds(all.quantile(0.99)),
    ]
}

/// Its state, with the reason and since when, and its share if that is not the whole.
fn backend_state(b: &Backend) -> String {
    let class = match b.healthy {
        true => "good",
        false => "bad",
    };
    let mut state = format!("<span class=\"{class}\">{}</span>", b.state);
    if !b.reason.is_empty() {
        let since = duration(Duration::from_secs(b.state_seconds));
        let _ = write!(state, " for {since}: {}", Escaped(&b.reason));
    }
    if b.share_percent < 100 {
        let _ = write!(state, " ({} % of its share)", b.share_percent);
    }
    state
}
