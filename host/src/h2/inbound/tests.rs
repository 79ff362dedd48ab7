use proptest::prelude::*;

use super::super::frames::{CONTINUATION, HEADERS, PING};
use super::*;

fn bytes_of(frame: Frame, fill: u8) -> Vec<u8> {
    let mut bytes = frame.length.to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[frame.kind, frame.flags]);
    bytes.extend_from_slice(&frame.stream.to_be_bytes());
    bytes.extend(std::iter::repeat_n(fill, frame.length as usize));
    bytes
}

fn frame(kind: u8, flags: u8, stream: u32, length: u32) -> Frame {
    Frame {
        length,
        kind,
        flags,
        stream,
    }
}

/// What the engine gets if these bytes arrive in pieces of these sizes, and a frame may be followed
/// by another if `go_on` says so.
fn passed(
    bytes: &[u8],
    pieces: &[usize],
    traffic: &Traffic,
    mut go_on: impl FnMut(Frame) -> bool,
) -> Vec<u8> {
    let (mut inbound, mut out) = (Inbound::default(), Vec::new());
    let mut room = vec![0xaa; 64 * 1024];
    let (mut rest, mut pieces) = (bytes, pieces.iter().cycle());
    while !rest.is_empty() || inbound.holds() {
        let mut into = ReadBuf::new(&mut room);
        if inbound.holds() {
            inbound.release(&mut into, traffic, &mut go_on);
        } else {
            let n = pieces.next().map_or(1, |n| (*n).min(rest.len()));
            into.put_slice(b"before");
            into.put_slice(&rest[..n]);
            rest = &rest[n..];
            inbound.pass(&mut into, 6, traffic, &mut go_on);
            assert_eq!(&into.filled()[..6], b"before");
            out.extend_from_slice(&into.filled()[6..]);
            assert!(into.filled().len() > 6, "nothing looks like an end");
            continue;
        }
        assert!(!into.filled().is_empty());
        out.extend_from_slice(into.filled());
    }
    out
}

/// The frames in these bytes, with their payloads.
fn parsed(mut bytes: &[u8]) -> Vec<(Frame, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some(head) = bytes.first_chunk() {
        let frame = Frame::parse(head);
        let end = HEAD + frame.length as usize;
        frames.push((frame, bytes[HEAD..end].to_vec()));
        bytes = &bytes[end..];
    }
    assert!(bytes.is_empty());
    frames
}

/// What they mean: DATA that continues DATA of its stream is one with it.
fn meaning(frames: &[(Frame, Vec<u8>)]) -> Vec<(u8, u8, u32, Vec<u8>)> {
    let mut all: Vec<(u8, u8, u32, Vec<u8>)> = Vec::new();
    for (frame, payload) in frames {
        let Frame {
            kind,
            flags,
            stream,
            ..
        } = *frame;
        // Other flags of DATA mean nothing.
        let flags = if kind == DATA {
            flags & (END_STREAM | PADDED)
        } else {
            flags
        };
        let is_empty = kind == DATA && payload.is_empty() && stream != 0;
        if kind == UNKNOWN || is_empty && flags & (END_STREAM | PADDED) == 0 {
            continue;
        }
        match all.last_mut() {
            Some((DATA, last, of, content))
                if kind == DATA
                    && *of == stream
                    && (flags | *last) & PADDED == 0
                    && *last & END_STREAM == 0 =>
            {
                *last |= flags & END_STREAM;
                content.extend_from_slice(payload);
            }
            _ => all.push((kind, flags, stream, payload.clone())),
        }
    }
    all
}

