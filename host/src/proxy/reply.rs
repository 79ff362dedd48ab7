//! Responses that the proxy itself makes: refusals, answers of policies, the statistics page.

use std::borrow::Cow;

use http::Method;

use super::refusal::Refusal;
use crate::config::FixedResponse;
use crate::decision::TRACE;
use crate::h1::{Framing, write_name, write_response_end, write_status_line};
use crate::message::grpc::{self, GrpcStatus};
use crate::message::{Fields, Version};
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
        // Its connections are ended by frames (RFC 9113 section 8.2.2).
        (Version::Http2, _) => None,
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

/// An answer that is not a backend's, before a protocol writes it.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    status: u16,
    fields: Vec<(&'a str, Cow<'a, [u8]>)>,
    /// `None` if its head is all of it, without a length.
    body: Option<Cow<'a, [u8]>>,
}

/// Writes a refusal by HTTP/1.1.
pub(super) fn write_refusal(refusal: &Refusal, to: ReplyTo<'_>, out: &mut Vec<u8>) {
    Answer::refusal(refusal, to.item).write(to, out);
}

impl<'a> Answer<'a> {
    /// A refusal.
    pub(super) fn refusal(refusal: &Refusal, item: &str) -> Self {
        let mut body = refusal.sentence().into_bytes();
        body.push(b'\n');
        let mut fields: Vec<(&str, Cow<'_, [u8]>)> =
            vec![("content-type", b"text/plain; charset=utf-8".into())];
        match refusal {
            Refusal::RangeNotSatisfiable { length } => {
                let value = format!("bytes */{length}").into_bytes();
                fields.push(("content-range", value.into()));
            }
            Refusal::Method => fields.push(("allow", ALLOW.into())),
            Refusal::Forward(refusal) => fields.extend(refusal.field().map(owned)),
            // RFC 9110 section 15.6.4. What is in the way may be gone at any moment.
            refusal if refusal.may_pass() => {
                fields.push(("retry-after", b"1".into()));
            }
            _ => {}
        }
        let status = format!("{item};error={}", refusal.error_type()).into_bytes();
        fields.push(("proxy-status", status.into()));
        Self {
            status: refusal.status(),
            fields,
            body: Some(body.into()),
        }
    }

    /// The answer to an `OPTIONS` request that goes no further (RFC 9110 sections 7.6.2 and 9.3.7).
    pub(super) fn options() -> Self {
        Self {
            status: 200,
            fields: vec![("allow", ALLOW.into())],
            body: Some(b"".into()),
        }
    }

    /// The answer to a preflight, without the fields of it.
    pub(super) fn preflight() -> Self {
        Self {
            status: 204,
            fields: Vec::new(),
            body: None,
        }
    }

    /// The same with the fields that `change` makes of its fields.
    #[cold]
    pub(super) fn changed(self, fields: &'a mut Fields, change: impl FnOnce(&mut Fields)) -> Self {
        for (name, value) in &self.fields {
            fields.append(name.as_bytes(), value);
        }
        change(fields);
        let named = |(name, value)| Some((str::from_utf8(name).ok()?, Cow::Borrowed(value)));
        Self {
            fields: fields.iter().filter_map(named).collect(),
            ..self
        }
    }

    /// A redirect.
    pub(super) fn redirect(status: u16, location: &'a str) -> Self {
        Self {
            status,
            fields: vec![("location", location.as_bytes().into())],
            body: Some(b"".into()),
        }
    }

    /// The response of a route.
    pub(super) fn fixed(response: &'a FixedResponse) -> Self {
        let fields = response.fields.iter();
        Self {
            status: response.status,
            fields: fields
                .map(|(name, value)| (name.as_str(), value.into()))
                .collect(),
            body: Some((&response.body).into()),
        }
    }

    /// A policy's answer.
    pub(super) fn reply(reply: &'a Reply) -> Self {
        let fields = reply.headers.iter();
        Self {
            status: reply.status,
            fields: fields
                .map(|(name, value)| (name.as_str(), value.into()))
                .collect(),
            body: Some((&reply.body).into()),
        }
    }

    /// The same for the caller of a gRPC method: a response of trailers only, whose HTTP status is
    /// 200 and whose `grpc-message` is the sentence that was the body. A policy's answer that has a
    /// `grpc-status` is one already.
    pub(super) fn for_call(self, status: Option<GrpcStatus>) -> Self {
        let named = |known: &str, name: &str| known.eq_ignore_ascii_case(name);
        if self
            .fields
            .iter()
            .any(|(name, _)| named(name, "grpc-status"))
        {
            return self;
        }
        let status = status.unwrap_or_else(|| GrpcStatus::of_http(self.status));
        let message = grpc::message(self.body.as_deref().unwrap_or_default());
        let of_body = ["content-type", "content-length", "content-encoding"];
        let mut fields = self.fields;
        fields.retain(|(name, _)| !of_body.iter().any(|known| named(known, name)));
        fields.push(("content-type", b"application/grpc".into()));
        fields.push(("grpc-status", status.as_str().as_bytes().into()));
        fields.push(("grpc-message", message.into_bytes().into()));
        Self {
            status: 200,
            fields,
            body: None,
        }
    }

    /// A page that the proxy serves itself.
    pub(super) fn page(content_type: &'a str, body: &'a [u8]) -> Self {
        let mut fields: Vec<(&str, Cow<'_, [u8]>)> = vec![
            ("content-type", content_type.as_bytes().into()),
            ("vary", b"accept".into()),
        ];
        fields.extend(PAGE_FIELDS.map(|(name, value)| (name, value.as_bytes().into())));
        Self {
            status: 200,
            fields,
            body: Some(body.into()),
        }
    }

    /// Its status.
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// Its body and the length that its head says, which a HEAD gets without the body; `None` where
    /// there is none, even if a policy gave one: 204 and 304 (RFC 9110 section 8.6). One of 205 is
    /// empty (section 15.3.6).
    pub(super) fn body(&self, method: &Method) -> Option<(&[u8], u64)> {
        let body = self.body.as_deref()?;
        match self.status {
            204 | 304 => return None,
            205 => return Some((b"", 0)),
            _ => {}
        }
        let sent: &[u8] = if *method == Method::HEAD { b"" } else { body };
        Some((sent, body.len() as u64))
    }

    /// Shows each field: those of the answer, the date, the trace.
    pub(super) fn each_field(&self, to: ReplyTo<'_>, mut show: impl FnMut(&[u8], &[u8])) {
        let mut dated = false;
        for (name, value) in &self.fields {
            if name.eq_ignore_ascii_case("date") && std::mem::replace(&mut dated, true) {
                // A response has one date, however often a policy said it.
                continue;
            }
            show(name.as_bytes(), value);
        }
        if !dated {
            show(b"date", to.date);
        }
        if let Some(trace) = to.trace {
            show(TRACE.as_bytes(), trace.as_bytes());
            show(b"cache-control", b"no-store");
        }
    }

    /// Writes it by HTTP/1.1.
    pub(super) fn write(&self, to: ReplyTo<'_>, out: &mut Vec<u8>) {
        write_status_line(self.status, b"", out);
        self.each_field(to, |name, value| {
            out.extend_from_slice(name);
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        });
        let body = self.body(to.method);
        let framing = body.map_or(Framing::None, |(_, length)| Framing::Length(length));
        let connection = connection_option(to.version, to.keep_alive);
        write_response_end(framing, connection, false, out);
        out.extend_from_slice(body.map_or(b"", |(body, _)| body));
    }
}

fn owned<'a>((name, value): (&'static str, &str)) -> (&'a str, Cow<'a, [u8]>) {
    (name, value.as_bytes().to_vec().into())
}

/// Writes the `date` field.
pub(super) fn write_date(date: &[u8], capitals: bool, out: &mut Vec<u8>) {
    write_name(b"date", capitals, out);
    out.extend_from_slice(date);
    out.extend_from_slice(b"\r\n");
}
