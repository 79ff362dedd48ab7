//! The names of fields that mean something to the proxy itself, in one table.
//!
//! The codec drops, forwarding replaces, and policies may not write the names in it. Backends that
//! pass fields on as variables (CGI, WSGI, PHP, lighttpd) can't tell `x-forwarded-for` from
//! `X_Forwarded_For` or `x.forwarded.for`, so every character but a letter or a digit counts as `-`
//! here.

mod table;

use std::ops::Range;

use self::table::TABLE;
pub use self::table::{Claim, Owner};

/// A name of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owned {
    /// What it is about.
    pub owner: Owner,
    /// The name only looks like the one in the table: `content_length`.
    pub look_alike: bool,
}

/// What this name means to the proxy, if it means anything. Letters may have any case.
#[inline]
pub fn owned(name: &[u8]) -> Option<Owned> {
    let (from, to) = INDEX[slot(name)?];
    let owner = find(name, usize::from(from)..usize::from(to))?;
    Some(Owned {
        owner,
        look_alike: name
            .iter()
            .any(|b| !b.is_ascii_alphanumeric() && *b != b'-'),
    })
}

/// Whether a server that passes fields on as variables may take this field for the one with that
/// name, or it is that one. Letters may have any case.
pub fn is_alike(field: &[u8], name: &[u8]) -> bool {
    let is = |(b, wanted): (&u8, &u8)| {
        b.eq_ignore_ascii_case(wanted) || *wanted == b'-' && matches!(b, b'_' | b'.' | b'~')
    };
    field.len() == name.len() && field.iter().zip(name).all(is)
}

/// Whether the proxy writes this field about the client itself, from what it has decided. The name
/// is in lower case.
pub fn is_written(name: &[u8]) -> bool {
    matches!(
        name,
        b"forwarded"
            | b"x-forwarded-for"
            | b"x-forwarded-proto"
            | b"x-forwarded-host"
            | b"x-forwarded-port"
    )
}

/// The last entry that fits is the longest.
fn find(name: &[u8], among: Range<usize>) -> Option<Owner> {
    TABLE[among]
        .iter()
        .rev()
        .find(|(known, _)| is(name, known.as_bytes()))
        .map(|(_, owner)| *owner)
}

/// Letters, and all else as one.
const SIGNS: usize = 27;

/// The part of the table in which a name could be, by two of its letters: for most fields of a
/// request that part is empty. The many names that begin with `x` have a separate index, by their
/// third and fourth letter.
static INDEX: [(u16, u16); 2 * SIGNS * SIGNS] = index();

const fn index() -> [(u16, u16); 2 * SIGNS * SIGNS] {
    assert!(
        TABLE.len() <= u16::MAX as usize,
        "a place in the table has two bytes"
    );
    let mut index = [(0, 0); 2 * SIGNS * SIGNS];
    let mut at = 0;
    while at < TABLE.len() {
        let name = TABLE[at].0.as_bytes();
        assert!(
            !matches!(name, [_, b'*', ..] | [b'x', _, _, b'*']),
            "the beginning of names has the letters that the index wants"
        );
        assert!(
            slot(name).is_some(),
            "a name has the letters that the index wants"
        );
        if let Some(slot) = slot(name) {
            let entry = at as u16;
            let (from, to) = index[slot];
            assert!(to == 0 || to == entry, "entries of one slot stand together");
            index[slot] = (if to == 0 { entry } else { from }, entry + 1);
        }
        at += 1;
    }
    index
}

/// By the first two letters; by the third and the fourth of a name that begins with `x`.
#[inline]
const fn slot(name: &[u8]) -> Option<usize> {
    match name {
        [b'x' | b'X', _, third, fourth, ..] => Some((SIGNS + sign(*third)) * SIGNS + sign(*fourth)),
        [b'x' | b'X', ..] => None,
        [first, second, ..] => Some(sign(*first) * SIGNS + sign(*second)),
        _ => None,
    }
}

const fn sign(byte: u8) -> usize {
    match byte | 0x20 {
        letter @ b'a'..=b'z' if byte.is_ascii_alphabetic() => (letter - b'a') as usize,
        _ => SIGNS - 1,
    }
}

#[inline]
fn is(name: &[u8], known: &[u8]) -> bool {
    match known {
        [beginning @ .., b'*'] => name
            .get(..beginning.len())
            .is_some_and(|name| same(name, beginning)),
        _ => name.len() == known.len() && same(name, known),
    }
}

/// Whether backends that hand fields on as variables could take one name for the other.
pub(super) fn alike(one: &[u8], other: &[u8]) -> bool {
    let folded = |b: &u8| {
        if b.is_ascii_alphanumeric() {
            b.to_ascii_lowercase()
        } else {
            b'-'
        }
    };
    one.len() == other.len() && one.iter().map(folded).eq(other.iter().map(folded))
}

