//! The progress of a trial on standard error: redrawn in place at a terminal, elsewhere one line
//! per change, and one every few seconds.

use std::time::{Duration, Instant};

use super::answers::{Faults, Trial};
use super::trial;
use crate::ground;
use crate::units::duration;

/// How often a log gets a line if nothing but counts and time has changed.
const EVERY: Duration = Duration::from_secs(3);
/// The width if the terminal does not report one.
const WIDTH: usize = 80;

/// The state of the display.
#[derive(Debug)]
pub(super) struct Display {
    terminal: bool,
    /// Lines on the screen that belong to the display.
    drawn: usize,
    last: Option<Logged>,
}

/// The state that the last line of a log reported.
#[derive(Debug, PartialEq)]
struct Logged {
    kind: Kind,
    at: Instant,
}

/// The part of the state whose change is worth a line immediately.
#[derive(Debug, PartialEq)]
struct Kind {
    mode: String,
    percent: f64,
    failed: u64,
    faults: Faults,
    suspended: u64,
}

impl Display {
    pub(super) fn new(terminal: bool) -> Self {
        Self {
            terminal,
            drawn: 0,
            last: None,
        }
    }

    /// Shows the progress. `rest` is the outlook, such as `, promoted in 8m`.
    pub(super) fn show(&mut self, policy: &str, trial: &Trial, elapsed: Duration, rest: &str) {
        if self.terminal {
            let text = format!(
                "{policy}: {} for {}\n{}  for {}{rest}; Ctrl-C stops watching, not the trial\n",
                trial::trial_head(trial),
                trial::share(trial),
                trial::trial_figures(trial),
                duration(elapsed)
            );
            return self.draw(&text);
        }
        let kind = Kind::of(trial);
        let old = match &self.last {
            None => true,
            Some(last) => last.kind != kind || last.at.elapsed() >= EVERY,
        };
        if old {
            self.last = Some(Logged {
                kind,
                at: Instant::now(),
            });
            let (line, elapsed) = (trial::trial_line(trial), duration(elapsed));
            ground::print_aside(&format!("{policy}: {line}; for {elapsed}{rest}\n"));
        }
    }

    /// Prints a sentence that is not redrawn.
    pub(super) fn say(&mut self, sentence: &str) {
        self.drawn = 0;
        ground::print_aside(&format!("{sentence}\n"));
    }

    fn draw(&mut self, text: &str) {
        ground::print_aside(&self.frame(text, width()));
    }

    /// The output that replaces what was drawn before.
    fn frame(&mut self, text: &str, width: usize) -> String {
        let mut out = String::new();
        if self.drawn > 0 {
            // Go up to the first line, and clear from there.
            out.push_str(&format!("\x1b[{}A", self.drawn));
        }
        out.push_str("\r\x1b[J");
        self.drawn = 0;
        for line in text.lines() {
            // A wrapped line would count as two when going up.
            out.extend(line.chars().take(width.saturating_sub(1)));
            out.push('\n');
            self.drawn += 1;
        }
        out
    }
}

impl Kind {
    fn of(trial: &Trial) -> Self {
        Self {
            mode: trial.mode.clone(),
            percent: trial.percent,
            failed: trial.canary.map_or(0, |c| c.failed),
            faults: trial.faults,
            suspended: trial.suspended_by_workers,
        }
    }
}

#[cfg(unix)]
fn width() -> usize {
    let told =
        rustix::termios::tcgetwinsize(std::io::stderr()).map(|size| usize::from(size.ws_col));
    told.ok().filter(|columns| *columns > 0).unwrap_or(WIDTH)
}

#[cfg(not(unix))]
fn width() -> usize {
    WIDTH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_drawn_over_the_one_before() {
        let mut display = Display::new(true);
        assert_eq!(display.frame("one\ntwo\n", 80), "\r\x1b[Jone\ntwo\n");
        assert_eq!(
            display.frame("a line that would wrap\n", 7),
            "\x1b[2A\r\x1b[Ja line\n"
        );
        assert_eq!(display.frame("", 80), "\x1b[1A\r\x1b[J");
    }

    #[test]
    fn growing_counts_alone_are_not_redrawn() {
        let trial = |requests, failed| Trial {
            canary: Some(super::super::answers::Arm {
                requests,
                failed,
                ..Default::default()
            }),
            ..Trial::default()
        };
        assert_eq!(Kind::of(&trial(1, 0)), Kind::of(&trial(900, 0)));
        assert_ne!(Kind::of(&trial(900, 0)), Kind::of(&trial(900, 1)));
    }
}
