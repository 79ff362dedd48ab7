//! `[request-id]` as written.

use super::{RequestIds, respond};
use crate::document::{Findings, Section};
use crate::message::trace_context::{TRACEPARENT, TRACESTATE};

/// The field that most proxies and frameworks use.
const HEADER: &str = "x-request-id";

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
        name => Ok(name),
    }
}
