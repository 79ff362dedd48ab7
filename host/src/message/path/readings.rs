//! The other ways in which servers read a path.

use super::PathNotes;
use super::normal::resolve;
use super::octets::decode;

/// Ambiguous constructs in one path up to which every combination is looked at. Real paths have
/// fewer.
const MOST_AT_ONCE: u32 = 4;
/// How often a server may take the beginning of a path for an authority.
const MOST_AUTHORITIES: usize = 4;
/// How often a server may decode.
const ROUNDS: usize = 4;

/// A way to read a path.
#[derive(Debug)]
pub struct Reading {
    /// As that server takes it.
    pub path: String,
    /// The server decodes as others do, and resolves or merges otherwise.
    pub unusual: bool,
}

/// The other ways in which servers read an ambiguous path; `None`, also as one of them, if there
/// are too many.
///
/// A server may decode more than others. It may then resolve the result in the normal way; without
/// merging slashes first (RFC 3986 section 5.2.4 to the letter); after it removed an authority (as
/// a URL parser does with the target as a relative reference), which may lie behind dot segments
/// (`/.//host/path`) or behind another one; or not at all before it matches a rule.
pub fn readings(path: &str, notes: PathNotes) -> Option<impl Iterator<Item = Option<Reading>>> {
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
        resolutions(bytes).map(move |read| read.map(|(path, unusual)| reading(path, unusual)))
    }))
}

/// What servers make of a path that is decoded; the last is `None` if there is more.
fn resolutions(decoded: Vec<u8>) -> impl Iterator<Item = Option<(Vec<u8>, bool)>> {
    let usual = resolved(decoded.clone());
    let literally = has_dots(&decoded).then(|| resolved_literally(&decoded));
    let starts = [Some(decoded), literally].into_iter().flatten();
    let others = starts.flat_map(|path| {
        let (mut without, mut rest) = (vec![Some(path.clone())], path);
        while rest.starts_with(b"//") {
            if without.len() > MOST_AUTHORITIES {
                without.push(None);
                break;
            }
            rest = without_authority(&rest);
            without.push(Some(rest.clone()));
        }
        without
    });
    let others = others.flat_map(|path| match path {
        None => vec![None],
        Some(path) => {
            let all = unusual(&path).chain([resolved(path)]);
            all.map(|path| Some((path, true))).collect()
        }
    });
    [Some((usual, false))].into_iter().chain(others)
}

/// What a URL parser leaves of a path that begins with two slashes.
fn without_authority(path: &[u8]) -> Vec<u8> {
    let slashes = path.iter().take_while(|b| **b == b'/').count();
    let behind = memchr::memchr(b'/', &path[slashes..]);
    // Its path begins with the slash behind the authority.
    behind.map_or(b"/".to_vec(), |at| path[slashes + at..].to_vec())
}

fn resolved(mut path: Vec<u8>) -> Vec<u8> {
    resolve(&mut path, &mut PathNotes::default());
    path
}

fn has_dots(path: &[u8]) -> bool {
    let mut segments = path.split(|b| *b == b'/');
    segments.any(|segment| matches!(segment, b"." | b".."))
}

/// Resolved before slashes are merged, and not resolved.
fn unusual(path: &[u8]) -> impl Iterator<Item = Vec<u8>> + use<> {
    let has_dots = has_dots(path);
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

/// Removes double and deeper encoding, and notes the constructs that this reveals.
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
