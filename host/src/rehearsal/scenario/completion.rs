//! What became of a step's request, as `completion` says it.

use super::request::nanoseconds;
use super::values;
use crate::document::{Findings, Node, Section};
use crate::rehearsal::decisions::Response;
use crate::rehearsal::harness::PoolSetup;
use crate::units::parse_duration;
use crate::upstream::{Completion, RequestFailure};

/// `{ latency = "5ms", ... }`. What is left out follows from the response of this attempt; without
/// a backend it is the one that is selected.
pub(super) fn completion(
    node: Node,
    (pool, response, attempt): (&PoolSetup, &Response, u32),
    findings: &mut Findings,
) -> Option<Completion> {
    let mut section = node.section(findings)?;
    let backend = section.take("backend");
    let backend = backend.and_then(|node| values::backends(node, pool, findings));
    let failure = section
        .take("failure")
        .and_then(|n| n.parsed(findings, failure))
        .map(|n| n.value);
    let status = section
        .take("status")
        .and_then(|n| n.integer(findings, 100..=599u16));
    let answered = failure.is_none().then_some(response.status);
    let attempts = section
        .take("attempts")
        .and_then(|n| n.integer(findings, 0..=u32::MAX));
    let first_byte = microseconds(&mut section, "first-byte", findings);
    let latency = microseconds(&mut section, "latency", findings);
    let duration = microseconds(&mut section, "duration", findings);
    let mut bytes = |key| {
        let found = section.take(key).and_then(|n| values::whole(n, findings));
        found.unwrap_or_default()
    };
    let completion = Completion {
        backend: backend
            .and_then(|(_, found)| found.first().copied())
            .or(response.backend),
        status: status.map(|n| n.value).or(answered),
        failure,
        attempts: attempts.map_or(attempt, |n| n.value),
        first_byte_microseconds: first_byte.or(latency),
        latency_microseconds: latency.or(first_byte),
        duration_microseconds: duration.or(first_byte).or(latency).unwrap_or_default(),
        request_bytes: bytes("request-bytes"),
        response_bytes: bytes("response-bytes"),
    };
    section.finish(findings);
    Some(completion)
}

fn microseconds(section: &mut Section, key: &'static str, findings: &mut Findings) -> Option<u64> {
    let duration = section.take(key)?.parsed_scalar(findings, parse_duration)?;
    Some(nanoseconds(duration.value) / 1_000)
}

fn failure(written: &str) -> Result<RequestFailure, String> {
    let named = RequestFailure::ALL
        .into_iter()
        .find(|f| f.name() == written);
    named.ok_or_else(|| {
        let names = RequestFailure::ALL.map(|f| format!("{:?}", f.name()));
        format!(
            "{written:?} is not a failure; write one of {}, or leave it out",
            names.join(", ")
        )
    })
}
