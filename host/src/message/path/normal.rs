//! The normal form of a path.

use super::PathNotes;
use super::octets::{decode, hides, triplet};

/// Whether a path is its own normal form and has nothing in it that would have to be noted. May say
/// no to one that is.
pub(super) fn is_plain(path: &[u8]) -> bool {
    let mut before = 0;
    path.iter().all(|&b| {
        let odd = matches!(b, b'%' | b'\\' | b';') || (before == b'/' && matches!(b, b'/' | b'.'));
        before = b;
        !odd
    })
}

/// Writes the normal form of a path to `normal`, or leaves that empty if the path is already in
/// normal form. Returns what was found. `*` is not a path and stays as it is.
pub fn normalise(path: &str, normal: &mut String) -> PathNotes {
    normal.clear();
    let mut notes = PathNotes::default();
    if is_plain(path.as_bytes()) || !path.starts_with('/') {
        return notes;
    }
    let mut bytes = std::mem::take(normal).into_bytes();
    decode(path.as_bytes(), 0, &mut bytes, &mut notes);
    if hides(&bytes) {
        notes.note(PathNotes::TWICE);
    }
    resolve(&mut bytes, &mut notes);
    if bytes == path.as_bytes() {
        bytes.clear();
    }
    // The path was visible ASCII, and the decoded characters are.
    *normal = String::from_utf8(bytes).unwrap_or_default();
    notes
}

/// The normal form of a path.
pub fn normal(path: &str) -> String {
    let mut normal = String::new();
    normalise(path, &mut normal);
    if normal.is_empty() {
        path.to_owned()
    } else {
        normal
    }
}

/// The normal form with every character decoded that means the same so: a prefix that any spelling
/// of it can be held against.
pub fn literal(path: &str) -> String {
    let normal = normal(path);
    let mut literal = String::with_capacity(normal.len());
    let mut rest = normal.as_str();
    while let Some(first) = rest.chars().next() {
        match triplet(rest.as_bytes()).filter(|b| b.is_ascii_graphic() && !b"/\\;%?#".contains(b)) {
            Some(byte) => {
                literal.push(char::from(byte));
                rest = &rest[3..];
            }
            None => {
                literal.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    literal
}

/// Merges slashes and resolves dot segments in place: the writing position never passes the reading
/// position.
pub(super) fn resolve(path: &mut Vec<u8>, notes: &mut PathNotes) {
    let (mut read, mut written, mut directory, mut empty) = (0, 0, true, false);
    while read < path.len() {
        let slashes = path[read..].iter().take_while(|b| **b == b'/').count();
        empty |= slashes > 1;
        if slashes > 1 && written == 0 {
            notes.note(PathNotes::LEADING);
        }
        let start = read + slashes;
        let end = memchr::memchr(b'/', &path[start..]).map_or(path.len(), |at| start + at);
        let segment = &path[start..end];
        if has_dot_parameters(segment) {
            notes.note(PathNotes::DOT_PARAMETER);
        }
        directory = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" | b"." => {}
            b".." => {
                notes.note(PathNotes::DOTS);
                if written == 0 {
                    notes.note(PathNotes::ABOVE_ROOT);
                }
                if empty {
                    notes.note(PathNotes::EMPTY_BEFORE_DOTS);
                }
                written = memchr::memrchr(b'/', &path[..written]).unwrap_or(0);
            }
            _ => {
                path[written] = b'/';
                path.copy_within(start..end, written + 1);
                written += 1 + end - start;
            }
        }
        read = end;
    }
    path.truncate(written);
    if directory {
        path.push(b'/');
    }
}

/// `..;x`, `.;`, and the same with an encoded `;`.
fn has_dot_parameters(segment: &[u8]) -> bool {
    let dots = segment.iter().take_while(|b| **b == b'.').count();
    let rest = &segment[dots..];
    (1..=2).contains(&dots) && (rest.first() == Some(&b';') || triplet(rest) == Some(b';'))
}
