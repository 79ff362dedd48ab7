//! Randomness and time from elsewhere: the same for two generations that are asked the same
//! question, or those that a test or a recording says.
//!
//! Both reach a guest only through the host, and so does the store. For a comparison the generators
//! of both instances start a call from one seed, and the second gets the clock readings and store
//! answers of the first: if the answers still differ, the policies decide differently.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::lines::{Lines, LogLine};
use super::recorded::{Readings as Read, Recorded};
use super::store::{Answer, Call, Calls, Store};

/// Readings of one clock that are kept in one call; a guest that reads on and on gets the real time
/// after that.
const READINGS: usize = 256;

/// Scripted draws and clock readings of a policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script {
    /// Decides all draws after those that are listed.
    pub seed: u64,
    /// What `random.below` and `random.bits` give, one after the other. WASI's randomness comes
    /// from the seed.
    pub draws: Vec<u64>,
    /// The reading of the monotonic clocks throughout the call, in nanoseconds; the real time if
    /// `None`.
    pub monotonic: Option<u64>,
    /// The reading of the wall clocks throughout the call, in milliseconds since 1970; the real
    /// time if `None`.
    pub unix: Option<u64>,
}

/// Data that the calls of a comparison share.
#[derive(Debug, Default)]
pub struct Tape {
    seed: u64,
    /// Draws that come before those of the generator.
    draws: VecDeque<u64>,
    /// The first draw that could not be given as it was listed.
    complaint: Option<String>,
    /// What clocks show beyond the readings that were kept.
    stopped_at: Stopped,
    monotonic: Readings,
    unix: Readings,
    /// WASI counts from another moment.
    wasi: Readings,
    /// WASI's wall clock, in microseconds.
    wasi_wall: Readings,
    stored: Calls,
    teller: Teller,
    /// Whether the policy's log lines are kept in `lines`.
    keeps_lines: bool,
    lines: Vec<LogLine>,
    /// Whether the policy's log lines are dropped.
    is_silent: bool,
    /// When the call began, if that is to be recorded: in nanoseconds of the monotonic clock and
    /// milliseconds since 1970.
    began: Option<(u64, u64)>,
}

/// The source of the store's answers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Teller {
    /// The store; its answers are kept.
    #[default]
    Store,
    /// The kept answers, for a shadow: nothing is stored.
    Kept,
    /// The recorded answers; for other calls a separate store.
    Record,
}

/// The clocks of the host.
#[derive(Debug, Clone, Copy)]
pub(super) enum Clock {
    /// `clock.monotonic-nanoseconds`
    Monotonic,
    /// `clock.unix-milliseconds`
    Unix,
    /// `wasi:clocks/monotonic-clock`
    Wasi,
    /// `wasi:clocks/wall-clock`
    WasiWall,
}

#[derive(Debug, Default, Clone, Copy)]
struct Stopped {
    monotonic: Option<u64>,
    unix: Option<u64>,
}

#[derive(Debug, Default)]
struct Readings {
    kept: Vec<u64>,
    /// How many were given out in this run.
    given: usize,
}

