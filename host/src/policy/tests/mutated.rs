//! Components that were cut, flipped and spliced: any bytes give an answer or an error, and nothing
//! else. The cases are the same in every run; `fuzz/` looks further, without a limit of time.

use super::*;
use crate::message::Fields;

/// The seed of everything here.
const SEED: u64 = 0x005e_ed0f_3a5e;
/// Cases from each base: small ones are quick to judge, and most of what is special about a
/// component is in them.
const CASES_OF_SMALL: usize = 1_500;
const CASES_OF_LARGE: usize = 40;
const SMALL: usize = 4 * 1024;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound.max(1) as u64) as usize
    }

    fn range(&mut self, length: usize, most: usize) -> std::ops::Range<usize> {
        let start = self.below(length);
        start..(start + 1 + self.below(most)).min(length)
    }
}

/// One thing done to the bytes.
fn mutate(bytes: &mut Vec<u8>, donor: &[u8], dice: &mut Dice) {
    // The first eight bytes only say what the rest is.
    let at = 8 + dice.below(bytes.len().saturating_sub(8));
    match dice.below(8) {
        0..=2 => bytes[at] ^= 1 << dice.below(8),
        3 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][dice.below(5)],
        4 => bytes.truncate(at),
        5 => {
            let hole = dice.range(bytes.len(), 16);
            bytes.drain(hole);
        }
        6 => {
            let piece = donor[dice.range(donor.len(), 64)].to_vec();
            bytes.splice(at..at, piece);
        }
        _ => {
            let piece = donor[dice.range(donor.len(), 64)].to_vec();
            let end = (at + piece.len()).min(bytes.len());
            bytes.splice(at..end, piece);
        }
    }
    if bytes.len() < 9 {
        bytes.resize(9, 0);
    }
}

/// What became of the cases.
#[derive(Debug, Default)]
struct Tally {
    refused: usize,
    loaded: usize,
    answers: usize,
    faults: usize,
}

impl Tally {
    /// Loads the component and asks each of its hooks once.
    fn judge(&mut self, test: &TestEngine, bytes: &[u8]) {
        let generation = match test.load(&impatient(spec(bytes))) {
            Ok(generation) => generation,
            Err(refusal) => {
                let reason = refusal.to_string();
                assert!(
                    !reason.contains('\n') && !reason.contains("panicked"),
                    "{reason}"
                );
                self.refused += 1;
                return;
            }
        };
        self.loaded += 1;
        let mut handle = test.adopt(generation);
        let (mut head, mut fields) = (request(&[("range", "bytes=0-1")]), Fields::new());
        let outcomes = [
            handle.check_range(&mut head, 0).map(|_| ()),
            handle.edit_request(&mut head, 0).map(|_| ()),
            handle.select(&mut head, 0, first_attempt()).map(|chosen| {
                assert!(
                    !matches!(chosen, Selected::Backend(index) if index >= 3),
                    "{chosen:?} of three"
                );
            }),
            handle
                .edit_response(&mut head, 0, 200, 0, &mut fields)
                .map(|_| ()),
        ];
        self.answers += outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        self.faults += outcomes.iter().filter(|outcome| outcome.is_err()).count();
    }
}

/// One whose code has much that can go wrong: memory, division, a table, a loop that ends.
fn busy_guest() -> Vec<u8> {
    let core = r#"
        (table $table 3 funcref)
        (elem (i32.const 0) $third $halve $third)
        (type $number (func (param i32) (result i32)))
        (func $halve (param i32) (result i32) (i32.div_s (local.get 0) (i32.const 2)))
        (func $third (param i32) (result i32) (i32.div_u (local.get 0) (i32.const 3)))
        (func $work (local $left i32) (local $sum i32)
            (local.set $left (i32.const 100))
            (loop $more
                (local.set $sum (i32.add (local.get $sum) (i32.load (i32.shl (local.get $left) (i32.const 4)))))
                (i32.store offset=4096 (i32.shl (local.get $left) (i32.const 2)) (local.get $sum))
                (drop (call_indirect (type $number) (local.get $left) (i32.rem_u (local.get $left) (i32.const 3))))
                (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                (br_if $more (local.get $left))))"#;
    editing_guest("", "", core, "(call $work)")
}

#[test]
fn a_mutated_component_is_refused_or_answers_or_fails() {
    let bases: Vec<Vec<u8>> = vec![
        editing_guest("", "", "", ""),
        busy_guest(),
        include_bytes!("../../../../tests/guests/other-import-version/other-import-version.wasm")
            .to_vec(),
        builtin("random").unwrap().to_vec(),
        builtin("range").unwrap().to_vec(),
        include_bytes!("../../../../tests/guests/pick-first/pick-first.wasm").to_vec(),
        include_bytes!("../../../../tests/guests/outward/outward.wasm").to_vec(),
    ];
    let test = TestEngine::with_room_for(8);
    let (mut tally, mut dice) = (Tally::default(), Dice(SEED));
    for (nth, base) in bases.iter().enumerate() {
        let cases = if base.len() < SMALL {
            CASES_OF_SMALL
        } else {
            CASES_OF_LARGE
        };
        for _ in 0..cases {
            let mut bytes = base.clone();
            let donor = &bases[(nth + dice.below(2)) % bases.len()];
            // Mostly one, because two rarely leave anything that loads.
            for _ in 0..=dice.below(5) / 3 {
                mutate(&mut bytes, donor, &mut dice);
            }
            tally.judge(&test, &bytes);
        }
    }
    // Else the mutations have become so coarse, or so fine, that they prove nothing.
    assert!(
        tally.refused > 1_000 && tally.loaded > 50 && tally.answers > 50 && tally.faults > 0,
        "{tally:?}"
    );
    // The loaded components are gone, and so is their memory; the engine works as before.
    assert_eq!(test.shard().memory.value(), 0, "{tally:?}");
    assert!(test.load(&spec(builtin("random").unwrap())).is_ok());
}

#[test]
fn a_component_that_ends_early_is_refused_at_every_length() {
    let test = TestEngine::new();
    for whole in [
        editing_guest("", "", "", ""),
        builtin("random").unwrap().to_vec(),
    ] {
        let step = whole.len().div_ceil(1_000);
        for length in (0..whole.len()).step_by(step) {
            // What follows the last export are sections of names, whose id is 0, and nothing is
            // lost without them.
            let whole_but_for_names = whole[length] == 0;
            let loaded = test.load(&spec(&whole[..length])).is_ok();
            assert!(
                !loaded || whole_but_for_names,
                "the first {length} of {} bytes",
                whole.len()
            );
        }
        assert!(test.load(&spec(&whole)).is_ok());
    }
}
