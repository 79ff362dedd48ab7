//! What arrives by HTTP/2 on its way to the engine: it means the same, however it arrives and is
//! held.
//!
//! The input's first 16 bytes say in which pieces the rest arrives and how much room there is.

#![no_main]

use std::task::Poll;

use libfuzzer_sys::fuzz_target;
use tokio::io::ReadBuf;
use waypost::h2::{DATA, END_STREAM, Frame, Inbound, PADDED, Traffic};

/// Bytes of a frame's head.
const HEAD: usize = 9;
/// A kind that the engine passes over.
const UNKNOWN: u8 = 0xfe;

/// What the engine gets, and the frames that were seen.
fn passed(mut bytes: &[u8], pieces: &[u8]) -> (Vec<u8>, Vec<Frame>) {
    let (mut inbound, traffic) = (Inbound::default(), Traffic::new(0));
    let (mut out, mut seen) = (Vec::new(), Vec::new());
    let mut sizes = pieces.iter().map(|n| usize::from(*n) + 1).cycle();
    let mut room = vec![0; 64 * 1024];
    loop {
        let size = if pieces.is_empty() {
            room.len()
        } else {
            sizes.next().unwrap_or(1)
        };
        let mut into = ReadBuf::new(&mut room[..size]);
        let go_on = |frame| {
            seen.push(frame);
            !seen.len().is_multiple_of(3)
        };
        let mut read = false;
        let polled = inbound.poll(&mut into, &traffic, go_on, |into| {
            if std::mem::replace(&mut read, !pieces.is_empty()) {
                return Poll::Pending;
            }
            let n = into.remaining().min(bytes.len());
            let n = sizes.next().map_or(n, |size| n.min(size));
            into.put_slice(&bytes[..n]);
            bytes = &bytes[n..];
            Poll::Ready(Ok(()))
        });
        match polled {
            Poll::Ready(_) if into.filled().is_empty() => break,
            _ => out.extend_from_slice(into.filled()),
        }
    }
    assert!(bytes.is_empty(), "the end is no end");
    (out, seen)
}

/// What frames mean: DATA that continues DATA is one with it, and what is empty is nothing.
fn meaning(mut bytes: &[u8]) -> Vec<(u8, u8, u32, Vec<u8>)> {
    let mut all: Vec<(u8, u8, u32, Vec<u8>)> = Vec::new();
    while let Some(head) = bytes.first_chunk::<HEAD>() {
        let [a, b, c, kind, flags, stream @ ..] = *head;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let end = bytes.len().min(HEAD + length);
        let payload = &bytes[HEAD..end];
        let stream = u32::from_be_bytes(stream) & (u32::MAX >> 1);
        bytes = &bytes[end..];
        // Other flags of DATA mean nothing.
        let flags = if kind == DATA {
            flags & (END_STREAM | PADDED)
        } else {
            flags
        };
        if kind == UNKNOWN || kind == DATA && length == 0 && flags == 0 && stream != 0 {
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
            _ => all.push((kind, flags, stream, payload.to_vec())),
        }
    }
    all
}

fuzz_target!(|bytes: &[u8]| {
    let Some((pieces, bytes)) = bytes.split_first_chunk::<16>() else {
        return;
    };
    let (whole, seen) = passed(bytes, &[]);
    let (parts, seen_in_parts) = passed(bytes, pieces);
    assert_eq!(seen, seen_in_parts);
    assert_eq!(meaning(&whole), meaning(bytes));
    assert_eq!(meaning(&parts), meaning(bytes));
    assert_eq!((whole.len().max(parts.len())).max(bytes.len()), bytes.len());
});
