//! The same randomness and the same time for two generations that are asked the same question.
//!
//! All of both reaches a guest through the host, and so does the store. For a comparison the generator of both instances starts a call from
//! one seed, and what the first reads of the clocks and what its calls of the store are told is given to the second as well: if they still differ, they decide
//! differently.

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::state::State;
use super::store::{Answer, Call, Calls, Store};

/// Readings of one clock that are kept in one call; a guest that reads on and on gets the real time after that.
const READINGS: usize = 256;

/// What the calls of a comparison share.
#[derive(Debug, Default)]
pub struct Tape {
    seed: u64,
    monotonic: Readings,
    unix: Readings,
    /// WASI counts from another moment.
    wasi: Readings,
    /// WASI tells the time in microseconds.
    wasi_wall: Readings,
    stored: Calls,
    /// Whoever has the tape now is a shadow.
    replays: bool,
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

#[derive(Debug, Default)]
struct Readings {
    kept: Vec<u64>,
    /// How many were given out in this run.
    given: usize,
}

impl Tape {
    /// An empty one; the seed decides all draws.
    pub fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// For a shadow: what was kept is told again, and nothing is stored.
    pub fn replay(mut self) -> Self {
        self.replays = true;
        self
    }

    /// Puts the tape into an instance that is about to be asked.
    pub(super) fn insert(mut self: Box<Self>, state: &mut State) {
        for readings in [&mut self.monotonic, &mut self.unix, &mut self.wasi, &mut self.wasi_wall] {
            readings.given = 0;
        }
        state.rng = SmallRng::seed_from_u64(self.seed);
        state.tape = Some(self);
    }

    /// What a call of the store gives.
    pub(super) fn stored(&mut self, call: Call, store: &Store) -> Answer {
        if self.replays { self.stored.replay(&call, store) } else { self.stored.run(call, store) }
    }

    /// What a reading of this clock gives: the next on the tape, or `now`, which is kept.
    pub(super) fn read(&mut self, clock: Clock, now: u64) -> u64 {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_run_reads_what_the_first_did_and_then_goes_on() {
        let mut tape = Tape::new(1);
        assert_eq!([tape.read(Clock::Unix, 5), tape.read(Clock::Unix, 6), tape.read(Clock::Wasi, 9)], [5, 6, 9]);
        tape.unix.given = 0;
        assert_eq!([tape.read(Clock::Unix, 7), tape.read(Clock::Unix, 8), tape.read(Clock::Unix, 9)], [5, 6, 9]);
    }

    #[test]
    fn a_guest_that_reads_on_and_on_costs_no_memory() {
        let mut tape = Tape::new(1);
        (0..100_000).for_each(|n| assert_eq!(tape.read(Clock::Monotonic, n), n));
        assert_eq!(tape.monotonic.kept.len(), READINGS);
    }
}
