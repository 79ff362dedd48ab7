//! Backends whose frames break the rules, come in pieces or bring nothing: what it costs them, and
//! that it costs the other streams of their connection nothing.

use super::{in_front_of, with_keys};
use crate::fixtures::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, Http2, block, block_on,
    frame, get, receive, receive_body,
};
use crate::fixtures::{FrameBackend, TestProxy};

const OK: [(&str, &str); 1] = [(":status", "200")];

pub(super) fn failures(proxy: &TestProxy, backend: &FrameBackend) -> u64 {
    let stats = proxy.stats();
    let backend = &stats["backends"][backend.address().to_string()];
    backend["failures"].as_u64().unwrap()
}

fn data(stream: u32, content: &[u8], flags: u8) -> Vec<u8> {
    frame(DATA, flags, stream, content)
}

/// Answers a request.
fn answer(frames: &mut Frames, stream: u32, text: &str) {
    frames.head(stream, &OK, 0);
    frames.send(data(stream, text.as_bytes(), END_STREAM));
}

/// Sends bytes one by one.
fn dribble(frames: &mut Frames, bytes: &[u8]) {
    for byte in bytes {
        frames.send([*byte]);
    }
}

/// The engine ends a connection after 1,024 errors of streams in its life, unless it is asked not
/// to. Each one is of a stream that was opened for a request, and its bytes are all that it costs.
#[test]
fn a_backend_with_a_thousand_errors_of_streams_keeps_its_connection_and_the_other_streams() {
    const LAST: u32 = 2_301;
    let backend = FrameBackend::start(|frames| {
        let held = frames.asked().unwrap();
        frames.head(held, &OK, 0);
        frames.send(data(held, b"begun", 0));
        while let Some(stream) = frames.asked() {
            // One that has ended goes on.
            if stream > 9 {
                frames.head(stream - 8, &OK, END_STREAM);
                frames.send(data(stream - 8, b"late", 0));
            }
            match stream % 100 {
                // Few: the proxy keeps what is left of them until it may reset them.
                51 => {
                    frames.head(stream, &[OK[0], ("content-length", "5")], 0);
                    frames.send(data(stream, b"four", END_STREAM));
                }
                99 => {
                    frames.head(stream, &[("x-status", "none")], END_STREAM);
                }
                _ => answer(frames, stream, "whole"),
            }
            if stream == LAST {
                frames.send(data(held, b" and ended", END_STREAM));
            }
        }
    });
    let keys = "max-failures = 0\nattempts = 1";
    let proxy = in_front_of(&[backend.address()], keys);
    block_on(async {
        let client = Http2::connect(proxy.address()).await;
        let (held, _) = client.send(get("a.test", "/held"), true).await.unwrap();
        // Its head, so that it has the first stream.
        let held = held.await.unwrap().into_body();
        let mut whole = 0;
        for _ in 0..LAST / 2 {
            let asked = client.get("a.test", "/").await;
            whole += usize::from(asked.is_ok_and(|asked| asked.body == b"whole"));
        }
        assert_eq!(whole, 1_150 - 2 * 23);
        assert_eq!(receive_body(held).await.unwrap().0, b"begun and ended");
    });
    assert_eq!(backend.connections(), 1);
}

/// Empty DATA frames cost the engine's patience, which ends the connection of all after 100.
#[test]
fn a_backend_that_dribbles_empty_frames_is_read_to_its_end() {
    let backend = FrameBackend::start(|frames| {
        while let Some(stream) = frames.asked() {
            dribble(frames, &frame(HEADERS, END_HEADERS, stream, &block(&OK)));
            for _ in 0..150 {
                dribble(frames, &data(stream, b"", 0));
            }
            dribble(frames, &data(stream, b"content", END_STREAM));
        }
    });
    let proxy = in_front_of(&[backend.address()], "");
    for _ in 0..2 {
        assert_eq!(proxy.get("a.test", "/").text(), "content");
    }
    assert_eq!((backend.connections(), failures(&proxy, &backend)), (1, 0));
}

