//! What a guest wrote before a call failed: the message of a panic, the traceback of an exception.
//!
//! A trap carries no message. So the lines with which guests explain one are kept until the next
//! are written, and the message of a fault quotes those that came in its call.

use std::borrow::Cow;
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

/// How the runtime of componentize-py begins to report a value that it can't convert.
const UNREADABLE: &str = "called `Result::unwrap()` on an `Err` value: PyErr { type: ";
/// The line before the frames of an exception in Python.
const TRACEBACK: &str = "Traceback (most recent call last):";

/// What a line on standard error says in the terms of the policy's author; `None` if it is about
/// the language's runtime.
pub(super) fn meaning(line: &str) -> Option<Cow<'_, str>> {
    if NOISE.iter().any(|noise| line.contains(noise)) {
        return None;
    }
    let Some(report) = line.strip_prefix(UNREADABLE) else {
        return Some(line.into());
    };
    let value = report.split_once(", value: ").map_or(report, |of| of.1);
    let value = value.rsplit_once(", traceback: ").map_or(value, |of| of.0);
    let said = "a value that the policy has returned, raised as `Err` or passed on does not have the \
                type that the contract declares";
    Some(format!("{said}: {value}").into())
}

/// When a line was written, and the line.
type Line = (Instant, String);

/// The last printable lines of an instance that may explain a fault.
#[derive(Debug, Default)]
pub(super) struct LastWords {
    lines: VecDeque<Line>,
    traceback: Traceback,
}

/// Of the last exception in Python what says most: a message of many lines may push it out.
#[derive(Debug, Default)]
struct Traceback {
    /// Whether the next line that is not indented is the exception's.
    is_open: bool,
    /// The innermost frame.
    place: Option<Line>,
    exception: Option<Line>,
}

impl Traceback {
    fn read(&mut self, began: Instant, line: &str) {
        if line == TRACEBACK {
            *self = Self {
                is_open: true,
                ..Self::default()
            };
        } else if self.is_open && line.starts_with("  File ") {
            self.place = Some((began, line.trim().to_owned()));
        } else if self.is_open && !line.starts_with(' ') {
            self.exception = Some((began, line.to_owned()));
            self.is_open = false;
        }
    }

    /// The exception after its place, if it is of this call.
    fn since(&self, start: Instant) -> Vec<&str> {
        let is_new = |exception: &&Line| exception.0 >= start;
        let Some(exception) = self.exception.as_ref().filter(is_new) else {
            return Vec::new();
        };
        let lines = self.place.iter().chain([exception]);
        lines.map(|(_, line)| line.as_str()).collect()
    }
}

impl LastWords {
    /// A line of `log` with the level `error`, which is a whole statement.
    pub(super) fn said(&mut self, line: String) {
        *self = Self::default();
        self.lines.push_back((Instant::now(), line));
    }

    /// A line on standard error that began at this moment, which continues those before.
    pub(super) fn printed(&mut self, began: Instant, line: &str) {
        // Python underlines the place in the line above.
        if line.chars().all(|c| matches!(c, ' ' | '^' | '~')) {
            return;
        }
        self.traceback.read(began, line);
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back((began, line.trim().to_owned()));
    }

    /// The lines since this moment as one; `None` if there are none. If that is too long, then
    /// without its beginning, or an exception with the beginning of its message.
    pub(super) fn since(&self, start: Instant) -> Option<String> {
        let last = self.last(start)?;
        let exception = self.traceback.since(start);
        if exception.iter().all(|line| last.contains(line)) {
            return Some(last);
        }
        let mut text = exception.join(SEPARATOR);
        text.truncate(text.floor_char_boundary(MAX_QUOTED));
        Some(text)
    }

    fn last(&self, start: Instant) -> Option<String> {
        let mut lines: Vec<&str> = Vec::new();
        let mut left = MAX_QUOTED;
        for (_, line) in self.lines.iter().rev().take_while(|(at, _)| *at >= start) {
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
        words.printed(Instant::now(), "Traceback (most recent call last):");
        words.printed(Instant::now(), "  File \"policy.py\", line 3, in select");
        words.printed(Instant::now(), "^^^^^~~");
        words.printed(Instant::now(), "KeyError: 'a'");
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
            .for_each(|n| words.printed(Instant::now(), &format!("{n} {}", "x".repeat(900))));
        assert_eq!(words.lines.len(), KEPT);
        assert!(words.since(start).unwrap().starts_with("99999 x"));
        (0..30).for_each(|n| words.printed(Instant::now(), &format!("{n} {}", "y".repeat(195))));
        let quoted = words.since(start).unwrap();
        assert!(quoted.len() <= MAX_QUOTED, "{}", quoted.len());
        assert!(
            quoted.starts_with("25 y") && quoted.contains(" | 29 y"),
            "{quoted}"
        );
    }

    #[test]
    fn the_beginning_of_an_exception_survives_a_long_message() {
        let start = Instant::now();
        let mut words = LastWords::default();
        let mut print = |line: &str| words.printed(Instant::now(), line);
        print(TRACEBACK);
        print("  File \"policy.py\", line 3, in select");
        print("    decide()");
        print("  File \"policy.py\", line 9, in decide");
        print("ValueError: the head");
        (0..1000).for_each(|n| print(&format!("more {n}")));
        let quoted = words.since(start).unwrap();
        assert_eq!(
            quoted,
            "File \"policy.py\", line 9, in decide | ValueError: the head"
        );
        // It explains no later call.
        let later = Instant::now();
        words.printed(Instant::now(), "something else");
        assert_eq!(words.since(later).as_deref(), Some("something else"));
        // The second exception counts, and its message is cut.
        words.printed(Instant::now(), TRACEBACK);
        words.printed(Instant::now(), "  File \"policy.py\", line 4, in select");
        words.printed(Instant::now(), &format!("E: {}", "\u{20ac}".repeat(340)));
        let quoted = words.since(start).unwrap();
        assert!(
            quoted.starts_with("File \"policy.py\", line 4, in select | E: \u{20ac}"),
            "{quoted}"
        );
        assert!(quoted.len() <= MAX_QUOTED, "{}", quoted.len());
    }

    #[test]
    fn what_pythons_runtime_reports_is_said_in_the_authors_terms() {
        for line in [
            "thread '<unnamed>' (1) panicked at runtime/src/lib.rs:1293:29:",
            "Python function threw an unexpected exception",
            "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
        ] {
            assert_eq!(meaning(line), None, "{line}");
        }
        assert_eq!(meaning("a: line").as_deref(), Some("a: line"));
        let report = "called `Result::unwrap()` on an `Err` value: PyErr { type: <class 'TypeError'>, \
                      value: TypeError(\"'str' object\"), traceback: None }";
        let shown = meaning(report).unwrap();
        assert!(
            shown.ends_with("that the contract declares: TypeError(\"'str' object\")"),
            "{shown}"
        );
        assert!(meaning(UNREADABLE).is_some());
    }
}
