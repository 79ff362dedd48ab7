//! A URL or a path with parts of the request in it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What is encoded of a path that is a value in a query.
const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

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
}

impl Template {
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
                Piece::Text(text) => filled.push_str(text),
                Piece::Scheme => filled.push_str(parts.scheme),
                Piece::Host => filled.push_str(parts.host),
                Piece::Path => add_path(&mut filled, parts.path),
                Piece::Rest => add_path(&mut filled, parts.rest),
            }
        }
        if ends_in_authority(&filled) {
            filled.push('/');
        }
        filled
    }
}

fn add_path(filled: &mut String, path: &str) {
    // `*` has no URL of its own.
    let path = if path == "*" { "" } else { path };
    if filled.contains('?') {
        filled.extend(utf8_percent_encode(path, IN_QUERY));
        return;
    }
    let path = match filled.ends_with('/') {
        true => path.strip_prefix('/').unwrap_or(path),
        false => path,
    };
    if ends_in_authority(filled) && !path.starts_with('/') {
        filled.push('/');
    }
    for part in path.split_inclusive('\\') {
        match part.strip_suffix('\\') {
            Some(part) => filled.extend([part, "%5C"]),
            None => filled.push_str(part),
        }
    }
}

/// Whether what follows would belong to the host.
fn ends_in_authority(url: &str) -> bool {
    // A URL in the query of a path is none of its own.
    let is_path = url.starts_with('/');
    let after = url.split_once("://").filter(|_| !is_path);
    let after = after.map(|(_, after)| after);
    after.is_some_and(|after| !after.contains(['/', '?']))
}
