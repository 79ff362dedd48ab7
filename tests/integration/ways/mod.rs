//! Policies that say where requests go, and edit responses that no backend has made.

mod destinations;
mod local;
mod mistakes;
mod pools;
mod recorded;
mod scenarios;
mod targets;

use crate::fixtures::{Builder, Request, TestProxy, TestUpstream, guest};

/// A proxy whose policy does what the fields of requests say, with these lines in its section.
fn finding(lines: &str) -> Builder {
    TestProxy::builder()
        .file("pathfinder.wasm", guest("pathfinder"))
        .tables(&format!(
            "[policies.finder]\ncomponent = \"pathfinder.wasm\"\ndeadline = \"2s\"\n{lines}\n"
        ))
}

/// A route with these pools of one backend each, where the first takes what no policy sends
/// elsewhere.
fn with_pools(builder: Builder, pools: &[(&str, &TestUpstream)], lines: &str) -> Builder {
    let sections: Vec<String> = pools
        .iter()
        .map(|(name, backend)| format!("[pools.{name}]\nbackends = [\"{}\"]\n", backend.address()))
        .collect();
    let weights: Vec<String> = (0..)
        .zip(pools)
        .map(|(at, (name, _))| {
            let weight = u32::from(at == 0);
            format!("{{ pool = \"{name}\", weight = {weight} }}")
        })
        .collect();
    builder.tables(&format!(
        "{}[[routes]]\npools = [{}]\npolicies = [\"finder\"]\n{lines}\n",
        sections.concat(),
        weights.join(", ")
    ))
}

fn request(fields: &[(&str, &str)]) -> Request {
    let get = Request::new("GET", "/asked?for=this").host("a.test");
    fields
        .iter()
        .fold(get, |request, (name, value)| request.field(name, value))
}
