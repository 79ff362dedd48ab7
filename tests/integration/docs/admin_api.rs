//! `docs/admin-api.yaml` describes every endpoint that there is, and no other.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::fixtures::{Request, TestProxy, TestUpstream, repository};

#[test]
fn the_description_of_the_admin_api_has_every_endpoint_and_no_other() {
    let page = repository().join("docs/admin-api.yaml");
    let described = described(&std::fs::read_to_string(page).unwrap());
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    let answer = proxy.admin(Request::new("GET", "/nothing-here"));
    let known: Value = serde_json::from_str(&answer.text()).unwrap();
    let known: BTreeSet<String> = known["endpoints"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|endpoint| each(endpoint.as_str().unwrap()))
        .collect();
    let differing: Vec<_> = described.symmetric_difference(&known).collect();
    assert!(differing.is_empty(), "{differing:#?}");
    assert!(known.len() > 20);
}

/// Method and path of each operation; what stands for a name is a star.
fn described(page: &str) -> BTreeSet<String> {
    let paths = page.split("\npaths:\n").nth(1).unwrap();
    let paths = paths.split("\ncomponents:\n").next().unwrap();
    let (mut found, mut path) = (BTreeSet::new(), String::new());
    for line in paths.lines() {
        if let Some(name) = line.strip_prefix("  /") {
            let segments = name.trim_end_matches(':').split('/');
            let segments = segments.map(|s| if s.starts_with('{') { "*" } else { s });
            path = segments.collect::<Vec<_>>().join("/");
        } else if let Some(method) = line.strip_prefix("    ").and_then(|l| l.strip_suffix(':'))
            && ["get", "put", "post", "delete"].contains(&method)
        {
            found.insert(format!("{} /{path}", method.to_uppercase()));
        }
    }
    found
}

/// The same of an endpoint as the proxy lists it, which may stand for several.
fn each(endpoint: &str) -> Vec<String> {
    let (path, _) = endpoint.split_once('?').unwrap_or((endpoint, ""));
    let path = path.replace("NAME", "*").replace("ADDRESS", "*");
    match path.split_once('{') {
        Some((before, words)) => {
            let words = words.trim_end_matches('}').split(',');
            words.map(|word| format!("{before}{word}")).collect()
        }
        None => vec![path],
    }
}
