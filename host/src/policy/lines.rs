//! A policy's lines in the proxy's log: bounded in length and in rate, one line each.

use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use tracing::Level;

use super::hook::Hook;
use super::last_words::{LastWords, meaning};
use crate::stats::PolicyShard;
use crate::text::is_unseen;

/// The longest line of a stream that is kept together.
const LONGEST: usize = 4096;
/// Longer lines are cut.
const MAX_LINE: usize = 1024;
/// How many lines may come at once.
const BURST: u64 = 32;
/// How many lines a second after that.
const PER_SECOND: u64 = 16;
/// The price of a line, in microseconds.
const LINE: u64 = 1_000_000 / PER_SECOND;

/// Where the microseconds of a rate limit count from.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The most lines that are kept of one call.
const KEPT: usize = 256;

/// A line that a policy wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters.
    pub level: Level,
    /// One printable line.
    pub text: String,
}

/// Where the lines of one instance go.
pub(super) struct Lines {
    policy: Arc<str>,
    asked: Arc<Asked>,
    shard: Arc<PolicyShard>,
    /// The lines of this call, if they are kept, including those that the log drops.
    kept: Option<Vec<LogLine>>,
    /// Whether nothing is written.
    is_silent: bool,
    /// What may explain a fault.
    last_words: LastWords,
    /// What came on the streams after the last end of a line.
    partial: [Partial; 2],
}

/// The hook that an instance is in. Written by each call, with a plain store, and read by lines,
/// which come from other places than the call as well.
#[derive(Debug, Default)]
pub(super) struct Asked(AtomicU8);

impl Asked {
    /// This hook is called.
    #[inline]
    pub(super) fn begin(&self, hook: Hook) {
        self.0.store(hook.index() as u8 + 1, Relaxed);
    }

    /// `None` while the instance is set up.
    fn hook(&self) -> Option<Hook> {
        let number = usize::from(self.0.load(Relaxed)).checked_sub(1)?;
        Hook::ALL.get(number).copied()
    }
}

/// Where a guest prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Output,
    Error,
}

/// A line that has not ended.
#[derive(Default)]
struct Partial {
    text: Vec<u8>,
    /// When it began.
    began: Option<Instant>,
    /// Whether its beginning was written already, and the rest is left out.
    is_cut: bool,
}

impl Lines {
    /// The lines of an instance of this policy; dropped ones are counted in `shard`.
    pub(super) fn new(policy: Arc<str>, asked: Arc<Asked>, shard: Arc<PolicyShard>) -> Self {
        Self {
            policy,
            asked,
            shard,
            kept: None,
            is_silent: false,
            last_words: LastWords::default(),
            partial: Default::default(),
        }
    }

    /// From now on lines are kept as well.
    pub(super) fn keep(&mut self) {
        self.kept = Some(Vec::new());
    }

    /// The lines written since; from now on none are kept.
    pub(super) fn take_kept(&mut self) -> Vec<LogLine> {
        self.kept.take().unwrap_or_default()
    }

    /// From now on nothing is written and nothing counted.
    pub(super) fn silence(&mut self) {
        self.is_silent = true;
    }

    /// Counts in another shard from now on.
    pub(super) fn count_in(&mut self, shard: Arc<PolicyShard>) {
        self.shard = shard;
    }

    /// Writes a line of its log.
    pub(super) fn log(&mut self, level: Level, message: &str) {
        if level == Level::ERROR {
            self.last_words.said(one_line(message));
        }
        self.write(level, message);
    }