impl Tape {
    /// An empty one; the seed decides all draws.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            ..Self::default()
        }
    }

    /// A tape that follows the script.
    pub fn scripted(script: Script) -> Self {
        let Script {
            seed,
            draws,
            monotonic,
            unix,
        } = script;
        Self {
            seed,
            draws: draws.into(),
            stopped_at: Stopped { monotonic, unix },
            ..Self::default()
        }
    }

    /// An empty one whose call can be recorded.
    pub fn recording(seed: u64) -> Self {
        Self {
            began: Some((0, 0)),
            ..Self::new(seed)
        }
    }

    /// A tape that plays a recorded call back. Further draws continue from the seed, and further
    /// readings find the clocks stopped.
    pub fn recorded(record: &Recorded) -> Self {
        let Read {
            monotonic,
            unix,
            wasi_monotonic,
            wasi_wall,
        } = &record.readings;
        let latest = |first: u64, readings: &[&[u64]]| {
            readings
                .iter()
                .filter_map(|r| r.last())
                .fold(first, |a, b| a.max(*b))
        };
        Self {
            stopped_at: Stopped {
                monotonic: Some(latest(
                    record.monotonic_nanoseconds,
                    &[monotonic, wasi_monotonic],
                )),
                unix: Some(latest(record.unix_milliseconds, &[unix])),
            },
            monotonic: monotonic.as_slice().into(),
            unix: unix.as_slice().into(),
            wasi: wasi_monotonic.as_slice().into(),
            wasi_wall: wasi_wall.as_slice().into(),
            stored: Calls::recorded(record.store.clone()),
            teller: Teller::Record,
            ..Self::new(record.seed)
        }
    }

    /// The draws, readings and store answers of the call that used it.
    pub fn record(&self) -> Recorded {
        let (monotonic_nanoseconds, unix_milliseconds) = self.began.unwrap_or_default();
        Recorded {
            seed: self.seed,
            monotonic_nanoseconds,
            unix_milliseconds,
            readings: Read {
                monotonic: self.monotonic.kept.clone(),
                unix: self.unix.kept.clone(),
                wasi_monotonic: self.wasi.kept.clone(),
                wasi_wall: self.wasi_wall.kept.clone(),
            },
            store: self.stored.kept().to_vec(),
        }
    }

    /// The same, and keeps the policy's log lines.
    pub fn keeping_lines(mut self) -> Self {
        self.keeps_lines = true;
        self
    }

    /// The same, and drops the policy's log lines for as long as the instance lives.
    pub fn silent(mut self) -> Self {
        self.is_silent = true;
        self
    }

    /// The log lines of the call that used it, if they are kept: 256 at most.
    pub fn take_lines(&mut self) -> Vec<LogLine> {
        mem::take(&mut self.lines)
    }

    /// Draws of the script that were not used.
    pub fn draws_left(&self) -> usize {
        self.draws.len()
    }

    /// The fault of the script, if the policy asked for a draw that it can't give.
    pub fn complaint(&self) -> Option<&str> {
        self.complaint.as_deref()
    }

    /// For a shadow: repeats the kept answers, and nothing is stored.
    pub fn replay(mut self) -> Self {
        self.teller = Teller::Kept;
        self
    }

    /// A call begins, of an instance whose monotonic clock counts from `epoch` and that writes to
    /// these lines. Returns the generator that it draws from.
    pub(super) fn begin(&mut self, epoch: Instant, lines: &Mutex<Lines>) -> SmallRng {
        for readings in [
            &mut self.monotonic,
            &mut self.unix,
            &mut self.wasi,
            &mut self.wasi_wall,
        ] {
            readings.given = 0;
        }
        if let Some(began) = &mut self.began {
            let monotonic = epoch.elapsed().as_nanos();
            let unix = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_millis();
            *began = (
                u64::try_from(monotonic).unwrap_or(u64::MAX),
                u64::try_from(unix).unwrap_or(u64::MAX),
            );
        }
        if self.keeps_lines {
            lines.lock().unwrap_or_else(PoisonError::into_inner).keep();
        }
        if self.is_silent {
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.silence();
        }
        SmallRng::seed_from_u64(self.seed)
    }

    /// The call has ended.
    pub(super) fn end(&mut self, lines: &Mutex<Lines>) {
        if self.keeps_lines {
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            self.lines = lines.take_kept();
        }
    }

    /// The answer to a call of the store.
    pub(super) fn stored(&mut self, call: Call, store: &Store) -> Answer {
        match self.teller {
            Teller::Store => self.stored.run(call, store),
            Teller::Kept => self.stored.replay(&call, store),
            Teller::Record => self.stored.rehearse(call, store),
        }
    }

    /// The script's draw below `bound`; `None` if the generator draws.
    pub(super) fn draw_below(&mut self, bound: u32) -> Option<u32> {
        let draw = self.draws.pop_front()?;
        match u32::try_from(draw) {
            Ok(draw) if draw < bound || (draw, bound) == (0, 0) => Some(draw),
            _ => {
                let sentence = || {
                    format!(
                        "the listed draw {draw} is not below {bound}, which the policy asked for"
                    )
                };
                self.complaint.get_or_insert_with(sentence);
                None
            }
        }
    }

    /// The same for 64 bits.
    pub(super) fn draw_bits(&mut self) -> Option<u64> {
        self.draws.pop_front()
    }

    /// The result of reading this clock: the next on the tape, or `now`, which is kept.
    pub(super) fn read(&mut self, clock: Clock, now: u64) -> u64 {
        let stopped_at = match clock {
            Clock::Monotonic | Clock::Wasi => self.stopped_at.monotonic,
            Clock::Unix => self.stopped_at.unix,
            Clock::WasiWall => self
                .stopped_at
                .unix
                .map(|milliseconds| milliseconds.saturating_mul(1_000)),
        };
        let now = stopped_at.unwrap_or(now);
        let readings = match clock {
            Clock::Monotonic => &mut self.monotonic,
            Clock::Unix => &mut self.unix,
            Clock::Wasi => &mut self.wasi,
            Clock::WasiWall => &mut self.wasi_wall,
        };
        let reading = match readings.kept.get(readings.given) {
            Some(kept) => *kept,
            None if readings.kept.len() < READINGS => {
                readings.kept.push(now);
                now
            }
            None => now,
        };
        readings.given += 1;
        reading
    }
}

impl From<&[u64]> for Readings {
    fn from(kept: &[u64]) -> Self {
        Self {
            kept: kept.to_vec(),
            given: 0,
        }
    }
}

#[cfg(test)]
mod tests;
