//! Requests that are unusual but mean one thing: what reaches the backend says it in the canonical
//! way.

use crate::fixtures::{Received, TestProxy, TestUpstream};

/// Name, what the client sends, and what the backend must get: method, target, body, and whether it
/// came in chunks.
type Case = (
    &'static str,
    &'static [u8],
    &'static str,
    &'static str,
    &'static [u8],
);

const CASES: &[Case] = &[
    ("one empty line before", b"\r\nGET /x HTTP/1.1\r\nHost: a.test\r\n\r\n", "GET", "/x", b""),
    ("two empty lines before", b"\r\n\r\nGET /x HTTP/1.1\r\nHost: a.test\r\n\r\n", "GET", "/x", b""),
    ("white space around values", b"GET /x HTTP/1.1\r\nHost: \t a.test \t\r\nX:  y\t \r\n\r\n", "GET", "/x", b""),
    ("no space after the colon", b"GET /x HTTP/1.1\r\nHost:a.test\r\nX:y\r\n\r\n", "GET", "/x", b""),
    ("an empty value", b"GET /x HTTP/1.1\r\nHost: a.test\r\nEmpty:\r\n\r\n", "GET", "/x", b""),
    ("names in capitals", b"GET /x HTTP/1.1\r\nHOST: a.test\r\nX: y\r\n\r\n", "GET", "/x", b""),
    ("a method in lower case", b"get /x HTTP/1.1\r\nHost: a.test\r\n\r\n", "get", "/x", b""),
    ("a method that nobody knows", b"BREW /pot HTTP/1.1\r\nHost: a.test\r\n\r\n", "BREW", "/pot", b""),
    ("a method of odd token characters", b"M-SEARCH!~ /x HTTP/1.1\r\nHost: a.test\r\n\r\n", "M-SEARCH!~", "/x", b""),
    ("HTTP/1.0 without a host", b"GET /x HTTP/1.0\r\n\r\n", "GET", "/x", b""),
    ("HTTP/1.0 with a body", b"POST /x HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello", "POST", "/x", b"hello"),
    ("OPTIONS of the server", b"OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n", "OPTIONS", "*", b""),
    ("OPTIONS with an absolute target", b"OPTIONS http://a.test HTTP/1.1\r\nHost: a.test\r\n\r\n", "OPTIONS", "*", b""),
    ("OPTIONS with a path", b"OPTIONS http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", "OPTIONS", "/", b""),
    ("an absolute target", b"GET http://a.test/x?y HTTP/1.1\r\nHost: a.test\r\n\r\n", "GET", "/x?y", b""),
    ("an absolute target without a path", b"GET http://a.test HTTP/1.1\r\nHost: a.test\r\n\r\n", "GET", "/", b""),
    ("an absolute target with only a query", b"GET http://a.test?y=z HTTP/1.1\r\nHost: a.test\r\n\r\n", "GET", "/?y=z", b""),
    ("a scheme in capitals", b"GET HTTP://A.TEST/x HTTP/1.1\r\nHost: a.test\r\n\r\n", "GET", "/x", b""),
    ("an empty port", b"GET /x HTTP/1.1\r\nHost: a.test:\r\n\r\n", "GET", "/x", b""),
    ("dots in the path", b"GET /a/../b/./c//d HTTP/1.1\r\nHost: a.test\r\n\r\n", "GET", "/a/../b/./c//d", b""),
    ("percent encodings", b"GET /%2e%2e/%00%0d%0a%ff HTTP/1.1\r\nHost: a.test\r\n\r\n", "GET", "/%2e%2e/%00%0d%0a%ff", b""),
    ("an odd query", b"GET /x?a=b?c&&=;http://b/ HTTP/1.1\r\nHost: a.test\r\n\r\n", "GET", "/x?a=b?c&&=;http://b/", b""),
    ("a length of 0", b"POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n", "POST", "/x", b""),
    ("leading zeros in a length", b"POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0005\r\n\r\nhello", "POST", "/x", b"hello"),
    ("white space around a length", b"POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: \t5 \r\n\r\nhello", "POST", "/x", b"hello"),
    ("no length", b"POST /x HTTP/1.1\r\nHost: a.test\r\n\r\n", "POST", "/x", b""),
    ("a body on a GET", b"GET /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello", "GET", "/x", b"hello"),
    ("a body on a DELETE", b"DELETE /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello", "DELETE", "/x", b"hello"),
    ("a body on OPTIONS", b"OPTIONS /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello", "OPTIONS", "/x", b"hello"),
    ("chunks on a GET", b"GET /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "GET", "/x", b"hello"),
    ("CHUNKED", b"POST /x HTTP/1.1\r\nHost: a.test\r\nTRANSFER-ENCODING: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "POST", "/x", b"hello"),
    ("a tab before chunked", b"POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding:\tchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "POST", "/x", b"hello"),
    ("a space after chunked", b"POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked \r\n\r\n5\r\nhello\r\n0\r\n\r\n", "POST", "/x", b"hello"),
    ("no chunk at all", b"POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "POST", "/x", b""),
    ("many chunks", b"POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n3\r\nell\r\n1\r\no\r\n0\r\n\r\n", "POST", "/x", b"hello"),
    ("a size with zeros and capitals", b"POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n00A\r\nhellohello\r\n000\r\n\r\n", "POST", "/x", b"hellohello"),
    ("a size in lower case", b"POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhellohello\r\n0\r\n\r\n", "POST", "/x", b"hellohello"),
    ("chunk extensions", b"POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5;a;b=c;d=\"e\"\r\nhello\r\n0;f\r\n\r\n", "POST", "/x", b"hello"),
    ("white space before an extension", b"POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5 ;a=b\r\nhello\r\n0\r\n\r\n", "POST", "/x", b"hello"),
    ("chunk-like data", b"POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n0\r\n\r\nGE\r\n0\r\n\r\n", "POST", "/x", b"0\r\n\r\nGE"),
    ("trailers that would change the framing", b"POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 50\r\nTransfer-Encoding: gzip\r\nHost: b.test\r\nAuthorization: x\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n", "POST", "/x", b"hello"),
    ("a body that looks like a request", b"POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 28\r\n\r\nGET /y HTTP/1.1\r\nHost: b\r\n\r\n", "POST", "/x", b"GET /y HTTP/1.1\r\nHost: b\r\n\r\n"),
];

#[test]
fn the_backend_gets_a_canonical_form_of_any_request() {
    let upstream = TestUpstream::named("reached");
    let proxy = TestProxy::in_front_of(&upstream);
    let mut failures = Vec::new();
    for (name, bytes, method, target, body) in CASES {
        let before = upstream.complete().len();
        let mut client = proxy.client();
        client.send(bytes);
        match client.try_response_to(method) {
            Ok(response) if response.status == 200 => {}
            other => failures.push(format!("{name}: {other:?}")),
        }
        let received = upstream.complete();
        let Some(last) = received.get(before) else {
            failures.push(format!("{name}: nothing reached the backend"));
            continue;
        };
        if let Err(why) = check(last, method, target, body) {
            failures.push(format!("{name}: {why}"));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} cases:\n{}",
        failures.len(),
        CASES.len(),
        failures.join("\n")
    );
}

fn check(got: &Received, method: &str, target: &str, body: &[u8]) -> Result<(), String> {
    let raw = || String::from_utf8_lossy(&got.head.raw).into_owned();
    if got.head.start != format!("{method} {target} HTTP/1.1") {
        return Err(format!("{:?}", got.head.start));
    }
    if got.body != body {
        return Err(format!(
            "the body is {:?}",
            String::from_utf8_lossy(&got.body)
        ));
    }
    if !got.trailers.is_empty() {
        return Err(format!("trailers {:?}", got.trailers));
    }
    // White space is gone, names are lower case, and the framing is written anew.
    let tidy = got
        .head
        .fields
        .iter()
        .all(|(n, _)| *n == n.to_ascii_lowercase());
    if !tidy || got.head.values("x").iter().any(|v| v != "y") {
        return Err(raw());
    }
    match got.head.content_length()? {
        Some(n) if n != body.len() as u64 => Err(raw()),
        _ => Ok(()),
    }
}

#[test]
fn a_http_1_0_request_goes_on_as_1_1_with_a_host_field() {
    let upstream = TestUpstream::named("reached");
    let proxy = TestProxy::in_front_of(&upstream);
    proxy.ask(b"GET /x HTTP/1.0\r\n\r\n");
    let request = upstream.only_request();
    assert_eq!(request.head.values("host").len(), 1);
    assert!(request.head.start.ends_with("HTTP/1.1"));
}