#[test]
fn small_data_of_a_stream_becomes_one_frame() {
    let mut bytes = bytes_of(frame(HEADERS, 4, 1, 20), 1);
    for _ in 0..1_000 {
        bytes.extend(bytes_of(frame(DATA, 0, 1, 10), 2));
    }
    bytes.extend(bytes_of(frame(DATA, END_STREAM, 1, 10), 3));
    let traffic = Traffic::new(0);
    let out = parsed(&passed(&bytes, &[100_000], &traffic, |_| true));
    let heads: Vec<Frame> = out.iter().map(|(frame, _)| *frame).collect();
    let data = frame(DATA, END_STREAM, 1, 10_010);
    assert_eq!(heads, [frame(HEADERS, 4, 1, 20), data]);
    assert_eq!(out[1].1[9_999..10_001], [2, 3]);
}

#[test]
fn frames_of_other_streams_and_with_padding_and_large_ones_are_not_joined() {
    let frames = [
        frame(DATA, 0, 1, 10),
        frame(DATA, 0, 3, 10),
        frame(DATA, PADDED, 3, 10),
        frame(DATA, 0, 3, 300),
        frame(DATA, 0, 3, 300),
        frame(PING, 0, 0, 8),
        frame(DATA, END_STREAM, 3, 10),
        frame(DATA, 0, 3, 10),
    ];
    let bytes: Vec<u8> = frames.iter().flat_map(|f| bytes_of(*f, 0)).collect();
    let out = passed(&bytes, &[100_000], &Traffic::new(0), |_| true);
    assert_eq!(out, bytes);
}

#[test]
fn the_engine_gets_few_empty_frames_however_they_arrive() {
    let mut bytes = Vec::new();
    for _ in 0..500 {
        bytes.extend(bytes_of(frame(DATA, 0, 1, 0), 0));
        bytes.extend(bytes_of(frame(PING, 0, 0, 8), 0));
    }
    for pieces in [&[100_000][..], &[26], &[3, 23], &[17, 9]] {
        let out = parsed(&passed(&bytes, pieces, &Traffic::new(0), |_| true));
        let empty = out.iter().filter(|(frame, _)| frame.kind == DATA).count();
        assert!(empty <= 60, "{empty} {pieces:?}");
        let pings = out.iter().filter(|(frame, _)| frame.kind == PING).count();
        assert_eq!(pings, 500);
    }
}

#[test]
fn what_may_not_follow_is_held_until_it_may() {
    let bytes: Vec<u8> = (0..10)
        .flat_map(|n| bytes_of(frame(HEADERS, 5, 2 * n + 1, 10), 7))
        .collect();
    let (mut inbound, traffic) = (Inbound::default(), Traffic::new(0));
    let mut room = [0; 1_000];
    let mut into = ReadBuf::new(&mut room);
    into.put_slice(&bytes);
    let mut seen = 0;
    inbound.pass(&mut into, 0, &traffic, |_| {
        seen += 1;
        seen % 3 != 0
    });
    assert_eq!((seen, into.filled().len()), (3, 3 * 19));
    assert!(inbound.holds() && inbound.is_between());
    inbound.release(&mut into, &traffic, |_| true);
    assert_eq!(into.filled(), bytes);
    assert!(!inbound.holds());
}

#[test]
fn small_frames_count_until_they_are_taken() {
    let traffic = Traffic::new(0);
    let crowd: Vec<u8> = (0..3_000)
        .flat_map(|n| bytes_of(frame(DATA, 0, 2 * (n % 2) + 1, 10), 7))
        .collect();
    passed(&crowd, &[60_000], &traffic, |_| true);
    assert!(traffic.is_crowded());
    for _ in 0..2_000 {
        traffic.taken(10, || true);
    }
    assert!(!traffic.is_crowded());
    // The end of a stream does not count.
    passed(&crowd[..19 * 900], &[60_000], &traffic, |_| true);
    for _ in 0..1_000 {
        traffic.taken(10, || false);
        traffic.taken(256, || true);
    }
    passed(&crowd[..19 * 900], &[60_000], &traffic, |_| true);
    assert!(traffic.is_crowded());
}

