//! Traces as OTLP has them: `ExportTraceServiceRequest` of opentelemetry-proto 1, as far as it is
//! filled in here, with the names of the semantic conventions for HTTP.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use prost::{Message, Oneof};

use crate::observe::spans::{AttemptNote, CallNote, RequestTrace};
use crate::observe::traces::HeldTrace;

/// `SpanKind`
const INTERNAL: i32 = 1;
const SERVER: i32 = 2;
const CLIENT: i32 = 3;
/// `Status.code`
const ERROR: i32 = 2;
/// The methods that a span has by their names; others are `_OTHER`, so that clients don't make
/// names of spans.
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];
/// In `flags`: the sampled flag of the trace, and that it is known whether the parent is remote,
/// and that it is.
const SAMPLED: u32 = 1;
const KNOWS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

#[derive(Clone, PartialEq, Message)]
pub(super) struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    trace_state: String,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(fixed32, tag = "16")]
    flags: u32,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Value", tags = "1, 3")]
    value: Option<Value>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Value {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(int64, tag = "3")]
    Number(i64),
}

/// What a collector answers.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    pub partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PartialSuccess {
    #[prost(int64, tag = "1")]
    pub rejected_spans: i64,
    #[prost(string, tag = "2")]
    pub error_message: String,
}

/// A span's attributes while they are put together.
#[derive(Default)]
struct Attributes(Vec<KeyValue>);

impl Attributes {
    /// What is empty is not known.
    fn text(mut self, key: &str, text: impl Into<String>) -> Self {
        let text = text.into();
        if !text.is_empty() {
            self.add(key, Value::Text(text));
        }
        self
    }

    /// 0 is not known.
    fn number(mut self, key: &str, number: impl Into<i64>) -> Self {
        let number = number.into();
        if number != 0 {
            self.add(key, Value::Number(number));
        }
        self
    }

    fn add(&mut self, key: &str, value: Value) {
        self.0.push(KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue { value: Some(value) }),
        });
    }
}

/// The body of a request to the collector.
pub(super) fn encode(service: &str, traces: &[HeldTrace]) -> Vec<u8> {
    let mut random = rand::rng();
    let spans = traces.iter().flat_map(|held| {
        let of = &held.trace;
        let attempts = of.notes.attempts.iter().map(|note| attempt(of, note));
        // Nothing is a part of a call, so nothing else has to know the name of its span.
        let calls = of.notes.calls.iter();
        let calls: Vec<Span> = calls
            .map(|note| call(of, note, rand::Rng::next_u64(&mut random).max(1)))
            .collect();
        std::iter::once(request(of)).chain(calls).chain(attempts)
    });
    let scope = Scope {
        name: "waypost".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let attributes = Attributes::default()
        .text("service.name", service)
        .text("service.version", env!("CARGO_PKG_VERSION"))
        .number("process.pid", i64::from(std::process::id()));
    let request = ExportRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: attributes.0,
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope),
                spans: spans.collect(),
            }],
        }],
    };
    request.encode_to_vec()
}

/// The span of all of a request.
fn request(of: &RequestTrace) -> Span {
    let (method, original) = match METHODS.contains(&&*of.method) {
        true => (&*of.method, ""),
        false => ("_OTHER", &*of.method),
    };
    let (host, port) = host_and_port(&of.authority);
    let path = &of.path;
    let attributes = Attributes::default()
        .text("http.request.method", method)
        .text("http.request.method_original", original)
        .text("url.scheme", of.scheme)
        .text("url.path", &**path)
        .text("server.address", host)
        .number("server.port", port)
        .text("client.address", of.client.to_string())
        .text("network.protocol.name", "http")
        .text("network.protocol.version", of.version)
        .number("http.response.status_code", of.status)
        .text("waypost.route", &*of.route)
        .text("waypost.pool", &*of.pool)
        .text("waypost.request_id", &*of.id)
        .text("waypost.reason", of.reason.as_deref().unwrap_or_default())
        .number("waypost.spans_left_out", of.notes.left_out)
        .text("error.type", of.error.as_deref().unwrap_or_default());
    let name = match method {
        "_OTHER" => "HTTP",
        method => method,
    };
    let remote = match of.notes.parent {
        Some(_) => IS_REMOTE,
        None => 0,
    };
    Span {
        parent_span_id: of.notes.parent.map_or_else(Vec::new, id),
        flags: sampled(of) | KNOWS_REMOTE | remote,
        status: status(of.error.as_deref(), of.reason.as_deref()),
        ..span(of, of.context.span, name.to_owned(), SERVER, attributes)
            .over(of.began_unix, of.took)
    }
}

