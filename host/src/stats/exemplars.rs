//! Which traced request was the last one of a duration.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

/// A slot for each power of two of microseconds, up to 67 s and for all above.
const SLOTS: usize = 28;
/// How often a reader looks at a slot that is being written.
const LOOKS: usize = 8;

/// The last traced request of each range of durations. One thread writes, any may read.
#[derive(Debug, Default)]
pub struct Exemplars([Slot; SLOTS]);

/// A traced request; the greatest is the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exemplar {
    /// When it had ended, in nanoseconds since 1970.
    pub ended_unix: u64,
    /// The trace that it belongs to.
    pub trace: u128,
    /// How long it took.
    pub microseconds: u64,
}

/// Numbers that belong together: the turn is odd while they are written, and another one after
/// that.
#[derive(Debug, Default)]
struct Slot {
    turn: AtomicU64,
    trace: [AtomicU64; 2],
    microseconds: AtomicU64,
    ended_unix: AtomicU64,
}

impl Exemplars {
    /// In place of an earlier one of about this duration.
    pub fn note(&self, exemplar: Exemplar) {
        let bits = (u64::BITS - exemplar.microseconds.leading_zeros()) as usize;
        self.0[bits.min(SLOTS - 1)].write(exemplar);
    }

    /// Of the durations with the same number of bits, from 0 on; the last are all above.
    pub fn by_bits(&self) -> impl Iterator<Item = Option<Exemplar>> {
        self.0.iter().map(Slot::read)
    }
}

impl Slot {
    fn write(&self, exemplar: Exemplar) {
        let turn = self.turn.load(Relaxed);
        self.turn.store(turn.wrapping_add(1), Relaxed);
        fence(Release);
        self.trace[0].store((exemplar.trace >> 64) as u64, Relaxed);
        self.trace[1].store(exemplar.trace as u64, Relaxed);
        self.microseconds.store(exemplar.microseconds, Relaxed);
        self.ended_unix.store(exemplar.ended_unix, Relaxed);
        self.turn.store(turn.wrapping_add(2), Release);
    }

    /// `None` if there was none, or if it is written all the time.
    fn read(&self) -> Option<Exemplar> {
        for _ in 0..LOOKS {
            let turn = self.turn.load(Acquire);
            let part = |n: usize| u128::from(self.trace[n].load(Relaxed));
            let exemplar = Exemplar {
                trace: part(0) << 64 | part(1),
                microseconds: self.microseconds.load(Relaxed),
                ended_unix: self.ended_unix.load(Relaxed),
            };
            fence(Acquire);
            if turn.is_multiple_of(2) && self.turn.load(Relaxed) == turn {
                return (turn > 0).then_some(exemplar);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exemplar(microseconds: u64) -> Exemplar {
        Exemplar {
            trace: u128::from(microseconds) << 64 | 7,
            microseconds,
            ended_unix: 3,
        }
    }

    #[test]
    fn each_range_of_durations_has_its_last_request() {
        let all = Exemplars::default();
        assert!(all.by_bits().all(|slot| slot.is_none()));
        for microseconds in [0, 64, 100, 127, 128, u64::MAX] {
            all.note(exemplar(microseconds));
        }
        let found: Vec<_> = all.by_bits().map(|e| e.map(|e| e.microseconds)).collect();
        assert_eq!(found[0], Some(0));
        assert_eq!((found[6], found[7], found[8]), (None, Some(127), Some(128)));
        assert_eq!(found[SLOTS - 1], Some(u64::MAX));
    }

    #[test]
    fn no_reader_sees_two_halves() {
        let all = Exemplars::default();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let read = || all.by_bits().flatten().collect::<Vec<_>>();
                (0..20_000)
                    .flat_map(|_| read())
                    .all(|e| e == exemplar(e.microseconds))
            });
            for n in 0..200_000 {
                all.note(exemplar(1_024 + n % 512));
            }
            assert!(reader.join().is_ok_and(|whole| whole));
        });
    }
}
