//! What is recorded of requests, and what becomes of it offline.

mod replayed;
mod written;

use serde_json::Value;

use crate::fixtures::{PATIENCE, Scratch, TestProxy};

/// The lines of a recording.
#[track_caller]
fn lines(scratch: &Scratch, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(scratch.path().join(name)).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect()
}

/// The requests among them.
#[track_caller]
fn requests(scratch: &Scratch, name: &str) -> Vec<Value> {
    lines(scratch, name)
        .into_iter()
        .filter_map(|line| line.get("request").cloned())
        .collect()
}

/// Stops a proxy, so that all is written.
#[track_caller]
fn stop(proxy: &mut TestProxy) {
    proxy.signal("TERM");
    assert_eq!(proxy.exit_code(), 0, "within {PATIENCE:?}");
}
