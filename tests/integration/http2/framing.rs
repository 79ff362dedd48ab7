//! Frames against the rules, and frames that are only unusual.

use h2::Reason;

use crate::fixtures::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PLAIN, PRIORITY,
    RST_STREAM, WINDOW_UPDATE, block, frame,
};
use crate::fixtures::{TestProxy, TestUpstream};

const PROTOCOL: u32 = 1;
const FLOW_CONTROL: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE: u32 = 6;

/// What ends a stream, and what the connection.
#[test]
fn frames_against_the_rules_end_the_stream_or_the_connection() {
    let upstream = TestUpstream::echo();
    let proxy = TestProxy::in_front_of(&upstream);
    let open = block(&[(":method", "POST"), PLAIN[1], PLAIN[2], PLAIN[3]]);
    let head = |flags, stream| frame(HEADERS, END_HEADERS | flags, stream, &open);
    let cases: Vec<(&str, Vec<u8>, u8, Vec<u32>)> = vec![
        (
            "an even stream",
            head(END_STREAM, 2),
            GOAWAY,
            vec![PROTOCOL],
        ),
        ("stream 0", head(END_STREAM, 0), GOAWAY, vec![PROTOCOL]),
        (
            "an earlier stream",
            [head(END_STREAM, 5), head(END_STREAM, 3)].concat(),
            GOAWAY,
            vec![PROTOCOL, STREAM_CLOSED],
        ),
        (
            "DATA on an idle stream",
            frame(DATA, 0, 1, b"x"),
            GOAWAY,
            vec![PROTOCOL],
        ),
        (
            "DATA on stream 0",
            frame(DATA, 0, 0, b"x"),
            GOAWAY,
            vec![PROTOCOL],
        ),
        (
            "more padding than payload",
            [head(0, 1), frame(DATA, 8, 1, &[9, 1, 2])].concat(),
            GOAWAY,
            vec![PROTOCOL],
        ),
        (
            "padding of a head",
            frame(HEADERS, END_HEADERS | 8, 1, &[200, 1, 2]),
            GOAWAY,
            vec![PROTOCOL],
        ),
        (
            // As stricter than the rules as they allow.
            "a window update of 0",
            [head(0, 1), frame(WINDOW_UPDATE, 0, 1, &[0; 4])].concat(),
            GOAWAY,
            vec![PROTOCOL],
        ),
        (
            "a window update of 0 for all",
            frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
            GOAWAY,
            vec![PROTOCOL],
        ),
        (
            "a window beyond 31 bits",
            [
                head(0, 1),
                frame(WINDOW_UPDATE, 0, 1, &[0x7f, 255, 255, 255]),
            ]
            .concat(),
            RST_STREAM,
            vec![FLOW_CONTROL],
        ),
        (
            "a window beyond 31 bits for all",
            frame(WINDOW_UPDATE, 0, 0, &[0x7f, 255, 255, 255]),
            GOAWAY,
            vec![FLOW_CONTROL],
        ),
        (
            "a window update of 3 bytes",
            frame(WINDOW_UPDATE, 0, 0, &[1; 3]),
            GOAWAY,
            vec![FRAME_SIZE, PROTOCOL],
        ),
        (
            "a PING of 7 bytes",
            frame(6, 0, 0, &[0; 7]),
            GOAWAY,
            vec![FRAME_SIZE, PROTOCOL],
        ),
        (
            "a PING on a stream",
            frame(6, 0, 1, &[0; 8]),
            GOAWAY,
            vec![PROTOCOL],
        ),
        (
            "SETTINGS of 5 bytes",
            frame(4, 0, 0, &[0; 5]),
            GOAWAY,
            vec![FRAME_SIZE, PROTOCOL],
        ),
        (
            "SETTINGS on a stream",
            frame(4, 0, 1, &[]),
            GOAWAY,
            vec![PROTOCOL],
        ),
        (
            "an initial window beyond 31 bits",
            frame(4, 0, 0, &[0, 4, 255, 255, 255, 255]),
            GOAWAY,
            vec![FLOW_CONTROL, PROTOCOL],
        ),
        (
            "a frame size below the least",
            frame(4, 0, 0, &[0, 5, 0, 0, 0, 1]),
            GOAWAY,
            vec![PROTOCOL],
        ),
        (
            "a push",
            frame(5, END_HEADERS, 1, &[0, 0, 0, 2]),
            GOAWAY,
            vec![PROTOCOL],
        ),
        (
            "a CONTINUATION of nothing",
            frame(CONTINUATION, END_HEADERS, 1, &open),
            GOAWAY,
            vec![PROTOCOL],
        ),
        (
            "a head with something in between",
            [frame(HEADERS, 0, 1, &open), frame(6, 0, 0, &[0; 8])].concat(),
            GOAWAY,
            vec![PROTOCOL],
        ),
        (
            "a frame that is too large",
            [head(0, 1), frame(DATA, 0, 1, &[0; 16_385])].concat(),
            GOAWAY,
            vec![FRAME_SIZE],
        ),
        (
            "a stream that depends on itself",
            frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 9]),
            RST_STREAM,
            vec![PROTOCOL],
        ),
        (
            "RST_STREAM of an idle stream",
            frame(RST_STREAM, 0, 1, &[0; 4]),
            GOAWAY,
            vec![PROTOCOL],
        ),
        (
            "HPACK that is none",
            frame(
                HEADERS,
                END_HEADERS | END_STREAM,
                1,
                &[0xff, 0xff, 0xff, 0xff],
            ),
            GOAWAY,
            vec![PROTOCOL, Reason::COMPRESSION_ERROR.into()],
        ),
        (
            "a second head without an end",
            [head(0, 1), head(0, 1)].concat(),
            RST_STREAM,
            vec![PROTOCOL],
        ),
    ];
    for (what, bytes, kind, errors) in cases {
        let mut frames = Frames::connect(proxy.address());
        frames.send(&bytes);
        let end = std::iter::from_fn(|| frames.next())
            .find(|frame| matches!(frame.kind, RST_STREAM | GOAWAY))
            .unwrap_or_else(|| panic!("{what}: no error before the end"));
        assert!(
            end.kind == kind && errors.contains(&end.error()),
            "{what}: {end:?}, expected {kind} with {errors:?}"
        );
    }
}

/// RFC 9113 sections 4.1 and 5.5.
#[test]
fn frames_of_unknown_kinds_and_flags_are_passed_over() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    let mut frames = Frames::connect(proxy.address());
    frames.send(frame(0xee, 0xff, 0, b"anything"));
    frames.send(frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9]));
    frames.send(frame(4, 0, 0, &[0xff, 0xff, 1, 2, 3, 4]));
    frames.request(1);
    assert_eq!(frames.find(HEADERS).status(), 200);
}
