//! Which slices does a `Range` field ask for? (RFC 9110 section 14)

use std::ops::Range;

/// Each slice costs a part of a multipart answer; sensible clients don't request more.
const SLICES: usize = 16;

/// What of a representation is wanted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The whole content: the field is malformed, has another unit, or requests so many ranges that
    /// it may be ignored.
    Whole,
    /// These slices, each within the representation and not empty, in the order asked for; at least
    /// one.
    Slices(Vec<Range<u64>>),
    /// The field is well formed, but no part of it lies within the representation: 416.
    Nothing,
}

pub(super) fn parse(field: &str, length: u64) -> Wanted {
    let Some((unit, set)) = field.split_once('=') else {
        return Wanted::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::Whole;
    }
    let mut slices = Vec::new();
    let mut members = 0;
    for member in set
        .split(',')
        .map(|member| member.trim_matches([' ', '\t']))
    {
        // RFC 9110 section 5.6.1.2: a recipient ignores a reasonable number of empty list elements.
        if member.is_empty() && members <= SLICES {
            continue;
        }
        members += 1;
        match slice(member, length) {
            Some(slice) if members <= SLICES => slices.extend((!slice.is_empty()).then_some(slice)),
            _ => return Wanted::Whole,
        }
    }
    let total = slices.iter().fold(0_u64, |total, slice| {
        total.saturating_add(slice.end - slice.start)
    });
    match (members, slices.len()) {
        (0, _) => Wanted::Whole,
        (_, 0) => Wanted::Nothing,
        // Overlapping slices could make a small file into a large answer.
        (_, 2..) if total > length => Wanted::Whole,
        _ => Wanted::Slices(slices),
    }
}

/// One member of the set, empty where it lies outside; `None` where it is malformed.
fn slice(member: &str, length: u64) -> Option<Range<u64>> {
    let (first, last) = member.split_once('-')?;
    if first.is_empty() {
        return Some(length.saturating_sub(number(last)?)..length);
    }
    let first = number(first)?;
    let last = if last.is_empty() {
        u64::MAX
    } else {
        number(last)?
    };
    if last < first {
        return None;
    }
    Some(first.min(length)..last.saturating_add(1).min(length))
}

/// Digits only; a number beyond `u64` is far beyond any representation, so its exact value doesn't
/// matter.
fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(first: u64, end: u64) -> Wanted {
        Wanted::Slices(std::iter::once(first..end).collect())
    }

    #[test]
    fn single_ranges_are_cut_to_the_length() {
        assert_eq!(parse("bytes=0-0", 10), one(0, 1));
        assert_eq!(parse("bytes=2-5", 10), one(2, 6));
        assert_eq!(parse("Bytes = 2-", 10), one(2, 10));
        assert_eq!(parse("bytes=-3", 10), one(7, 10));
        assert_eq!(parse("bytes=-30", 10), one(0, 10));
        assert_eq!(parse("bytes=9-99999999999999999999999999", 10), one(9, 10));
    }

    #[test]
    fn what_lies_outside_is_not_satisfiable() {
        for field in [
            "bytes=10-",
            "bytes=10-12",
            "bytes=-0",
            "bytes=99999999999999999999999-",
            "bytes=10-,-0",
        ] {
            assert_eq!(parse(field, 10), Wanted::Nothing, "{field}");
        }
        assert_eq!(parse("bytes=0-", 0), Wanted::Nothing);
    }

    #[test]
    fn a_malformed_range_is_ignored() {
        let fields = [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=5-2",
            "bytes=a-b",
            "bytes=1",
            "bytes=0-1,x",
        ];
        for field in fields.into_iter().chain([
            "lines=0-1",
            "bytes=+1-2",
            "bytes=1 - 2",
            "bytes=--1",
            "bytes 0-1",
        ]) {
            assert_eq!(parse(field, 10), Wanted::Whole, "{field}");
        }
    }

    #[test]
    fn several_ranges_keep_their_order_and_drop_what_lies_outside() {
        assert_eq!(
            parse("bytes=8-9, 0-1,,20-30", 10),
            Wanted::Slices(vec![8..10, 0..2])
        );
    }

    #[test]
    fn too_many_or_too_much_is_answered_whole() {
        let many = format!("bytes={}", vec!["0-0"; SLICES + 1].join(","));
        assert_eq!(parse(&many, 1000), Wanted::Whole);
        assert_eq!(parse("bytes=0-9,0-9", 10), Wanted::Whole);
        assert_eq!(
            parse(&format!("bytes={}", ",".repeat(5000)), 10),
            Wanted::Whole
        );
    }
}
