//! The operational log on standard error.
//!
//! A command that serves writes through a queue: a terminal, a pipe or a disk that stalls costs
//! lines, which are counted, but never a worker's time. Other commands write directly.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::counters;
use super::json::{self, Json};
use super::moment::stamp;
use super::outlet::{Keeper, Outlet, Target};
use super::output::{Lost, Output, lines};

/// Lines that may wait ...
const WAITING: usize = 1024;
/// ... of at most this length: together at most 8 MiB.
const LINE: usize = 8 * 1024;

/// How long a part of a sentence of very many lines may take.
const PART: Duration = Duration::from_secs(1);

static LOG: OnceLock<Log> = OnceLock::new();

enum Log {
    Queued(Outlet),
    Direct(Mutex<Output>),
}

/// How lines reach standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Through a queue and a thread: callers never wait, and lines may be lost.
    Queued,
    /// Directly: callers wait for the reader.
    Direct,
}

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// An object of JSON.
    Json,
}

/// Whether lines are objects of JSON: all of them, whatever writes them.
static AS_JSON: AtomicBool = AtomicBool::new(false);

/// Starts the log of this process.
pub(super) fn start(filter: EnvFilter, manner: Manner, form: Form) -> io::Result<()> {
    AS_JSON.store(form == Form::Json, Relaxed);
    let log = match manner {
        Manner::Queued => Log::Queued(Outlet::start(
            "log",
            Target::Stderr,
            WAITING,
            Reporter::default(),
        )?),
        Manner::Direct => Log::Direct(Mutex::new(Output::stderr()?)),
    };
    // A process has one log: a second start changes nothing.
    let _ = LOG.set(log);
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Entry)
        // It would print them directly, which may block.
        .log_internal_errors(false);
    let _ = match form {
        Form::Text => lines.with_ansi(is_coloured()).try_init(),
        Form::Json => lines.with_ansi(false).event_format(Json).try_init(),
    };
    Ok(())
}

/// A line that is no event of `tracing`, with its time.
pub(super) fn stated(level: &str, target: &str, message: &str) -> String {
    match AS_JSON.load(Relaxed) {
        true => json::object((&level.to_ascii_lowercase(), target), message, ""),
        false => format!("{} {level:>5} {target}: {message}\n", stamp(Duration::ZERO)),
    }
}

/// Whether lines are objects of JSON.
pub(super) fn is_json() -> bool {
    AS_JSON.load(Relaxed)
}

/// Whether a terminal that can show colours reads it (no-color.org).
fn is_coloured() -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|kind| kind == "dumb");
    io::stderr().is_terminal() && !no_color && !is_dumb
}

/// Writes a line unchanged and past the filter.
pub fn line(mut text: Vec<u8>) {
    cut(&mut text);
    match LOG.get() {
        Some(Log::Queued(outlet)) => {
            if let Err(refused) = outlet.send(text) {
                counters()
                    .log_lines_lost
                    .fetch_add(lines(&refused), Relaxed);
            }
        }
        Some(Log::Direct(output)) => {
            // There is nowhere else to report a failed write.
            let _ = output
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .write(&text);
        }
        // Before the start there is only one thread, which may wait.
        None => _ = io::stderr().write_all(&text),
    }
}

/// Prints the error that ends a command; it may have several lines.
pub fn complain(sentence: &str) {
    let lines: Vec<&str> = sentence.lines().collect();
    for (number, part) in lines.chunks(WAITING / 2).enumerate() {
        for (place, text) in part.iter().enumerate() {
            let what = if number + place == 0 { "error: " } else { "" };
            line(match is_json() {
                true => json::object(("error", "waypost"), text, "").into_bytes(),
                false => format!("{what}{text}\n").into_bytes(),
            });
        }
        finish(PART);
    }
}

/// Waits until all logged lines are written, but not beyond this limit; false if some are not.
pub fn finish(limit: Duration) -> bool {
    match LOG.get() {
        Some(Log::Queued(outlet)) => outlet.flush(limit),
        Some(Log::Direct(_)) | None => true,
    }
}

/// A line is bounded, so that the queue is.
fn cut(text: &mut Vec<u8>) {
    if text.len() > LINE {
        let mut at = LINE;
        // Cut between characters.
        while at > 0 && text[at] & 0xC0 == 0x80 {
            at -= 1;
        }
        text.truncate(at);
        text.extend_from_slice(b"...\n");
    }
}

/// The writer of one event of `tracing`.
struct Entry;

impl Write for Entry {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        line(event.to_vec());
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reports how many lines were lost, as soon as lines can be written again.
#[derive(Default)]
struct Reporter {
    /// Lost lines that were reported.
    told: u64,
    /// The same after the pending report is written.
    telling: u64,
}

impl Keeper for Reporter {
    fn lost(&mut self, lost: &Lost) {
        counters().log_lines_lost.fetch_add(lost.lines, Relaxed);
    }

    fn due(&mut self) -> Option<Vec<u8>> {
        self.telling = counters().log_lines_lost.load(Relaxed);
        let lost = self.telling - self.told;
        (lost > 0).then(|| {
            let message = format!("{lost} lines lost: standard error did not accept them");
            stated("WARN", "waypost::log", &message).into_bytes()
        })
    }

    fn paid(&mut self) {
        self.told = self.telling;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_between_characters() {
        let mut short = b"short\n".to_vec();
        cut(&mut short);
        assert_eq!(short, b"short\n");
        let mut long = format!("a{}\n", "\u{e4}".repeat(LINE)).into_bytes();
        cut(&mut long);
        let long = String::from_utf8(long).unwrap();
        assert!(
            long.ends_with("\u{e4}...\n") && long.len() <= LINE + 4,
            "{}",
            long.len()
        );
    }
}
