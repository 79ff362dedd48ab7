//! Byte ranges as text, to byte ranges as numbers (RFC 9110 sections 14.1.1, 14.1.2 and 14.2).

use std::cmp::Ordering;

/// A position beyond 64 bits is the last one there is; no final bytes at all is well-formed, and
/// can't be satisfied.
pub use waypost_policy::ByteRange;

/// As many ranges as the contract lets through; a request with more is taken for an attack.
pub const MAX_RANGES: usize = 64;

/// Up to so many ranges may come in any order; more must ascend (RFC 9110 section 14.2 on many
/// small ranges).
pub const MAX_UNORDERED: usize = 16;

/// At most so many ranges of a set may overlap another one of it (RFC 9110 section 14.2).
pub const MAX_OVERLAPPING: usize = 2;

/// What a text says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// These ranges, at least one, in the order asked for.
    Ranges(Vec<ByteRange>),
    /// Well-formed, but one of the patterns that RFC 9110 section 14.2 allows to ignore.
    Excessive,
    /// A range in another unit than bytes.
    OtherUnit,
    /// Against the grammar.
    Malformed,
}

/// The value of a `Range` field.
pub fn field(value: &[u8]) -> Parsed {
    let Some(equals) = value.iter().position(|&byte| byte == b'=') else {
        return Parsed::Malformed;
    };
    let (unit, set) = (&value[..equals], &value[equals + 1..]);
    if unit.eq_ignore_ascii_case(b"bytes") {
        range_set(set)
    } else if !unit.is_empty() && unit.iter().all(|&byte| is_token_byte(byte)) {
        Parsed::OtherUnit
    } else {
        Parsed::Malformed
    }
}

/// Byte ranges without a unit: what follows `bytes=`.
pub fn range_set(set: &[u8]) -> Parsed {
    let mut ranges = Vec::new();
    let mut excessive = false;
    let last = set.iter().filter(|&&byte| byte == b',').count();
    for (at, element) in set.split(|&byte| byte == b',').enumerate() {
        let spec = trim(element);
        // White space belongs to the commas, and empty elements are to be skipped (RFC 9110 section
        // 5.6.1).
        if spec.is_empty() {
            continue;
        }
        let stray = (at == 0 && element.first() != spec.first())
            || (at == last && element.last() != spec.last());
        let Some(range) = range_spec(spec).filter(|_| !stray) else {
            return Parsed::Malformed;
        };
        if ranges.len() < MAX_RANGES {
            ranges.push(range)
        } else {
            excessive = true
        }
    }
    match ranges.is_empty() {
        true => Parsed::Malformed,
        false if excessive || is_excessive(&ranges) => Parsed::Excessive,
        false => Parsed::Ranges(ranges),
    }
}

fn range_spec(spec: &[u8]) -> Option<ByteRange> {
    let dash = spec.iter().position(|&byte| byte == b'-')?;
    let (first, last) = (&spec[..dash], &spec[dash + 1..]);
    if !first.iter().chain(last).all(u8::is_ascii_digit) {
        return None;
    }
    match (first.is_empty(), last.is_empty()) {
        (true, true) => None,
        (true, false) => Some(ByteRange::Final(number(last))),
        (false, true) => Some(ByteRange::From(number(first))),
        // Compared as text, because two numbers that don't fit would both be the greatest one.
        (false, false) if order(first, last) == Ordering::Greater => None,
        (false, false) => Some(ByteRange::Between(number(first), number(last))),
    }
}

fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0_u64, |value, digit| {
        value
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    })
}

