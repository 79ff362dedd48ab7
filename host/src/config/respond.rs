//! `redirect` and `respond` of a route: answers that need no pool.

use std::path::Path;

use super::answers::{FixedResponse, RouteAnswer};
use super::conditions::PathMatch;
use super::unmeant::Unmeant;
use super::variables::Spot;
use super::{redirect, values};
use crate::document::{Findings, Node, Place, Section};
use crate::files;
use crate::message::{names, syntax};

/// The longest body of a response.
const BODY: u64 = 1 << 20;
/// The most fields of a response.
const FIELDS: usize = 64;
/// The longest value of a field.
const VALUE: usize = 8 * 1024;

/// Keys of a route that have a meaning only where its requests go to a pool.
const OF_POOLS: [&str; 17] = [
    "policies",
    "policies-may-edit",
    "retry",
    "retry-buffer",
    "request-buffering",
    "hedge",
    "upgrade",
    "compress",
    "preserve-header-case",
    "strip-prefix",
    "rewrite",
    "host-rewrite",
    "location-rewrite",
    "request-headers",
    "mirror",
    "timeouts",
    "body-bytes",
];

/// Reads the answer of a route; `None` if its requests go to a pool.
pub(super) fn answer(
    section: &mut Section,
    path: &PathMatch,
    base: &Path,
    findings: &mut Findings,
) -> Option<RouteAnswer> {
    let redirect = section.take("redirect");
    let respond = section.take("respond");
    let node = redirect.as_ref().or(respond.as_ref())?;
    let place = node.place.clone();
    let has_pool = section.has("pool") || section.has("pools");
    if has_pool || redirect.is_some() && respond.is_some() {
        let message = "is one answer too many: a route has one of `pool`, `redirect` and \
                       `respond`; remove the others";
        findings.error(&place, message);
    }
    for key in OF_POOLS.into_iter().filter(|key| section.has(key)) {
        let message =
            format!("answers without a backend, so `{key}` would do nothing; remove `{key}`");
        findings.error(&place, message);
    }
    match (redirect, respond) {
        (Some(node), _) => Some(RouteAnswer::Redirect(redirect::read(node, path, findings)?)),
        (None, Some(node)) => Some(RouteAnswer::Fixed(read_response(
            node, path, base, findings,
        )?)),
        (None, None) => None,
    }
}

fn read_response(
    node: Node,
    path: &PathMatch,
    base: &Path,
    findings: &mut Findings,
) -> Option<FixedResponse> {
    let unmeant = |spot| Unmeant { spot, path };
    if !node.is_table() {
        let message = "is not a table; write for example { status = 403 }, or \
                       { status = 200, body = \"ok\" }";
        findings.error(&node.place, message);
        return None;
    }
    let mut section = node.section(findings)?;
    let place = section.place.clone();
    let status = section.take("status");
    let status = status.and_then(|n| n.integer(findings, 200..=599u16));
    let status = status.map_or(200, |status| status.value);
    let body = section.take("body").and_then(|n| n.string(findings));
    let file = section.take("file").and_then(|n| {
        n.parsed(findings, |written| {
            let path = values::relative_to(base, written)?;
            files::read_regular(&path, BODY).map_err(|error| {
                format!(
                    "{} can't be read: {error}; a body has {BODY} bytes at most",
                    path.display()
                )
            })
        })
    });
    if body.is_some() && file.is_some() {
        findings.error(&place, "has `body` and `file`; remove one of them");
    }
    let fields = section.take("headers").and_then(|n| n.section(findings));
    let mut fields = fields.map_or_else(Vec::new, |fields| {
        read_fields(fields, unmeant(Spot::Response), findings, Ok)
    });
    section.finish(findings);
    let has_type = fields.iter().any(|(name, _)| name == "content-type");
    // A body with a type of its own may be a script or a style sheet, where these signs are usual.
    if let Some(body) = body.as_ref().filter(|_| !has_type) {
        unmeant(Spot::Body).warn(&body.value, &body.place, findings);
    }
    let body = body.map(|body| body.value.into_bytes());
    let body = body.or(file.map(|file| file.value)).unwrap_or_default();
    if !body.is_empty() && !has_type {
        let kind = b"text/plain; charset=utf-8";
        fields.push(("content-type".to_owned(), kind.to_vec()));
    }
    let response = FixedResponse {
        status,
        fields,
        body,
    };
    check_whole(&response, &place, findings);
    Some(response)
}

