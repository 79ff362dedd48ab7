//! Cutting a whole response to the range that was asked for (RFC 9110 sections 13.1.5, 14 and 15.3.7).

use crate::policy::ByteRange;
use crate::wire::Fields;

/// A cut of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Bytes to pass over.
    pub skip: u64,
    /// Bytes to send after that; at least 1.
    pub take: u64,
}

/// Where the range lies in a body of this length; `None` if it does not (416).
pub fn cut(range: ByteRange, length: u64) -> Option<Slice> {
    let (first, last) = match range {
        ByteRange::FromTo(first, last) => (first, last.min(length.checked_sub(1)?)),
        ByteRange::From(first) => (first, length.checked_sub(1)?),
        ByteRange::Suffix(0) => return None,
        ByteRange::Suffix(n) => (length.saturating_sub(n), length.checked_sub(1)?),
    };
    (first <= last).then(|| Slice { skip: first, take: last - first + 1 })
}

/// Whether a range applies to a response, as `If-Range` says: an entity tag that matches strongly, or the very date.
pub fn if_range_holds(if_range: Option<&[u8]>, response: &Fields) -> bool {
    let Some(condition) = if_range else { return true };
    if condition.starts_with(b"\"") {
        return response.first("etag") == Some(condition);
    }
    // A weak tag never matches strongly; anything else is a date, compared as it was given.
    !condition.starts_with(b"W/") && response.first("last-modified") == Some(condition)
}

/// The value of a `Range` field that asks for these.
pub fn range_field(ranges: &[ByteRange]) -> String {
    let specs: Vec<String> = ranges.iter().map(ToString::to_string).collect();
    format!("bytes={}", specs.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cuts() {
        let slice = |skip, take| Some(Slice { skip, take });
        assert_eq!(cut(ByteRange::FromTo(0, 99), 10), slice(0, 10));
        assert_eq!(cut(ByteRange::FromTo(3, 3), 10), slice(3, 1));
        assert_eq!(cut(ByteRange::FromTo(10, 11), 10), None);
        assert_eq!(cut(ByteRange::From(9), 10), slice(9, 1));
        assert_eq!(cut(ByteRange::From(10), 10), None);
        assert_eq!(cut(ByteRange::Suffix(3), 10), slice(7, 3));
        assert_eq!(cut(ByteRange::Suffix(30), 10), slice(0, 10));
        assert_eq!(cut(ByteRange::Suffix(0), 10), None);
        assert_eq!(cut(ByteRange::Suffix(1), 0), None);
        assert_eq!(cut(ByteRange::From(0), 0), None);
    }

    #[test]
    fn if_range() {
        let mut fields = Fields::new();
        fields.append(b"etag", b"\"a\"");
        fields.append(b"last-modified", b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert!(if_range_holds(None, &fields));
        assert!(if_range_holds(Some(b"\"a\""), &fields));
        assert!(!if_range_holds(Some(b"\"b\""), &fields));
        assert!(!if_range_holds(Some(b"W/\"a\""), &fields));
        assert!(if_range_holds(Some(b"Sun, 06 Nov 1994 08:49:37 GMT"), &fields));
        assert!(!if_range_holds(Some(b"Sun, 06 Nov 1994 08:49:38 GMT"), &fields));
    }

    proptest! {
        #[test]
        fn a_cut_lies_within_the_body(first in any::<u64>(), more in any::<u64>(), length in any::<u64>()) {
            let ranges = [ByteRange::FromTo(first, first.saturating_add(more)), ByteRange::From(first), ByteRange::Suffix(first)];
            for slice in ranges.into_iter().filter_map(|r| cut(r, length)) {
                prop_assert!(slice.take > 0 && slice.skip + slice.take <= length);
            }
        }
    }
}
