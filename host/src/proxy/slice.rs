//! Cutting a whole response to the ranges that were asked for (RFC 9110 sections 13.1.5, 14 and
//! 15.3.7).

use rand::distr::{Alphanumeric, SampleString};

use crate::h1::write_number;
use crate::message::Fields;
use crate::policy::ByteRange;

/// The most parts of one answer. Each part costs a head, so more parts would let a client cause
/// much work with a few bytes.
pub(super) const MAX_PARTS: usize = 8;
/// Letters and digits of a boundary, 190 bits: no author of a body can foresee it (RFC 2046 section
/// 5.1.1 allows 70).
const BOUNDARY: usize = 32;

/// A cut of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slice {
    /// Bytes to pass over, from the beginning of the body.
    pub skip: u64,
    /// Bytes to send after that; at least 1.
    pub take: u64,
}

/// What of a body the client gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
    /// All of it: there are too many parts.
    Whole,
    /// None of the ranges lies in it (416).
    Unsatisfiable,
    /// These parts, at least one: in ascending order, apart from each other.
    Parts(Vec<Slice>),
}

/// Several parts of a body in one (RFC 9110 section 14.6).
#[derive(Debug)]
pub(super) struct Multipart {
    boundary: String,
    content_type: Option<Vec<u8>>,
    parts: Vec<Slice>,
    /// The length of the body that is cut.
    whole: u64,
}

/// Which parts these ranges are of a body of this length. Ranges that overlap or touch become one,
/// and those that lie outside are left out.
pub(super) fn plan(ranges: &[ByteRange], length: u64) -> Plan {
    let mut parts: Vec<Slice> = ranges
        .iter()
        .filter_map(|range| cut(*range, length))
        .collect();
    parts.sort_unstable_by_key(|part| part.skip);
    parts.dedup_by(|next, kept| {
        let joins = next.skip <= kept.skip + kept.take;
        if joins {
            kept.take = kept.take.max(next.skip + next.take - kept.skip);
        }
        joins
    });
    match parts.len() {
        0 => Plan::Unsatisfiable,
        1..=MAX_PARTS => Plan::Parts(parts),
        _ => Plan::Whole,
    }
}

/// Where the range lies in a body of this length; `None` if it does not.
fn cut(range: ByteRange, length: u64) -> Option<Slice> {
    let (first, last) = match range {
        ByteRange::FromTo(first, last) => (first, last.min(length.checked_sub(1)?)),
        ByteRange::From(first) => (first, length.checked_sub(1)?),
        ByteRange::Suffix(0) => return None,
        ByteRange::Suffix(n) => (length.saturating_sub(n), length.checked_sub(1)?),
    };
    (first <= last).then(|| Slice {
        skip: first,
        take: last - first + 1,
    })
}

impl Slice {
    /// The value of the `Content-Range` field of this part.
    pub(super) fn content_range(self, whole: u64) -> String {
        format!("bytes {}-{}/{whole}", self.skip, self.skip + self.take - 1)
    }
}

impl Multipart {
    /// These parts of a body of this length and type, with a random boundary.
    pub(super) fn new(parts: Vec<Slice>, whole: u64, content_type: Option<&[u8]>) -> Self {
        let boundary = Alphanumeric.sample_string(&mut rand::rng(), BOUNDARY);
        Self {
            boundary,
            content_type: content_type.map(<[u8]>::to_vec),
            parts,
            whole,
        }
    }

    /// The parts, in their order.
    pub(super) fn parts(&self) -> &[Slice] {
        &self.parts
    }

    /// The value of the `Content-Type` field of all of them.
    pub(super) fn content_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// Bytes of all parts with what stands between them; `None` beyond 64 bits.
    pub(super) fn length(&self) -> Option<u64> {
        let mut framing = Vec::new();
        (0..self.parts.len()).for_each(|at| self.write_head(at, &mut framing));
        self.write_end(&mut framing);
        self.parts
            .iter()
            .try_fold(framing.len() as u64, |sum, part| sum.checked_add(part.take))
    }

