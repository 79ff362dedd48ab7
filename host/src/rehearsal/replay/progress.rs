//! How far a replay has come: a bar on the terminal, and nothing elsewhere.

use std::time::{Duration, Instant};

use super::log::Log;
use crate::ground;

/// Often enough to be seen to move.
const EVERY: Duration = Duration::from_millis(100);
/// What fits beside the counts on the narrowest terminal.
const WIDTH: u64 = 30;

/// A bar.
pub(super) struct Progress {
    terminal: bool,
    drawn: bool,
    last: Instant,
}

impl Progress {
    pub(super) fn new(terminal: bool) -> Self {
        Self {
            terminal,
            drawn: false,
            last: Instant::now(),
        }
    }

    /// Draws it, if it is time.
    pub(super) fn show(&mut self, log: &Log) {
        if !self.terminal || self.last.elapsed() < EVERY {
            return;
        }
        self.last = Instant::now();
        self.drawn = true;
        let (read, all) = log.progress();
        ground::print_aside(&format!("\r\x1b[K{}", bar(read, all, log.calls())));
    }

    /// Leaves the terminal as it was.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            ground::print_aside("\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn bar(read: u64, all: u64, calls: u64) -> String {
    let part = |of: u64| {
        (u128::from(read) * u128::from(of))
            .checked_div(u128::from(all))
            .unwrap_or(0) as usize
    };
    let done = part(WIDTH);
    format!(
        "[{}{}] {} %, {calls} calls",
        "#".repeat(done),
        "-".repeat(WIDTH as usize - done),
        part(100)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_grows_and_ends() {
        assert_eq!(bar(0, 0, 0), format!("[{}] 0 %, 0 calls", "-".repeat(30)));
        assert_eq!(
            bar(50, 100, 7),
            format!("[{}{}] 50 %, 7 calls", "#".repeat(15), "-".repeat(15))
        );
        assert_eq!(bar(9, 9, 8), format!("[{}] 100 %, 8 calls", "#".repeat(30)));
    }
}
