//! `location-rewrite` of a route, as it is written.

use super::conditions::PathMatch;
use super::edits::Rewrite;
use super::location_rewrite::LocationRewrite;
use super::template::Piece;
use crate::document::{At, Findings, Section};

/// `location-rewrite` as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Off,
    Urls,
    Paths,
}

/// Reads it, for a route that rewrites the path, or the host, or neither.
pub(super) fn read(
    section: &mut Section,
    rewrite: Option<&Rewrite>,
    host: bool,
    findings: &mut Findings,
) -> Option<LocationRewrite> {
    let written = section.take("location-rewrite").and_then(|node| {
        node.parsed(findings, |written| match written {
            "off" => Ok(Which::Off),
            "urls" => Ok(Which::Urls),
            "paths" => Ok(Which::Paths),
            _ => Err(format!(
                "{written:?} is not known; write \"urls\" for URLs with the host that the backend \
                 got, \"paths\" for paths too, or \"off\""
            )),
        })
    });
    let which = written.as_ref().map_or(Which::Urls, |which| which.value);
    if which == Which::Off {
        return None;
    }
    let around = match rewrite {
        Some(rewrite) => turned_round(rewrite),
        None if host => Some((String::new(), String::new())),
        None => None,
    };
    if let (None, Some(At { place, .. })) = (&around, &written) {
        let message = match rewrite {
            Some(_) => {
                "can't be done: what `rewrite` makes of a path can be turned round only if it is \
                 something in front of {rest} or {path}; write \"off\", or remove the key"
            }
            None => {
                "has no effect: the route changes neither path nor host, so that backends know the \
                 same addresses as clients; remove the key"
            }
        };
        findings.error(place, message);
    }
    around.map(|(below, prefix)| LocationRewrite {
        paths: which == Which::Paths,
        below,
        prefix,
    })
}

/// What is in front of the paths that backends get, and what clients have there.
fn turned_round(rewrite: &Rewrite) -> Option<(String, String)> {
    let (begin, part) = match &rewrite.to.pieces[..] {
        [part] => ("", part),
        [Piece::Text(begin), part] if !begin.contains('?') => (begin.as_str(), part),
        _ => return None,
    };
    let prefix = match (part, &rewrite.path) {
        (Piece::Path, _) => "",
        (Piece::Rest, PathMatch::Prefix(prefix)) => prefix,
        _ => return None,
    };
    let trimmed = |path: &str| path.trim_end_matches('/').to_owned();
    Some((trimmed(begin), trimmed(prefix)))
}
