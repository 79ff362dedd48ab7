//! Clients that cost more than they may: each is cut off within bounds of memory and CPU, no
//! backend sees more of it than requests, and other connections don't notice.

use std::time::Instant;

use h2::Reason;

use crate::fixtures::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, PING, PLAIN, PRIORITY,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame,
};
use crate::fixtures::{Gate, PATIENCE, Received, TestProxy, TestUpstream, get, response};
use crate::tunnels::patient;

const CALM: u32 = 11;

/// Sends what `next` makes until the proxy ends the connection; the error with which it does.
#[track_caller]
fn flood(what: &str, mut frames: Frames, mut next: impl FnMut() -> Vec<u8>) -> u32 {
    let reader = frames.reader();
    let deadline = Instant::now() + PATIENCE;
    while !reader.has_ended() && frames.send(next()) {
        assert!(Instant::now() < deadline, "{what}: it goes on and on");
    }
    reader.error().expect("a GOAWAY")
}

/// Many times the same bytes.
fn repeated(bytes: &[u8]) -> impl FnMut() -> Vec<u8> {
    let many = bytes.repeat((4_096 / bytes.len()).max(1));
    move || many.clone()
}

/// Another client is served while and after a flood.
#[track_caller]
fn serves(proxy: &TestProxy) {
    let mut other = Frames::connect(proxy.address());
    other.request(1);
    assert_eq!(other.find(HEADERS).status(), 200);
    assert_eq!(proxy.get("a.test", "/").status, 200);
}

#[test]
fn frames_that_bring_nothing_are_taken_up_to_a_number() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    let head = block(&[(":method", "POST"), PLAIN[1], PLAIN[2], PLAIN[3]]);
    let floods: Vec<(&str, Vec<u8>)> = vec![
        ("PING", frame(PING, 0, 0, &[0; 8])),
        ("PING that answers", frame(PING, 1, 0, &[0; 8])),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])),
        ("empty SETTINGS", frame(SETTINGS, 0, 0, &[])),
        ("PRIORITY", frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 9])),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        (
            "WINDOW_UPDATE of a stream",
            frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
        ),
        ("empty DATA", frame(DATA, 0, 1, &[])),
        ("padded DATA", frame(DATA, 8, 1, &[1, 0])),
        ("unknown frames", frame(0xee, 0, 0, &[])),
    ];
    for (what, bytes) in floods {
        let cpu = proxy.cpu_milliseconds();
        let mut frames = Frames::connect(proxy.address());
        frames.send(frame(HEADERS, END_HEADERS, 1, &head));
        assert_eq!(flood(what, frames, repeated(&bytes)), CALM, "{what}");
        serves(&proxy);
        let spent = proxy.cpu_milliseconds() - cpu;
        assert!(spent < 2_000, "{what}: {spent} ms");
    }
    let is_ours = |request: &Received| request.head.start.starts_with("POST") || request.complete;
    assert!(upstream.received().iter().all(is_ours));
}

/// With what they bring, such frames are those of every client.
#[test]
fn frames_that_belong_to_requests_are_never_too_many() {
    let upstream = TestUpstream::answering(response("200 OK", &[], "0123456789"));
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables("[limits]\nh2-idle-frames = 100")
        .start();
    let mut frames = Frames::connect(proxy.address());
    for number in 0..1_000 {
        let stream = 2 * number + 1;
        frames.request(stream);
        frames.send(frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 10]));
        frames.send(frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, 10]));
        frames.send(frame(PING, 0, 0, &[0; 8]));
        assert!(frames.end_of(stream).ends(), "{number}");
    }
}

/// CVE-2023-44487: streams that are opened and reset at once.
#[test]
fn streams_that_are_reset_at_once_are_taken_up_to_a_number() {
    let upstream = TestUpstream::start(|connection| {
        while connection.request().is_some() {
            connection.wait_for_close();
        }
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let frames = Frames::connect(proxy.address());
    let head = block(&PLAIN);
    let mut stream = 1;
    let error = flood("streams", frames, || {
        let mut pairs = Vec::new();
        for _ in 0..100 {
            pairs.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &head));
            pairs.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
            stream += 2;
        }
        pairs
    });
    assert_eq!(error, CALM);
    let seen = upstream.received().len();
    assert!(seen < 400, "{seen} requests reached the backend");
    assert_eq!(proxy.stat("/http2/connections"), 1);
}

