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
/// by another if `go_on` says so. The engine has so much room at a time, or plenty.
fn passed_into(
    (bytes, room): (&[u8], Option<&[usize]>),
    pieces: &[usize],
    traffic: &Traffic,
    mut go_on: impl FnMut(Frame) -> bool,
) -> Vec<u8> {
    let (mut inbound, mut out) = (Inbound::default(), Vec::new());
    let mut space = vec![0xaa; 64 * 1024];
    let mut rooms = room.unwrap_or(&[64 * 1024 - 6]).iter().cycle();
    let (mut rest, mut pieces) = (bytes, pieces.iter().cycle());
    loop {
        let room = 6 + rooms.next().unwrap();
        let mut into = ReadBuf::new(&mut space[..room]);
        into.put_slice(b"before");
        // Every second time there is nothing yet.
        let mut is_there = false;
        let polled = inbound.poll(&mut into, traffic, &mut go_on, |into| {
            is_there = !is_there;
            if !is_there {
                return Poll::Pending;
            }
            let n = pieces.next().map_or(1, |n| (*n).min(rest.len()));
            let n = n.min(into.remaining());
            into.put_slice(&rest[..n]);
            rest = &rest[n..];
            Poll::Ready(Ok(()))
        });
        assert_eq!(&into.filled()[..6], b"before");
        let new = &into.filled()[6..];
        match polled {
            Poll::Pending => assert!(new.is_empty()),
            Poll::Ready(_) if new.is_empty() => break,
            Poll::Ready(_) => out.extend_from_slice(new),
        }
    }
    assert!(rest.is_empty() && !inbound.holds(), "that was the end");
    out
}

/// The same with plenty of room.
fn passed(
    bytes: &[u8],
    pieces: &[usize],
    traffic: &Traffic,
    go_on: impl FnMut(Frame) -> bool,
) -> Vec<u8> {
    passed_into((bytes, None), pieces, traffic, go_on)
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
    for pieces in [&[100_000][..], &[26], &[3, 23], &[17, 9], &[1], &[6, 1]] {
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
    let read = |into: &mut ReadBuf<'_>| {
        into.put_slice(&bytes);
        Poll::Ready(Ok(()))
    };
    let mut seen = 0;
    let go_on = |_| {
        seen += 1;
        seen % 3 != 0
    };
    assert!(inbound.poll(&mut into, &traffic, go_on, read).is_ready());
    assert_eq!((seen, into.filled().len()), (3, 3 * 19));
    assert!(inbound.holds() && inbound.is_between());
    let none = |_: &mut ReadBuf<'_>| Poll::Pending;
    assert!(inbound.poll(&mut into, &traffic, |_| true, none).is_ready());
    assert_eq!(into.filled(), bytes);
    assert!(!inbound.holds());
}

#[test]
fn nothing_is_between_a_head_and_its_continuation_however_they_arrive() {
    let head = bytes_of(frame(HEADERS, END_STREAM, 1, 10), 7);
    let more = bytes_of(frame(CONTINUATION, 0, 1, 10), 7);
    let last = bytes_of(frame(CONTINUATION, 4, 1, 10), 7);
    for piece in [1, 4, 19, 100] {
        let (mut inbound, traffic) = (Inbound::default(), Traffic::new(0));
        for (bytes, is_between) in [(&head, false), (&more, false), (&last, true)] {
            for bytes in bytes.chunks(piece) {
                let (mut room, mut bytes) = ([0; 100], bytes);
                let mut into = ReadBuf::new(&mut room);
                let _ = inbound.poll(
                    &mut into,
                    &traffic,
                    |_| true,
                    |into| match std::mem::take(&mut bytes) {
                        b"" => Poll::Pending,
                        bytes => {
                            into.put_slice(bytes);
                            Poll::Ready(Ok(()))
                        }
                    },
                );
            }
            assert_eq!(inbound.is_between(), is_between, "{piece}");
        }
    }
}

#[test]
fn a_pseudo_field_among_trailers_is_known_however_they_arrive() {
    let block = b"\x3f\xe1\x1f\x00\x05:path\x01/";
    let length = block.len() as u32;
    let mut split = bytes_of(frame(HEADERS, END_STREAM, 1, 5), 0);
    split[HEAD..].copy_from_slice(&block[..5]);
    let mut end = bytes_of(frame(CONTINUATION, 4, 1, length - 5), 0);
    end[HEAD..].copy_from_slice(&block[5..]);
    split.extend(end);
    let mut whole = bytes_of(frame(HEADERS, END_STREAM | 4, 1, length), 0);
    whole[HEAD..].copy_from_slice(block);
    for trailers in [split, whole] {
        for pieces in [&[1_000][..], &[1], &[13, 4]] {
            let traffic = Traffic::new(0);
            passed(&trailers, pieces, &traffic, |_| true);
            assert!(!traffic.had_pseudo(1), "a head");
            passed(&trailers, pieces, &traffic, |_| true);
            assert!(!traffic.had_pseudo(3));
            assert!(traffic.had_pseudo(1));
            assert!(!traffic.had_pseudo(1), "it is asked once");
        }
    }
    let traffic = Traffic::new(0);
    (0..1_000).for_each(|stream| traffic.note_pseudo(stream));
    assert!(!traffic.had_pseudo(1) && traffic.had_pseudo(999), "bounded");
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
        for (pieces, room) in [(&pieces, None), (&small, None), (&pieces, Some(&small[..]))] {
            let (mut seen, mut heads) = (Vec::new(), 0);
            let out = passed_into((&bytes, room), pieces, &Traffic::new(0), |frame| {
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