fn same(name: &[u8], known: &[u8]) -> bool {
    name.iter().zip(known).all(|(b, k)| {
        if b.is_ascii_alphanumeric() {
            b.to_ascii_lowercase() == *k
        } else {
            *k == b'-'
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_table_is_found_in_any_case_and_spelling() {
        for (known, owner) in TABLE {
            let name = known.replace('*', "anything");
            let spelled = |name: &str| {
                Some(Owned {
                    owner,
                    look_alike: name.contains(['_', '.', '~']),
                })
            };
            assert_eq!(owned(name.as_bytes()), spelled(&name), "{name}");
            assert_eq!(
                owned(name.to_ascii_uppercase().as_bytes()),
                spelled(&name),
                "{name}"
            );
            for other in ["_", ".", "~"] {
                let name = name.replace('-', other);
                assert_eq!(owned(name.as_bytes()), spelled(&name), "{name}");
            }
        }
    }

    #[test]
    fn the_table_is_in_order_and_says_everything_once() {
        for pair in TABLE.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{} before {}", pair[0].0, pair[1].0);
        }
        for (at, (known, owner)) in TABLE.iter().enumerate() {
            assert!(
                known
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-*".contains(&b)),
                "{known}"
            );
            assert!(
                !known.trim_end_matches('*').contains('*') && known.len() > 1,
                "{known}"
            );
            let found = find(known.trim_end_matches('*').as_bytes(), 0..at);
            assert_ne!(found, Some(*owner), "{known} is in a wider entry already");
        }
    }

    #[test]
    fn the_index_finds_what_a_search_of_all_finds() {
        let names = TABLE.iter().flat_map(|(known, _)| {
            let name = known.trim_end_matches('*');
            [
                name.to_owned(),
                format!("{name}x"),
                format!("x{name}"),
                format!("x-{name}"),
                name[1..].to_owned(),
            ]
        });
        for name in
            names.chain(["$WSRA", "-", "x", "x-", "x-a", "x--a", "9a", "\u{e4}"].map(str::to_owned))
        {
            let found = owned(name.as_bytes()).map(|owned| owned.owner);
            assert_eq!(found, find(name.as_bytes(), 0..TABLE.len()), "{name}");
        }
    }

    #[test]
    fn fields_of_ordinary_requests_are_compared_with_few_names() {
        for name in [
            "accept",
            "accept-encoding",
            "accept-language",
            "authorization",
            "cache-control",
            "content-type",
            "cookie",
            "date",
            "if-none-match",
            "origin",
            "priority",
            "range",
            "referer",
            "sec-ch-ua",
            "sec-fetch-mode",
            "upgrade-insecure-requests",
            "user-agent",
            "x-api-key",
            "x-request-id",
            "x-requested-with",
            "x-tenant",
        ] {
            let (from, to) = INDEX[slot(name.as_bytes()).unwrap()];
            assert!(to - from <= 16, "{name}: {}", to - from);
        }
    }

    /// The page lists the table's entries about clients, each under its claim.
    #[test]
    fn the_documentation_lists_the_whole_table() {
        let page = include_str!("../../../docs/client-fields.md");
        let mut claims = Vec::new();
        for section in page.split("\n## ").skip(1) {
            let claim = match section.lines().next().unwrap() {
                "The client's address" => Claim::Address,
                "How the client came, and what it asked for" => Claim::Way,
                "User, certificate, place, prefix" => Claim::Vouched,
                other => panic!("{other}"),
            };
            let names = section
                .lines()
                .filter_map(|line| line.strip_prefix("- `")?.strip_suffix('`'));
            claims.extend(names.map(|name| (name, Owner::Client(claim))));
        }
        claims.sort_by_key(|(name, _)| *name);
        let table: Vec<(&str, Owner)> = TABLE
            .into_iter()
            .filter(|(_, owner)| matches!(owner, Owner::Client(_)))
            .collect();
        assert_eq!(claims, table);
    }

    #[test]
    fn the_sdk_refuses_the_names_of_this_table_in_tests() {
        let theirs = include_str!("../../../guest-policies/sdk/src/testing/table.rs");
        assert!(
            theirs == include_str!("names/table.rs"),
            "copy host/src/message/names/table.rs to the SDK"
        );
    }

    #[test]
    fn what_only_begins_or_ends_like_a_name_is_not_it() {
        for name in [
            "",
            "hosts",
            "x-te",
            "te-x",
            "expects",
            "vias",
            "upgrade-insecure-requests",
            "x-clientele",
            "x-auth-token",
            "x-amz-date",
            "x-amzn-trace-id",
            "x-goog-meta-a",
            "x-user-id",
            "ssl",
            "x-client-version",
            "x-client-data",
            "x-request-id",
            "x-http-method-override",
            "content-type",
            "content-lengths",
            "cookie",
            "user-agent",
            "range",
            "accept",
            "x-waypost",
            "proxyx",
            "date",
            "x-requested-with",
            "trailers",
        ] {
            assert_eq!(owned(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn the_fields_that_the_policies_here_leave_to_the_host_are_those_of_the_hop() {
        // `proxy-connection` represents all of `proxy-*`, because only it is still in use.
        let expected: Vec<&str> = TABLE
            .iter()
            .filter(|(_, owner)| matches!(owner, Owner::Hop | Owner::Trailer))
            .map(|(known, _)| match *known {
                "proxy-*" => "proxy-connection",
                known => known,
            })
            .collect();
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-policies");
        for file in [
            "sdk/src/request.rs",
            "header-router/src/settings.rs",
            "header-router-c/settings.c",
            "header-router-js/settings.js",
            "header-router-py/settings.py",
            "header-router-zig/settings.zig",
        ] {
            let text = std::fs::read_to_string(folder.join(file)).unwrap();
            let middle = text
                .find("content-length")
                .unwrap_or_else(|| panic!("{file}"));
            let start = text[..middle].rfind(['[', '{', '(']).unwrap();
            let end = middle + text[middle..].find([']', '}', ')']).unwrap();
            let names: Vec<&str> = text[start..end]
                .split(['"', '\''])
                .skip(1)
                .step_by(2)
                .collect();
            assert_eq!(names, expected, "{file}");
        }
    }
}