/// The same, slowly enough that each request reaches its backend first.
#[test]
fn streams_that_are_reset_while_their_backend_works_are_taken_up_to_a_number() {
    let upstream = TestUpstream::start(|connection| {
        while connection.request().is_some() {
            connection.wait_for_close();
        }
    });
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables("[limits]\nh2-resets = 20")
        .start();
    let mut frames = Frames::connect(proxy.address());
    let mut opened = 0;
    for number in 0..1_000 {
        let stream = 2 * number + 1;
        if !frames.request(stream) {
            break;
        }
        // The answer shows that the head was read, and the task of its stream runs.
        frames.send(frame(PING, 0, 0, &[0; 8]));
        let is_open = std::iter::from_fn(|| frames.next()).any(|f| f.kind == PING);
        if !is_open || !frames.send(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])) {
            break;
        }
        opened += 1;
    }
    assert!((20..500).contains(&opened), "{opened} streams");
    proxy.wait_for_stat("/http2/cut", 1);
    upstream.wait_until_unused();
}

/// CVE-2025-8671 (MadeYouReset): streams whose reset the client provokes.
#[test]
fn streams_that_we_are_made_to_reset_are_taken_up_to_a_number() {
    let gate = Gate::new();
    let upstream = TestUpstream::behind(&gate);
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables("[limits]\nh2-stream-errors = 50")
        .start();
    let frames = Frames::connect(proxy.address());
    let head = block(&[(":method", "POST"), PLAIN[1], PLAIN[2], PLAIN[3]]);
    let mut stream = 1;
    let error = flood("streams", frames, || {
        let mut bytes = frame(HEADERS, END_HEADERS, stream, &head);
        // A window beyond 31 bits.
        bytes.extend(frame(WINDOW_UPDATE, 0, stream, &[0x7f, 255, 255, 255]));
        stream += 2;
        bytes
    });
    assert_eq!(error, CALM);
    gate.open();
    let seen = upstream.received().len();
    assert!(seen <= 60, "{seen} requests reached the backend");
}

#[test]
fn streams_beyond_the_limit_are_refused_and_may_be_sent_again() {
    let gate = Gate::new();
    let upstream = TestUpstream::behind(&gate);
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables("[limits]\nh2-streams = 5")
        .start();
    let mut frames = Frames::connect(proxy.address());
    for stream in [1, 3, 5, 7, 9, 11] {
        frames.request(stream);
    }
    let end = frames.end_of(11);
    assert_eq!(
        (end.kind, end.error()),
        (RST_STREAM, Reason::REFUSED_STREAM.into())
    );
    gate.open();
    for _ in 0..5 {
        frames.find(DATA);
    }
    frames.request(13);
    assert!(frames.end_of(13).ends());
    assert_eq!(upstream.received().len(), 6);
}

#[test]
fn a_head_without_an_end_is_cut_off() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    let before = proxy.resident_kib();
    for piece in [
        &b""[..],
        &[0x40],
        &block(&[("x-a", "b")]),
        &block(&[("x-a", &*"b".repeat(9_000))]),
    ] {
        let mut frames = Frames::connect(proxy.address());
        frames.send(frame(HEADERS, END_STREAM, 1, &block(&PLAIN)));
        let error = flood(
            "CONTINUATION",
            frames,
            repeated(&frame(CONTINUATION, 0, 1, piece)),
        );
        assert!([CALM, 9, 1].contains(&error), "{error}");
        serves(&proxy);
    }
    let grown = proxy.resident_kib().saturating_sub(before);
    assert!(grown < 16 * 1024, "{grown} KiB");
}