fn order(left: &[u8], right: &[u8]) -> Ordering {
    let significant = |digits: &[u8]| {
        digits
            .iter()
            .position(|&digit| digit != b'0')
            .unwrap_or(digits.len())
    };
    let (left, right) = (&left[significant(left)..], &right[significant(right)..]);
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

fn is_excessive(ranges: &[ByteRange]) -> bool {
    let spans: Vec<(u64, u64)> = ranges.iter().filter_map(|range| span(*range)).collect();
    let ascending = spans.windows(2).all(|pair| pair[0].0 <= pair[1].0);
    (ranges.len() > MAX_UNORDERED && !ascending) || overlapping(spans) > MAX_OVERLAPPING
}

/// The positions of a range in a file of the greatest length, since the real one is not known yet.
fn span(range: ByteRange) -> Option<(u64, u64)> {
    match range {
        ByteRange::Between(first, last) => Some((first, last)),
        ByteRange::From(first) => Some((first, u64::MAX)),
        ByteRange::Final(0) => None,
        ByteRange::Final(length) => Some((u64::MAX - (length - 1), u64::MAX)),
    }
}

fn overlapping(mut spans: Vec<(u64, u64)>) -> usize {
    spans.sort_unstable();
    let mut count = 0;
    let mut reach: Option<u64> = None;
    let mut alone = true;
    for (first, last) in spans {
        let overlaps = reach.is_some_and(|reach| first <= reach);
        if overlaps {
            // The one that reached here overlaps too; it is counted when it is first met.
            count += if alone { 2 } else { 1 };
        }
        alone = !overlaps;
        reach = Some(reach.map_or(last, |reach| reach.max(last)));
    }
    count
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ByteRange::*, *};

    fn ranges(text: &str) -> Vec<ByteRange> {
        match field(text.as_bytes()) {
            Parsed::Ranges(ranges) => ranges,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn the_three_forms() {
        assert_eq!(ranges("bytes=0-499"), [Between(0, 499)]);
        assert_eq!(ranges("bytes=500-"), [From(500)]);
        assert_eq!(ranges("bytes=-500"), [Final(500)]);
        assert_eq!(ranges("bytes=0-0,-1"), [Between(0, 0), Final(1)]);
        assert_eq!(
            ranges("bytes=500-700,601-999"),
            [Between(500, 700), Between(601, 999)]
        );
        assert_eq!(ranges("BYTES=007-7"), [Between(7, 7)]);
    }

    #[test]
    fn lists_may_have_white_space_at_commas_and_empty_elements() {
        assert_eq!(
            ranges("bytes=0-1 , 3-4\t,\t6-7"),
            [Between(0, 1), Between(3, 4), Between(6, 7)]
        );
        assert_eq!(ranges("bytes=,0-1,, ,3-4,"), [Between(0, 1), Between(3, 4)]);
        assert_eq!(ranges("bytes= ,0-1, "), [Between(0, 1)]);
    }

    #[test]
    fn an_empty_suffix_is_well_formed() {
        assert_eq!(ranges("bytes=-0"), [Final(0)]);
        assert_eq!(ranges("bytes=-0,-0,-0,-0"), [Final(0); 4]);
    }

    #[test]
    fn huge_numbers_are_the_greatest() {
        assert_eq!(
            ranges("bytes=0-99999999999999999999"),
            [Between(0, u64::MAX)]
        );
        assert_eq!(ranges("bytes=99999999999999999999-"), [From(u64::MAX)]);
        assert_eq!(ranges("bytes=-99999999999999999999"), [Final(u64::MAX)]);
        assert_eq!(
            ranges("bytes=18446744073709551615-18446744073709551616"),
            [Between(u64::MAX, u64::MAX)]
        );
        assert_eq!(
            field(b"bytes=99999999999999999999-99999999999999999998"),
            Parsed::Malformed
        );
        assert_eq!(
            ranges(&format!("bytes={}1-{}2", "0".repeat(300), "0".repeat(3))),
            [Between(1, 2)]
        );
    }

    #[test]
    fn one_bad_range_spoils_the_set() {
        for text in [
            "bytes=5-2",
            "bytes=0-1,5-2",
            "bytes=",
            "bytes=,",
            "bytes= ",
            "bytes=-",
            "bytes=a-b",
            "bytes=1",
            "bytes=1-2-3",
            "bytes=--1",
            "bytes=+1-2",
            "bytes=1 - 2",
            "bytes=0x1-2",
            "bytes=1.0-2",
            "bytes= 0-1",
            "bytes=0-1 ",
            "bytes =0-1",
            "bytes",
            "",
            "=",
            "=0-1",
            "by tes=0-1",
            "bytes=0-1;2-3",
            "bytes=0-1, bytes=2-3",
            "bytes==0-1",
            "bytes=\u{661}-2",
        ] {
            assert_eq!(field(text.as_bytes()), Parsed::Malformed, "{text:?}");
        }
    }

    #[test]
    fn another_unit_is_not_ours() {
        for text in [
            "items=0-5",
            "seconds=1-2",
            "none=",
            "bytes2=0-1",
            "x-pages=5-2",
        ] {
            assert_eq!(field(text.as_bytes()), Parsed::OtherUnit, "{text:?}");
        }
    }

    #[test]
    fn overlaps_are_bounded() {
        assert_eq!(ranges("bytes=0-9,5-14,20-29").len(), 3);
        for text in [
            "0-,0-,0-",
            "0-9,5-14,9-20",
            "5-,-5,-6",
            "0-9,0-9,20-29,20-29",
            "0-18446744073709551615,3-4,6-7",
            "1-1,1-1,1-1",
        ] {
            assert_eq!(range_set(text.as_bytes()), Parsed::Excessive, "{text:?}");
        }
    }

    #[test]
    fn numbers_of_ranges_are_bounded() {
        let set = |count: usize, step: fn(usize) -> usize| {
            let specs: Vec<String> = (0..count).map(|at| format!("{0}-{0}", step(at))).collect();
            range_set(specs.join(",").as_bytes())
        };
        assert!(matches!(set(64, |at| 2 * at), Parsed::Ranges(_)));
        assert_eq!(set(65, |at| 2 * at), Parsed::Excessive);
        assert!(matches!(set(16, |at| 200 - 2 * at), Parsed::Ranges(_)));
        assert_eq!(set(17, |at| 200 - 2 * at), Parsed::Excessive);
        assert_eq!(
            range_set(format!("{},5-2", "1-1,".repeat(1000)).as_bytes()),
            Parsed::Malformed
        );
    }

    fn any_range() -> impl Strategy<Value = ByteRange> {
        prop_oneof![
            (any::<u64>(), any::<u64>()).prop_map(|(a, b)| Between(a.min(b), a.max(b))),
            any::<u64>().prop_map(From),
            any::<u64>().prop_map(Final),
        ]
    }

    fn text(range: &ByteRange) -> String {
        match range {
            Between(first, last) => format!("{first}-{last}"),
            From(first) => format!("{first}-"),
            Final(length) => format!("-{length}"),
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(sent in prop::collection::vec(any_range(), 1..70)) {
            let written = sent.iter().map(text).collect::<Vec<_>>().join(", ");
            match range_set(written.as_bytes()) {
                Parsed::Ranges(read) => prop_assert_eq!(read, sent),
                other => prop_assert_eq!(other, Parsed::Excessive),
            }
        }

        #[test]
        fn one_range_is_never_excessive(sent in any_range()) {
            prop_assert_eq!(range_set(text(&sent).as_bytes()), Parsed::Ranges(vec![sent]));
        }

        #[test]
        fn any_bytes_give_an_answer_in_bounds(value in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Parsed::Ranges(ranges) = field(&value) {
                prop_assert!((1..=MAX_RANGES).contains(&ranges.len()));
            }
        }

        #[test]
        fn likely_bytes_give_ordered_ranges(value in "bytes=[0-9 ,\t-]{0,60}") {
            if let Parsed::Ranges(ranges) = field(value.as_bytes()) {
                for range in ranges {
                    if let Between(first, last) = range {
                        prop_assert!(first <= last);
                    }
                }
            }
        }

        #[test]
        fn overlaps_are_counted_as_pairs_tell(spans in prop::collection::vec((0_u64..60, 0_u64..8), 0..12)) {
            let spans: Vec<(u64, u64)> = spans.into_iter().map(|(first, more)| (first, first + more)).collect();
            let touches = |a: (u64, u64), b: (u64, u64)| a.0 <= b.1 && b.0 <= a.1;
            let expected = (0..spans.len())
                .filter(|&at| (0..spans.len()).any(|other| other != at && touches(spans[at], spans[other])))
                .count();
            prop_assert_eq!(overlapping(spans), expected);
        }
    }
}
