//! Paths as those read them who come after: one normal form, and the other ways in which servers
//! read the same bytes.
//!
//! The normal form has unreserved characters decoded, hexadecimal digits in upper case, slashes
//! merged and dot segments resolved (RFC 3986 section 6.2.2; merging is what nginx, Envoy and most
//! file systems do). What is left encoded means the same to every server, but for a few constructs:
//! `%2F`, backslashes, `;`, NUL, overlong UTF-8 and what is encoded twice.

/// What a path holds that servers read differently, as a set of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PathNotes(u16);

impl PathNotes {
    const SLASH: u16 = 1;
    const BACKSLASH: u16 = 1 << 1;
    const PARAMETER: u16 = 1 << 2;
    const NUL: u16 = 1 << 3;
    const OVERLONG: u16 = 1 << 4;
    const TWICE: u16 = 1 << 5;
    /// `%5C`: who takes a backslash for a slash need not take this for one.
    const ENCODED_BACKSLASH: u16 = 1 << 6;
    /// Those for which a server may find other segments than the normal form has.
    const AMBIGUOUS: u16 = (1 << 7) - 1;
    /// A dot segment with parameters: `..;`.
    const DOT_PARAMETER: u16 = 1 << 7;
    const CONTROL: u16 = 1 << 8;
    const PERCENT: u16 = 1 << 9;
    const ABOVE_ROOT: u16 = 1 << 10;
    const EMPTY_BEFORE_DOTS: u16 = 1 << 11;
    /// A `..` segment: some servers hold the path against their rules before they resolve it.
    const DOTS: u16 = 1 << 12;
    /// More than one slash at the beginning: where a URL is expected, an authority follows.
    const LEADING: u16 = 1 << 13;

    fn note(&mut self, bit: u16) {
        self.0 |= bit;
    }

    fn has(self, bits: u16) -> bool {
        self.0 & bits != 0
    }

    /// Whether servers may find other segments in it than the normal form has.
    pub fn is_ambiguous(self) -> bool {
        self.has(Self::AMBIGUOUS | Self::EMPTY_BEFORE_DOTS | Self::DOTS | Self::LEADING)
    }

    /// What is wrong with the path where only paths are taken that all servers read alike.
    pub fn fault(self) -> Option<&'static str> {
        const FAULTS: [(u16, &str); 10] = [
            (
                PathNotes::PERCENT,
                "a percent sign that two hexadecimal digits don't follow",
            ),
            (PathNotes::NUL, "an encoded NUL"),
            (PathNotes::CONTROL, "an encoded control character"),
            (PathNotes::SLASH, "an encoded slash"),
            (
                PathNotes::BACKSLASH | PathNotes::ENCODED_BACKSLASH,
                "a backslash",
            ),
            (PathNotes::DOT_PARAMETER, "a dot segment with a `;`"),
            (PathNotes::OVERLONG, "overlong UTF-8"),
            (PathNotes::TWICE, "a character that is encoded twice"),
            (
                PathNotes::ABOVE_ROOT,
                "`..` segments that lead above the root",
            ),
            (
                PathNotes::EMPTY_BEFORE_DOTS,
                "an empty segment before a `..`",
            ),
        ];
        FAULTS
            .iter()
            .find(|(bit, _)| self.has(*bit))
            .map(|(_, fault)| *fault)
    }
}

/// Ambiguous constructs in one path up to which every combination is looked at. No real path has so
/// many.
const MOST_AT_ONCE: u32 = 4;
/// How often a server may decode.
const ROUNDS: usize = 4;

/// Whether a path is its own normal form and has nothing in it that would have to be noted. May say
/// no to one that is.
fn is_plain(path: &[u8]) -> bool {
    let mut before = 0;
    path.iter().all(|&b| {
        let odd = matches!(b, b'%' | b'\\' | b';') || (before == b'/' && matches!(b, b'/' | b'.'));
        before = b;
        !odd
    })
}

