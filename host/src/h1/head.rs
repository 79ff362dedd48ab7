//! The common part of requests and responses: lines, fields, and the framing that the fields
//! define.

use std::collections::HashSet;

use memchr::{memchr, memchr2};

use crate::message::names::{self, Owner};
use crate::message::syntax::{self, MAX_NAME};
use crate::message::{BodyLength, Draft, Fields, HeadLimits, Keep, Malformed, Side, Version};

/// How long a message's body is (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is no body, and no length was given.
    None,
    /// This many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Until the connection ends; responses only.
    UntilClose,
}

impl From<BodyLength> for Framing {
    fn from(length: BodyLength) -> Self {
        match length {
            BodyLength::None => Self::None,
            BodyLength::Known(n) => Self::Length(n),
            BodyLength::Unknown => Self::Chunked,
        }
    }
}

/// What a head said about the connection after this message.
#[derive(Debug, Clone, Copy, Default)]
pub struct Control {
    /// `Connection: close`.
    pub close: bool,
    /// `Connection: keep-alive`.
    pub keep_alive: bool,
    /// `Connection: upgrade`.
    pub upgrade: bool,
}

/// Collects the fields of one head.
#[derive(Debug, Default)]
pub(super) struct Lengths {
    pub content_length: Option<u64>,
    pub transfer_encoding: bool,
    /// Names listed by `Connection` other than its own options, to be removed at the end.
    named_by_connection: bool,
}

/// A line without its end, and what follows it.
type Line<'a> = (&'a [u8], &'a [u8]);

/// The next line of a head and what follows it; `None` if its end has not arrived.
pub(super) fn line(bytes: &[u8]) -> Result<Option<Line<'_>>, Malformed> {
    let Some(end) = memchr2(b'\r', b'\n', bytes) else {
        return Ok(None);
    };
    // A lone LF would otherwise wait for a CR that never comes.
    match &bytes[end..] {
        [b'\r'] => Ok(None),
        [b'\r', b'\n', after @ ..] => Ok(Some((&bytes[..end], after))),
        _ => Err(Malformed::LineEnd),
    }
}

/// The first line of a head and what follows it; `None` if its end has not arrived. One that is too
/// long is refused for this reason.
pub(super) fn first_line(
    bytes: &[u8],
    limits: HeadLimits,
    too_long: Malformed,
) -> Result<Option<Line<'_>>, Malformed> {
    let found = line(bytes)?;
    let length = found.map_or(bytes.len(), |(line, _)| line.len());
    match length > limits.first_line {
        true => Err(too_long),
        false => Ok(found),
    }
}

/// Reads the field lines up to and including the empty line. Returns the bytes behind it, or `None`
/// if more are needed.
pub(super) fn fields<'a>(
    mut rest: &'a [u8],
    side: Side,
    limits: HeadLimits,
    fields: &mut Fields,
    mut known: impl FnMut(&[u8], &[u8]) -> Result<Keep, Malformed>,
) -> Result<Option<&'a [u8]>, Malformed> {
    let mut count = 0;
    loop {
        if let [b'\r', b'\n', after @ ..] = rest {
            return Ok(Some(after));
        }
        // Lowered where it will stay, and taken back if it does not stay: no copy in between.
        let (draft, value, after) = match plain(rest, fields) {
            Some(found) => found,
            None => {
                let Some((line, after)) = line(rest)? else {
                    return Ok(None);
                };
                let (name, value) = field(line, side)?;
                let draft = fields.draft(name).ok_or(Malformed::FieldName)?;
                (draft, value, after)
            }
        };
        rest = after;
        count += 1;
        if count > limits.fields {
            return Err(Malformed::TooManyFields);
        }
        match known(fields.drafted(draft), value)? {
            Keep::Yes => fields.keep(draft, value),
            Keep::No => fields.discard(draft),
        }
    }
}

/// Parses an ordinary field line in one pass: a token, a colon, a value, CRLF. Everything else,
/// also faulty and incomplete lines, is left to `line` and `field`, which find the reason.
#[inline]
fn plain<'a>(bytes: &'a [u8], fields: &mut Fields) -> Option<(Draft, &'a [u8], &'a [u8])> {
    let draft = fields.draft_of(bytes)?;
    let colon = fields.drafted(draft).len();
    let end = syntax::value_end(bytes, colon + 1);
    let Some([b'\r', b'\n', after @ ..]) = bytes.get(end..) else {
        fields.discard(draft);
        return None;
    };
    Some((draft, syntax::trim(&bytes[colon + 1..end]), after))
}