/// Refuses what no response can be.
fn check_whole(response: &FixedResponse, place: &Place, findings: &mut Findings) {
    let FixedResponse {
        status,
        fields,
        body,
    } = response;
    if body.len() as u64 > BODY {
        let message = format!("has a body of {} bytes; write {BODY} at most", body.len());
        findings.error(place, message);
    }
    if matches!(status, 204 | 205 | 304) && !body.is_empty() {
        let message = format!("has a body, which a response with {status} can't have; remove it");
        findings.error(place, message);
    }
    if matches!(status, 301 | 302 | 303 | 307 | 308)
        && fields.iter().all(|(name, _)| name != "location")
    {
        let message = format!(
            "is a redirect ({status}) to nowhere: no client follows it without `location`; write \
             `redirect`, or add that header"
        );
        findings.error(place, message);
    }
}

/// Fields of a message: a value, or a list of values, for each name.
pub(super) fn read_fields<T>(
    fields: Section,
    unmeant: Unmeant<'_>,
    findings: &mut Findings,
    read: impl Fn(Vec<u8>) -> Result<T, String>,
) -> Vec<(String, T)> {
    let place = fields.place.clone();
    let mut all: Vec<(String, T)> = Vec::new();
    for (name, node) in fields.into_entries() {
        let place = node.place.clone();
        let Some(name) = findings.accept(&place, written_name(&name)) else {
            continue;
        };
        if all.iter().any(|(known, _)| *known == name) {
            let message = "is there twice, because case makes no difference: both fields are sent; \
                           write one key, with a list of values if several are meant";
            findings.warning(&place, message);
        }
        for node in node.one_or_many() {
            let read = |written: &str| Ok((read(written_value(written)?)?, written.to_owned()));
            let Some(value) = node.parsed_scalar(findings, read) else {
                continue;
            };
            let (read, written) = value.value;
            unmeant.warn(&written, &value.place, findings);
            all.push((name.clone(), read));
        }
    }
    if all
        .iter()
        .filter(|(name, _)| name == "content-type")
        .count()
        > 1
    {
        let message = "has more than one `content-type`; a body has one type, remove the others";
        findings.error(&place, message);
    }
    if all.len() > FIELDS {
        let message = format!("has {} fields; write {FIELDS} at most", all.len());
        findings.error(&place, message);
    }
    all
}

/// The name of a field that an operator may write: those that policies may.
pub(super) fn written_name(written: &str) -> Result<String, String> {
    let name = values::field_name(written)?;
    match names::owned(name.as_bytes()) {
        None if name == "date" => Err(
            "can't be written: it is the time of each answer, which the proxy says; remove it"
                .to_owned(),
        ),
        None => Ok(name),
        Some(_) if name == "host" => Err(
            "can't be written: \"host\" is a field that the proxy writes or checks itself; write \
             `host-rewrite` for the host that backends get"
                .to_owned(),
        ),
        Some(owned) if is_claim(owned.owner, &name) => Err(format!(
            "can't be written: {name:?} is about the client, and backends believe it; have them \
             read `x-forwarded-for` and its like, which the proxy writes, or write a name of your \
             own, such as x-client = \"{{client}}\""
        )),
        Some(_) => Err(format!(
            "can't be written: {name:?} is a field that the proxy writes or checks itself; remove it"
        )),
    }
}

/// Whether it is about the client, and none of the fields in which the proxy describes it.
fn is_claim(owner: names::Owner, name: &str) -> bool {
    matches!(owner, names::Owner::Client(_)) && !names::is_written(name.as_bytes())
}

/// The value of a field that an operator may write.
pub(super) fn written_value(written: &str) -> Result<Vec<u8>, String> {
    let value = written.trim().as_bytes();
    match syntax::is_value(value) && value.len() <= VALUE {
        true => Ok(value.to_vec()),
        false => Err(format!(
            "is not the value of a header field; write at most {VALUE} bytes, without control \
             characters"
        )),
    }
}
