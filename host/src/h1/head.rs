//! What requests and responses share: lines, fields, and what the fields say about framing.

use std::collections::HashSet;

use memchr::memchr;

use super::names::{self, Owned, Owner};
use super::refused::Malformed;
use super::syntax::{self, TOKEN_LOWER};
use super::{Fields, Version};

/// Bounds of a head.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// Bytes of the first line.
    pub first_line: usize,
    /// Bytes in all.
    pub bytes: usize,
    /// Fields.
    pub fields: usize,
}

/// How long a message's body is (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is no body, and no length was given.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Until the connection ends; responses only.
    UntilClose,
}

/// What the fields that never cross the proxy said.
#[derive(Debug, Clone, Copy, Default)]
pub struct Control {
    /// `Connection: close`.
    pub close: bool,
    /// `Connection: keep-alive`.
    pub keep_alive: bool,
    /// `Expect: 100-continue`.
    pub expect_continue: bool,
    /// `TE: trailers`.
    pub te_trailers: bool,
    /// A field that says who the client is (`Forwarded`, `X-Forwarded-*`, `X-Real-IP`, ...) is
    /// among the fields.
    pub forwarding: bool,
    /// A `Via` or a `CDN-Loop` field is among the fields.
    pub via: bool,
    /// A `Range` field is among the fields.
    pub range: bool,
    /// An `X-Waypost-Explain` field is among the fields.
    pub explain: bool,
    /// A `Max-Forwards` field is among the fields.
    pub max_forwards: bool,
    /// A `Proxy-Status` field is among the fields of a response.
    pub proxy_status: bool,
}

/// Bytes of a field name: more than any in use.
const MAX_NAME: usize = 256;

/// Collects the fields of one head.
#[derive(Debug, Default)]
pub(super) struct Lengths {
    pub content_length: Option<u64>,
    pub transfer_encoding: bool,
    /// Names listed by `Connection` other than `close` and `keep-alive`, to be removed at the end.
    named_by_connection: bool,
}

/// Which side's head this is: a few rules differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Response,
}

/// A line without its end, and what follows it.
type Line<'a> = (&'a [u8], &'a [u8]);

/// The next line of a head and what follows it; `None` if its end has not arrived.
pub(super) fn line(bytes: &[u8]) -> Result<Option<Line<'_>>, Malformed> {
    let Some(cr) = memchr(b'\r', bytes) else {
        // A lone LF would otherwise wait for a CR that never comes.
        return if memchr(b'\n', bytes).is_some() {
            Err(Malformed::LineEnd)
        } else {
            Ok(None)
        };
    };
    match bytes.get(cr + 1) {
        Some(b'\n') if memchr(b'\n', &bytes[..cr]).is_none() => {
            Ok(Some((&bytes[..cr], &bytes[cr + 2..])))
        }
        None if memchr(b'\n', bytes).is_none() => Ok(None),
        _ => Err(Malformed::LineEnd),
    }
}

/// Reads the field lines up to and including the empty line. Tells what is left behind it, or
/// `None` if more is needed.
pub(super) fn fields<'a>(
    mut rest: &'a [u8],
    side: Side,
    limits: HeadLimits,
    fields: &mut Fields,
    mut known: impl FnMut(&[u8], &[u8]) -> Result<Keep, Malformed>,
) -> Result<Option<&'a [u8]>, Malformed> {
    let mut count = 0;
    loop {
        let (name, value, after) = match plain(rest) {
            Some(found) => found,
            None => {
                let Some((line, after)) = line(rest)? else {
                    return Ok(None);
                };
                if line.is_empty() {
                    return Ok(Some(after));
                }
                let (name, value) = field(line, side)?;
                (name, value, after)
            }
        };
        rest = after;
        count += 1;
        if count > limits.fields {
            return Err(Malformed::TooManyFields);
        }
        // Lowered where it will stay, and taken back if it does not stay: no copy in between.
        let draft = fields.draft(name).ok_or(Malformed::FieldName)?;
        match known(fields.drafted(draft), value)? {
            Keep::Yes => fields.keep(draft, value),
            Keep::No => fields.discard(draft),
        }
    }
}

