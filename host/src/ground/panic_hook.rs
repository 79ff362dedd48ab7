//! Panics are counted and logged.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};

use super::{counters, log};

static LAST: Mutex<Option<String>> = Mutex::new(None);

/// Installs the panic hook: a panic is counted and becomes one line of the log, with a backtrace if
/// RUST_BACKTRACE is set.
pub(super) fn install() {
    panic::set_hook(Box::new(|info| {
        let sentence = sentence(info);
        // Held only while copying, which does not panic.
        *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some(sentence.clone());
        counters().panics.fetch_add(1, Relaxed);
        let backtrace = Backtrace::capture();
        let message = format!("{sentence}; this is a bug of the proxy");
        let mut text = log::stated("ERROR", "waypost::panic", &message);
        if log::is_json() {
            return in_lines(&text, &backtrace);
        }
        if backtrace.status() == BacktraceStatus::Captured {
            text.push_str(&backtrace.to_string());
            text.push('\n');
        }
        log::line(text.into_bytes());
    }));
}

/// A backtrace is longer than a value may be: each of its lines is an object.
fn in_lines(first: &str, backtrace: &Backtrace) {
    log::line(first.into());
    if backtrace.status() == BacktraceStatus::Captured {
        for line in backtrace.to_string().lines() {
            log::line(log::stated("ERROR", "waypost::panic", line).into());
        }
    }
}

fn sentence(info: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("without a name");
    let place = info
        .location()
        .map_or_else(String::new, ToString::to_string);
    let message = info.payload_as_str().unwrap_or("no message");
    let message: String = message
        .chars()
        .take(1024)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    format!("thread {name} panicked at {place}: {message}")
}

/// The last panic of this process, in a sentence.
pub fn last() -> Option<String> {
    LAST.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
