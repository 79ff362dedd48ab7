//! `[record]`: which requests are recorded with the policies' decisions, and what is redacted.

use std::path::Path;

use super::{RecordingConfig, values};
use crate::document::{At, Findings, Node, Section};

/// A smaller file would be rotated constantly: one request with long fields, which every hook sees
/// and edits, may take most of it.
const LEAST_BYTES: u64 = 1 << 20;
/// Two files of this size are more than a replay needs.
const MOST_BYTES: u64 = 1 << 40;
/// Fields whose values are redacted by default.
const REDACTED: [&str; 5] = [
    "authorization",
    "cookie",
    "set-cookie",
    "proxy-authorization",
    "x-api-key",
];

/// `[record]` with its names not yet resolved.
#[derive(Debug)]
pub(super) struct RecordEntry {
    pub record: RecordingConfig,
    /// `None` if the key is missing.
    pub policies: Option<Vec<At<String>>>,
}

/// Reads the section; `None` if it is missing or unusable.
pub(super) fn record(
    root: &mut Section,
    base: &Path,
    findings: &mut Findings,
) -> Option<RecordEntry> {
    let mut section = root.take("record")?.section(findings)?;
    let file = section.take("file");
    if file.is_none() {
        findings.error(
            &section.place,
            "has no `file`; name the file for the recording",
        );
    }
    let file = file.and_then(|n| n.parsed(findings, |written| values::relative_to(base, written)));
    let sample = section.take("sample").and_then(|n| share(n, findings));
    let redact = section.take("redact").map(|n| fields(n, findings));
    let redact_query = section
        .take("redact-query")
        .and_then(|n| n.boolean(findings));
    let redact_client = section
        .take("redact-client")
        .and_then(|n| n.boolean(findings));
    let max_bytes = section
        .take("max-bytes")
        .and_then(|n| n.size(findings, LEAST_BYTES..=MOST_BYTES));
    let policies = section.take("policies").map(|node| {
        let place = node.place.clone();
        let nodes = node.one_or_many();
        if nodes.is_empty() {
            findings.error(
                &place,
                "is empty; name at least one policy, or remove the key to record all",
            );
        }
        nodes
            .into_iter()
            .filter_map(|n| n.string(findings))
            .collect()
    });
    section.finish(findings);
    let record = RecordingConfig {
        file: file?.value,
        sample: sample.unwrap_or(0.01),
        redact: redact.unwrap_or_else(|| REDACTED.map(str::to_owned).to_vec()),
        redact_query: redact_query.unwrap_or(false),
        redact_client: redact_client.unwrap_or(false),
        max_bytes: max_bytes.map_or(64 << 20, |n| n.value),
        policies: None,
    };
    Some(RecordEntry { record, policies })
}

/// `"1%"`, or `0.01`.
pub(super) fn share(node: Node, findings: &mut Findings) -> Option<f64> {
    if !node.is_string() {
        return node.number(findings, 0.0..=1.0).map(|n| n.value);
    }
    node.parsed(findings, |written| {
        let percent = written
            .trim()
            .strip_suffix('%')
            .and_then(|n| n.trim().parse::<f64>().ok());
        percent
            .filter(|n| (0.0..=100.0).contains(n))
            .map(|n| n / 100.0)
            .ok_or_else(|| {
                format!(
                    "{written:?} is not a share; write a percentage from \"0%\" to \"100%\", or a \
                 number from 0 to 1"
                )
            })
    })
    .map(|n| n.value)
}

fn fields(node: Node, findings: &mut Findings) -> Vec<String> {
    let nodes = node.one_or_many();
    nodes
        .into_iter()
        .filter_map(|n| n.parsed(findings, values::field_name))
        .map(|name| name.value)
        .collect()
}
