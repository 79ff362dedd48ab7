//! The spans that a collector gets.

use super::collector::{
    CLIENT, Collector, INTERNAL, SERVER, assert_says, attribute, has_failed, hex,
};
use super::{PARENT, TRACE, TRUSTED, asked, builder, proxy};
use crate::fixtures::{
    Gate, Scratch, TestProxy, TestUpstream, eventually, refusing_address, response, waypost,
};
use crate::reload::{edit, editable, reload};

#[test]
fn a_request_has_a_span_with_its_attempts_and_calls_under_it() {
    let (backend, collector) = (TestUpstream::named("b"), Collector::start());
    let tables = collector.tracing("sample = 1\nservice-name = \"edge\"");
    let proxy = proxy(&backend, &tables);
    proxy.ask(asked(&[("User-Agent", "x")]));
    let span = collector.wait_for(1).remove(0);
    assert_says(
        &span,
        &[
            ("http.request.method", "GET"),
            ("url.scheme", "http"),
            ("url.path", "/a"),
            ("server.address", "a.test"),
            ("client.address", "127.0.0.1"),
            ("network.protocol.version", "1.1"),
            ("http.response.status_code", "200"),
            ("waypost.route", "*/"),
            ("waypost.pool", "*"),
        ],
    );
    assert_eq!((&*span.name, span.kind), ("GET", SERVER));
    assert!(
        span.parent_span_id.is_empty() && !has_failed(&span),
        "{span:#?}"
    );
    assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
    let attempts = collector.children(&span, CLIENT);
    assert_eq!(attempts.len(), 1, "{attempts:#?}");
    assert_says(
        &attempts[0],
        &[
            ("server.address", "127.0.0.1"),
            ("server.port", &backend.address().port().to_string()),
            ("http.response.status_code", "200"),
        ],
    );
    let resent = attribute(&attempts[0].attributes, "http.request.resend_count");
    assert_eq!(resent, None);
    // The backend continues the attempt.
    let expected = format!(
        "00-{}-{}-01",
        hex(&span.trace_id),
        hex(&attempts[0].span_id)
    );
    assert_eq!(backend.only_request().value("traceparent"), Some(expected));
    let calls = collector.children(&span, INTERNAL);
    let choice = calls.iter().find(|call| call.name == "random selection");
    let choice = choice.unwrap_or_else(|| panic!("{calls:#?}"));
    assert_says(
        choice,
        &[
            ("waypost.policy", "random"),
            ("waypost.hook", "selection"),
            ("waypost.answer", "backend 0"),
        ],
    );
    for child in attempts.iter().chain(&calls) {
        assert_eq!(child.trace_id, span.trace_id);
        assert!(
            child.start_time_unix_nano >= span.start_time_unix_nano,
            "{child:#?}"
        );
        assert!(
            child.end_time_unix_nano <= span.end_time_unix_nano,
            "{child:#?}"
        );
    }
    let resource = collector.decoded()[0].resource_spans[0].resource.clone();
    let name = attribute(&resource.unwrap().attributes, "service.name");
    assert_eq!(name.as_deref(), Some("edge"));
    proxy.wait_for_stat("/traces/exported", 2 + calls.len() as u64);
}

#[test]
fn a_trusted_parent_decides_what_is_sampled() {
    let (backend, collector) = (TestUpstream::named("b"), Collector::start());
    let tables = format!("{}{TRUSTED}", collector.tracing("sample = 0"));
    let proxy = proxy(&backend, &tables);
    let unsampled = format!("{}00", &PARENT[..53]);
    proxy.ask(asked(&[("traceparent", &unsampled)]));
    proxy.ask(asked(&[]));
    proxy.ask(asked(&[("traceparent", PARENT), ("tracestate", "a=1")]));
    let spans = collector.wait_for(1);
    assert_eq!(spans.len(), 1, "{spans:#?}");
    assert_eq!(hex(&spans[0].trace_id), TRACE);
    assert_eq!(hex(&spans[0].parent_span_id), "00f067aa0ba902b7");
    assert_eq!(spans[0].trace_state, "a=1");
}

#[test]
fn requests_that_fail_are_exported_although_they_are_not_sampled() {
    let collector = Collector::start();
    let (_socket, nowhere) = refusing_address();
    let proxy = TestProxy::builder()
        .host("down.test", &[nowhere])
        .tables(&collector.tracing("sample = 0"))
        .start();
    assert_eq!(proxy.get("none.test", "/").status, 404);
    let answer = proxy.get("down.test", "/");
    assert!(answer.status >= 500, "{}", answer.status);
    let spans = collector.wait_for(1);
    assert_eq!(spans.len(), 1, "a 404 is not the proxy's: {spans:#?}");
    let status = answer.status.to_string();
    assert_says(
        &spans[0],
        &[
            ("http.response.status_code", &status),
            ("error.type", &status),
        ],
    );
    assert!(has_failed(&spans[0]));
    let attempts = collector.children(&spans[0], CLIENT);
    assert!(
        !attempts.is_empty() && attempts.iter().all(has_failed),
        "{attempts:#?}"
    );
    let resent = |at: usize| attribute(&attempts[at].attributes, "http.request.resend_count");
    assert_eq!(resent(0), None);
    if attempts.len() > 1 {
        assert_eq!(resent(1).as_deref(), Some("1"));
    }
}

