//! Backends that cost more than they may: each is cut off within bounds of CPU, and none that only
//! talks much is.

use std::time::Instant;

use super::frames::failures;
use super::handshakes::said;
use super::{in_front_of, with_keys};
use crate::fixtures::http2::{
    DATA, END_STREAM, Frame, Frames, HEADERS, Http2, PING, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, block, block_on, frame, receive_body, request,
};
use crate::fixtures::{FrameBackend, Gate, PATIENCE};

const OK: [(&str, &str); 1] = [(":status", "200")];
const CALM: u32 = 11;
const CUT: &[&str] = &["is cut off: the backend sends too many frames that bring nothing"];

/// Sends these bytes until the proxy ends the connection: with this error.
fn flood(frames: &mut Frames, bytes: &[u8]) -> Option<u32> {
    let reader = frames.reader();
    let many = bytes.repeat((4_096 / bytes.len()).max(1));
    let deadline = Instant::now() + PATIENCE;
    while !reader.has_ended() && frames.send(&many) {
        if Instant::now() > deadline {
            return None;
        }
    }
    reader.error()
}

#[test]
fn a_backends_frames_that_bring_nothing_are_taken_up_to_a_number() {
    let floods = [
        ("PING", frame(PING, 0, 0, &[0; 8])),
        ("PING that answers", frame(PING, 1, 0, &[0; 8])),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 99])),
        ("PRIORITY", frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 9])),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 3, &[0, 0, 0, 1])),
        ("RST_STREAM", frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])),
        ("HEADERS", frame(HEADERS, 5, 1, &block(&OK))),
        ("empty DATA", frame(DATA, 0, 3, &[])),
        ("late DATA", frame(DATA, 0, 1, b"x")),
        ("unknown frames", frame(0xee, 0, 0, &[])),
    ];
    for (what, bytes) in floods {
        let (errors, seen) = std::sync::mpsc::channel();
        let backend = FrameBackend::start(move |frames| {
            let Some(first) = frames.asked() else { return };
            frames.head(first, &OK, END_STREAM);
            // The third one is the first of another connection.
            let Some(second) = frames.asked() else { return };
            frames.head(second, &OK, 0);
            let _ = errors.send(flood(frames, &bytes));
        });
        let proxy = in_front_of(&[backend.address()], "max-failures = 0");
        let cpu = proxy.cpu_milliseconds();
        assert_eq!(proxy.get("a.test", "/").status, 200);
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert!(client.try_response_to("GET").is_err(), "{what}");
        // A reset, where frames had arrived that nobody read, may overtake the GOAWAY.
        let seen = seen.recv().unwrap();
        assert!(matches!(seen, None | Some(CALM)), "{what}: {seen:?}");
        said(&proxy, CUT);
        proxy.logged(&["the backend's connection failed within the body"]);
        assert_eq!(failures(&proxy, &backend), 1, "{what}");
        assert_eq!(proxy.get("a.test", "/").status, 200, "{what}");
        assert_eq!(backend.connections(), 2, "{what}");
        let spent = proxy.cpu_milliseconds() - cpu;
        assert!(spent < 2_000, "{what}: {spent} ms");
    }
}

/// Not as one does that has closed an idle connection, which is no failure.
#[test]
fn a_backend_that_floods_before_its_answer_has_a_failure() {
    let flooding = FrameBackend::start(move |frames| {
        let Some(first) = frames.asked() else { return };
        frames.head(first, &OK, END_STREAM);
        if frames.asked().is_some() {
            flood(frames, &frame(PING, 0, 0, &[0; 8]));
        }
    });
    let proxy = in_front_of(&[flooding.address()], "max-failures = 0\nattempts = 2");
    assert_eq!(proxy.get("a.test", "/").status, 200);
    let answer = proxy.get("a.test", "/");
    assert!(matches!(answer.status, 200 | 502), "{}", answer.status);
    assert_eq!(failures(&proxy, &flooding), 1);
    said(&proxy, CUT);
}

/// Late content is answered with resets, which take memory while the backend reads none of them.
#[test]
fn a_backend_that_reads_nothing_is_cut_off_for_small_frames_on_streams_that_are_over() {
    const STREAMS: u32 = 300;
    let over = Gate::new();
    let end = over.clone();
    let backend = FrameBackend::start(move |frames| {
        for _ in 0..STREAMS {
            let Some(stream) = frames.asked() else { return };
            frames.head(stream, &OK, END_STREAM);
        }
        let Some(held) = frames.asked() else { return };
        frames.head(held, &OK, 0);
        let late: Vec<u8> = (0..STREAMS)
            .flat_map(|n| frame(DATA, 0, 2 * n + 1, b"x"))
            .collect();
        let deadline = Instant::now() + PATIENCE;
        while frames.send(&late) && Instant::now() < deadline {}
        end.open();
    });
    let proxy = in_front_of(&[backend.address()], "max-failures = 0");
    for _ in 0..STREAMS {
        assert_eq!(proxy.get("a.test", "/").status, 200);
    }
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert!(client.try_response_to("GET").is_err());
    over.wait();
    said(&proxy, CUT);
}

/// What servers send that measure the way, open windows by the piece, and flush each message.
#[test]
fn a_backend_that_talks_much_beside_what_it_brings_is_never_cut_off() {
    const MESSAGES: usize = 30_000;
    const UPLOAD: usize = 4 * 1024 * 1024;
    let ping = frame(PING, 0, 0, &[7; 8]);
    let backend = FrameBackend::start(move |frames| {
        while let Some(stream) = frames.asked() {
            while let Some(Frame {
                kind: DATA,
                flags,
                payload,
                ..
            }) = frames.served()
            {
                let by = (payload.len() as u32).max(1).to_be_bytes();
                for of in [0, stream] {
                    frames.send(frame(WINDOW_UPDATE, 0, of, &by));
                }
                frames.send(&ping);
                if flags & END_STREAM != 0 {
                    break;
                }
            }
            frames.head(stream, &[(":status", "103")], 0);
            frames.head(stream, &OK, 0);
            // A piece of content, and a frame that says that it is all for now.
            let message = [
                frame(DATA, 0, stream, b"message"),
                frame(DATA, 0, stream, b""),
            ];
            let some = message.concat().repeat(100);
            let mut room = 64 * 1024;
            for _ in 0..MESSAGES / 100 {
                while room < 700 {
                    let Some(next) = frames.served() else { return };
                    if (next.kind, next.stream) == (WINDOW_UPDATE, stream) {
                        room += u32::from_be_bytes(next.payload[..].try_into().unwrap());
                    }
                }
                frames.send(&some);
                room -= 700;
            }
            frames.head(stream, &[("x-end", "yes")], END_STREAM);
        }
    });
    let proxy = with_keys(&[backend.address()], "max-failures = 0", "");
    block_on(async {
        let client = Http2::connect(proxy.address()).await;
        for _ in 0..3 {
            let head = request("POST", "a.test", "/");
            let (response, sender) = client.send(head, false).await.unwrap();
            let upload = vec![b'x'; UPLOAD];
            let sent = crate::fixtures::http2::send_all(sender, &upload);
            let received = async {
                let body = response.await.unwrap().into_body();
                receive_body(body).await.unwrap()
            };
            let (sent, (body, trailers)) = tokio::join!(sent, received);
            sent.unwrap();
            assert_eq!(body.len(), 7 * MESSAGES);
            assert_eq!(trailers["x-end"], "yes");
        }
    });
    assert_eq!(backend.connections(), 1);
    assert_eq!(failures(&proxy, &backend), 0);
}
