//! A collector of traces, which decodes what it gets by the types of the specification.

use std::net::SocketAddr;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use crate::fixtures::{Gate, Received, TestUpstream, eventually, response};

pub const SERVER: i32 = 2;
pub const CLIENT: i32 = 3;
pub const INTERNAL: i32 = 1;
const ERROR: i32 = 2;

pub struct Collector(TestUpstream);

impl Collector {
    /// Takes everything.
    pub fn start() -> Self {
        Self(TestUpstream::answering(response("200 OK", &[], "")))
    }

    /// Answers when the gate is open.
    pub fn behind(gate: &Gate) -> Self {
        Self(TestUpstream::behind(gate))
    }

    /// Answers each request by what this makes of its number, from 0.
    pub fn answering(answer: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let number = std::sync::atomic::AtomicUsize::new(0);
        Self(TestUpstream::replying(move |_| {
            answer(number.fetch_add(1, std::sync::atomic::Ordering::SeqCst))
        }))
    }

    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// `[tracing]` that exports here as soon as it can.
    pub fn tracing(&self, lines: &str) -> String {
        format!(
            "[tracing]\nendpoint = \"http://{}/v1/traces\"\ninterval = \"100ms\"\n{lines}\n",
            self.address()
        )
    }

    /// The requests that have arrived.
    pub fn requests(&self) -> Vec<Received> {
        self.0.complete()
    }

    pub fn decoded(&self) -> Vec<ExportTraceServiceRequest> {
        let all = self.requests();
        let decode = |r: &Received| ExportTraceServiceRequest::decode(&*r.body).unwrap();
        all.iter().map(decode).collect()
    }

    /// All spans that have arrived.
    pub fn spans(&self) -> Vec<Span> {
        let resources = self.decoded().into_iter().flat_map(|r| r.resource_spans);
        let scopes = resources.flat_map(|r| r.scope_spans);
        scopes.flat_map(|s| s.spans).collect()
    }

    /// The spans of requests, once there are this many.
    #[track_caller]
    pub fn wait_for(&self, requests: usize) -> Vec<Span> {
        eventually("spans of requests", || {
            let spans = self.of_requests();
            (spans.len() >= requests).then_some(spans)
        })
    }

    pub fn of_requests(&self) -> Vec<Span> {
        let mut spans = self.spans();
        spans.retain(|span| span.kind == SERVER);
        spans
    }

    /// The children of a span, of this kind.
    pub fn children(&self, of: &Span, kind: i32) -> Vec<Span> {
        let mut spans = self.spans();
        spans.retain(|span| span.parent_span_id == of.span_id && span.kind == kind);
        spans
    }
}

pub fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|a| a.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{key} is {other:?}"),
    }
}

#[track_caller]
pub fn assert_says(span: &Span, expected: &[(&str, &str)]) {
    for (key, value) in expected {
        let found = attribute(&span.attributes, key);
        assert_eq!(found.as_deref(), Some(*value), "{key} of {span:#?}");
    }
}

pub fn has_failed(span: &Span) -> bool {
    span.status
        .as_ref()
        .is_some_and(|status| status.code == ERROR)
}

pub fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