#[test]
fn a_failure_of_the_first_backend_is_an_attempt_of_its_own() {
    let bad = TestUpstream::answering(response("503 Service Unavailable", &[], ""));
    let (good, collector) = (TestUpstream::named("b"), Collector::start());
    let tables = format!(
        "{}[pools.app]\nbackends = [\"{}\", \"{}\"]\n[[routes]]\nhost = \"a.test\"\n\
         pool = \"app\"\npolicies = []\nretry = {{ on = [503], attempts = 2 }}\n",
        collector.tracing("sample = 1"),
        bad.address(),
        good.address(),
    );
    let proxy = TestProxy::builder().tables(&tables).start();
    let mut client = proxy.client();
    // Which one is first is chosen at random.
    let mut asked_for = 0;
    while bad.received().is_empty() {
        assert_eq!(client.ask(asked(&[])).status, 200);
        asked_for += 1;
    }
    let spans = collector.wait_for(asked_for);
    let retried = spans
        .iter()
        .map(|span| collector.children(span, CLIENT))
        .find(|attempts| attempts.len() == 2)
        .unwrap_or_else(|| panic!("{spans:#?}"));
    assert_says(
        &retried[0],
        &[("error.type", "503"), ("http.response.status_code", "503")],
    );
    assert_says(
        &retried[1],
        &[
            ("http.request.resend_count", "1"),
            ("http.response.status_code", "200"),
        ],
    );
    let parent = bad.received()[0].value("traceparent").unwrap();
    assert_eq!(&parent[36..52], hex(&retried[0].span_id));
}

#[test]
fn a_collector_that_is_down_costs_spans_and_no_requests() {
    let (_socket, nowhere) = refusing_address();
    let backend = TestUpstream::named("b");
    let tables = format!(
        "[tracing]\nendpoint = \"http://{nowhere}/v1/traces\"\nsample = 1\ninterval = \"100ms\"\n\
         queue = 128\n"
    );
    let proxy = proxy(&backend, &tables);
    let mut client = proxy.client();
    for _ in 0..200 {
        assert_eq!(client.ask(asked(&[])).status, 200);
    }
    eventually("spans are dropped", || {
        let traces = proxy.stats()["traces"].clone();
        let (dropped, failures) = (traces["dropped"].as_u64()?, traces["failures"].as_u64()?);
        (dropped > 0 && failures > 0 && traces["exported"] == 0).then_some(())
    });
}

#[test]
fn a_slow_collector_holds_up_nobody() {
    let (gate, backend) = (Gate::new(), TestUpstream::named("b"));
    let collector = Collector::behind(&gate);
    let tables = collector.tracing("sample = 1\nqueue = 128\ntimeout = \"60s\"");
    let proxy = proxy(&backend, &tables);
    let mut client = proxy.client();
    for _ in 0..200 {
        assert_eq!(client.ask(asked(&[])).status, 200);
    }
    eventually("spans are dropped", || {
        (proxy.stat("/traces/dropped") > 0).then_some(())
    });
    gate.open();
    collector.wait_for(1);
    eventually("spans are taken", || {
        (proxy.stat("/traces/exported") > 0).then_some(())
    });
}

#[test]
fn what_a_collector_does_not_take_now_is_sent_again_and_what_it_refuses_is_lost() {
    let backend = TestUpstream::named("b");
    let collector = Collector::answering(|number| match number {
        0 => response("503 Service Unavailable", &[("Retry-After", "0")], ""),
        1 => response("200 OK", &[], ""),
        _ => response("400 Bad Request", &[], ""),
    });
    let proxy = proxy(&backend, &collector.tracing("sample = 1"));
    proxy.ask(asked(&[]));
    let exported = eventually("the second try", || {
        let exported = proxy.stat("/traces/exported");
        (exported > 0).then_some(exported)
    });
    let bodies: Vec<_> = collector.requests().into_iter().map(|r| r.body).collect();
    assert_eq!(bodies.len(), 2);
    assert_eq!(bodies[0], bodies[1]);
    proxy.ask(asked(&[]));
    proxy.wait_for_stat("/traces/lost", exported);
    assert_eq!(proxy.stat("/traces/failures"), 2);
}

