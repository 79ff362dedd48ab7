//! Percent-encoding in paths (RFC 3986 section 2.1), read as strictly or as loosely as servers do.

use super::PathNotes;

/// Decodes the characters that mean the same decoded, and those that a server with these
/// peculiarities decodes.
pub(super) fn decode(path: &[u8], peculiar: u16, out: &mut Vec<u8>, notes: &mut PathNotes) {
    let mut rest = path;
    while let Some((&first, after)) = rest.split_first() {
        let whole = rest;
        let (byte, encoded) = match triplet(whole) {
            Some(byte) => (byte, true),
            None => (first, false),
        };
        rest = if encoded { &whole[3..] } else { after };
        note(byte, encoded, notes);
        if encoded
            && matches!(byte, 0xc0 | 0xc1 | 0xe0 | 0xf0)
            && let Some((character, length)) = overlong(whole)
        {
            notes.note(PathNotes::OVERLONG);
            if peculiar & PathNotes::OVERLONG != 0 {
                out.push(if character == b'\\' { b'/' } else { character });
                rest = &whole[length..];
                continue;
            }
        }
        match byte {
            0 if peculiar & PathNotes::NUL != 0 => return,
            b';' if peculiar & PathNotes::PARAMETER != 0 => rest = after_parameters(rest, peculiar),
            _ if encoded => write_encoded(byte, [whole[1], whole[2]], peculiar, out),
            b'\\' if peculiar & PathNotes::BACKSLASH != 0 => out.push(b'/'),
            // With two digits that come later it would become something else.
            b'%' => out.extend_from_slice(b"%25"),
            _ => out.push(byte),
        }
    }
}

/// Notes what servers read differently in this byte.
fn note(byte: u8, encoded: bool, notes: &mut PathNotes) {
    match byte {
        b'%' if !encoded => notes.note(PathNotes::PERCENT),
        b'/' if encoded => notes.note(PathNotes::SLASH),
        b'\\' if encoded => notes.note(PathNotes::ENCODED_BACKSLASH),
        b'\\' => notes.note(PathNotes::BACKSLASH),
        b';' => notes.note(PathNotes::PARAMETER),
        0 => notes.note(PathNotes::NUL),
        0x01..0x20 | 0x7f => notes.note(PathNotes::CONTROL),
        _ => {}
    }
}

/// Writes a byte that stood there as these two hexadecimal digits.
fn write_encoded(byte: u8, digits: [u8; 2], peculiar: u16, out: &mut Vec<u8>) {
    match byte {
        b'/' if peculiar & PathNotes::SLASH != 0 => out.push(b'/'),
        b'\\' if peculiar & PathNotes::ENCODED_BACKSLASH != 0 => out.push(b'/'),
        _ if is_unreserved(byte) => out.push(byte),
        _ => {
            out.push(b'%');
            out.extend_from_slice(&digits.map(|digit| digit.to_ascii_uppercase()));
        }
    }
}

/// What follows the parameters of a segment.
fn after_parameters(mut rest: &[u8], peculiar: u16) -> &[u8] {
    loop {
        match (rest.first(), triplet(rest)) {
            (None | Some(b'/'), _) => return rest,
            (Some(b'\\'), _) if peculiar & PathNotes::BACKSLASH != 0 => return rest,
            (_, Some(b'\\')) if peculiar & PathNotes::ENCODED_BACKSLASH != 0 => return rest,
            (_, Some(b'/')) if peculiar & PathNotes::SLASH != 0 => return rest,
            _ => rest = &rest[1..],
        }
    }
}

/// The byte that `%XX` stands for.
pub(super) fn triplet(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else {
        return None;
    };
    let digit = |b: u8| (b as char).to_digit(16);
    Some((digit(*high)? << 4 | digit(*low)?) as u8)
}

/// Whether these are the hexadecimal digits of this character, and it stands for the same encoded.
/// A slash does not.
pub fn is_encoded(high: u8, low: u8, character: u8) -> bool {
    character != b'/' && triplet(&[b'%', high, low]) == Some(character)
}

/// Whether a percent sign stands before what another round would decode to a character that
/// matters.
fn is_hidden(after: &[u8]) -> bool {
    let [high, low, ..] = after else { return false };
    triplet(&[b'%', *high, *low])
        .is_some_and(|b| !(0x20..0x7f).contains(&b) || is_unreserved(b) || b"/\\;%".contains(&b))
}

/// An ASCII character in more bytes of UTF-8 than it takes, and how long that is as it stands.
pub(super) fn overlong(text: &[u8]) -> Option<(u8, usize)> {
    let at = |place: usize| triplet(text.get(place * 3..)?);
    let low = |byte: u8| (byte & 0xc0 == 0x80).then_some(byte & 0x3f);
    match at(0)? {
        lead @ (0xc0 | 0xc1) => Some(((lead & 1) << 6 | low(at(1)?)?, 6)),
        0xe0 if matches!(at(1)?, 0x80 | 0x81) => Some(((at(1)? & 1) << 6 | low(at(2)?)?, 9)),
        0xf0 if at(1)? == 0x80 && matches!(at(2)?, 0x80 | 0x81) => {
            Some(((at(2)? & 1) << 6 | low(at(3)?)?, 12))
        }
        _ => None,
    }
}

/// Whether another round of decoding would find a character that matters.
pub(super) fn hides(decoded: &[u8]) -> bool {
    let mut percents = memchr::memchr_iter(b'%', decoded);
    percents.any(|at| decoded[at..].starts_with(b"%25") && is_hidden(&decoded[at + 3..]))
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}