/// That of an attempt at a backend.
fn attempt(of: &RequestTrace, note: &AttemptNote) -> Span {
    let (host, port) = host_and_port(&note.name);
    let ended = note.ended.as_ref();
    let error = ended.and_then(|end| end.error.as_deref());
    let method = match METHODS.contains(&&*of.method) {
        true => &*of.method,
        false => "_OTHER",
    };
    let attributes = Attributes::default()
        .text("http.request.method", method)
        .text("server.address", host)
        .number("server.port", port)
        .text("network.peer.address", peer(note.address))
        .number("network.peer.port", note.address.port())
        .number("http.request.resend_count", note.resent)
        .number(
            "http.response.status_code",
            ended.map_or(0, |end| end.status),
        )
        .text("error.type", error.unwrap_or_default());
    let took = ended.map_or(Duration::ZERO, |end| end.at.duration_since(note.began));
    let name = format!("attempt {}", note.resent + 1);
    Span {
        parent_span_id: id(of.context.span),
        status: status(error, None),
        ..span(of, note.span, name, CLIENT, attributes).over(unix(of, note.began), took)
    }
}

/// That of a call of a policy.
fn call(of: &RequestTrace, note: &CallNote, own: u64) -> Span {
    let (answer, fault) = match &note.answer {
        Ok(answer) => (&**answer, None),
        Err(fault) => ("", Some(&**fault)),
    };
    let attributes = Attributes::default()
        .text("waypost.policy", &*note.policy)
        .text("waypost.hook", note.hook)
        .number(
            "waypost.generation",
            i64::try_from(note.generation).unwrap_or(i64::MAX),
        )
        .text("waypost.role", note.role.unwrap_or_default())
        .text("waypost.answer", answer)
        .text("error.type", fault.unwrap_or_default());
    let began = note.ended.checked_sub(note.took).unwrap_or(note.ended);
    let name = format!("{} {}", note.policy, note.hook);
    Span {
        parent_span_id: id(of.context.span),
        status: status(fault, None),
        ..span(of, own, name, INTERNAL, attributes).over(unix(of, began), note.took)
    }
}

/// The flag of the trace.
fn sampled(of: &RequestTrace) -> u32 {
    match of.context.sampled {
        true => SAMPLED,
        false => 0,
    }
}

fn span(of: &RequestTrace, own: u64, name: String, kind: i32, attributes: Attributes) -> Span {
    Span {
        trace_id: of.context.trace.to_be_bytes().to_vec(),
        span_id: id(own),
        trace_state: of.state.to_string(),
        flags: sampled(of) | KNOWS_REMOTE,
        name,
        kind,
        attributes: attributes.0,
        ..Span::default()
    }
}

impl Span {
    fn over(self, began: u64, took: Duration) -> Self {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        Self {
            start_time_unix_nano: began,
            end_time_unix_nano: began.saturating_add(took),
            ..self
        }
    }
}

/// Without an error the status is unset, as the conventions want it.
fn status(error: Option<&str>, reason: Option<&str>) -> Option<Status> {
    let message = reason.unwrap_or(error?).to_owned();
    Some(Status {
        message,
        code: ERROR,
    })
}

fn id(span: u64) -> Vec<u8> {
    span.to_be_bytes().to_vec()
}

/// In nanoseconds since 1970, by the clock of the request's beginning.
fn unix(of: &RequestTrace, at: Instant) -> u64 {
    let since = at.saturating_duration_since(of.began).as_nanos();
    of.began_unix
        .saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
}

/// An address that stands for a Unix socket is none.
fn peer(address: SocketAddr) -> String {
    match address.port() {
        0 => String::new(),
        _ => address.ip().to_string(),
    }
}

/// Of `a.test:80`, `[::1]:80` or `a.test`; 0 if there is no port.
fn host_and_port(authority: &str) -> (&str, u16) {
    let parts = authority.rsplit_once(':');
    let parts = parts.and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let (host, port) = match parts {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port),
        _ => (authority, 0),
    };
    (host.trim_matches(['[', ']']), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_from_ports() {
        for (authority, expected) in [
            ("a.test:80", ("a.test", 80)),
            ("a.test", ("a.test", 0)),
            ("[::1]:80", ("::1", 80)),
            ("[::1]", ("::1", 0)),
            ("::1", ("::1", 0)),
            ("unix:/run/a", ("unix:/run/a", 0)),
            ("", ("", 0)),
        ] {
            assert_eq!(host_and_port(authority), expected, "{authority}");
        }
    }
}
