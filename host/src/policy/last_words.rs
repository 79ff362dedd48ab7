//! What a guest wrote before a call failed: the message of a panic, the traceback of an exception.
//!
//! A trap carries no message. So the lines with which guests explain one are kept until the next
//! are written, and the message of a fault quotes those that came in its call.

use std::collections::VecDeque;
use std::time::Instant;

/// A traceback has some lines for each call: these are the innermost ones and the exception.
const KEPT: usize = 12;
/// The most bytes that are quoted.
const MAX_QUOTED: usize = 1024;
/// Between the lines of a traceback, which become one.
const SEPARATOR: &str = " | ";

/// What componentize-py's own runtime adds to the traceback of an exception.
const NOISE: [&str; 3] = [
    "panicked at runtime/src/lib.rs:",
    "Python function threw an unexpected exception",
    "note: run with `RUST_BACKTRACE=1`",
];

/// The last printable lines of an instance that may explain a fault, and when they were written.
#[derive(Debug, Default)]
pub(super) struct LastWords(VecDeque<(Instant, String)>);

impl LastWords {
    /// A line of `log` with the level `error`, which is a whole statement.
    pub(super) fn said(&mut self, line: String) {
        self.0.clear();
        self.0.push_back((Instant::now(), line));
    }

    /// A line on standard error that began at this moment, which continues those before.
    pub(super) fn printed(&mut self, began: Instant, line: String) {
        // Python underlines the place in the line above.
        if line.chars().all(|c| matches!(c, ' ' | '^' | '~'))
            || NOISE.iter().any(|noise| line.contains(noise))
        {
            return;
        }
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back((began, line));
    }

    /// The lines since this moment as one, without its beginning if it is too long; `None` if there
    /// are none.
    pub(super) fn since(&self, start: Instant) -> Option<String> {
        let mut lines: Vec<&str> = Vec::new();
        let mut left = MAX_QUOTED;
        for (_, line) in self.0.iter().rev().take_while(|(at, _)| *at >= start) {
            let Some(rest) = left.checked_sub(line.len()) else {
                break;
            };
            left = rest.saturating_sub(SEPARATOR.len());
            lines.push(line);
        }
        lines.reverse();
        (!lines.is_empty()).then(|| lines.join(SEPARATOR))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_lines_of_the_call_are_quoted() {
        let mut words = LastWords::default();
        let start = Instant::now();
        words.said("of an earlier call".to_owned());
        assert_eq!(words.since(start).as_deref(), Some("of an earlier call"));
        let later = Instant::now() + Duration::from_secs(1);
        assert_eq!(words.since(later), None);
    }

    #[test]
    fn a_logged_error_stands_alone_and_printed_lines_are_joined() {
        let mut words = LastWords::default();
        let start = Instant::now();
        words.printed(
            Instant::now(),
            "Traceback (most recent call last):".to_owned(),
        );
        words.printed(
            Instant::now(),
            "File \"policy.py\", line 3, in select".to_owned(),
        );
        words.printed(Instant::now(), "^^^^^~~".to_owned());
        words.printed(Instant::now(), "KeyError: 'a'".to_owned());
        words.printed(
            Instant::now(),
            "thread '<unnamed>' (1) panicked at runtime/src/lib.rs:1293:29:".to_owned(),
        );
        words.printed(
            Instant::now(),
            "Python function threw an unexpected exception".to_owned(),
        );
        words.printed(
            Instant::now(),
            "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace"
                .to_owned(),
        );
        assert_eq!(
            words.since(start).as_deref(),
            Some(
                "Traceback (most recent call last): | File \"policy.py\", line 3, in select | \
                 KeyError: 'a'"
            )
        );
        words.said("panicked at src/lib.rs:1:2: no".to_owned());
        assert_eq!(
            words.since(start).as_deref(),
            Some("panicked at src/lib.rs:1:2: no")
        );
    }

    #[test]
    fn what_is_kept_and_quoted_is_bounded_and_ends_with_the_end() {
        let mut words = LastWords::default();
        let start = Instant::now();
        (0..100_000)
            .for_each(|n| words.printed(Instant::now(), format!("{n} {}", "x".repeat(900))));
        assert_eq!(words.0.len(), KEPT);
        assert!(words.since(start).unwrap().starts_with("99999 x"));
        (0..30).for_each(|n| words.printed(Instant::now(), format!("{n} {}", "y".repeat(195))));
        let quoted = words.since(start).unwrap();
        assert!(quoted.len() <= MAX_QUOTED, "{}", quoted.len());
        assert!(
            quoted.starts_with("25 y") && quoted.contains(" | 29 y"),
            "{quoted}"
        );
    }
}
