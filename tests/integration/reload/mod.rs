//! Another configuration while the proxy serves: what changes, what stays, and what is refused.

mod asked;
#[cfg(feature = "compress")]
mod compression;
mod departures;
mod listeners;
mod many;
mod policies;
mod refused;
mod stays;
mod traffic;

use std::fs::{File, OpenOptions};
use std::io::Write;

use serde_json::Value;

use crate::fixtures::{Builder, Request, Response, TestProxy, eventually};

/// Room for edits that change no length.
const ROOM: usize = 4096;

/// A proxy whose file can be edited unseen.
pub fn editable(builder: Builder) -> TestProxy {
    builder.tables(&format!("#{}\n", "#".repeat(ROOM))).start()
}

fn text(proxy: &TestProxy) -> String {
    std::fs::read_to_string(proxy.scratch.path().join("waypost.toml")).unwrap()
}

/// Edits the configuration so that what watches it can't see that: only a reload that is asked for
/// reads it.
#[track_caller]
pub fn edit(proxy: &TestProxy, edit: impl FnOnce(&str) -> String) {
    let before = text(proxy);
    let lines = before.lines().filter(|line| !line.starts_with("##"));
    let body = lines.collect::<Vec<_>>().join("\n");
    let body = body.trim_end();
    let mut after = edit(body);
    assert_ne!(after, body, "the edit found what it was to change");
    after.push('\n');
    after.push_str(&"#".repeat(before.len() - after.len() - 1));
    after.push('\n');
    let path = proxy.scratch.path().join("waypost.toml");
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    let mut file: File = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all(after.as_bytes()).unwrap();
    file.set_modified(modified).unwrap();
}

fn post(proxy: &TestProxy, target: &str) -> Response {
    proxy.admin(Request::new("POST", target).body(b""))
}

/// A reload that is published: what it has changed.
#[track_caller]
pub fn reload(proxy: &TestProxy) -> Value {
    let answer = post(proxy, "/reload");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let reloaded: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(reloaded["published"], true, "{reloaded:#}");
    reloaded["changes"].clone()
}

/// A reload that is refused: every reason.
#[track_caller]
fn refusal(proxy: &TestProxy) -> Vec<String> {
    let answer = post(proxy, "/reload");
    assert_eq!(answer.status, 422, "{}", answer.text());
    let refused: Value = serde_json::from_slice(&answer.body).unwrap();
    let errors = refused["errors"].as_array().unwrap().iter();
    errors.map(|e| e.as_str().unwrap().to_owned()).collect()
}

/// Waits until a request to this host is answered with this text.
#[track_caller]
fn answers(proxy: &TestProxy, host: &str, expected: &str) {
    eventually("another answer", || {
        (proxy.get(host, "/").text() == expected).then_some(())
    });
}