    /// Takes what came on a stream, and writes the lines that have ended.
    pub(super) fn print(&mut self, stream: Stream, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&b| b == b'\n') {
            let ends = piece.ends_with(b"\n");
            let partial = &mut self.partial[stream as usize];
            if partial.is_cut {
                partial.is_cut = !ends;
                continue;
            }
            partial.began.get_or_insert_with(Instant::now);
            partial.text.extend_from_slice(piece);
            if ends || partial.text.len() >= LONGEST {
                self.end_line(stream);
                self.partial[stream as usize].is_cut = !ends;
            }
        }
    }

    /// Writes the line that a stream has begun, if it has.
    fn end_line(&mut self, stream: Stream) {
        let Partial { text, began, .. } = std::mem::take(&mut self.partial[stream as usize]);
        let text = String::from_utf8_lossy(&text);
        let text = text.trim_end_matches(['\r', '\n']);
        let Some(began) = began.filter(|_| !text.is_empty()) else {
            return;
        };
        if stream == Stream::Output {
            self.write(Level::INFO, text);
        } else if let Some(text) = meaning(text) {
            self.last_words.printed(began, &one_line(&text));
            self.write(Level::WARN, &text);
        }
    }

    /// What was written since this moment that may explain a fault, for the end of a message. A
    /// guest that fails does not end its last line. One that an earlier call has begun may be about
    /// another client's request, and explains nothing.
    pub(super) fn explaining(&mut self, start: Instant) -> String {
        self.end_line(Stream::Output);
        self.end_line(Stream::Error);
        let words = self.last_words.since(start);
        words.map_or_else(String::new, |words| format!("; it wrote: {words}"))
    }

    /// Writes one line, or drops it and counts that.
    fn write(&mut self, level: Level, message: &str) {
        if let Some(kept) = self.kept.as_mut().filter(|kept| kept.len() < KEPT) {
            kept.push(LogLine {
                level,
                text: one_line(message),
            });
        }
        if self.is_silent {
            return;
        }
        if !allowed(&self.shard, Instant::now()) {
            self.shard.log_lines_dropped.increment();
            return;
        }
        let policy = &*self.policy;
        let hook = self.asked.hook().map(Hook::name);
        let line = one_line(message);
        match level {
            Level::ERROR => tracing::error!(target: "policy", policy, hook, "{line}"),
            Level::WARN => tracing::warn!(target: "policy", policy, hook, "{line}"),
            Level::INFO => tracing::info!(target: "policy", policy, hook, "{line}"),
            _ => tracing::debug!(target: "policy", policy, hook, "{line}"),
        }
    }
}

/// A leaky bucket in one number: the moment at which it will be empty.
fn allowed(shard: &PolicyShard, now: Instant) -> bool {
    let now = u64::try_from(now.saturating_duration_since(*START).as_micros()).unwrap_or(u64::MAX);
    let until = shard.log_lines_until.value().max(now) + LINE;
    let allowed = until - now <= BURST * LINE;
    if allowed {
        shard.log_lines_until.set(until);
    }
    allowed
}

/// A guest's text as one printable line: cut at 1 KiB, characters that move a cursor or turn text
/// around replaced.
pub(super) fn one_line(text: &str) -> String {
    let mut line = Bounded::new(MAX_LINE);
    let _ = line.write_str(text);
    line.into_text()
}

/// An error of the runtime as one printable line. It may quote what a guest chose, at any length:
/// formatting it stops where the line is full.
pub(super) fn sentence(shown: impl fmt::Display) -> String {
    let mut line = Bounded {
        newline: ' ',
        ..Bounded::new(MAX_LINE)
    };
    let _ = write!(line, "{shown}");
    line.into_text()
}

/// A target for formatting untrusted text: takes a limited number of bytes, printable, and then
/// stops the writer by an error.
pub(super) struct Bounded {
    text: String,
    limit: usize,
    /// What a line feed becomes.
    newline: char,
}

