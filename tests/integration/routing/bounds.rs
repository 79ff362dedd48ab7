//! Time-outs and the largest body of a route.

use crate::fixtures::http2::{connected, request};
use crate::fixtures::{Gate, Request, TestProxy, TestUpstream, get};

#[test]
fn a_route_has_its_own_time_for_a_response() {
    let gate = Gate::new();
    let upstream = TestUpstream::behind(&gate);
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[pools.a]\nbackends = \"{}\"\n[[routes]]\npool = \"a\"\npolicies = []\n\
             [[routes]]\npath = \"/quick\"\npool = \"a\"\npolicies = []\n\
             timeouts = {{ response = \"200ms\", body-read = \"200ms\" }}",
            upstream.address()
        ))
        .start();
    proxy.get("a.test", "/quick").assert_refusal(504);
    connected(&proxy, async |client| {
        let late = client.get("a.test", "/quick").await.unwrap();
        assert_eq!(late.status, 504);
    });
    // The default is a minute, which would be too long for the test.
    let mut client = proxy.client();
    client.send("POST /quick HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhello");
    client.response().assert_refusal(408);
    // The other route waits on.
    let mut client = proxy.client();
    client.send(get("a.test", "/slow"));
    crate::fixtures::eventually("the request is there", || {
        let received = upstream.received();
        received.iter().any(|r| r.target() == "/slow").then_some(())
    });
    gate.open();
    assert_eq!(client.response().status, 200);
}

#[test]
fn a_route_has_its_own_largest_body() {
    let upstream = TestUpstream::named("a");
    let route = |path: &str, line: &str| {
        format!("[[routes]]\npath = \"{path}\"\npool = \"a\"\npolicies = []\n{line}\n")
    };
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[limits]\nbody-bytes = 10\n[pools.a]\nbackends = \"{}\"\n{}{}{}{}",
            upstream.address(),
            route("/", ""),
            route("/small", "body-bytes = 4"),
            route("/large", "body-bytes = \"1KiB\""),
            route("/any", "body-bytes = 0"),
        ))
        .start();
    let cases = [
        ("/", 10, true),
        ("/", 11, false),
        ("/small", 4, true),
        ("/small", 5, false),
        ("/large", 1_024, true),
        ("/large", 1_025, false),
        ("/any", 100_000, true),
    ];
    for (path, length, fits) in cases {
        let body = "x".repeat(length);
        let declared = Request::new("POST", path).host("a.test").body(&body);
        let chunked = Request::new("POST", path).host("a.test");
        let chunked = chunked.chunks([body.as_bytes()]);
        for request in [declared.bytes(), chunked.bytes()] {
            let mut client = proxy.client();
            client.send_what_is_taken(&request);
            let response = client.response_to("POST");
            let expected = if fits { 200 } else { 413 };
            assert_eq!(response.status, expected, "{path} with {length}");
        }
        connected(&proxy, async |client| {
            let answer = client.ask(request("POST", "a.test", path), body.as_bytes());
            let expected = if fits { 200 } else { 413 };
            assert_eq!(answer.await.unwrap().status, expected, "{path} by h2");
        });
    }
}
