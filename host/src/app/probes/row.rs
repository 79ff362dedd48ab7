//! What probes in a row say of an endpoint.

use crate::config::Probe;

/// The latest probes of one endpoint.
#[derive(Debug, Default)]
pub(super) struct Row {
    successes: u32,
    failures: u32,
    /// When the endpoint was ejected last.
    ejection: u64,
    /// Whether a probe has decided already.
    has_decided: bool,
}

/// What a probe has shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// Nothing that is certain.
    Nothing {
        has_failed: bool,
    },
    Up,
    Down(String),
}

impl Row {
    /// A probe begins. Successes from before an ejection don't end it.
    pub(super) fn begins(&mut self, ejection: u64) {
        if self.ejection != ejection {
            (self.ejection, self.successes) = (ejection, 0);
        }
    }

    /// How a probe went. The first decides alone: until then nothing is known.
    pub(super) fn note(&mut self, result: Result<(), String>, probe: &Probe) -> Shown {
        let is_first = !self.has_decided;
        match result {
            Ok(()) => {
                (self.successes, self.failures) = (self.successes.saturating_add(1), 0);
                let is_up = is_first || self.successes >= probe.healthy;
                self.has_decided |= is_up;
                match is_up {
                    true => Shown::Up,
                    false => Shown::Nothing { has_failed: false },
                }
            }
            Err(reason) => {
                (self.failures, self.successes) = (self.failures.saturating_add(1), 0);
                let is_down = is_first || self.failures >= probe.unhealthy;
                self.has_decided |= is_down;
                match is_down {
                    true => Shown::Down(reason),
                    false => Shown::Nothing { has_failed: true },
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends by a panic")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::ProbeKind;

    #[test]
    fn the_first_probe_decides_alone_and_then_rows_do() {
        let probe = Probe {
            kind: ProbeKind::Tcp,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            healthy: 2,
            unhealthy: 3,
            port: None,
        };
        let mut row = Row::default();
        let fails = |row: &mut Row| row.note(Err("no".to_owned()), &probe);
        let succeeds = |row: &mut Row| row.note(Ok(()), &probe);
        assert_eq!(fails(&mut row), Shown::Down("no".to_owned()));
        assert_eq!(succeeds(&mut row), Shown::Nothing { has_failed: false });
        assert_eq!(succeeds(&mut row), Shown::Up);
        assert_eq!(fails(&mut row), Shown::Nothing { has_failed: true });
        assert_eq!(succeeds(&mut row), Shown::Nothing { has_failed: false });
        for _ in 0..2 {
            assert_eq!(fails(&mut row), Shown::Nothing { has_failed: true });
        }
        assert_eq!(fails(&mut row), Shown::Down("no".to_owned()));
        assert_eq!(succeeds(&mut Row::default()), Shown::Up);
    }

    #[test]
    fn successes_from_before_an_ejection_do_not_end_it() {
        let probe = Probe {
            kind: ProbeKind::Tcp,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            healthy: 2,
            unhealthy: 3,
            port: None,
        };
        let mut row = Row::default();
        for _ in 0..3 {
            row.begins(0);
            assert_eq!(row.note(Ok(()), &probe), Shown::Up);
        }
        row.begins(77);
        assert_eq!(
            row.note(Ok(()), &probe),
            Shown::Nothing { has_failed: false }
        );
        row.begins(77);
        assert_eq!(row.note(Ok(()), &probe), Shown::Up);
    }
}
