//! When a head, or trailers, that arrive in pieces are worth parsing.

use memchr::{memchr, memchr_iter};

use super::HeadLimits;

/// The most bytes that are parsed without a result for each byte that has arrived.
const AGAIN: usize = 8;

/// How much of a section has arrived, and how much was parsed of it before its end was there.
///
/// A parser reads a section from its start. If it did that for each piece, a sender of single bytes
/// could make it read the square of them. So it is asked when the end has come, when what came
/// can't be right, when a limit is passed and, so that other faults are found early, with each line
/// for as long as that costs little.
#[derive(Debug, Default)]
pub struct Arrival {
    seen: usize,
    parsed: usize,
}

impl Arrival {
    /// Whether `bytes`, which are all that there is of the section, should be parsed.
    pub fn is_due(&mut self, bytes: &[u8], limits: HeadLimits) -> bool {
        let seen = std::mem::replace(&mut self.seen, bytes.len());
        let new = bytes.get(seen..).unwrap_or_default();
        let line = memchr(b'\n', new).is_some();
        let passed = |limit: usize| seen <= limit && bytes.len() > limit;
        let affordable = self.parsed <= (AGAIN - 1) * bytes.len();
        let due = passed(limits.first_line)
            || passed(limits.bytes)
            || (line
                && (affordable || memchr_iter(b'\n', new).any(|at| settles(bytes, seen + at))));
        if due {
            self.parsed += bytes.len();
        }
        due
    }

    /// A section of which this many bytes were parsed as they arrived.
    pub fn after(bytes: usize) -> Self {
        Self {
            seen: bytes,
            parsed: bytes,
        }
    }

    /// How many bytes were parsed so far, each time counted.
    #[cfg(test)]
    pub(super) fn total(&self) -> usize {
        self.parsed
    }
}

/// Whether the LF at this place ends the section, or makes it faulty.
fn settles(bytes: &[u8], at: usize) -> bool {
    match &bytes[..at] {
        [b'\r'] | [.., b'\n', b'\r'] => true,
        [.., b'\r'] => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::h1::{ChunkedDecoder, Decoded, parse_request, parse_response};
    use crate::message::{Fields, Malformed, RequestHead, ResponseHead};

    const LIMITS: HeadLimits = HeadLimits {
        first_line: 8 * 1024,
        bytes: 64 * 1024,
        fields: 20_000,
    };

    /// Feeds a section in pieces to a parser. Returns the result, and how many bytes were parsed.
    fn feed<T>(
        section: &[u8],
        limits: HeadLimits,
        pieces: impl Iterator<Item = usize>,
        mut parse: impl FnMut(&[u8]) -> Result<Option<T>, Malformed>,
    ) -> (Result<Option<T>, Malformed>, usize) {
        let (mut arrival, mut end, mut work) = (Arrival::default(), 0, 0);
        for piece in pieces {
            end = (end + piece.max(1)).min(section.len());
            if arrival.is_due(&section[..end], limits) {
                work += end;
                match parse(&section[..end]) {
                    Ok(None) => {}
                    settled => return (settled, work),
                }
            }
            if end == section.len() {
                break;
            }
        }
        (Ok(None), work)
    }

    fn requests(fields: &str) -> Vec<u8> {
        format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes()
    }

    #[test]
    fn single_bytes_cost_a_bounded_multiple_of_their_number() {
        let shapes = [
            "x: y\r\n".repeat(9_000),
            format!("x: {}\r\n", "y".repeat(60_000)),
            ":\r\n".repeat(9_000),
        ];
        for fields in shapes {
            let head = requests(&fields);
            let most = (AGAIN + 3) * head.len();
            let mut request = RequestHead::default();
            let (_, work) = feed(&head, LIMITS, std::iter::repeat(1), |bytes| {
                parse_request(&mut request, bytes, LIMITS)
            });
            assert!(work <= most, "{work} of {most}");
            let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n").into_bytes();
            let mut response = ResponseHead::default();
            let (_, work) = feed(&head, LIMITS, std::iter::repeat(1), |bytes| {
                parse_response(&mut response, bytes, &http::Method::GET, LIMITS)
                    .map(|meta| meta.map(|_| ()))
            });
            assert!(work <= most, "{work} of {most}");
        }
    }

    /// As above for trailers, by what the decoder itself counts.
    #[test]
    fn single_bytes_of_trailers_cost_a_bounded_multiple_of_their_number() {
        for trailers in [
            "x: y\r\n".repeat(9_000),
            format!("x: {}\r\n", "y".repeat(60_000)),
        ] {
            let body = format!("0\r\n{trailers}\r\n").into_bytes();
            let (mut decoder, mut fields) = (ChunkedDecoder::default(), Fields::new());
            let (mut start, mut end) = (0, 0);
            let ended = loop {
                end += 1;
                match decoder
                    .decode(&body[start..end], LIMITS, &mut fields)
                    .unwrap()
                {
                    Decoded::End(n) => break start + n,
                    Decoded::Data { skip, .. } => start += skip,
                }
            };
            assert_eq!(
                (ended, fields.len()),
                (body.len(), trailers.lines().count())
            );
            let parsed = decoder.parsed();
            assert!(
                parsed <= (AGAIN + 3) * body.len(),
                "{parsed} of {}",
                body.len()
            );
        }
    }

    #[test]
    fn what_can_not_be_right_is_parsed_at_once_however_much_was_parsed_before() {
        let mut arrival = Arrival::default();
        let section = ["x: y\r\n".repeat(1_000).as_bytes(), b"x: y\n"].concat();
        let due: Vec<bool> = (1..=section.len())
            .map(|end| arrival.is_due(&section[..end], LIMITS))
            .collect();
        assert!(
            due.iter().filter(|due| !**due).count() > 5_000,
            "not with each byte"
        );
        assert_eq!(due.last(), Some(&true), "a bare LF");
        let mut arrival = Arrival::default();
        assert!(!arrival.is_due(b"\r", LIMITS));
        assert!(arrival.is_due(b"\r\n", LIMITS), "an empty section");
    }

    fn limited() -> impl Strategy<Value = HeadLimits> {
        (20usize..200, 50usize..400, 1usize..12).prop_map(|(first_line, bytes, fields)| {
            HeadLimits {
                first_line,
                bytes,
                fields,
            }
        })
    }

    fn texts() -> impl Strategy<Value = String> {
        let line = prop_oneof![
            8 => "[a-z]{1,6}: [a-z ]{0,20}\r\n",
            1 => "[a-z]{0,4}\n",
            1 => "[a-z ]{0,4}: \r[a-z]?",
            1 => Just("bad\r\n".to_owned()),
        ];
        prop::collection::vec(line, 0..12).prop_map(|lines| lines.concat())
    }

    proptest! {
        #[test]
        fn a_section_is_the_same_in_any_pieces(text in texts(), limits in limited(), pieces in prop::collection::vec(1usize..30, 1..40)) {
            let head = requests(&text);
            let whole = parse_request(&mut RequestHead::default(), &head, limits).map(|meta| meta.map(|meta| meta.head_len));
            let mut request = RequestHead::default();
            let (cut, work) = feed(&head, limits, pieces.iter().copied().cycle(), |bytes| {
                parse_request(&mut request, bytes, limits).map(|meta| meta.map(|meta| meta.head_len))
            });
            // Which of two faults is found first may depend on the pieces; whether there is one may
            // not.
            prop_assert_eq!(whole.ok(), cut.ok());
            prop_assert!(work <= (AGAIN + 3) * head.len());
        }
    }
}