/// Writes the normal form of a path to `normal`, or leaves that empty if the path is its own normal
/// form, and says what was found. What is no path (`*`) is its own.
pub fn normalise(path: &str, normal: &mut String) -> PathNotes {
    normal.clear();
    let mut notes = PathNotes::default();
    if is_plain(path.as_bytes()) || !path.starts_with('/') {
        return notes;
    }
    if path.starts_with("//") {
        notes.note(PathNotes::LEADING);
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
    // The path was visible ASCII, and what was decoded is.
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

/// A way to read a path.
#[derive(Debug)]
pub struct Reading {
    /// As that server takes it.
    pub path: String,
    /// The server decodes as others do, and resolves or merges otherwise.
    pub unusual: bool,
}

/// The other ways in which servers read an ambiguous path; `None` if there are too many.
///
/// A server may decode more than others, and whatever it has decoded it may resolve in the normal
/// way, without merging slashes before that (RFC 3986 section 5.2.4 as it stands), after it took an
/// authority off (as a URL parser does that is given the target as a relative reference), or not at
/// all before it looks for a rule.
pub fn readings(path: &str, notes: PathNotes) -> Option<impl Iterator<Item = Reading>> {
    let mut present = notes.0;
    let mut unwrapped = path.as_bytes().to_vec();
    if notes.has(PathNotes::TWICE) {
        let mut found = PathNotes::default();
        unwrapped = unwrap(unwrapped, &mut found);
        present |= found.0;
    }
    let present = present & PathNotes::AMBIGUOUS;
    if present.count_ones() > MOST_AT_ONCE {
        return None;
    }
    let raw = path.as_bytes().to_vec();
    let subsets = (0..=present).filter(move |subset| subset & !present == 0);
    Some(subsets.flat_map(move |subset| {
        let from = if subset & PathNotes::TWICE == 0 {
            &raw
        } else {
            &unwrapped
        };
        let mut bytes = Vec::with_capacity(from.len());
        decode(from, subset, &mut bytes, &mut PathNotes::default());
        let reading = |path, unusual| Reading {
            path: String::from_utf8(path).unwrap_or_default(),
            unusual,
        };
        resolutions(bytes).map(move |(path, unusual)| reading(path, unusual))
    }))
}

/// What servers make of a path that is decoded.
fn resolutions(decoded: Vec<u8>) -> impl Iterator<Item = (Vec<u8>, bool)> {
    let without_authority = decoded.starts_with(b"//").then(|| {
        let slashes = decoded.iter().take_while(|b| **b == b'/').count();
        let authority = decoded[slashes..]
            .iter()
            .take_while(|b| **b != b'/')
            .count();
        [
            b"/",
            decoded[slashes + authority..]
                .strip_prefix(b"/")
                .unwrap_or_default(),
        ]
        .concat()
    });
    let usual = resolved(decoded.clone());
    let others = [Some(decoded), without_authority.clone()]
        .into_iter()
        .flatten()
        .flat_map(|path| unusual(&path));
    let others = others.chain(without_authority.map(resolved));
    [(usual, false)]
        .into_iter()
        .chain(others.map(|path| (path, true)))
}

fn resolved(mut path: Vec<u8>) -> Vec<u8> {
    resolve(&mut path, &mut PathNotes::default());
    path
}

/// Resolved before slashes are merged, and not resolved.
fn unusual(path: &[u8]) -> impl Iterator<Item = Vec<u8>> + use<> {
    let has_dots = path.split(|b| *b == b'/').any(|segment| segment == b"..");
    let literally = has_dots.then(|| resolved(resolved_literally(path)));
    [literally, has_dots.then(|| merged(path))]
        .into_iter()
        .flatten()
}

/// Dot segments resolved with empty segments for segments (RFC 3986 section 5.2.4).
fn resolved_literally(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut directory = false;
    for segment in path.split(|b| *b == b'/').skip(1) {
        directory = matches!(segment, b"." | b"..");
        match segment {
            b"." => {}
            b".." => _ = kept.pop(),
            segment => kept.push(segment),
        }
    }
    if directory {
        kept.push(b"");
    }
    let mut resolved = Vec::with_capacity(path.len());
    for segment in kept {
        resolved.push(b'/');
        resolved.extend_from_slice(segment);
    }
    resolved
}

/// Slashes merged, and nothing resolved.
fn merged(path: &[u8]) -> Vec<u8> {
    let mut merged = path.to_vec();
    merged.dedup_by(|b, before| *b == b'/' && *before == b'/');
    merged
}

/// Decodes what means the same decoded, and what a server decodes that has these peculiarities.
fn decode(path: &[u8], peculiar: u16, out: &mut Vec<u8>, notes: &mut PathNotes) {
    let is = |bit| peculiar & bit != 0;
    let mut rest = path;
    while let Some((&first, after)) = rest.split_first() {
        let (byte, encoded) = match triplet(rest) {
            Some(byte) => (byte, true),
            None => (first, false),
        };
        let whole = rest;
        rest = if encoded { &rest[3..] } else { after };
        match byte {
            b'%' if !encoded => notes.note(PathNotes::PERCENT),
            b'/' if encoded => notes.note(PathNotes::SLASH),
            b'\\' if encoded => notes.note(PathNotes::ENCODED_BACKSLASH),
            b'\\' => notes.note(PathNotes::BACKSLASH),
            b';' => notes.note(PathNotes::PARAMETER),
            0 => notes.note(PathNotes::NUL),
            0x01..0x20 | 0x7f => notes.note(PathNotes::CONTROL),
            0xc0 | 0xc1 | 0xe0 | 0xf0 if encoded => {
                if let Some((character, length)) = overlong(whole) {
                    notes.note(PathNotes::OVERLONG);
                    if is(PathNotes::OVERLONG) {
                        out.push(if character == b'\\' { b'/' } else { character });
                        rest = &whole[length..];
                        continue;
                    }
                }
            }
            _ => {}
        }
        match byte {
            0 if is(PathNotes::NUL) => return,
            b'/' if encoded && is(PathNotes::SLASH) => out.push(b'/'),
            b'\\' if encoded && is(PathNotes::ENCODED_BACKSLASH) => out.push(b'/'),
            b'\\' if !encoded && is(PathNotes::BACKSLASH) => out.push(b'/'),
            b';' if is(PathNotes::PARAMETER) => rest = after_parameters(rest, peculiar),
            // With two digits that come later it would become something else.
            b'%' => out.extend_from_slice(b"%25"),
            _ if !encoded => out.push(byte),
            _ if is_unreserved(byte) => out.push(byte),
            _ => {
                out.push(b'%');
                out.extend_from_slice(&[
                    whole[1].to_ascii_uppercase(),
                    whole[2].to_ascii_uppercase(),
                ]);
            }
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
fn triplet(text: &[u8]) -> Option<u8> {
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
fn overlong(text: &[u8]) -> Option<(u8, usize)> {
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
fn hides(decoded: &[u8]) -> bool {
    let mut percents = memchr::memchr_iter(b'%', decoded);
    percents.any(|at| decoded[at..].starts_with(b"%25") && is_hidden(&decoded[at + 3..]))
}

/// Takes off what was encoded twice, or more often, and notes what comes to light.
fn unwrap(mut path: Vec<u8>, notes: &mut PathNotes) -> Vec<u8> {
    for _ in 0..ROUNDS {
        let mut decoded = Vec::with_capacity(path.len());
        decode(&path, 0, &mut decoded, notes);
        let mut next = Vec::with_capacity(decoded.len());
        let mut rest = decoded.as_slice();
        while let Some((&first, after)) = rest.split_first() {
            next.push(first);
            rest = if rest.starts_with(b"%25") {
                &rest[3..]
            } else {
                after
            };
        }
        if next == path {
            break;
        }
        path = next;
    }
    path
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Merges slashes and resolves dot segments in place: what is written never overtakes what is read.
fn resolve(path: &mut Vec<u8>, notes: &mut PathNotes) {
    let (mut read, mut written, mut directory, mut empty) = (0, 0, true, false);
    while read < path.len() {
        let slashes = path[read..].iter().take_while(|b| **b == b'/').count();
        empty |= slashes > 1;
        let start = read + slashes;
        let end = path[start..]
            .iter()
            .position(|b| *b == b'/')
            .map_or(path.len(), |at| start + at);
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
                written = path[..written]
                    .iter()
                    .rposition(|b| *b == b'/')
                    .unwrap_or(0);
            }
            _ => {
                let length = end - start;
                path[written] = b'/';
                path.copy_within(start..end, written + 1);
                written += 1 + length;
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn notes(path: &str) -> PathNotes {
        normalise(path, &mut String::new())
    }

    #[test]
    fn a_character_in_too_many_bytes_is_read_as_it_is_by_those_that_read_it() {
        for (text, read) in [
            ("%c0%af", Some((b'/', 6))),
            ("%c1%9c", Some((b'\\', 6))),
            ("%e0%80%af", Some((b'/', 9))),
            ("%e0%81%9c", Some((b'\\', 9))),
            ("%f0%80%80%ae", Some((b'.', 12))),
            ("%f0%80%81%9c", Some((b'\\', 12))),
            ("%c3%a4", None),
            ("%e2%82%ac", None),
            ("%c0", None),
            ("%c0a", None),
            ("%e0%80", None),
        ] {
            assert_eq!(overlong(text.as_bytes()), read, "{text}");
        }
    }

    #[test]
    fn one_form_for_all_spellings() {
        for (path, expected) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/", "/a/"),
            ("//", "/"),
            ("//admin", "/admin"),
            ("/%61dmin", "/admin"),
            ("/%61%64%6D%69%6e", "/admin"),
            ("/x//../admin", "/admin"),
            ("/x/%2e%2E/admin", "/admin"),
            ("/x/.%2E/admin", "/admin"),
            ("/./admin", "/admin"),
            ("/admin/.", "/admin/"),
            ("/a/b/..", "/a/"),
            ("/a/..", "/"),
            ("/../../b", "/b"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a/...", "/a/..."),
            ("/a%2fb%c3%a9", "/a%2Fb%C3%A9"),
            ("/a%2Fb", "/a%2Fb"),
            ("/a%zz%4", "/a%25zz%254"),
            ("/%2%65%2e", "/%252e."),
            ("/%7Euser/%2D", "/~user/-"),
            ("/admin%2F..", "/admin%2F.."),
            ("/a;b=c/d", "/a;b=c/d"),
            ("/a\\b", "/a\\b"),
            ("*", "*"),
        ] {
            assert_eq!(normal(path), expected, "{path}");
        }
    }

    #[test]
    fn a_prefix_is_written_in_one_way() {
        for (path, expected) in [
            ("/%61pi//v1/", "/api/v1/"),
            ("/%40me%21", "/@me!"),
            ("/a%2fb%3b%20c", "/a%2Fb%3B%20c"),
            ("/a|b", "/a|b"),
        ] {
            assert_eq!(literal(path), expected, "{path}");
        }
    }

    #[test]
    fn a_normal_path_takes_no_room() {
        for path in ["/", "/a/b", "/.well-known/x", "/a%2Fb", "/a;b", "*", "/a.b"] {
            let mut normal = String::new();
            normalise(path, &mut normal);
            assert_eq!(normal, "", "{path}");
        }
        assert!(
            ["/", "/a/b.c", "/a-b_c~d!$&'()*+,=:@"]
                .iter()
                .all(|path| is_plain(path.as_bytes()))
        );
    }

    #[test]
    fn what_servers_read_differently_is_named() {
        for (path, fault) in [
            ("/a%2fb", "slash"),
            ("/a\\b", "backslash"),
            ("/a%5cb", "backslash"),
            ("/x/..;/admin", ";"),
            ("/x/%2e%2e;a=b/admin", ";"),
            ("/x/..%3b/admin", ";"),
            ("/a%00", "NUL"),
            ("/a%0d%0a", "control"),
            ("/a%7f", "control"),
            ("/a%zz", "percent"),
            ("/a%", "percent"),
            ("/a%4", "percent"),
            ("/..%c0%afadmin", "overlong"),
            ("/%e0%80%af", "overlong"),
            ("/%f0%80%80%af", "overlong"),
            ("/%252e%252e/admin", "twice"),
            ("/%25252e", "twice"),
            ("/%25%32%65", "twice"),
            ("/../admin", "root"),
            ("/x//../admin", "empty"),
        ] {
            let found = notes(path).fault().unwrap_or_else(|| panic!("{path}"));
            assert!(found.contains(fault), "{path}: {found}");
        }
        for path in [
            "/",
            "/%61dmin",
            "//admin",
            "/a/../b",
            "/a%20b",
            "/caf%C3%A9",
            "/caf%E9",
            "/100%25",
            "/a;v=1/b",
            "/%E0%A0%80",
        ] {
            assert_eq!(notes(path).fault(), None, "{path}");
        }
    }

    #[test]
    fn other_readings_are_all_found() {
        for (path, reading) in [
            ("/x/..%2fadmin", "/admin"),
            ("/x%2f..%2fadmin", "/admin"),
            ("/x/..\\admin", "/admin"),
            ("/x%5c..%5Cadmin", "/admin"),
            ("/x/..;/admin", "/admin"),
            ("/admin;a=b", "/admin"),
            ("/x;/../admin", "/admin"),
            ("/x/..;%2fadmin", "/admin"),
            ("/admin%00.png", "/admin"),
            ("/x/..%c0%afadmin", "/admin"),
            ("/x/%c0%ae%c0%ae/admin", "/admin"),
            ("/%2561dmin", "/admin"),
            ("/x/%252e%252e/admin", "/admin"),
            ("/x/..%25252fadmin", "/admin"),
            ("/x/%25%32%65%25%32%65/admin", "/admin"),
            ("/x/%2%65%2%65/admin", "/admin"),
            // Slashes are not merged before dots are resolved.
            ("/admin//../x", "/admin/x"),
            ("///../../x", "/x"),
            ("/admin/a//../../x", "/admin/x"),
            ("/admin//../", "/admin/"),
            ("/x//..%2f..", "/"),
            // What follows two slashes is an authority.
            ("//g/admin", "/admin"),
            ("///g/admin", "/admin"),
            ("//g", "/"),
            ("/\\\\g/admin", "/admin"),
            ("/\\g/admin", "/admin"),
            ("/%2Fg/admin", "/admin"),
            ("//g:80//x/../admin", "/admin"),
            // A URL parser takes backslashes for slashes, and not what is encoded.
            ("/x\\..\\admin\\z%5c..%5c..\\y", "/admin/z%5C..%5C../y"),
            // Nothing is resolved.
            ("/admin/../x", "/admin/../x"),
            ("/admin//%2e%2E/x", "/admin/../x"),
            ("/x/..%2f../y", "/x/../../y"),
            // One server decodes the slash, another takes backslashes and parameters as well.
            ("/x/..%2fadmin/y;/../..%5c..", "/admin/..%5C.."),
        ] {
            let notes = notes(path);
            assert!(notes.is_ambiguous(), "{path}");
            let all: Vec<String> = readings(path, notes)
                .unwrap()
                .map(|reading| reading.path)
                .collect();
            assert!(all.iter().any(|r| r == reading), "{path}: {all:?}");
        }
        let path = "/%2f\\;%00%c0%af";
        assert!(readings(path, notes(path)).is_none());
        assert!(
            ["/%61dmin", "/a//b", "/a/./b", "/a%20b%zz"]
                .iter()
                .all(|path| !notes(path).is_ambiguous())
        );
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(path in "(/|\\.|%2e|%2E|%2f|%5c|a|;|%|%25|%c0%af|\\\\){0,24}") {
            let once = normal(&format!("/{path}"));
            prop_assert_eq!(&normal(&once), &once);
            prop_assert!(once.starts_with('/') && !once.contains("//"));
            prop_assert!(!once.split('/').any(|s| s == "." || s == ".."));
        }
    }
}
