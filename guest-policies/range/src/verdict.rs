//! What the field and the parameter say together.

use crate::{
    parse::{self, ByteRange, Parsed},
    query,
};

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Not about byte ranges.
    Untouched,
    /// Byte ranges were asked for in a way that is to be ignored.
    Ignored,
    /// These; at least one.
    Ranges(Vec<ByteRange>),
    /// Two places ask for different bytes; the sentence tells the client.
    Conflict(&'static str),
}

const FIELD_AND_PARAMETER: &str = "The Range field and the range parameter ask for different bytes. Send one of them, or the same in both.\n";
const PARAMETERS: &str =
    "The query has range parameters that ask for different bytes. Send one of them.\n";

/// `fields` are the values of all `Range` fields; `query` is the query without its `?`, if its
/// parameter counts.
pub fn decide(fields: &[Vec<u8>], query: Option<&str>) -> Verdict {
    let mut asked = None;
    let mut excessive = false;
    for parameter in query.map(query::byte_ranges).into_iter().flatten() {
        match (parameter, &asked) {
            (Parsed::Ranges(ranges), None) => asked = Some(ranges),
            (Parsed::Ranges(ranges), Some(earlier)) if ranges != *earlier => {
                return Verdict::Conflict(PARAMETERS);
            }
            (Parsed::Excessive, _) => excessive = true,
            _ => {}
        }
    }
    match (field(fields), asked) {
        (Some(Parsed::Ranges(ranges)), Some(parameter)) if ranges != parameter => {
            Verdict::Conflict(FIELD_AND_PARAMETER)
        }
        (Some(Parsed::Ranges(ranges)), _) => Verdict::Ranges(ranges),
        // What is to be ignored does not contradict: neither nonsense nor a unit that is not known
        // here, which the parameter's ranges replace (RFC 9110 section 14.2).
        (_, Some(parameter)) => Verdict::Ranges(parameter),
        (Some(Parsed::OtherUnit), None) => Verdict::Untouched,
        (Some(Parsed::Malformed | Parsed::Excessive), None) => Verdict::Ignored,
        (None, None) if excessive => Verdict::Ignored,
        (None, None) => Verdict::Untouched,
    }
}

fn field(fields: &[Vec<u8>]) -> Option<Parsed> {
    match fields {
        [] => None,
        [value] => Some(parse::field(value)),
        // The field is no list of its own (RFC 9110 section 5.3), so sending it twice is malformed,
        // unless it is none of our business each time.
        several
            if several
                .iter()
                .all(|value| parse::field(value) == Parsed::OtherUnit) =>
        {
            Some(Parsed::OtherUnit)
        }
        _ => Some(Parsed::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::ByteRange::*;

    fn verdict(fields: &[&str], query: &str) -> Verdict {
        let fields: Vec<Vec<u8>> = fields
            .iter()
            .map(|value| value.as_bytes().to_vec())
            .collect();
        decide(&fields, Some(query))
    }

    #[test]
    fn one_place_is_enough() {
        assert_eq!(
            verdict(&["bytes=0-9"], ""),
            Verdict::Ranges(vec![Between(0, 9)])
        );
        assert_eq!(
            verdict(&[], "range=0-9"),
            Verdict::Ranges(vec![Between(0, 9)])
        );
        assert_eq!(decide(&[], None), Verdict::Untouched);
        assert_eq!(verdict(&[], "a=b"), Verdict::Untouched);
    }

    #[test]
    fn the_same_twice_is_fine_however_it_is_written() {
        assert_eq!(
            verdict(&["Bytes=00-9"], "range=0-9&x&range=bytes%3D0-09"),
            Verdict::Ranges(vec![Between(0, 9)])
        );
    }

    #[test]
    fn differences_are_conflicts() {
        assert_eq!(
            verdict(&["bytes=0-9"], "range=0-8"),
            Verdict::Conflict(FIELD_AND_PARAMETER)
        );
        assert_eq!(
            verdict(&["bytes=0-9"], "range=0-9,20-29"),
            Verdict::Conflict(FIELD_AND_PARAMETER)
        );
        assert_eq!(
            verdict(&[], "range=0-9&range=0-8"),
            Verdict::Conflict(PARAMETERS)
        );
    }

    #[test]
    fn a_malformed_field_is_as_good_as_none() {
        assert_eq!(verdict(&["bytes=5-2"], ""), Verdict::Ignored);
        assert_eq!(verdict(&["rubbish"], "range=7d"), Verdict::Ignored);
        assert_eq!(
            verdict(&["bytes=5-2"], "range=0-9"),
            Verdict::Ranges(vec![Between(0, 9)])
        );
        assert_eq!(
            verdict(&["bytes=0-,0-,0-"], "range=0-9"),
            Verdict::Ranges(vec![Between(0, 9)])
        );
    }

    #[test]
    fn a_unit_that_is_not_known_does_not_contradict() {
        for fields in [
            &["items=0-9"][..],
            &["seconds=1-2"],
            &["none="],
            &["items=0-1", "items=2-3"],
        ] {
            assert_eq!(
                verdict(fields, "range=0-9"),
                Verdict::Ranges(vec![Between(0, 9)]),
                "{fields:?}"
            );
        }
        assert_eq!(
            verdict(&["items=0-9"], "range=0-,0-,0-"),
            Verdict::Untouched
        );
    }

    #[test]
    fn a_parameter_of_the_application_is_left_alone() {
        assert_eq!(verdict(&[], "range=7d"), Verdict::Untouched);
        assert_eq!(
            verdict(&["bytes=0-9"], "range=7d"),
            Verdict::Ranges(vec![Between(0, 9)])
        );
        assert_eq!(verdict(&["items=0-9"], "range=7d"), Verdict::Untouched);
    }

    #[test]
    fn excess_is_ignored() {
        assert_eq!(verdict(&[], "range=0-,0-,0-"), Verdict::Ignored);
        assert_eq!(verdict(&["bytes=0-,0-,0-"], ""), Verdict::Ignored);
        assert_eq!(
            verdict(&["bytes=1-2"], "range=0-,0-,0-"),
            Verdict::Ranges(vec![Between(1, 2)])
        );
    }

    #[test]
    fn a_repeated_field_is_malformed() {
        assert_eq!(verdict(&["bytes=0-1", "bytes=2-3"], ""), Verdict::Ignored);
        assert_eq!(verdict(&["bytes=0-1", "bytes=0-1"], ""), Verdict::Ignored);
        assert_eq!(verdict(&["bytes=0-1", "items=0-1"], ""), Verdict::Ignored);
        assert_eq!(verdict(&["items=0-1", "items=2-3"], ""), Verdict::Untouched);
    }
}