#[test]
fn trailers_that_may_have_been_cut_are_known_by_their_length() {
    let traffic = Traffic::new(35_000);
    let indexed = 35_000 - 4 * 1024 - 32;
    let whole = |stream| traffic.whole_below(stream);
    traffic.received(frame(HEADERS, 0, 1, 9_000), &[]);
    assert_eq!(whole(1), indexed, "a head");
    traffic.received(frame(HEADERS, END_STREAM, 1, 100), &[]);
    assert_eq!(whole(1), indexed, "short");
    traffic.received(frame(HEADERS, END_STREAM, 1, 5_000), &[]);
    traffic.received(frame(CONTINUATION, 4, 1, 5_000), &[]);
    assert_eq!(whole(3), indexed);
    assert_eq!(whole(1), 35_000 - 16_032);
    assert_eq!(whole(1), indexed, "once");
    for _ in 0..1_000 {
        traffic.received(frame(HEADERS, END_STREAM, 1, 16_000), &[]);
        traffic.received(frame(HEADERS, END_STREAM, 0, 3_000), &[]);
    }
    assert_eq!(
        whole(7),
        35_000 - 25_632,
        "as long as any that was forgotten"
    );
}

#[test]
fn windows_and_the_farewell_are_known_from_the_frames() {
    let traffic = Traffic::new(0);
    traffic.received(frame(DATA, 0, 1, 60_000), &[]);
    let held = traffic.held_for();
    assert!(traffic.held_for() > held, "the clock runs");
    traffic.sent(
        frame(super::super::frames::WINDOW_UPDATE, 0, 0, 4),
        &[0, 0, 0xff, 0xff],
    );
    assert_eq!(traffic.window(), 71_070);
    assert_eq!(
        traffic.held_for(),
        traffic.held_for(),
        "the clock stands still"
    );
    assert!(traffic.full_for().is_none());
    traffic.sent(frame(DATA, 0, 1, 65_535), &[]);
    assert!(traffic.full_for().is_some());
    traffic.received(
        frame(super::super::frames::WINDOW_UPDATE, 0, 0, 4),
        &[0, 0, 0, 1],
    );
    assert!(traffic.full_for().is_none());
    assert!(traffic.answer().is_none());
    traffic.sent(frame(PING, 0, 0, 8), b"farewell");
    traffic.received(frame(PING, 1, 0, 8), b"anything");
    let answer = traffic.answer().unwrap();
    assert_eq!(answer, *b"\0\0\x08\x06\x01\0\0\0\0farewell");
    traffic.sent(frame(PING, 0, 0, 8), b"farewell");
    traffic.received(frame(PING, 1, 0, 8), b"farewell");
    assert!(traffic.answer().is_none());
}

prop_compose! {
    fn any_frame()(
        kind in prop::sample::select(vec![DATA, DATA, DATA, HEADERS, PING, 8, 0xee]),
        flags in prop::sample::select(vec![0, 0, 0, END_STREAM, PADDED, 4]),
        stream in 0u32..4,
        length in prop::sample::select(vec![0u32, 0, 1, 8, 20, 100, 255, 256, 300]),
    ) -> Frame {
        frame(kind, flags, stream, length)
    }
}

proptest! {
    #[test]
    fn frames_mean_the_same_however_they_arrive_and_are_held(
        frames in prop::collection::vec((any_frame(), any::<u8>()), 0..80),
        pieces in prop::collection::vec(1usize..2_000, 1..20),
        small in prop::collection::vec(1usize..40, 1..20),
        batch in 1u32..20,
    ) {
        let bytes: Vec<u8> = frames.iter().flat_map(|(f, fill)| bytes_of(*f, *fill)).collect();
        for pieces in [&pieces, &small] {
            let (mut seen, mut heads) = (Vec::new(), 0);
            let out = passed(&bytes, pieces, &Traffic::new(0), |frame| {
                seen.push(frame);
                heads += 1;
                heads % batch != 0
            });
            let all: Vec<Frame> = frames.iter().map(|(frame, _)| *frame).collect();
            prop_assert_eq!(&seen, &all);
            prop_assert_eq!(meaning(&parsed(&out)), meaning(&parsed(&bytes)));
        }
    }
}
