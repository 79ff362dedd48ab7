//! `[request-id]` as written.

use super::{RequestIds, respond};
use crate::document::{Findings, Section};
use crate::message::trace_context::{TRACEPARENT, TRACESTATE};

/// The field that most proxies and frameworks use.
const HEADER: &str = "x-request-id";

/// Fields that requests or responses could not do without (RFC 9110, RFC 9111, RFC 6265).
const MEANINGFUL: [&str; 26] = [
    "age",
    "allow",
    "alt-svc",
    "authorization",
    "cache-control",
    "cookie",
    "date",
    "early-data",
    "etag",
    "expires",
    "idempotency-key",
    "last-modified",
    "link",
    "location",
    "origin",
    "pragma",
    "priority",
    "range",
    "referer",
    "retry-after",
    "server",
    "set-cookie",
    "strict-transport-security",
    "user-agent",
    "vary",
    "www-authenticate",
];

/// What their names begin with.
const FAMILIES: [&str; 6] = [
    "accept",
    "access-control-",
    "content-",
    "grpc-",
    "if-",
    "sec-",
];

fn has_meaning(name: &str) -> bool {
    MEANINGFUL.contains(&name) || FAMILIES.iter().any(|family| name.starts_with(family))
}

/// Reads the section; `None` if it is missing or unusable.
pub(super) fn request_id(root: &mut Section, findings: &mut Findings) -> Option<RequestIds> {
    let mut section = root.take("request-id")?.section(findings)?;
    let header = section.take("header");
    let header = header.and_then(|node| node.parsed(findings, header_name));
    let accept = section.take("accept").and_then(|n| n.boolean(findings));
    let respond = section.take("respond").and_then(|n| n.boolean(findings));
    section.finish(findings);
    Some(RequestIds {
        header: header.map_or_else(|| HEADER.to_owned(), |name| name.value),
        accept: accept.unwrap_or(true),
        respond: respond.unwrap_or(false),
    })
}

fn header_name(written: &str) -> Result<String, String> {
    match respond::written_name(written)? {
        name if [TRACEPARENT, TRACESTATE].contains(&&*name) => Err(format!(
            "can't be {name:?}, which has a form of its own; `[tracing]` writes it"
        )),
        name if has_meaning(&name) => Err(format!(
            "can't be {name:?}: it has a meaning of its own, which an id in its place would \
             destroy; write a name of your own, or \"{HEADER}\""
        )),
        name => Ok(name),
    }
}
