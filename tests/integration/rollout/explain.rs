//! One request explained, for whoever has a token.

use super::{deployed, said};
use crate::fixtures::{Request, TestProxy, TestUpstream, refusing_address};

fn token(proxy: &TestProxy) -> String {
    said(proxy.admin(Request::new("POST", "/explain")))["token"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn asked(token: &str) -> Request {
    Request::new("GET", "/")
        .host("a.test")
        .field("X-Waypost-Explain", token)
}

#[test]
fn the_response_shows_how_the_request_was_decided() {
    let d = deployed(1, "", "");
    let answer = d.proxy.ask(asked(&token(&d.proxy)).bytes());
    assert_eq!(answer.value("cache-control").as_deref(), Some("no-store"));
    let trace = answer.value("x-waypost-trace").expect("a trace");
    for part in [
        "selection;policy=\"mine\";generation=1;ns=",
        "answer=\"backend 0\"",
        &format!(
            "attempt;number=1;backend=\"{}\";outcome=status-200",
            d.backends[0].address()
        ),
        "response-headers;policy=\"mine\"",
    ] {
        assert!(trace.contains(part), "{part} in {trace}");
    }
    assert!(
        !d.backends[0].received()[0].head.has("x-waypost-explain"),
        "the token goes no further"
    );
}

#[test]
fn without_a_token_of_ours_there_is_no_trace_and_the_field_goes_no_further() {
    let d = deployed(1, "", "");
    let answer = d.proxy.ask(asked("guessed").bytes());
    assert_eq!(
        (answer.status, answer.head.has("x-waypost-trace")),
        (200, false)
    );
    assert!(!d.proxy.get("a.test", "/").head.has("x-waypost-trace"));
    assert!(
        d.backends[0]
            .received()
            .iter()
            .all(|r| !r.head.has("x-waypost-explain"))
    );
}

#[test]
fn a_canary_a_shadow_and_a_failed_attempt_are_shown_as_such() {
    let (_held, dead) = refusing_address();
    let last = TestUpstream::named("last");
    let proxy = TestProxy::builder()
        .file("mine.wasm", crate::fixtures::guest("pick-first"))
        .pool_for_all(&[dead, last.address()], &["mine"])
        .tables("[policies.mine]\ncomponent = \"mine.wasm\"\ndeadline = \"1s\"")
        .start();
    let component = crate::fixtures::guest("pick-first");
    said(
        proxy.admin(Request::new("PUT", "/policies/mine?mode=canary&percent=100").body(&component)),
    );
    let answer = proxy.ask(asked(&token(&proxy)).bytes());
    assert_eq!(answer.text(), "last");
    let trace = answer.value("x-waypost-trace").expect("a trace");
    for part in [
        "generation=2;role=canary",
        &format!("number=1;backend=\"{dead}\";outcome=connect"),
        "number=2;",
    ] {
        assert!(trace.contains(part), "{part} in {trace}");
    }
}

#[test]
fn an_answer_of_the_proxy_or_of_a_policy_is_explained_too() {
    let d = deployed(1, "", "");
    d.deploy("", "probe");
    let token = token(&d.proxy);
    let answer = d
        .proxy
        .ask(asked(&token).field("X-Probe-Select", "refuse=418").bytes());
    assert_eq!(answer.status, 418);
    assert!(
        answer
            .value("x-waypost-trace")
            .unwrap()
            .contains("answer=\"answer 418 of 0 bytes\"")
    );
}