#[test]
fn an_answer_that_is_too_long_says_by_its_status_what_became_of_the_spans() {
    let backend = TestUpstream::named("b");
    let long = "x".repeat(200_000);
    let collector = Collector::answering(move |number| match number {
        0 => response("200 OK", &[], &long),
        _ => response("400 Bad Request", &[], &long),
    });
    let proxy = proxy(&backend, &collector.tracing("sample = 1"));
    proxy.ask(asked(&[]));
    let exported = eventually("it has taken them", || {
        let exported = proxy.stat("/traces/exported");
        (exported > 0).then_some(exported)
    });
    proxy.ask(asked(&[]));
    proxy.wait_for_stat("/traces/lost", exported);
    assert_eq!(collector.requests().len(), 2, "nothing was sent twice");
}

#[test]
fn a_collector_gets_its_fields_and_the_token_that_a_file_holds_now() {
    let (backend, collector) = (TestUpstream::named("b"), Collector::start());
    let tables =
        collector.tracing("sample = 1\nheaders = { x-tenant = \"t\" }\ntoken-file = \"token\"");
    let proxy = builder(&backend, &tables).file("token", "one\n").start();
    proxy.ask(asked(&[]));
    collector.wait_for(1);
    proxy.scratch.write("token", "two\n");
    proxy.ask(asked(&[]));
    collector.wait_for(2);
    let requests = collector.requests();
    assert_eq!(requests[0].target(), "/v1/traces");
    for (name, value) in [
        ("x-tenant", "t"),
        ("content-type", "application/x-protobuf"),
    ] {
        assert_eq!(requests[0].value(name).as_deref(), Some(value), "{name}");
    }
    let token = |at: usize| requests[at].value("authorization");
    assert_eq!(token(0).as_deref(), Some("Bearer one"));
    assert_eq!(token(requests.len() - 1).as_deref(), Some("Bearer two"));
}

#[test]
fn a_reload_changes_where_spans_go_and_whether_they_do() {
    let (backend, one, two) = (
        TestUpstream::named("b"),
        Collector::start(),
        Collector::start(),
    );
    let proxy = editable(builder(&backend, &one.tracing("sample = 1")));
    proxy.ask(asked(&[]));
    one.wait_for(1);
    edit(&proxy, |text| {
        text.replace(&one.address().to_string(), &two.address().to_string())
    });
    assert_eq!(reload(&proxy)["settings"], serde_json::json!(["tracing"]));
    proxy.ask(asked(&[]));
    two.wait_for(1);
    edit(&proxy, |text| text.replace("sample = 1", "sample = 0"));
    reload(&proxy);
    proxy.ask(asked(&[]));
    edit(&proxy, |text| text.replace("sample = 0", "sample = 1"));
    reload(&proxy);
    proxy.ask(asked(&[]));
    two.wait_for(2);
    assert_eq!((one.of_requests().len(), two.of_requests().len()), (1, 2));
}

#[test]
fn what_waits_for_others_is_sent_before_the_process_ends() {
    let (backend, collector) = (TestUpstream::named("b"), Collector::start());
    let tables = collector
        .tracing("sample = 1")
        .replace("interval = \"100ms\"", "interval = \"60s\"");
    let mut proxy = proxy(&backend, &tables);
    proxy.ask(asked(&[]));
    assert_eq!(collector.requests().len(), 0);
    proxy.signal("TERM");
    assert_eq!(proxy.exit_code(), 0);
    assert_eq!(collector.of_requests().len(), 1);
}

#[test]
fn a_collector_that_hangs_does_not_keep_the_process_alive() {
    let (gate, backend) = (Gate::new(), TestUpstream::named("b"));
    let collector = Collector::behind(&gate);
    let mut proxy = proxy(
        &backend,
        &collector.tracing("sample = 1\ntimeout = \"60s\""),
    );
    proxy.ask(asked(&[]));
    eventually("the collector is asked", || {
        (!collector.requests().is_empty()).then_some(())
    });
    proxy.signal("TERM");
    assert_eq!(proxy.exit_code(), 0);
    assert!(proxy.stderr.text().contains("the last spans are lost"));
    gate.open();
}

#[test]
fn a_token_that_is_not_there_stops_the_start() {
    let scratch = Scratch::new();
    scratch.write("empty", "\n");
    for (token, words) in [("none", "none: "), ("empty", "empty: holds no token")] {
        let text = format!(
            "workers = 1\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"off\"\n[hosts]\n\
             \"*\" = \"127.0.0.1:9\"\n[tracing]\nendpoint = \"http://127.0.0.1:9/v1/traces\"\n\
             token-file = \"{token}\"\n"
        );
        scratch.write("waypost.toml", text);
        for command in ["check", "run"] {
            let exit = waypost([command, "--config", "waypost.toml"], scratch.path());
            assert_eq!(exit.code, Some(1), "{command}: {exit:?}");
            let said = exit.stdout + &exit.stderr;
            let is_said = said.contains("`tracing.token-file`") && said.contains(words);
            assert!(is_said, "{command}: no {words:?} in {said}");
        }
    }
}
