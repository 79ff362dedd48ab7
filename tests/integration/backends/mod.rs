//! Backends beside the configuration: those of a pool's file and of the admin API, and what an
//! operator says of them.

mod api;
mod command;
mod file;
mod kept;

use std::fmt::Display;

use serde_json::Value;

use crate::fixtures::{Builder, Request, Response, TestProxy, TestUpstream, guest};

/// A proxy whose pool `x` has these settings, and whose policy takes the last backend of its list.
pub(super) fn last_of(settings: &str) -> Builder {
    TestProxy::builder()
        .workers(2)
        .file("last.wasm", guest("pick-last"))
        .tables(&format!(
            "[policies.last]\ncomponent = \"last.wasm\"\ndeadline = \"2s\"\n\
             [[routes]]\npool = \"x\"\npolicies = [\"last\"]\n[pools.x]\n{settings}\n"
        ))
}

pub(super) fn backends(upstreams: &[&TestUpstream]) -> String {
    let all = upstreams.iter().map(|u| format!("\"{}\"", u.address()));
    format!("[{}]", all.collect::<Vec<_>>().join(", "))
}

pub(super) fn call(proxy: &TestProxy, method: &str, path: &str, body: &str) -> Response {
    proxy.admin(Request::new(method, path).body(body.as_bytes()))
}

/// A change that is made: the pool after it.
#[track_caller]
pub(super) fn change(proxy: &TestProxy, method: &str, path: &str, body: &str) -> Value {
    let answer = call(proxy, method, path, body);
    assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
    let changed: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(changed["adopted"], true, "{changed:#}");
    changed
}

/// What an operator says of a backend of pool `x`.
#[track_caller]
pub(super) fn say(proxy: &TestProxy, address: impl Display, what: &str) -> Value {
    change(
        proxy,
        "POST",
        &format!("/pools/x/backends/{address}/{what}"),
        "",
    )
}

/// The endpoints of pool `x`, each with its source and its state.
#[track_caller]
pub(super) fn endpoints(proxy: &TestProxy) -> Vec<String> {
    let answer = call(proxy, "GET", "/pools/x", "");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let pool: Value = serde_json::from_slice(&answer.body).unwrap();
    let all = pool["endpoints"].as_array().unwrap().iter();
    let word = |e: &Value, key: &str| e[key].as_str().unwrap().to_owned();
    all.map(|e| {
        format!(
            "{} {} {}",
            word(e, "address"),
            word(e, "source"),
            word(e, "state")
        )
    })
    .collect()
}

pub(super) fn answers(proxy: &TestProxy) -> String {
    proxy.get("a.test", "/").text()
}
