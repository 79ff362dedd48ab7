//! The `range` parameters of a query.

use crate::parse::{self, Parsed};

/// What each `range` parameter asks for, in order. One that is not a byte range belongs to the
/// application, so it is not here.
pub fn byte_ranges(query: &str) -> impl Iterator<Item = Parsed> {
    query.split('&').filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        (decode(name)? == b"range").then_some(())?;
        let value = decode(value)?;
        // With its unit or without: `bytes=0-99`, `0-99`.
        let parsed = if value.contains(&b'=') {
            parse::field(&value)
        } else {
            parse::range_set(&value)
        };
        matches!(parsed, Parsed::Ranges(_) | Parsed::Excessive).then_some(parsed)
    })
}

/// Percent-encoding undone, and `+` as forms write a space; `None` if the encoding is broken.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let [high, low, after @ ..] = rest else {
                    return None;
                };
                rest = after;
                (hex_digit(*high)? << 4) | hex_digit(*low)?
            }
            byte => *byte,
        });
    }
    Some(decoded)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::parse::ByteRange::{self, *};

    fn found(query: &str) -> Vec<Parsed> {
        byte_ranges(query).collect()
    }

    fn one(range: ByteRange) -> Vec<Parsed> {
        vec![Parsed::Ranges(vec![range])]
    }

    #[test]
    fn with_and_without_unit() {
        assert_eq!(found("range=0-99"), one(Between(0, 99)));
        assert_eq!(found("range=bytes=0-99"), one(Between(0, 99)));
        assert_eq!(found("a=1&range=5-&b=2"), one(From(5)));
        assert_eq!(found("range=-5"), one(Final(5)));
    }

    #[test]
    fn names_and_values_are_decoded() {
        assert_eq!(found("range=bytes%3D0%2d99"), one(Between(0, 99)));
        assert_eq!(found("r%61nge=%42ytes%3D0-99"), one(Between(0, 99)));
        assert_eq!(
            found("range=0-1%2C+4-5"),
            [Parsed::Ranges(vec![Between(0, 1), Between(4, 5)])]
        );
    }

    #[test]
    fn what_is_no_byte_range_belongs_to_the_application() {
        for query in [
            "",
            "range",
            "range=",
            "range=7d",
            "range=5-2",
            "range=bytes=",
            "range=items=0-5",
            "range=a..b",
            "Range=0-1",
            "ranges=0-1",
            "range=0-9%",
            "range=0-9%2",
            "range=0-9%zz",
            "range=%FF",
            "range=1-2-3",
            "x=range=0-1",
            "range=+0-1",
        ] {
            assert_eq!(found(query), [], "{query:?}");
        }
    }

    #[test]
    fn each_parameter_is_told() {
        assert_eq!(found("range=0-1&range=7d&range=5-").len(), 2);
        assert_eq!(found("range=0-,0-,0-"), [Parsed::Excessive]);
    }

    proptest! {
        #[test]
        fn any_text_gives_an_answer(query in ".{0,200}") {
            prop_assert!(byte_ranges(&query).count() <= query.matches('&').count() + 1);
        }

        #[test]
        fn encoding_every_byte_changes_nothing(first in any::<u64>(), more in any::<u32>()) {
            let value = format!("bytes={first}-{}", first.saturating_add(more.into()));
            let encoded: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
            prop_assert_eq!(found(&format!("range={encoded}")), found(&format!("range={value}")));
        }
    }
}
