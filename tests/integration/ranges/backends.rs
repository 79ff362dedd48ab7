//! What the backend's answer has to do with it.

use super::{CONTENT, ask, assert_unsatisfiable_empty, assert_whole, plain, proxy};
use crate::fixtures::{Request, TestProxy, TestUpstream, response};

#[test]
fn only_a_get_that_is_answered_200_with_a_known_length_is_cut() {
    let (_upstream, proxy) = proxy();
    let range = ("Range", "bytes=0-9");
    for (target, status) in [
        ("/missing", 404),
        ("/created", 201),
        ("/unknown-length", 200),
    ] {
        let answer = ask(&proxy, target, &[range]);
        assert_eq!(
            (answer.status, answer.body.as_slice()),
            (status, CONTENT),
            "{target}"
        );
        assert_eq!(answer.value("content-range"), None);
    }
    let head = proxy.ask(
        Request::new("HEAD", "/")
            .host("a.test")
            .field(range.0, range.1)
            .bytes(),
    );
    assert_eq!(
        (head.status, head.value("content-length")),
        (200, Some(CONTENT.len().to_string()))
    );
    let post = proxy.ask(
        Request::new("POST", "/")
            .host("a.test")
            .field(range.0, range.1)
            .body("x")
            .bytes(),
    );
    assert_whole(&post);
}

#[test]
fn an_empty_representation_has_no_byte_to_give() {
    let (_upstream, proxy) = proxy();
    assert_unsatisfiable_empty(&ask(&proxy, "/empty", &[("Range", "bytes=0-")]));
}

#[test]
fn a_backend_that_supports_ranges_cuts_them_itself() {
    let upstream = TestUpstream::replying(|request| match request.value("range").as_deref() {
        Some("bytes=0-9") => response(
            "206 Partial Content",
            &[("Content-Range", "bytes 0-9/1000")],
            "its own 10",
        ),
        Some("bytes=5000-") => response(
            "416 Range Not Satisfiable",
            &[("Content-Range", "bytes */1000")],
            "its no",
        ),
        other => response("200 OK", &[], format!("{other:?}")),
    });
    let proxy = TestProxy::in_front_of(&upstream);
    for (target, fields) in [
        ("/", &[("Range", "bytes=0-9")][..]),
        ("/?range=0-9", &[]),
        ("/?range=bytes=0-9", &[]),
    ] {
        let answer = ask(&proxy, target, fields);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (206, "its own 10"),
            "{target}"
        );
        assert_eq!(
            answer.value("content-range").as_deref(),
            Some("bytes 0-9/1000")
        );
    }
    let answer = ask(&proxy, "/", &[("Range", "bytes=5000-")]);
    assert_eq!((answer.status, answer.text().as_str()), (416, "its no"));
}

#[test]
fn a_large_body_is_cut_in_a_stream_and_the_connection_goes_on() {
    let large: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let upstream = TestUpstream::answering(response("200 OK", &[], &large));
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    let range = "bytes=100000-1099999,2000000-2999999";
    let answer = client.ask(
        Request::new("GET", "/")
            .host("a.test")
            .field("Range", range)
            .bytes(),
    );
    assert_eq!(answer.status, 206);
    assert!(
        (2_000_000..2_000_500).contains(&answer.body.len()),
        "{}",
        answer.body.len()
    );
    for part in [&large[100_000..1_100_000], &large[2_000_000..]] {
        assert!(answer.body.windows(part.len()).any(|window| window == part));
    }
    for (first, last) in [(1_000_000, 1_999_999), (2_999_999, 2_999_999), (0, 0)] {
        let range = format!("bytes={first}-{last}");
        let answer = client.ask(
            Request::new("GET", "/")
                .host("a.test")
                .field("Range", &range)
                .bytes(),
        );
        assert_eq!(answer.status, 206);
        assert!(answer.body == large[first..=last], "{range}");
    }
    assert_eq!(
        client.ask(crate::fixtures::get("a.test", "/")).body.len(),
        large.len()
    );
}

/// A call of a policy is the dearest part of most requests.
#[test]
fn only_requests_that_may_mean_a_range_ask_the_policy_for_it() {
    let (_upstream, proxy) = proxy();
    let range = |method: &str, target: &str| {
        Request::new(method, target)
            .host("a.test")
            .field("Range", "bytes=0-1")
    };
    let plain = |method: &str, target: &str| Request::new(method, target).host("a.test");
    for (request, asked) in [
        (plain("GET", "/"), 0),
        (plain("GET", "/?a=b"), 0),
        (plain("POST", "/?range=0-1").body("x"), 0),
        (range("POST", "/").body("x"), 0),
        (range("DELETE", "/"), 0),
        (range("GET", "/"), 1),
        (range("HEAD", "/"), 2),
        (plain("GET", "/?range=0-1"), 3),
        (plain("GET", "/?r%61nge=0-1"), 4),
        (plain("GET", "/"), 4),
    ] {
        proxy.ask(request.bytes());
        assert_eq!(proxy.stat("/policies/range/calls"), asked);
    }
}

#[test]
fn a_route_without_the_range_policy_leaves_ranges_to_the_backend() {
    let upstream = TestUpstream::replying(plain);
    let proxy = TestProxy::builder()
        .pool_for_all(&[upstream.address()], &["random"])
        .start();
    assert_whole(&ask(&proxy, "/", &[("Range", "bytes=0-9")]));
    assert_eq!(
        upstream.received()[0].value("range").as_deref(),
        Some("bytes=0-9")
    );
    assert_whole(&ask(&proxy, "/?range=0-9", &[("Range", "bytes=5-6")]));
}

#[test]
fn a_slice_of_a_response_that_is_cut_short_is_incomplete() {
    let upstream = TestUpstream::start(|connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 36\r\n\r\n01234");
    });
    let proxy = TestProxy::in_front_of(&upstream);
    for range in ["bytes=0-9", "bytes=20-29", "bytes=0-1,20-29"] {
        let mut client = proxy.client();
        client.send(
            Request::new("GET", "/")
                .host("a.test")
                .field("Range", range)
                .bytes(),
        );
        match client.try_response_to("GET") {
            Ok(answer) => assert_eq!(answer.status, 502, "{range}"),
            Err(error) => assert!(
                !matches!(error, crate::fixtures::ReadError::TimedOut),
                "{range}: {error:?}"
            ),
        }
    }
}