#[test]
fn a_backend_that_goes_on_with_frames_that_bring_nothing_fails_in_time() {
    let backend = FrameBackend::start(|frames| {
        while let Some(stream) = frames.asked() {
            frames.head(stream, &[OK[0], ("content-length", "5")], 0);
            let cut = std::iter::repeat_with(|| frames.send(data(stream, b"", 0)));
            // Fewer than end the connection at once.
            let _ = cut.take_while(|sent| *sent).take(5_000).count();
        }
    });
    let tables = "[timeouts]\nresponse = \"300ms\"";
    let proxy = with_keys(&[backend.address()], "max-failures = 0", tables);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert!(client.try_response_to("GET").is_err());
    proxy.logged(&["the backend stopped within the body"]);
    assert_eq!(failures(&proxy, &backend), 1);
}

/// RFC 9113 section 6.10: only CONTINUATION may follow. That is the end of the connection, and no
/// request is lost that may be sent again.
#[test]
fn a_farewell_of_a_backend_within_a_head_ends_its_connection_and_the_next_one_serves() {
    for within in [false, true] {
        let backend = FrameBackend::start(move |frames| {
            let Some(stream) = frames.asked() else { return };
            let head = frame(HEADERS, 0, stream, &block(&OK));
            let farewell = frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]);
            match within {
                // A head that never goes on.
                false => {
                    frames.send([&head[..], &farewell].concat());
                }
                true => {
                    frames.send(&head[..5]);
                    frames.send(farewell);
                }
            }
            while frames.served().is_some() {}
        });
        let tables = "[timeouts]\nresponse = \"300ms\"";
        let keys = "max-failures = 0\nattempts = 2";
        let proxy = with_keys(&[backend.address()], keys, tables);
        let answer = proxy.get("a.test", "/");
        assert!(
            matches!(answer.status, 502 | 504),
            "{within} {}",
            answer.status
        );
        assert!(failures(&proxy, &backend) >= 1);
    }
}

#[test]
fn a_head_in_pieces_and_a_farewell_behind_it_are_read_in_order() {
    let backend = FrameBackend::start(|frames| {
        let Some(stream) = frames.asked() else { return };
        let fields = block(&[OK[0], ("x-long", "value")]);
        let (begin, end) = fields.split_at(3);
        dribble(frames, &frame(HEADERS, 0, stream, begin));
        dribble(frames, &frame(CONTINUATION, END_HEADERS, stream, end));
        let farewell = [stream.to_be_bytes(), [0; 4]].concat();
        dribble(frames, &frame(GOAWAY, 0, 0, &farewell));
        dribble(frames, &data(stream, b"content", END_STREAM));
        while frames.served().is_some() {}
    });
    let proxy = in_front_of(&[backend.address()], "");
    for connections in [1, 2] {
        let answer = proxy.get("a.test", "/");
        assert_eq!(
            (answer.text(), answer.value("x-long")),
            ("content".into(), Some("value".into()))
        );
        assert_eq!(backend.connections(), connections);
    }
    assert_eq!(failures(&proxy, &backend), 0);
}

/// RFC 9113 section 8.1: such a message is malformed. The engine leaves the field out.
#[test]
fn a_response_with_a_pseudo_field_among_its_trailers_never_ends_in_good_order() {
    let backend = FrameBackend::start(|frames| {
        while let (Some(first), Some(second)) = (frames.asked(), frames.asked()) {
            // A head that is a whole response, behind that of a newer stream, looks like trailers.
            answer(frames, second, "newer");
            frames.head(first, &OK, END_STREAM);
            let Some(third) = frames.asked() else { return };
            frames.head(third, &OK, 0);
            frames.send(data(third, b"content", 0));
            frames.head(third, &[(":status", "500"), ("x-a", "b")], END_STREAM);
        }
    });
    let proxy = in_front_of(&[backend.address()], "max-failures = 0");
    block_on(async {
        let client = Http2::connect(proxy.address()).await;
        let (first, second) = tokio::join!(client.get("a.test", "/"), client.get("a.test", "/"));
        let mut bodies = [first.unwrap().body, second.unwrap().body];
        bodies.sort();
        assert_eq!(bodies, [&b""[..], b"newer"]);
        let (third, _) = client
            .send(get("a.test", "/malformed"), true)
            .await
            .unwrap();
        assert!(receive(third).await.is_err());
    });
    proxy.logged(&["/malformed", "the backend's trailers are malformed"]);
    assert_eq!((backend.connections(), failures(&proxy, &backend)), (1, 1));
}