/// A few bytes that name the same long entry of the table again and again.
#[test]
fn a_head_that_unfolds_to_a_thousand_times_its_size_is_cut_off() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    let before = proxy.resident_kib();
    // A literal of 4,000 bytes that is indexed, as entry 62.
    let long = "v".repeat(4_000);
    let mut first = block(&[("x-bomb", &*long)]);
    first[0] = 0x40;
    let block_of = |references: usize| {
        let mut bytes = block(&PLAIN);
        bytes.extend_from_slice(&first);
        bytes.extend(std::iter::repeat_n(0xbe, references));
        bytes
    };
    for references in [20, 1_000, 16_000] {
        let payload = block_of(references);
        let mut frames = Frames::connect(proxy.address());
        let flags = END_HEADERS | END_STREAM;
        frames.send(frame(
            HEADERS,
            flags,
            1,
            &payload[..payload.len().min(16_384)],
        ));
        let end = frames.end_of(1);
        let refused = matches!(end.kind, HEADERS | DATA) || end.error() == CALM;
        assert!(refused, "{references}: {end:?}");
    }
    serves(&proxy);
    let grown = proxy.resident_kib().saturating_sub(before);
    assert!(grown < 16 * 1024, "{grown} KiB");
    assert_eq!(upstream.received().len(), 2, "those of the others");
}

#[test]
fn a_client_that_reads_nothing_is_dropped_in_time() {
    let upstream = TestUpstream::answering(response("200 OK", &[], vec![b'x'; 60_000]));
    let proxy = patient(&upstream, "send = \"500ms\"\nlinger = \"0s\"");
    let mut frames = Frames::silent(proxy.address());
    frames.send(crate::fixtures::http2::PREFACE);
    frames.send(frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 255, 255, 255]));
    frames.send(frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0]));
    let (mut stream, begun) = (1, Instant::now());
    // As many as the sockets take until then.
    while frames.request(stream) {
        stream += 2;
        assert!(begun.elapsed() < PATIENCE, "{stream}");
    }
    serves(&proxy);
    // A raw request is as good as the client's.
    assert_eq!(proxy.ask(get("a.test", "/")).body.len(), 60_000);
}

/// A field of the client's table costs a byte for each time that it is named, and its length in
/// memory.
#[test]
fn heads_that_are_large_in_memory_have_a_budget() {
    let gate = Gate::new();
    let upstream = TestUpstream::behind(&gate);
    let proxy = TestProxy::in_front_of(&upstream);
    let mut frames = Frames::connect(proxy.address());
    // `x-big`, put into the table (RFC 7541 section 6.2.1), and six times more out of it.
    let value = 3_900;
    let mut first = block(&PLAIN);
    first.extend([0x40, 5]);
    first.extend(b"x-big");
    first.extend([
        0x7f,
        ((value - 127) % 128) as u8 | 128,
        ((value - 127) / 128) as u8,
    ]);
    first.extend(vec![b'y'; value]);
    first.extend([0xbe; 6]);
    frames.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &first));
    let mut further = block(&PLAIN);
    further.extend([0xbe; 7]);
    for n in 1..128 {
        let flags = END_HEADERS | END_STREAM;
        frames.send(frame(HEADERS, flags, 2 * n + 1, &further));
    }
    // Each has 7 fields of 3,937 bytes, and all may have 512 KiB: 16 heads of the largest size.
    proxy.wait_for_stat("/http2/refused", 128 - 19);
    upstream.wait_for_heads(19);
    assert_eq!(proxy.stat("/http2/streams_active"), 19);
    assert_eq!(
        frames.find(RST_STREAM).error(),
        u32::from(Reason::REFUSED_STREAM)
    );
    // Others have budgets of their own, and this one has it again.
    gate.open();
    serves(&proxy);
    proxy.wait_for_stat("/http2/streams_active", 0);
    frames.send(frame(HEADERS, END_HEADERS | END_STREAM, 301, &further));
    assert_eq!(frames.end_of(301).kind, DATA);
    assert_eq!(proxy.stat("/http2/refused"), 128 - 19);
    // Those that come on and on are a flood.
    let mut stream = 301;
    let more = move || {
        stream += 2;
        frame(HEADERS, END_HEADERS | END_STREAM, stream, &further)
    };
    let held = Gate::new();
    let upstream = TestUpstream::behind(&held);
    let proxy = TestProxy::in_front_of(&upstream);
    let mut frames = Frames::connect(proxy.address());
    frames.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &first));
    assert_eq!(flood("heads", frames, more), CALM);
    held.open();
}
