//! Responses that the proxy itself makes: refusals, answers of policies, the statistics page.

use http::Method;

use super::refusal::Refusal;
use crate::decision::TRACE;
use crate::h1::{Framing, write_name, write_response_end, write_status_line};
use crate::message::Version;
use crate::policy::Reply;

/// The methods that are passed on; any other token is as well.
const ALLOW: &[u8] = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// The facts about the client's request that its response needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReplyTo<'a> {
    /// HEAD gets no body.
    pub method: &'a Method,
    /// The client's version.
    pub version: Version,
    /// Whether another request may follow on the connection.
    pub keep_alive: bool,
    /// The `date` field's value.
    pub date: &'a [u8],
    /// How the request was decided, if that was asked for.
    pub trace: Option<&'a str>,
    /// The proxy's name in `Proxy-Status`.
    pub item: &'a str,
}

/// The `connection` field that says what happens to the client's connection, where the version does
/// not imply it.
pub(super) fn connection_option(version: Version, keep_alive: bool) -> Option<&'static str> {
    match (version, keep_alive) {
        (_, false) => Some("close"),
        (Version::Http10, true) => Some("keep-alive"),
        (Version::Http11, true) => None,
    }
}

/// The fields of every page for browsers, on the admin listener and on the data plane: they allow
/// one inline style sheet and nothing else, so that no name in the page can run code; no frame, no
/// cache and no other site may use it.
pub const PAGE_FIELDS: [(&str, &str); 5] = [
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    (
        "content-security-policy",
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
    ),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
];

/// Writes a refusal.
pub(super) fn write_refusal(refusal: &Refusal, to: ReplyTo<'_>, out: &mut Vec<u8>) {
    let mut body = refusal.sentence().into_bytes();
    body.push(b'\n');
    let mut headers: Vec<(&str, Vec<u8>)> =
        vec![("content-type", b"text/plain; charset=utf-8".to_vec())];
    match refusal {
        Refusal::RangeNotSatisfiable { length } => {
            headers.push(("content-range", format!("bytes */{length}").into()))
        }
        Refusal::Method => headers.push(("allow", ALLOW.to_vec())),
        Refusal::Busy | Refusal::TooManyConnections | Refusal::TooManyOfClient => {
            headers.push(("retry-after", b"1".to_vec()))
        }
        _ => {}
    }
    headers.push((
        "proxy-status",
        format!("{};error={}", to.item, refusal.error_type()).into(),
    ));
    write(refusal.status(), &headers, &body, to, out);
}

/// Writes the answer to an `OPTIONS` request that goes no further (RFC 9110 sections 7.6.2 and
/// 9.3.7).
pub(super) fn write_options(to: ReplyTo<'_>, out: &mut Vec<u8>) {
    write(200, &[("allow", ALLOW.to_vec())], b"", to, out);
}

/// Writes an answer that a policy gave.
pub(super) fn write_reply(reply: &Reply, to: ReplyTo<'_>, out: &mut Vec<u8>) {
    let headers: Vec<(&str, Vec<u8>)> = reply
        .headers
        .iter()
        .map(|(n, v)| (n.as_str(), v.clone()))
        .collect();
    write(reply.status, &headers, &reply.body, to, out);
}

/// Writes a page that the proxy serves itself.
pub(super) fn write_page(content_type: &str, body: &[u8], to: ReplyTo<'_>, out: &mut Vec<u8>) {
    let mut headers = vec![
        ("content-type", content_type.as_bytes().to_vec()),
        ("vary", b"accept".to_vec()),
    ];
    headers.extend(PAGE_FIELDS.map(|(name, value)| (name, value.as_bytes().to_vec())));
    write(200, &headers, body, to, out);
}

fn write(
    status: u16,
    headers: &[(&str, Vec<u8>)],
    body: &[u8],
    to: ReplyTo<'_>,
    out: &mut Vec<u8>,
) {
    write_status_line(status, b"", out);
    let mut dated = false;
    for (name, value) in headers {
        if name.eq_ignore_ascii_case("date") && std::mem::replace(&mut dated, true) {
            // A response has one date, however often a policy said it.
            continue;
        }
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    if !dated {
        write_date(to.date, false, out);
    }
    if let Some(trace) = to.trace {
        out.extend_from_slice(
            format!("{TRACE}: {trace}\r\ncache-control: no-store\r\n").as_bytes(),
        );
    }
    // 204 and 304 have no body, even if a policy gave one (RFC 9110 section 8.6).
    let bodiless = matches!(status, 204 | 304);
    let framing = match bodiless {
        true => Framing::None,
        false => Framing::Length(body.len() as u64),
    };
    let connection = connection_option(to.version, to.keep_alive);
    write_response_end(framing, connection, false, out);
    if !bodiless && *to.method != Method::HEAD {
        out.extend_from_slice(body);
    }
}

/// Writes the `date` field.
pub(super) fn write_date(date: &[u8], capitals: bool, out: &mut Vec<u8>) {
    write_name(b"date", capitals, out);
    out.extend_from_slice(date);
    out.extend_from_slice(b"\r\n");
}