/// The name and the value of a field line, unless the line is faulty. Whether the name is a token
/// is left to `Fields::draft`.
fn field(line: &[u8], side: Side) -> Result<(&[u8], &[u8]), Malformed> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Malformed::Folded);
    }
    let colon = memchr(b':', line).ok_or(Malformed::FieldName)?;
    let mut name = &line[..colon];
    if side == Side::Response {
        // RFC 9112 section 5.1: a proxy removes white space before the colon of a response's field.
        name = syntax::trim(name);
    }
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(Malformed::FieldName);
    }
    let value = syntax::trim(&line[colon + 1..]);
    if !syntax::is_value(value) {
        return Err(Malformed::FieldValue);
    }
    Ok((name, value))
}

impl Lengths {
    /// Reads a `Transfer-Encoding` field.
    pub(super) fn transfer_encoding(
        &mut self,
        value: &[u8],
        version: Version,
    ) -> Result<(), Malformed> {
        // HTTP/1.0 has no transfer codings: such a message is faulty (RFC 9112 section 6.1).
        let first = !std::mem::replace(&mut self.transfer_encoding, true);
        match first && version != Version::Http10 && value.eq_ignore_ascii_case(b"chunked") {
            true => Ok(()),
            false => Err(Malformed::TransferEncoding),
        }
    }

    /// Reads a `Connection` field. It is kept if it names other fields, until
    /// [`remove_named_by_connection`] has removed those.
    pub(super) fn connection(&mut self, value: &[u8], control: &mut Control) -> Keep {
        for option in syntax::list(value) {
            if option.eq_ignore_ascii_case(b"close") {
                control.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                control.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                control.upgrade = true;
            } else {
                self.named_by_connection = true;
            }
        }
        match self.named_by_connection {
            true => Keep::Yes,
            false => Keep::No,
        }
    }
}

/// Names that are looked for one after the other; from there on a set is faster.
const FEW: usize = 8;

/// Removes what `Connection` named (RFC 9110 section 7.6.1), and the field itself; but not a field
/// about the client: a client could otherwise remove what a trusted proxy has added. Whether such a
/// field is believed is decided later.
///
/// A head has room for thousands of names and thousands of fields, so each is looked at once.
pub(super) fn remove_named_by_connection(lengths: &Lengths, fields: &mut Fields) {
    if !lengths.named_by_connection {
        return;
    }
    let mut text = Vec::new();
    for value in fields.values("connection") {
        text.extend_from_slice(value);
        text.push(b',');
    }
    text.make_ascii_lowercase();
    let of_client = |name: &[u8]| {
        names::owned(name).is_some_and(|owned| matches!(owned.owner, Owner::Client(_)))
    };
    let named: Vec<&[u8]> = syntax::list(&text)
        .filter(|name| !of_client(name))
        .collect();
    if named.len() <= FEW {
        fields.retain(|name, _| name != b"connection" && !named.contains(&name));
        return;
    }
    let named: HashSet<&[u8]> = named.into_iter().collect();
    fields.retain(|name, _| name != b"connection" && !named.contains(name));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: HeadLimits = HeadLimits {
        first_line: 100,
        bytes: 1_000,
        fields: 3,
    };

    /// The careful way alone.
    fn carefully<'a>(
        mut rest: &'a [u8],
        side: Side,
        fields: &mut Fields,
    ) -> Result<Option<&'a [u8]>, Malformed> {
        for count in 0.. {
            let Some((line, after)) = line(rest)? else {
                return Ok(None);
            };
            rest = after;
            if line.is_empty() {
                break;
            }
            if count == LIMITS.fields {
                return Err(Malformed::TooManyFields);
            }
            let (name, value) = field(line, side)?;
            let draft = fields.draft(name).ok_or(Malformed::FieldName)?;
            fields.keep(draft, value);
        }
        Ok(Some(rest))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn the_quick_way_and_the_careful_one_find_the_same(
            parts in prop::collection::vec(prop::sample::select(vec![
                "a", "Host", ":", ": ", " :", " ", "\t", "\r\n", "\r\n", "\r\n\r\n", "\r", "\n", "b: c\r\n", "X-Y:\r\n",
                "value of some length", "\u{7f}", "\0", "\u{e4}", ",",
            ]), 0..16),
            request in any::<bool>(),
        ) {
            let bytes = parts.concat().into_bytes();
            let side = if request { Side::Request } else { Side::Response };
            let (mut quick, mut careful) = (Fields::new(), Fields::new());
            let found = fields(&bytes, side, LIMITS, &mut quick, |_, _| Ok(Keep::Yes));
            // Of several faults the quick way may meet another first.
            let expected = carefully(&bytes, side, &mut careful);
            prop_assert_eq!(found.is_ok(), expected.is_ok(), "{:?} {:?}", found, expected);
            if let (Ok(found), Ok(expected)) = (found, expected) {
                prop_assert_eq!(found, expected);
                prop_assert_eq!(quick.iter().collect::<Vec<_>>(), careful.iter().collect::<Vec<_>>());
            }
        }
    }
}