/// A field line as almost all are, in one pass: a token, a colon, a value, CRLF. Anything else,
/// what is faulty or not all there included, is left to `line` and `field`, which say what it is.
fn plain(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let colon = bytes
        .iter()
        .position(|b| TOKEN_LOWER[usize::from(*b)] == 0)?;
    if bytes[colon] != b':' || colon == 0 || colon > MAX_NAME {
        return None;
    }
    let end = syntax::value_end(bytes, colon + 1);
    match bytes.get(end..)? {
        [b'\r', b'\n', after @ ..] => {
            Some((&bytes[..colon], syntax::trim(&bytes[colon + 1..end]), after))
        }
        _ => None,
    }
}

/// Whether a field goes on to the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    Yes,
    No,
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

/// Reads a field that belongs to framing or to this hop, if it is one; such fields are not kept.
pub(super) fn hop_by_hop(
    name: &[u8],
    value: &[u8],
    (version, side): (Version, Side),
    lengths: &mut Lengths,
    control: &mut Control,
) -> Result<Keep, Malformed> {
    match name {
        b"content-length" => {
            let n = syntax::length(value).ok_or(Malformed::ContentLength)?;
            if lengths.content_length.is_some() {
                return Err(Malformed::ContentLengthRepeated);
            }
            lengths.content_length = Some(n);
        }
        b"transfer-encoding" => {
            // HTTP/1.0 has no transfer codings: such a message is faulty (RFC 9112 section 6.1).
            let first = !std::mem::replace(&mut lengths.transfer_encoding, true);
            if !first || version == Version::Http10 || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Malformed::TransferEncoding);
            }
        }
        b"connection" => {
            for option in syntax::list(value) {
                if option.eq_ignore_ascii_case(b"close") {
                    control.close = true;
                } else if option.eq_ignore_ascii_case(b"keep-alive") {
                    control.keep_alive = true;
                } else {
                    lengths.named_by_connection = true;
                }
            }
            if lengths.named_by_connection {
                return Ok(Keep::Yes);
            }
        }
        b"keep-alive" | b"upgrade" => {}
        b"te" => {
            control.te_trailers |= syntax::list(value).any(|m| m.eq_ignore_ascii_case(b"trailers"))
        }
        _ => return Ok(crosses(name, side, control)),
    }
    Ok(Keep::No)
}

/// Whether a field crosses the proxy, by its name.
fn crosses(name: &[u8], side: Side, control: &mut Control) -> Keep {
    let Some(Owned { owner, look_alike }) = names::owned(name) else {
        return Keep::Yes;
    };
    let keep = match (owner, side) {
        (Owner::Trailer, _) => true,
        // What became of a request on its way (RFC 9209) is for the client.
        (Owner::Hop, Side::Response) => {
            control.proxy_status |= name == b"proxy-status";
            name == b"proxy-status"
        }
        (Owner::Hop, Side::Request) => false,
        (Owner::Trace, _) if look_alike => false,
        (Owner::Trace, _) => {
            control.via = true;
            true
        }
        (Owner::Reach, Side::Response) => true,
        (Owner::Reach, Side::Request) => {
            control.max_forwards |= !look_alike;
            !look_alike
        }
        // A backend has no client to speak of.
        (Owner::Client(_), Side::Response) => true,
        (Owner::Client(_), Side::Request) => {
            control.forwarding |= !look_alike;
            !look_alike
        }
        (Owner::Waypost, Side::Request) if name == b"x-waypost-explain" => {
            control.explain = true;
            true
        }
        (Owner::Waypost, _) => false,
    };
    if keep { Keep::Yes } else { Keep::No }
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
