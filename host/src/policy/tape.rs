//! Randomness and time from elsewhere: the same for two generations that are asked the same question, or those that a test or a recording says.
//!
//! All of both reaches a guest through the host, and so does the store. For a comparison the generator of both instances starts a call from
//! one seed, and what the first reads of the clocks and what its calls of the store are told is given to the second as well: if they still differ, they decide
//! differently.

use std::collections::VecDeque;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::state::State;
use super::store::{Answer, Call, Calls, Store};

/// Readings of one clock that are kept in one call; a guest that reads on and on gets the real time after that.
const READINGS: usize = 256;

/// What a policy draws and reads when somebody says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script {
    /// Decides all draws after those that are listed.
    pub seed: u64,
    /// What `random.below` and `random.bits` give, one after the other. WASI's randomness comes from the seed.
    pub draws: Vec<u64>,
    /// What the monotonic clocks show throughout the call, in nanoseconds; the real time if `None`.
    pub monotonic: Option<u64>,
    /// What the clocks on the wall show throughout the call, in milliseconds since 1970; the real time if `None`.
    pub unix: Option<u64>,
}

/// What the calls of a comparison share.
#[derive(Debug, Default)]
pub struct Tape {
    seed: u64,
    /// What is drawn before the generator is asked.
    draws: VecDeque<u64>,
    /// The first draw that could not be given as it was listed.
    complaint: Option<String>,
    /// What clocks show beyond the readings that were kept.
    stopped_at: Stopped,
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
        Self { seed, ..Self::default() }
    }

    /// One that gives what the script says.
    pub fn scripted(script: Script) -> Self {
        let Script { seed, draws, monotonic, unix } = script;
        Self { seed, draws: draws.into(), stopped_at: Stopped { monotonic, unix }, ..Self::default() }
    }

    /// Draws of the script that nobody has asked for.
    pub fn draws_left(&self) -> usize {
        self.draws.len()
    }

    /// What is wrong with the script, if the policy asked for something else than it gives.
    pub fn complaint(&self) -> Option<&str> {
        self.complaint.as_deref()
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

    /// What the script says for a draw below `bound`; `None` if the generator is to be asked.
    pub(super) fn draw_below(&mut self, bound: u32) -> Option<u32> {
        let draw = self.draws.pop_front()?;
        match u32::try_from(draw) {
            Ok(draw) if draw < bound || (draw, bound) == (0, 0) => Some(draw),
            _ => {
                let sentence = || format!("the listed draw {draw} is not below {bound}, which the policy asked for");
                self.complaint.get_or_insert_with(sentence);
                None
            }
        }
    }

    /// The same for 64 bits.
    pub(super) fn draw_bits(&mut self) -> Option<u64> {
        self.draws.pop_front()
    }

    /// What a reading of this clock gives: the next on the tape, or `now`, which is kept.
    pub(super) fn read(&mut self, clock: Clock, now: u64) -> u64 {
        let stopped_at = match clock {
            Clock::Monotonic | Clock::Wasi => self.stopped_at.monotonic,
            Clock::Unix => self.stopped_at.unix,
            Clock::WasiWall => self.stopped_at.unix.map(|milliseconds| milliseconds.saturating_mul(1_000)),
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
    fn a_script_gives_its_draws_and_stops_the_clocks() {
        let mut tape = Tape::scripted(Script { draws: vec![2, 7, 9, 5], unix: Some(3), ..Script::default() });
        assert_eq!((tape.draw_below(3), tape.draw_bits()), (Some(2), Some(7)));
        assert_eq!((tape.complaint(), tape.draws_left()), (None, 2));
        assert_eq!(tape.draw_below(9), None, "9 is not below 9");
        assert!(tape.complaint().unwrap().contains("draw 9 is not below 9"));
        assert_eq!((tape.draw_below(6), tape.draw_below(6)), (Some(5), None));
        let read = [Clock::Unix, Clock::WasiWall, Clock::Monotonic].map(|clock| tape.read(clock, 1_000_000));
        assert_eq!(read, [3, 3_000, 1_000_000]);
    }

    #[test]
    fn a_guest_that_reads_on_and_on_costs_no_memory() {
        let mut tape = Tape::new(1);
        (0..100_000).for_each(|n| assert_eq!(tape.read(Clock::Monotonic, n), n));
        assert_eq!(tape.monotonic.kept.len(), READINGS);
    }
}
