//! The fixtures judge everything else, so they are judged first.

use crate::fixtures::{Client, ReadError, TestUpstream, get};

/// A backend must fail its test when it is sent something ambiguous: here by a client without a
/// proxy in between.
fn send_to_backend(request: &[u8]) {
    let upstream = TestUpstream::named("a");
    let mut client = Client::connect(upstream.address());
    client.send(request);
    client.half_close();
    let _ = client.try_response_to("GET");
    upstream.wait_until_unused_after(1);
}

#[test]
fn a_canonical_request_is_fine() {
    send_to_backend(b"GET /x?y HTTP/1.1\r\nhost: a.test\r\ncontent-length: 2\r\n\r\nhi");
    send_to_backend(
        b"POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx: y\r\n\r\n",
    );
}

macro_rules! not_canonical {
    ($($name:ident: $request:expr;)*) => {$(
        #[test]
        #[should_panic(expected = "not canonical")]
        fn $name() {
            send_to_backend($request);
        }
    )*};
}

not_canonical! {
    a_hop_by_hop_field_is_noticed: b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n\r\n";
    a_missing_host_is_noticed: b"GET / HTTP/1.1\r\n\r\n";
    a_second_host_is_noticed: b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n";
    two_lengths_are_noticed: b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n";
    a_length_beside_chunks_is_noticed: b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    another_coding_is_noticed: b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n";
    a_bare_line_feed_is_noticed: b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n";
    a_space_before_the_colon_is_noticed: b"GET / HTTP/1.1\r\nHost : a\r\n\r\n";
    a_fold_is_noticed: b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n";
    an_absolute_target_is_noticed: b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n";
    an_old_version_is_noticed: b"GET / HTTP/1.0\r\nHost: a\r\n\r\n";
    a_chunk_extension_is_noticed: b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nhi\r\n0\r\n\r\n";
}

#[test]
fn the_client_takes_no_sloppy_response() {
    for sloppy in [
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nhi\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 0\r\n\r\n",
    ] {
        let upstream = TestUpstream::start(move |connection| {
            connection.request();
            connection.send(sloppy);
        });
        let mut client = Client::connect(upstream.address());
        client.send(get("a.test", "/"));
        let got = client.try_response_to("GET");
        assert!(
            matches!(got, Err(ReadError::Malformed(_) | ReadError::Incomplete(_))),
            "{sloppy:?}: {got:?}"
        );
    }
}
