//! A URL or a path with parts of the request in it.

use percent_encoding::{
    AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, percent_encode, utf8_percent_encode,
};

use super::PathMatch;
use crate::message::path;

/// What is encoded of a path that is a value in a query.
const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What no path has (RFC 3986 section 3.3), of what is visible.
pub const NOT_OF_PATHS: &AsciiSet = &CONTROLS
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A text with parts of the request in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// In order.
    pub(super) pieces: Vec<Piece>,
}

/// A piece of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// As it stands.
    Text(String),
    /// `http` or `https`.
    Scheme,
    /// The host that was asked for, without a port.
    Host,
    /// The path in normal form.
    Path,
    /// What follows the route's prefix in it.
    Rest,
    /// What this group of the route's expression has found in it.
    Group(usize),
}

/// The parts of a request.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// In normal form; not empty if [`Template::names_host`].
    pub host: &'a str,
    /// In normal form.
    pub path: &'a str,
    /// What follows the route's prefix in the path.
    pub rest: &'a str,
    /// What the groups of the route's expression have found in the path, the whole first.
    pub groups: &'a [&'a str],
}

impl Template {
    /// Reads a text in which `{path}` and its like are parts of a request whose path matches this;
    /// `{scheme}` and `{host}` only in a URL.
    pub(super) fn parse(written: &str, path: &PathMatch, of_url: bool) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = written;
        while let Some((text, after)) = rest.split_once('{') {
            let Some((name, after)) = after.split_once('}') else {
                return Err(format!("{written:?} has a `{{` without its `}}`; add it"));
            };
            if !text.is_empty() {
                pieces.push(Piece::Text(text.to_owned()));
            }
            let piece = piece(name, path, of_url);
            pieces.push(piece.map_err(|why| format!("{written:?} has {{{name}}}, {why}"))?);
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self { pieces })
    }

    /// What every path that is made of it is or lies below: as far as no part of a request may have
    /// a say in it.
    pub(super) fn base(&self) -> String {
        let Some(Piece::Text(text)) = self.pieces.first() else {
            return String::new();
        };
        let begin = text.split('?').next().unwrap_or_default();
        let base = match self.pieces.get(1) {
            // A part that begins a segment, or nothing that changes the path.
            None | Some(Piece::Path | Piece::Rest) => begin,
            Some(_) if begin.len() < text.len() => begin,
            Some(_) => begin.rsplit_once('/').map_or("", |(base, _)| base),
        };
        path::normal(base).trim_end_matches('/').to_owned()
    }

    /// Whether it has a query of its own.
    pub(super) fn has_query(&self) -> bool {
        let mut pieces = self.pieces.iter();
        pieces.any(|piece| matches!(piece, Piece::Text(text) if text.contains('?')))
    }

    /// Whether it needs the request's host.
    pub fn names_host(&self) -> bool {
        self.pieces.contains(&Piece::Host)
    }

    /// Puts the parts of a request in. A path neither becomes a host nor a part of one, whatever it
    /// begins with: the normal form has no doubled slashes, none is made here, and backslashes,
    /// which browsers take for slashes, are encoded.
    pub fn fill(&self, parts: Parts<'_>) -> String {
        let mut filled = String::with_capacity(parts.path.len() + 64);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => add_text(&mut filled, text),
                Piece::Scheme => filled.push_str(parts.scheme),
                Piece::Host => filled.push_str(parts.host),
                // `*` has no URL of its own.
                Piece::Path if parts.path == "*" => {}
                Piece::Path => add_path(&mut filled, parts.path),
                Piece::Rest => add_path(&mut filled, parts.rest),
                Piece::Group(at) => {
                    let group = parts.groups.get(*at).copied().unwrap_or_default();
                    match filled.contains('?') {
                        true => add_value(&mut filled, group),
                        false => add_path(&mut filled, group),
                    }
                }
            }
        }
        // The mark of a query that is to be empty.
        if filled.find('?') == Some(filled.len() - 1) {
            filled.pop();
        }
        if ends_in_authority(&filled) {
            filled.push('/');
        }
        filled
    }
}

fn piece(name: &str, path: &PathMatch, of_url: bool) -> Result<Piece, String> {
    let group = match path {
        PathMatch::Regex(pattern) => pattern.group(name),
        PathMatch::Prefix(_) | PathMatch::Exact(_) => None,
    };
    match (name, path) {
        ("scheme", _) if of_url => Ok(Piece::Scheme),
        ("host", _) if of_url => Ok(Piece::Host),
        ("path", _) => Ok(Piece::Path),
        ("rest", PathMatch::Prefix(_)) => Ok(Piece::Rest),
        ("rest", _) => Err(
            "which is what follows the prefix of a route; write {path}, or give \
                            the route a prefix as its path"
                .to_owned(),
        ),
        _ => group.map(Piece::Group).ok_or_else(|| {
            let url = if of_url { "{scheme}, {host}, " } else { "" };
            format!(
                "which is not known; write {url}{{path}}, {{rest}} (what follows the route's \
                 prefix), or {{1}} or {{NAME}} for a group of the route's regular expression"
            )
        }),
    }
}

/// Refuses what a template can't have anywhere.
pub(super) fn check_text(written: &str) -> Result<(), String> {
    if written.bytes().any(|b| !b.is_ascii_graphic() || b == b'\\') {
        return Err(format!(
            "{written:?} is not a URL or a path; percent-encode spaces, backslashes, control and \
             non-ASCII characters"
        ));
    }
    match written.contains('#') {
        true => Err(format!(
            "{written:?} has a fragment, which browsers keep from their own URL; remove it"
        )),
        false => Ok(()),
    }
}

/// A group is a value of the path, which is decoded to be one of a query: unlike a whole path, that
/// would be followed as it is written.
fn add_value(filled: &mut String, group: &str) {
    let value: Vec<u8> = percent_decode_str(group).collect();
    filled.extend(percent_encode(&value, IN_QUERY));
}

/// Behind a part that is empty, or that ends in a slash, a text adds no second one.
fn add_text(filled: &mut String, text: &str) {
    let is_doubled = filled.ends_with('/') && !filled.contains('?');
    let text = match is_doubled {
        true => text.trim_start_matches('/'),
        false => text,
    };
    filled.push_str(text);
}

fn add_path(filled: &mut String, path: &str) {
    if filled.contains('?') {
        filled.extend(utf8_percent_encode(path, IN_QUERY));
        return;
    }
    let path = match filled.ends_with('/') {
        true => path.trim_start_matches('/'),
        false => path,
    };
    if ends_in_authority(filled) && !path.starts_with('/') {
        filled.push('/');
    }
    filled.extend(utf8_percent_encode(path, NOT_OF_PATHS));
}

/// Whether what follows would belong to the host.
fn ends_in_authority(url: &str) -> bool {
    // A URL in the query of a path is none of its own.
    let is_path = url.starts_with('/');
    let after = url.split_once("://").filter(|_| !is_path);
    let after = after.map(|(_, after)| after);
    after.is_some_and(|after| !after.contains(['/', '?']))
}
