//! Trailers beyond the limits: what they end is never taken for whole.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{in_front_of, response};
use crate::fixtures::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, Http2, PLAIN, RST_STREAM, block,
    block_on, frame, get,
};
use crate::fixtures::{StreamBackend, TestProxy, TestUpstream};

fn many(count: usize, length: usize) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    for number in 0..count {
        let name = HeaderName::try_from(format!("x-{number}")).unwrap();
        let value = HeaderValue::try_from("v".repeat(length)).unwrap();
        trailers.insert(name, value);
    }
    trailers
}

#[test]
fn a_response_with_trailers_beyond_the_limits_is_cut_and_never_whole() {
    let backend = StreamBackend::start(|mut call| async move {
        let numbers = call.request.uri().path()[1..].split_once('x');
        let (count, length) = numbers.unwrap();
        let trailers = many(count.parse().unwrap(), length.parse().unwrap());
        let mut stream = call.begin(response(200));
        stream
            .send_data(Bytes::from_static(b"hello"), false)
            .unwrap();
        stream.send_trailers(trailers).unwrap();
    });
    let proxy = in_front_of(&[backend.address()], "max-failures = 0");
    block_on(async {
        let client = Http2::connect(proxy.address()).await;
        for (path, count) in [("/200x10", 200), ("/1x30000", 1), ("/250x200", 250)] {
            let answer = client.get("a.test", path).await.unwrap();
            assert_eq!(
                (answer.trailers.len(), answer.body.len()),
                (count, 5),
                "{path}"
            );
        }
        for path in ["/257x10", "/5000x10", "/1x70000", "/1x200000", "/4x20000"] {
            let (answer, _) = client.send(get("a.test", path), true).await.unwrap();
            let answer = crate::fixtures::http2::receive(answer).await;
            assert!(answer.is_err(), "{path}: {answer:?}");
        }
    });
    // By HTTP/1.1 too.
    let mut client = proxy.client();
    client.send("GET /5000x10 HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nConnection: te\r\n\r\n");
    assert!(client.try_response_to("GET").is_err());
}

/// Sends a request with a body, and this block as its trailers, in frames of 16 KiB.
fn send(proxy: &TestProxy, trailers: &[u8]) -> Frames {
    let mut frames = Frames::connect(proxy.address());
    frames.head(1, &[(":method", "POST"), PLAIN[1], PLAIN[2], PLAIN[3]], 0);
    frames.send(frame(DATA, 0, 1, b"hello"));
    let mut parts = trailers.chunks(16_384).peekable();
    let (mut kind, mut flags) = (HEADERS, END_STREAM);
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            flags |= END_HEADERS;
        }
        frames.send(frame(kind, flags, 1, part));
        (kind, flags) = (CONTINUATION, 0);
    }
    frames
}

#[test]
fn a_request_with_trailers_beyond_the_limits_reaches_no_backend_as_a_whole() {
    let upstream = TestUpstream::echo();
    let proxy = TestProxy::in_front_of(&upstream);
    let fields = |count: usize, length: usize| {
        let name = |n: usize| format!("x-{n}");
        let fields: Vec<_> = (0..count).map(|n| (name(n), "v".repeat(length))).collect();
        block(&fields)
    };
    // An entry of the table of 4 KB, and then its name again and again.
    let mut indexed = fields(1, 4_000);
    indexed[0] = 0x40;
    indexed.extend(std::iter::repeat_n(0xbe, 20));
    for (what, trailers) in [
        ("too many", fields(101, 10)),
        ("far too many", fields(5_000, 1)),
        ("too large", fields(5, 7_000)),
        ("one that is too large", fields(1, 60_000)),
        ("those that unfold", indexed),
    ] {
        let mut frames = send(&proxy, &trailers);
        let end = frames.end_of(1);
        let refused = match end.kind {
            RST_STREAM => true,
            _ => !frames_said_200(&proxy, &trailers),
        };
        assert!(refused, "{what}: {end:?}");
    }
    assert!(upstream.received().iter().all(|request| !request.complete));
    for (count, length) in [(100, 10), (10, 1_000), (1, 10_000)] {
        let mut frames = send(&proxy, &fields(count, length));
        assert_eq!(frames.find(HEADERS).status(), 200, "{count} {length}");
    }
}

/// Whether the answer to a request with these trailers is a success.
fn frames_said_200(proxy: &TestProxy, trailers: &[u8]) -> bool {
    let head = send(proxy, trailers).find(HEADERS);
    head.payload.first() == Some(&0x88)
}

/// RFC 9113 section 8.1: such a message is malformed. The engine leaves the field out.
#[test]
fn a_request_with_a_pseudo_field_among_its_trailers_is_refused() {
    let upstream = TestUpstream::echo();
    let proxy = TestProxy::in_front_of(&upstream);
    let path = b"\x00\x84\xb9\x58\xd3\x3f\x01/";
    // The last block's is found by the engine.
    let [first, last] = [0, 1].map(|at| {
        let mut fields = [("x-a", "b"); 2];
        fields[at] = (":path", "/");
        block(&fields)
    });
    for trailers in [&first[..], b"\x84", path, &last] {
        let mut frames = send(&proxy, trailers);
        let end = frames.find(RST_STREAM);
        assert_eq!((end.stream, end.error()), (1, 1), "{trailers:x?}");
        frames.request(3);
        assert!(frames.end_of(3).ends());
    }
    // In two frames, of which the first does not show it.
    let mut frames = send(&proxy, b"");
    frames.send(frame(HEADERS, END_STREAM, 1, b""));
    frames.send(frame(CONTINUATION, END_HEADERS, 1, &first));
    assert_eq!(frames.find(RST_STREAM).error(), 1);
    let received = upstream.received();
    let whole = received.iter().filter(|request| request.complete);
    assert_eq!(whole.count(), 4, "the others");
    assert_eq!(
        send(&proxy, &block(&[("x-a", ":path")]))
            .find(HEADERS)
            .status(),
        200
    );
    proxy.logged(&["\"status\":400", "pseudo-field"]);
}
