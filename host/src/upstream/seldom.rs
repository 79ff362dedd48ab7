//! What is said of an endpoint only now and then.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// How long nothing more is said.
const SILENCE: Duration = Duration::from_secs(10);

/// A line of the log that the same cause would repeat, by one worker.
#[derive(Debug, Default)]
pub(super) struct Seldom(Cell<Option<Instant>>);

impl Seldom {
    /// Whether the line is to be written; then it is not for a while.
    pub(super) fn is_due(&self) -> bool {
        let now = Instant::now();
        let is_due = self.0.get().is_none_or(|said| now >= said + SILENCE);
        if is_due {
            self.0.set(Some(now));
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_not_said_again_at_once() {
        let seldom = Seldom::default();
        assert!(seldom.is_due() && !seldom.is_due());
        seldom.0.set(Instant::now().checked_sub(SILENCE));
        assert!(seldom.is_due() && !seldom.is_due());
    }
}
