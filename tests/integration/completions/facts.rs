//! The queue and the time that is left, as policies see them.

use http::Request as StreamRequest;

use crate::fixtures::http2::connected;
use crate::fixtures::{
    Gate, Request, StreamBackend, TestProxy, TestUpstream, eventually, guest, response,
};

fn reporting(backends: &str, keys: &str) -> TestProxy {
    TestProxy::builder()
        .file("probe.wasm", guest("probe"))
        .tables(&format!(
            "[pools.a]\nbackends = [{backends}]\n{keys}\n\
             [[routes]]\npool = \"a\"\npolicies = [\"probe\"]\n\
             [policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"2s\""
        ))
        .start()
}

/// The queues as a policy sees them whose request is refused at once.
fn queues(proxy: &TestProxy) -> String {
    let request = Request::new("GET", "/seen").host("a.test");
    let request = request.field("X-Probe-Request", "queues=1");
    let answer = proxy.ask(request.field("X-Probe-Select", "pick=1").bytes());
    answer.text()
}

#[test]
fn a_policy_sees_the_requests_in_the_queues() {
    for (keys, expected) in [
        ("max-requests = 2", "3,pool 0"),
        ("max-pool-requests = 2", "0,pool 3"),
        ("max-connections = 2", "3,pool 0"),
    ] {
        let gate = Gate::new();
        let opened = gate.clone();
        // The second backend says what the policy has told it, and is never full.
        let held = TestUpstream::replying(move |_| {
            opened.wait();
            response("200 OK", &[], "held")
        });
        let seen = TestUpstream::replying(|request| {
            let told = request.value("x-probe-queues").unwrap_or_default();
            response("200 OK", &[], told)
        });
        let backends = format!("\"{}\", \"{}\"", held.address(), seen.address());
        let proxy = reporting(&backends, keys);
        let mut clients: Vec<_> = (0..5)
            .map(|_| {
                let mut client = proxy.client();
                let request = Request::new("GET", "/").host("a.test");
                client.send(request.field("X-Probe-Select", "pick=0").bytes());
                client
            })
            .collect();
        held.wait_for_heads(2);
        if keys == "max-pool-requests = 2" {
            // It waits for the pool as well; what it saw before, the backend is told after.
            let mut seeing = proxy.client();
            eventually("three wait", || {
                (proxy.stat("/pools/a/queue_length") == 3).then_some(())
            });
            let request = Request::new("GET", "/seen").host("a.test");
            let request = request.field("X-Probe-Request", "queues=1");
            seeing.send(request.field("X-Probe-Select", "pick=1").bytes());
            eventually("four wait", || {
                (proxy.stat("/pools/a/queue_length") == 4).then_some(())
            });
            gate.open();
            assert_eq!(seeing.response().text(), expected, "{keys}");
        } else {
            eventually(keys, || (queues(&proxy) == expected).then_some(()));
        }
        gate.open();
        for client in &mut clients {
            assert_eq!(client.response().text(), "held");
        }
    }
}

#[test]
fn a_policy_sees_how_long_the_caller_of_a_method_still_waits() {
    let backend = StreamBackend::start(move |mut call| async move {
        let left = call.request.headers().get("x-probe-time-left").cloned();
        let _ = call.read().await;
        let mut head = http::Response::builder().header("content-type", "application/grpc");
        head = head.header("grpc-status", "0");
        if let Some(left) = left {
            head = head.header("x-left", left);
        }
        call.end(head.body(()).unwrap());
    });
    let proxy = reporting(&format!("\"{}\"", backend.address()), "protocol = \"h2c\"");
    let left = |timeout: Option<&'static str>| {
        connected(&proxy, async |client| {
            let mut call = StreamRequest::post("http://a.test/service/method")
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .header("x-probe-request", "time-left");
            if let Some(timeout) = timeout {
                call = call.header("grpc-timeout", timeout);
            }
            let answer = client
                .ask(call.body(()).unwrap(), b"message")
                .await
                .unwrap();
            let left = answer.fields.get("x-left").cloned();
            left.map(|left| left.to_str().unwrap().to_owned())
        })
    };
    assert_eq!(left(None).as_deref(), Some("none"));
    let some: u64 = left(Some("15S")).unwrap().parse().unwrap();
    assert!((1..=15_000).contains(&some), "{some}");
}
