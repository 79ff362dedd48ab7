//! Texts that were cut, doubled, flipped and filled with extremes: the same in every run.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Numbers at which something overflows, underflows or is out of range.
const NUMBERS: [&str; 20] = [
    "0",
    "-1",
    "1",
    "255",
    "65535",
    "65536",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "-1e308",
    "1e999",
    "0.1",
    "nan",
    "0x7fffffffffffffff",
    "1000000000",
];

/// Strings where other values are expected.
const STRINGS: [&str; 24] = [
    "",
    " ",
    "\\u0000",
    "\\n",
    "\\u001b[2J",
    "\u{0}",
    "\u{1f980}\u{e4}",
    "18446744073709551615",
    "0xffffffffffffffff",
    "99999999999999999999y",
    "18446744073709551615s",
    "584942417355y",
    "1ns",
    "-1s",
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:60Z",
    "::/0",
    "0.0.0.0/0",
    "10.0.0.0/33",
    "[::1]:0",
    "GET  http://?",
    "bytes=18446744073709551615-18446744073709551616",
    "a=b",
    "none",
];

/// A long string.
const LONG: usize = 70_000;

/// SplitMix64.
pub(super) struct Dice(pub u64);

impl Dice {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound.max(1) as u64) as usize
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// The same text with a mutation. Foreign pieces come from `donor`.
pub(super) fn mutated(text: &[u8], donor: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = text.to_vec();
    // Mostly one, because two rarely leave anything that is read to its end.
    for _ in 0..=dice.below(5) / 3 {
        mutate(&mut bytes, donor, dice);
    }
    bytes
}

fn mutate(bytes: &mut Vec<u8>, donor: &[u8], dice: &mut Dice) {
    let at = dice.below(bytes.len());
    match dice.below(16) {
        0 if !bytes.is_empty() => bytes[at] ^= 1 << dice.below(8),
        1 if !bytes.is_empty() => bytes[at] = *dice.one(b"\0\n\"'[]{}=.,:#\\-9\xff"),
        2 if dice.below(4) == 0 => bytes.truncate(at),
        2 | 3 => lines(bytes, dice, |lines, at, _| _ = lines.remove(at)),
        4 => lines(bytes, dice, |lines, at, _| {
            lines.insert(at, lines[at].clone())
        }),
        5 => lines(bytes, dice, |lines, at, other| lines.swap(at, other)),
        6 => {
            let donors: Vec<&[u8]> = donor.split_inclusive(|b| *b == b'\n').collect();
            let line = donors
                .get(dice.below(donors.len()))
                .map(|line| line.to_vec())
                .unwrap_or_default();
            lines(bytes, dice, |lines, at, _| lines.insert(at, line));
        }
        7..=10 => replace(bytes, &numbers(bytes), dice.one(&NUMBERS).as_bytes(), dice),
        11..=13 => {
            let string = match dice.below(STRINGS.len() + 1) {
                0 => "x".repeat(LONG),
                n => STRINGS[n - 1].to_owned(),
            };
            replace(bytes, &strings(bytes), string.as_bytes(), dice);
        }
        14 => {
            // A number for a string, a string for a list, and so on.
            let value = *dice.one(&[
                "[]",
                "{}",
                "\"\"",
                "0",
                "true",
                "false",
                "null",
                "[[]]",
                "[0]",
                "{\"hex\":\"f\"}",
            ]);
            let mut places = strings(bytes);
            places.iter_mut().for_each(|place| {
                *place = place.start.saturating_sub(1)..(place.end + 1).min(bytes.len())
            });
            places.extend(numbers(bytes));
            replace(bytes, &places, value.as_bytes(), dice);
        }
        _ => {
            let depth = *dice.one(&[1, 100, 3_000]);
            let nested = match dice.below(4) {
                0 => format!("{}1{}", "[".repeat(depth), "]".repeat(depth)),
                1 => "[".repeat(depth),
                2 => format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth)),
                _ => format!("{}1{}", "{a=".repeat(depth), "}".repeat(depth)),
            };
            replace(bytes, &numbers(bytes), nested.as_bytes(), dice);
        }
    }
}

fn lines(
    bytes: &mut Vec<u8>,
    dice: &mut Dice,
    change: impl FnOnce(&mut Vec<Vec<u8>>, usize, usize),
) {
    let mut lines: Vec<Vec<u8>> = bytes
        .split_inclusive(|b| *b == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    if !lines.is_empty() {
        let (at, other) = (dice.below(lines.len()), dice.below(lines.len()));
        change(&mut lines, at, other);
    }
    *bytes = lines.concat();
}

fn replace(bytes: &mut Vec<u8>, places: &[Range<usize>], by: &[u8], dice: &mut Dice) {
    if !places.is_empty() {
        bytes.splice(dice.one(places).clone(), by.iter().copied());
    }
}

/// Where numbers stand.
fn numbers(bytes: &[u8]) -> Vec<Range<usize>> {
    runs(bytes, |b| b.is_ascii_digit() || matches!(b, b'_' | b'.'))
        .into_iter()
        .filter(|run| bytes[run.start].is_ascii_digit())
        .collect()
}

/// What stands between two quotes, whichever they are: keys as well.
fn strings(bytes: &[u8]) -> Vec<Range<usize>> {
    let quotes: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] == b'"').collect();
    quotes
        .windows(2)
        .map(|pair| pair[0] + 1..pair[1])
        .filter(|range| range.len() < 200)
        .collect()
}

fn runs(bytes: &[u8], is: impl Fn(u8) -> bool) -> Vec<Range<usize>> {
    let (mut runs, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let length = bytes[at..].iter().take_while(|b| is(**b)).count();
        if length > 0 {
            runs.push(at..at + length);
        }
        at += length.max(1);
    }
    runs
}

/// A message for a person: a few sentences, without characters that control a terminal.
#[track_caller]
pub(super) fn assert_readable(told: &str) {
    let longest = told
        .lines()
        .max_by_key(|line| line.len())
        .unwrap_or_default();
    assert!(
        !told.trim().is_empty() && told.len() < 100_000 && longest.len() < 2_500,
        "{} bytes",
        told.len()
    );
    assert_plain(told);
}

/// Nothing that a terminal would obey, and no word of a panic.
#[track_caller]
pub(super) fn assert_plain(told: &str) {
    let bad = told
        .lines()
        .find(|line| line.chars().any(char::is_control) || line.contains("panicked"));
    assert_eq!(bad, None);
}

/// Does it, and names the case if it panics.
pub(super) fn survive<T>(case: usize, input: &[u8], act: impl FnOnce() -> T) -> T {
    let done = catch_unwind(AssertUnwindSafe(act));
    done.unwrap_or_else(|_| {
        let shown = String::from_utf8_lossy(&input[..input.len().min(8_000)]);
        panic!("case {case}, {} bytes: {shown}", input.len())
    })
}
