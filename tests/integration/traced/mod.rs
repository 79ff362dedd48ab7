//! What requests are called: ids, traces, and the spans that a collector gets.

#[cfg(feature = "otlp")]
mod collector;
#[cfg(feature = "otlp")]
mod exemplars;
#[cfg(feature = "otlp")]
mod spans;

use serde_json::{Value, json};

use crate::fixtures::http2::{connected, request};
use crate::fixtures::{Builder, Request, TestProxy, TestUpstream, eventually, response};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// Whoever connects speaks for its clients.
const TRUSTED: &str = "[forwarded]\ntrusted = \"127.0.0.1\"\n";

fn proxy(backend: &TestUpstream, tables: &str) -> TestProxy {
    builder(backend, tables).start()
}

fn builder(backend: &TestUpstream, tables: &str) -> Builder {
    let host = TestProxy::builder().host("*", &[backend.address()]);
    host.tables(tables)
}

fn asked(fields: &[(&str, &str)]) -> Vec<u8> {
    let request = Request::new("GET", "/a").host("a.test");
    let all = fields.iter();
    all.fold(request, |r, (name, value)| r.field(name, value))
        .bytes()
}

fn line(proxy: &TestProxy, nth: usize) -> Value {
    eventually("a line of the log", || {
        let text = proxy.stdout.text();
        let line = text.lines().filter(|l| l.starts_with('{')).nth(nth)?;
        serde_json::from_str(line).ok()
    })
}

