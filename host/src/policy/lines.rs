//! A policy's lines in the proxy's log: bounded in length and in rate, one line each.

use std::sync::Arc;
use std::time::Instant;

use tracing::Level;

use crate::stats::PolicyShard;

/// Longer lines are cut.
const MAX_LINE: usize = 1024;
/// How many lines may come at once.
const BURST: u64 = 32;
/// How many lines a second after that.
const PER_SECOND: u64 = 16;
/// Tokens are counted in millionths, so that the refill is exact in microseconds.
const TOKEN: u64 = 1_000_000;

/// Where the lines of one instance go.
pub(super) struct Lines {
    policy: Arc<str>,
    shard: Arc<PolicyShard>,
    tokens: u64,
    refilled: Instant,
}

impl Lines {
    /// The lines of an instance of this policy; dropped ones are counted in `shard`.
    pub fn new(policy: Arc<str>, shard: Arc<PolicyShard>) -> Self {
        Self { policy, shard, tokens: BURST * TOKEN, refilled: Instant::now() }
    }

    /// Counts in another shard from now on.
    pub fn count_in(&mut self, shard: Arc<PolicyShard>) {
        self.shard = shard;
    }

    /// Writes one line, or drops it and counts that.
    pub fn write(&mut self, level: Level, message: &str) {
        if !self.allowed(Instant::now()) {
            self.shard.log_lines_dropped.increment();
            return;
        }
        let policy = &*self.policy;
        let line = one_line(message);
        match level {
            Level::ERROR => tracing::error!(target: "policy", policy, "{line}"),
            Level::WARN => tracing::warn!(target: "policy", policy, "{line}"),
            Level::INFO => tracing::info!(target: "policy", policy, "{line}"),
            _ => tracing::debug!(target: "policy", policy, "{line}"),
        }
    }

    fn allowed(&mut self, now: Instant) -> bool {
        let passed = u64::try_from(now.saturating_duration_since(self.refilled).as_micros()).unwrap_or(u64::MAX);
        self.tokens = self.tokens.saturating_add(passed.saturating_mul(PER_SECOND)).min(BURST * TOKEN);
        self.refilled = now;
        let allowed = self.tokens >= TOKEN;
        if allowed {
            self.tokens -= TOKEN;
        }
        allowed
    }
}

/// What a guest wrote as one printable line: cut at 1 KiB, control characters replaced.
pub(super) fn one_line(text: &str) -> String {
    let cut = text.floor_char_boundary(MAX_LINE);
    text[..cut].chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_then_sixteen_a_second() {
        let mut lines = Lines::new("p".into(), Arc::default());
        let start = Instant::now() + Duration::from_secs(60);
        assert_eq!((0..100).filter(|_| lines.allowed(start)).count(), 32);
        let later = start + Duration::from_millis(1000);
        assert_eq!((0..100).filter(|_| lines.allowed(later)).count(), 16);
        let much_later = later + Duration::from_secs(3600);
        assert_eq!((0..100).filter(|_| lines.allowed(much_later)).count(), 32);
    }

    #[test]
    fn a_line_is_one_line() {
        assert_eq!(one_line("a\r\nb\x1b[0m"), "a\u{fffd}\u{fffd}b\u{fffd}[0m");
        let cut = one_line(&"ä".repeat(1000));
        assert_eq!(cut.len(), 1024);
        assert_eq!(one_line(&format!("a{}", "ä".repeat(1000))).len(), 1023);
    }
}
