//! What a template makes of a request: the place of a redirect, and the path that backends get.

use percent_encoding::utf8_percent_encode;

use super::candidates::{is_above, rest};
use crate::config::{NOT_OF_PATHS, Parts, PathMatch, Rewrite, Template};
use crate::message::RequestHead;
use crate::message::path;

/// Fills in a template of a route whose path is this one.
pub fn fill(to: &Template, of: &PathMatch, head: &RequestHead) -> String {
    with_parts(of, head, |parts| to.fill(parts))
}

/// What a route whose path is this one has found in a request.
pub(super) fn with_parts<T>(
    of: &PathMatch,
    head: &RequestHead,
    then: impl FnOnce(Parts<'_>) -> T,
) -> T {
    let path = head.path();
    let literal;
    let (mut after, mut groups) = ("", Vec::new());
    match of {
        PathMatch::Prefix(prefix) => {
            let found = rest(prefix.trim_end_matches('/'), path);
            after = found
                .and_then(|found| std::str::from_utf8(found).ok())
                .unwrap_or_default();
        }
        // As the expression was found in it.
        PathMatch::Regex(pattern) => {
            literal = path::literal(path);
            groups = pattern.groups(&literal);
        }
        PathMatch::Exact(_) => {}
    }
    then(Parts {
        scheme: head.scheme.as_str(),
        host: &head.host,
        path,
        rest: after,
        groups: &groups,
    })
}

/// The path and the query that backends get of a request; `None` if some server would read the path
/// as one that lies elsewhere.
pub fn rewritten(rewrite: &Rewrite, head: &RequestHead) -> Option<String> {
    let filled = fill(&rewrite.to, &rewrite.path, head);
    let (path, query) = filled.split_at(filled.find('?').unwrap_or(filled.len()));
    let mut normal = String::new();
    let notes = path::normalise(path, &mut normal);
    let sent = match normal.is_empty() {
        true => path,
        false => &normal,
    };
    let is_below = |path: &str| is_above(&rewrite.base, rest(&rewrite.base, path));
    let mut is_sure = is_below(sent);
    if notes.is_ambiguous() {
        is_sure &= path::readings(sent, notes)?
            .all(|reading| reading.is_some_and(|reading| is_below(&reading.path)));
    }
    let mut target: String = utf8_percent_encode(sent, NOT_OF_PATHS).collect();
    target.push_str(query);
    if let Some(query) = head.query().filter(|_| rewrite.keeps_query) {
        target.push('?');
        target.push_str(query);
    }
    is_sure.then_some(target)
}