fn is_id(id: &str) -> bool {
    id.len() == 32
        && id
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[test]
fn without_configuration_fields_pass_as_they_came_and_nothing_has_a_name() {
    let backend = TestUpstream::named("b");
    let proxy = proxy(&backend, "");
    proxy.ask(asked(&[
        ("X-Request-Id", "a"),
        ("traceparent", "x"),
        ("tracestate", "y"),
    ]));
    let got = backend.only_request();
    for (name, value) in [
        ("x-request-id", "a"),
        ("traceparent", "x"),
        ("tracestate", "y"),
    ] {
        assert_eq!(got.value(name).as_deref(), Some(value), "{name}");
    }
    let line = line(&proxy, 0);
    assert!(
        line.get("request_id").is_none() && line.get("trace_id").is_none(),
        "{line:#}"
    );
}

#[test]
fn an_id_is_new_for_each_request_and_a_client_can_not_choose_it() {
    let own = [("X-Request-Id", "own"), ("X_Request_Id", "own")];
    let backend = TestUpstream::answering(response("200 OK", &own, "b"));
    let proxy = proxy(&backend, "[request-id]\nrespond = true\n");
    let mut client = proxy.client();
    let forged = [("X-Request-Id", "forged"), ("x_request_id", "forged")];
    let answers = [client.ask(asked(&forged)), client.ask(asked(&[]))];
    let received = backend.received();
    let mut ids = Vec::new();
    for (at, (got, answer)) in received.iter().zip(&answers).enumerate() {
        let id = got.value("x-request-id").unwrap();
        assert!(is_id(&id), "{id}");
        assert_eq!(got.value("x_request_id"), None);
        assert_eq!(answer.value("x-request-id").as_deref(), Some(&*id));
        assert_eq!(answer.value("x_request_id"), None);
        assert_eq!(line(&proxy, at)["request_id"], json!(id));
        ids.push(id);
    }
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn trailers_say_neither_an_id_nor_a_trace() {
    let backend = TestUpstream::echo();
    let tables = "[request-id]\nheader = \"x-corr\"\n[tracing]\naccept = \"all\"\n";
    let proxy = proxy(&backend, tables);
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    let answer = proxy.client().ask(format!(
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\
         X-Corr: forged\r\nTraceparent: {trace}\r\nTracestate: evil=1\r\nX-Sum: 1\r\n\r\n"
    ));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let got = backend.only_request();
    let trailers = format!("{got:?}");
    assert!(
        trailers.contains("x-sum") || trailers.contains("X-Sum"),
        "{trailers}"
    );
    assert!(
        !trailers.contains("forged") && !trailers.contains("evil=1"),
        "{trailers}"
    );
}

#[test]
fn answers_of_the_proxy_itself_say_the_id_too() {
    let backend = TestUpstream::named("b");
    let tables = format!(
        "[request-id]\nheader = \"X-Trace\"\nrespond = true\n[pools.app]\nbackends = [\"{}\"]\n\
         [[routes]]\nhost = \"a.test\"\nrespond = {{ status = 200 }}\n\
         [[routes]]\nhost = \"b.test\"\npool = \"app\"\n\
         request-headers = {{ set = {{ x-same = \"{{request-id}}\" }} }}\n",
        backend.address()
    );
    let proxy = TestProxy::builder().tables(&tables).start();
    for (at, (host, status)) in [("a.test", 200), ("none.test", 404)]
        .into_iter()
        .enumerate()
    {
        let answer = proxy.get(host, "/");
        assert_eq!(answer.status, status);
        let id = answer.value("x-trace").unwrap();
        assert!(is_id(&id), "{id}");
        assert_eq!(line(&proxy, at)["request_id"], json!(id));
    }
    proxy.get("b.test", "/");
    let got = backend.only_request();
    assert_eq!(got.value("x-same"), got.value("x-trace"), "there is one id");
}

#[test]
fn an_id_of_a_trusted_peer_is_kept_if_it_is_one() {
    let backend = TestUpstream::named("b");
    let proxy = proxy(&backend, &format!("[request-id]\n{TRUSTED}"));
    let long = "l".repeat(128);
    let longer = "l".repeat(129);
    for (at, (given, kept)) in [
        ("theirs-1/\"x\"", true),
        (&*long, true),
        (&*longer, false),
        ("two words", false),
        ("", false),
    ]
    .into_iter()
    .enumerate()
    {
        proxy.ask(asked(&[("X-Request-Id", given)]));
        let id = backend.received()[at].value("x-request-id").unwrap();
        assert_eq!(id == given, kept, "{given:?} became {id:?}");
        assert!(kept || is_id(&id), "{id:?}");
        assert_eq!(line(&proxy, at)["request_id"], json!(id));
    }
    proxy.ask(asked(&[("X-Request-Id", "a"), ("X-Request-Id", "b")]));
    let id = backend.received()[5].value("x-request-id").unwrap();
    assert!(is_id(&id), "of two ids neither is right: {id:?}");
}

#[test]
fn a_trusted_peer_can_be_refused_its_ids() {
    let backend = TestUpstream::named("b");
    let tables = format!("[request-id]\naccept = false\n{TRUSTED}");
    proxy(&backend, &tables).ask(asked(&[("X-Request-Id", "theirs")]));
    assert!(is_id(
        &backend.only_request().value("x-request-id").unwrap()
    ));
}

/// What a backend gets of a trace, and what the log says.
fn passed_on(tables: &str, fields: &[(&str, &str)]) -> (String, Option<String>, Value) {
    let backend = TestUpstream::named("b");
    let proxy = proxy(&backend, tables);
    proxy.ask(asked(fields));
    let got = backend.only_request();
    let parent = got.value("traceparent").unwrap();
    (
        parent,
        got.value("tracestate"),
        line(&proxy, 0)["trace_id"].clone(),
    )
}

#[test]
fn a_trace_of_a_trusted_peer_is_continued_under_a_new_parent() {
    let fields = [("traceparent", PARENT), ("tracestate", "a=1, b=2")];
    let (parent, state, logged) = passed_on(&format!("[tracing]\n{TRUSTED}"), &fields);
    assert_eq!(&parent[..36], &PARENT[..36]);
    assert_ne!(&parent[36..52], &PARENT[36..52], "the proxy's own span");
    assert!(parent.ends_with("-01") && parent.len() == 55, "{parent}");
    assert_eq!(state.as_deref(), Some("a=1, b=2"));
    assert_eq!(logged, json!(TRACE));
}

#[test]
fn a_trace_of_anybody_else_is_replaced() {
    let fields = [("traceparent", PARENT), ("tracestate", "a=1")];
    for tables in [
        "[tracing]\nsample = 0",
        &format!("[tracing]\naccept = \"none\"\nsample = 0\n{TRUSTED}"),
    ] {
        let (parent, state, logged) = passed_on(tables, &fields);
        assert_ne!(&parent[3..35], TRACE, "{tables}");
        assert!(parent.ends_with("-00"), "{parent}");
        assert_eq!(state, None, "{tables}");
        assert_eq!(logged, json!(&parent[3..35]));
    }
}

#[test]
fn a_stranger_may_name_a_trace_and_not_what_is_sampled() {
    let tables = "[tracing]\naccept = \"all\"\nsample = 0";
    let (parent, ..) = passed_on(tables, &[("traceparent", PARENT)]);
    assert_eq!(&parent[3..35], TRACE);
    assert!(parent.ends_with("-00"), "{parent}");
}

#[test]
fn a_trace_that_is_not_one_begins_anew() {
    let upper = PARENT.to_uppercase();
    let zeros = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
    let tables = format!("[tracing]\nsample = 1\n{TRUSTED}");
    for bad in [&*upper, &zeros, "00", &format!("{PARENT}-more")] {
        let fields = [("traceparent", bad), ("tracestate", "a=1")];
        let (parent, state, _) = passed_on(&tables, &fields);
        assert_ne!(&parent[3..35], TRACE, "{bad}");
        assert!(parent.ends_with("-01"), "{parent}");
        assert_eq!(state, None, "{bad}");
    }
    // A state that is none goes alone.
    let fields = [("traceparent", PARENT), ("tracestate", "no state")];
    let (parent, state, _) = passed_on(&tables, &fields);
    assert_eq!((&parent[3..35], state), (TRACE, None));
}

#[test]
fn the_id_of_a_trace_stands_in_templates() {
    let backend = TestUpstream::named("b");
    let address = backend.address();
    let tables = format!(
        "[tracing]\n{TRUSTED}[pools.app]\nbackends = [\"{address}\"]\n[[routes]]\n\
         host = \"a.test\"\npool = \"app\"\n\
         response-headers = {{ set = {{ x-of = \"{{trace-id}}\" }} }}\n"
    );
    let proxy = TestProxy::builder()
        .access_log("requests = \"all\"\nformat = \"t={trace-id} {status}\"")
        .tables(&tables)
        .start();
    let answer = proxy.ask(asked(&[("traceparent", PARENT)]));
    assert_eq!(answer.value("x-of").as_deref(), Some(TRACE));
    proxy.logged(&[&format!("t={TRACE} 200")]);
}

#[test]
fn by_http2_requests_have_ids_and_traces_too() {
    let backend = TestUpstream::named("b");
    let proxy = proxy(&backend, &format!("[request-id]\n[tracing]\n{TRUSTED}"));
    connected(&proxy, async |client| {
        let mut head = request("GET", "a.test", "/");
        for (name, value) in [("traceparent", PARENT), ("x-request-id", "theirs")] {
            head.headers_mut().insert(name, value.parse().unwrap());
        }
        assert_eq!(client.ask(head, b"").await.unwrap().status, 200);
    });
    let got = backend.only_request();
    assert_eq!(got.value("x-request-id").as_deref(), Some("theirs"));
    assert_eq!(&got.value("traceparent").unwrap()[3..35], TRACE);
}