impl Bounded {
    /// With room for this many bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            text: String::new(),
            limit,
            newline: char::REPLACEMENT_CHARACTER,
        }
    }

    /// The text that was written.
    pub(super) fn into_text(self) -> String {
        self.text
    }
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            let character = match character {
                '\n' => self.newline,
                character if is_unseen(character) => char::REPLACEMENT_CHARACTER,
                character => character,
            };
            if character.len_utf8() > self.limit - self.text.len() {
                // Not even a shorter piece that comes later: that would make another text.
                self.limit = self.text.len();
                return Err(fmt::Error);
            }
            self.text.push(character);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_line_without_an_end_explains_the_call_in_which_it_began() {
        let mut lines = Lines::new("p".into(), Arc::default(), Arc::default());
        let first = Instant::now();
        lines.print(Stream::Error, b"fatal: ");
        lines.print(Stream::Output, b"not this");
        lines.print(Stream::Error, b"no file");
        assert_eq!(lines.explaining(first), "; it wrote: fatal: no file");
        lines.print(Stream::Error, b"of one call");
        let second = Instant::now();
        lines.print(Stream::Error, b" and of another\n");
        assert_eq!(lines.explaining(second), "");
        lines.print(Stream::Error, b"this one\r\n");
        assert_eq!(lines.explaining(second), "; it wrote: this one");
    }

    #[test]
    fn of_a_line_that_is_too_long_only_the_beginning_is_written() {
        let mut lines = Lines::new("p".into(), Arc::default(), Arc::default());
        lines.keep();
        let start = Instant::now();
        lines.print(
            Stream::Error,
            &[b"head", [b'x'; LONGEST].as_slice()].concat(),
        );
        lines.print(Stream::Error, &[b'x'; 3 * LONGEST]);
        lines.print(Stream::Error, b"tail\nnext\n");
        let kept = lines.take_kept();
        assert!(kept[0].text.starts_with("headx") && kept[0].text.len() == MAX_LINE);
        assert_eq!((kept.len(), kept[1].text.as_str()), (2, "next"));
        assert_eq!(lines.explaining(start), "; it wrote: next");
    }

    #[test]
    fn a_burst_then_sixteen_a_second() {
        let shard = PolicyShard::default();
        let start = Instant::now() + Duration::from_secs(60);
        assert_eq!((0..100).filter(|_| allowed(&shard, start)).count(), 32);
        let later = start + Duration::from_millis(1000);
        assert_eq!((0..100).filter(|_| allowed(&shard, later)).count(), 16);
        let much_later = later + Duration::from_secs(3600);
        assert_eq!((0..100).filter(|_| allowed(&shard, much_later)).count(), 32);
    }

    #[test]
    fn kept_lines_are_all_lines_and_not_only_logged_ones() {
        let mut lines = Lines::new("p".into(), Arc::default(), Arc::default());
        lines.log(Level::INFO, "before");
        lines.keep();
        (0..KEPT + 10).for_each(|n| lines.log(Level::WARN, &format!("{n}\n")));
        let kept = lines.take_kept();
        assert_eq!(
            (kept.len(), kept[40].level, kept[40].text.as_str()),
            (KEPT, Level::WARN, "40\u{fffd}")
        );
        lines.log(Level::INFO, "after");
        assert_eq!(lines.take_kept(), []);
    }

    #[test]
    fn a_line_is_one_line() {
        assert_eq!(one_line("a\r\nb\x1b[0m"), "a\u{fffd}\u{fffd}b\u{fffd}[0m");
        assert_eq!(
            one_line("a\u{202e}b\u{2066}c\u{85}d"),
            "a\u{fffd}b\u{fffd}c\u{fffd}d"
        );
        let cut = one_line(&"ä".repeat(1000));
        assert_eq!(cut.len(), 1024);
        assert_eq!(one_line(&format!("a{}", "ä".repeat(1000))).len(), 1023);
        assert_eq!(sentence("a\nb\x07"), "a b\u{fffd}");
    }

    #[test]
    fn endless_formatting_is_stopped() {
        struct Endless;
        impl fmt::Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("ab")?;
                }
            }
        }
        assert_eq!(sentence(Endless).len(), MAX_LINE);
    }
}
