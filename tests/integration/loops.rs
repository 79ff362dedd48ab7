//! Requests that come round again, and the fields by which they are known: `Via` and `CDN-Loop`.

use crate::fixtures::{Request, TestProxy, TestUpstream, response};
use crate::forwarding::with;

#[test]
fn a_request_that_comes_back_is_508_with_via_and_without() {
    use std::net::SocketAddr;
    use std::sync::{Arc, OnceLock};
    for (keys, has, has_not) in [
        ("", "cdn-loop", "via"),
        ("via = false", "cdn-loop", "via"),
        ("via = true", "via", "cdn-loop"),
        ("via = \"edge-1\"", "via", "cdn-loop"),
    ] {
        let to: Arc<OnceLock<SocketAddr>> = Arc::default();
        let back = Arc::clone(&to);
        // A backend that sends each request where it came from.
        let upstream = TestUpstream::replying(move |request| {
            let answer =
                crate::fixtures::Client::connect(*back.get().unwrap()).ask(&request.head.raw);
            response(&format!("{} Answered", answer.status), &[], answer.text())
        });
        let proxy = with(&upstream, keys);
        to.set(proxy.address()).unwrap();
        let answer = proxy.get("a.test", "/");
        assert_eq!(answer.status, 508, "{}", answer.text());
        assert!(answer.text().contains("loop"), "{}", answer.text());
        let request = upstream.only_request();
        assert!(
            request.head.has(has) && !request.head.has(has_not),
            "{keys}: {request:?}"
        );
    }
}

#[test]
fn two_proxies_in_a_row_are_not_a_loop() {
    let upstream = TestUpstream::named("a");
    for keys in ["", "via = true"] {
        let inner = with(&upstream, keys);
        let outer = TestProxy::builder()
            .host("*", &[inner.address()])
            .tables(&format!("[forwarded]\n{keys}"))
            .start();
        assert_eq!(outer.get("a.test", "/").text(), "a");
    }
}

#[test]
fn via_is_extended_in_both_directions() {
    let upstream = TestUpstream::answering(response("200 OK", &[("Via", "1.0 inner")], ""));
    let proxy = with(&upstream, "via = true");
    let answer = proxy.ask(
        Request::new("GET", "/")
            .host("a.test")
            .field("Via", "1.0 fred")
            .bytes(),
    );
    let there = upstream.only_request().head.values("via").join(", ");
    assert!(there.starts_with("1.0 fred, 1.1 "), "{there}");
    let back = answer.head.values("via").join(", ");
    assert!(back.starts_with("1.0 inner, 1.1 "), "{back}");
}