    /// Writes what stands before a part.
    pub(super) fn write_head(&self, at: usize, out: &mut Vec<u8>) {
        if at > 0 {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"--");
        out.extend_from_slice(self.boundary.as_bytes());
        if let Some(content_type) = &self.content_type {
            out.extend_from_slice(b"\r\ncontent-type: ");
            out.extend_from_slice(content_type);
        }
        let Slice { skip, take } = self.parts[at];
        out.extend_from_slice(b"\r\ncontent-range: bytes ");
        write_number(skip, out);
        out.push(b'-');
        write_number(skip + take - 1, out);
        out.push(b'/');
        write_number(self.whole, out);
        out.extend_from_slice(b"\r\n\r\n");
    }

    /// Writes what stands after the last part.
    pub(super) fn write_end(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\r\n--");
        out.extend_from_slice(self.boundary.as_bytes());
        out.extend_from_slice(b"--\r\n");
    }
}

/// Whether ranges apply to a response, as the request's `If-Range` says: an entity tag that matches
/// strongly, or the very date. Two conditions hold no better than one that is not met.
pub(super) fn if_range_holds(request: &Fields, response: &Fields) -> bool {
    let mut conditions = request.values("if-range");
    let condition = match (conditions.next(), conditions.next()) {
        (None, _) => return true,
        (Some(condition), None) => condition,
        (Some(_), Some(_)) => return false,
    };
    if condition.starts_with(b"\"") {
        return response.first("etag") == Some(condition);
    }
    // A weak tag never matches strongly; anything else is a date, compared as it was given.
    !condition.starts_with(b"W/") && response.first("last-modified") == Some(condition)
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
        let holds = |conditions: &[&str]| {
            let mut request = Fields::new();
            conditions
                .iter()
                .for_each(|condition| request.append(b"If-Range", condition.as_bytes()));
            if_range_holds(&request, &fields)
        };
        assert!(holds(&[]));
        assert!(holds(&["\"a\""]));
        assert!(!holds(&["\"b\""]));
        assert!(!holds(&["W/\"a\""]));
        assert!(holds(&["Sun, 06 Nov 1994 08:49:37 GMT"]));
        assert!(!holds(&["Sun, 06 Nov 1994 08:49:38 GMT"]));
        assert!(!holds(&["\"a\"", "\"a\""]));
        assert!(!holds(&[""]));
    }

    fn parts(ranges: &[ByteRange], length: u64) -> Vec<(u64, u64)> {
        match plan(ranges, length) {
            Plan::Parts(parts) => parts
                .iter()
                .map(|p| (p.skip, p.skip + p.take - 1))
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn parts_ascend_and_join_where_they_overlap_or_touch() {
        use ByteRange::{From, FromTo, Suffix};
        assert_eq!(
            parts(&[FromTo(30, 39), FromTo(0, 9)], 100),
            [(0, 9), (30, 39)]
        );
        assert_eq!(
            parts(&[FromTo(0, 9), FromTo(10, 19)], 100),
            [(0, 19)],
            "they touch"
        );
        assert_eq!(
            parts(&[FromTo(0, 9), FromTo(11, 19)], 100),
            [(0, 9), (11, 19)],
            "a byte lies between them"
        );
        assert_eq!(
            parts(&[FromTo(0, 50), FromTo(10, 19)], 100),
            [(0, 50)],
            "one lies within the other"
        );
        assert_eq!(
            parts(&[From(50), Suffix(60), FromTo(0, 0)], 100),
            [(0, 0), (40, 99)]
        );
        assert_eq!(
            parts(&[FromTo(0, 9), From(100), Suffix(0)], 100),
            [(0, 9)],
            "what lies outside is left out"
        );
        assert_eq!(
            parts(&[From(0), FromTo(u64::MAX, u64::MAX)], u64::MAX),
            [(0, u64::MAX - 1)]
        );
        assert_eq!(plan(&[From(100), Suffix(0)], 100), Plan::Unsatisfiable);
        assert_eq!(plan(&[Suffix(1)], 0), Plan::Unsatisfiable);
        let spread = |n: u64| {
            (0..n)
                .map(|at| FromTo(at * 3, at * 3 + 1))
                .collect::<Vec<_>>()
        };
        assert_eq!(parts(&spread(8), 100).len(), 8);
        assert_eq!(plan(&spread(9), 100), Plan::Whole);
        assert_eq!(
            parts(&spread(9), 23).len(),
            8,
            "what lies outside does not count"
        );
        assert_eq!(
            parts(&(0..64).map(|at| FromTo(at, at)).collect::<Vec<_>>(), 100),
            [(0, 63)],
            "it counts what is left"
        );
    }

    #[test]
    fn a_multipart_body_has_a_length_and_an_unforeseeable_boundary() {
        let slices = vec![Slice { skip: 0, take: 2 }, Slice { skip: 30, take: 6 }];
        let multipart = |kind| Multipart::new(slices.clone(), 36, kind);
        let body = |multipart: &Multipart| {
            let mut out = Vec::new();
            for (at, part) in multipart.parts().iter().enumerate() {
                multipart.write_head(at, &mut out);
                out.extend(std::iter::repeat_n(b'x', part.take as usize));
            }
            multipart.write_end(&mut out);
            String::from_utf8(out).unwrap()
        };
        let typed = multipart(Some(b"text/plain"));
        let b = typed.boundary.clone();
        assert_eq!(
            body(&typed),
            format!(
                "--{b}\r\ncontent-type: text/plain\r\ncontent-range: bytes 0-1/36\r\n\r\nxx\r\n\
                 --{b}\r\ncontent-type: text/plain\r\ncontent-range: bytes 30-35/36\r\n\r\nxxxxxx\r\n--{b}--\r\n"
            )
        );
        assert_eq!(typed.length(), Some(body(&typed).len() as u64));
        let plain = multipart(None);
        assert_eq!(plain.length(), Some(body(&plain).len() as u64));
        assert_eq!(
            plain.content_type(),
            format!("multipart/byteranges; boundary={}", plain.boundary)
        );
        assert!(plain.boundary != b && b.len() == BOUNDARY, "{b}");
        let endless = vec![
            Slice {
                skip: 0,
                take: u64::MAX - 2,
            },
            Slice {
                skip: u64::MAX - 1,
                take: 1,
            },
        ];
        assert_eq!(Multipart::new(endless, u64::MAX, None).length(), None);
    }

    fn any_range() -> impl Strategy<Value = ByteRange> {
        prop_oneof![
            (0..80u64, 0..80u64).prop_map(|(a, b)| ByteRange::FromTo(a.min(b), a.max(b))),
            (0..80u64).prop_map(ByteRange::From),
            (0..80u64).prop_map(ByteRange::Suffix),
        ]
    }

    proptest! {
        #[test]
        fn parts_hold_exactly_the_bytes_that_were_asked_for(
            ranges in prop::collection::vec(any_range(), 1..20),
            length in 0..64u64,
        ) {
            let asked = |at: u64| ranges.iter().filter_map(|r| cut(*r, length)).any(|s| (s.skip..s.skip + s.take).contains(&at));
            let bytes: Vec<u64> = (0..length).filter(|at| asked(*at)).collect();
            match plan(&ranges, length) {
                Plan::Unsatisfiable => prop_assert!(bytes.is_empty()),
                Plan::Whole => {
                    let gaps = bytes.windows(2).filter(|pair| pair[0] + 1 < pair[1]).count();
                    prop_assert!(gaps >= MAX_PARTS, "{gaps} gaps");
                }
                Plan::Parts(parts) => {
                    prop_assert!(parts.len() <= MAX_PARTS);
                    prop_assert!(parts.windows(2).all(|pair| pair[0].skip + pair[0].take < pair[1].skip));
                    let sent: Vec<u64> = parts.iter().flat_map(|p| p.skip..p.skip + p.take).collect();
                    prop_assert_eq!(sent, bytes);
                }
            }
        }

        #[test]
        fn a_cut_lies_within_the_body(first in any::<u64>(), more in any::<u64>(), length in any::<u64>()) {
            let ranges = [ByteRange::FromTo(first, first.saturating_add(more)), ByteRange::From(first), ByteRange::Suffix(first)];
            for slice in ranges.into_iter().filter_map(|r| cut(r, length)) {
                prop_assert!(slice.take > 0 && slice.skip + slice.take <= length);
            }
        }
    }
}
