mod fixtures;
mod handshakes;
mod resumption;

use std::future::poll_fn;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use tokio::io::AsyncReadExt;

use self::fixtures::*;
use super::super::stream::tests::pair;
use super::super::{Buffer, ReadHalf, Stream, TlsFacts, WriteHalf};
use super::*;
use crate::message::ClientCertificate;

pub(in crate::net) use self::fixtures::session_with_blocking;

/// Bytes in which each position can be recognised.
fn body(length: usize, seed: usize) -> Vec<u8> {
    (0..length)
        .map(|at| (at.wrapping_mul(31) ^ (at >> 8) ^ seed) as u8)
        .collect()
}

async fn write_all(half: &mut WriteHalf<'_>, mut bytes: &[u8], piece: usize) {
    while !bytes.is_empty() {
        let next = &bytes[..bytes.len().min(piece)];
        let n = poll_fn(|cx| half.poll_write(cx, next)).await.unwrap();
        bytes = &bytes[n..];
    }
}

async fn read_exact(half: &mut ReadHalf<'_>, length: usize) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), Buffer::default());
    while all.len() < length {
        let n = poll_fn(|cx| half.poll_read(cx, &mut buffer)).await.unwrap();
        assert!(n > 0, "the end after {} bytes", all.len());
        all.extend_from_slice(buffer.filled());
        buffer.consume(buffer.len());
    }
    all
}

#[tokio::test]
async fn bodies_both_ways_at_once_arrive_byte_for_byte() {
    for (length, piece) in [(1, 1), (10_000, 10_000), (100_000, 333), (8 << 20, 200_000)] {
        let (mut theirs, mut ours) = sessions().await;
        let (mut their_read, mut their_write) = theirs.split();
        let (mut our_read, mut our_write) = ours.split();
        let (up, down) = (body(length, 1), body(length, 2));
        // All in one task, as an upload and its response are.
        let (arrived, answered, (), ()) = tokio::join!(
            read_exact(&mut our_read, length),
            read_exact(&mut their_read, length),
            write_all(&mut their_write, &up, piece),
            write_all(&mut our_write, &down, piece),
        );
        assert!(arrived == up && answered == down, "{length} {piece}");
    }
}

/// The session holds what there is no room for, and records behind it wait.
#[tokio::test]
async fn a_reader_with_little_room_gets_everything_in_order() {
    for room in [1, 7, 4_000, 17_000] {
        let (mut theirs, mut ours) = sessions().await;
        let sent: Vec<u8> = body(150_000, room);
        let sending = async {
            let (_, mut half) = theirs.split();
            // Records of every length.
            let mut left = &sent[..];
            for length in [1, 16_384, 3, 16_384, 16_384, 100, 50_000, usize::MAX] {
                let piece = &left[..left.len().min(length)];
                write_all(&mut half, piece, usize::MAX).await;
                left = &left[piece.len()..];
            }
            theirs.shutdown().await.unwrap();
        };
        let reading = async {
            let (mut all, mut piece) = (Vec::new(), vec![0; room]);
            loop {
                match ours.read(&mut piece).await.unwrap() {
                    0 => return all,
                    n => all.extend_from_slice(&piece[..n]),
                }
            }
        };
        let ((), arrived) = tokio::join!(sending, reading);
        assert!(arrived == sent, "{room}");
    }
}

#[tokio::test]
async fn what_was_reported_as_written_is_what_the_peer_gets() {
    let (mut theirs, mut ours) = sessions().await;
    let sent = body(32 << 20, 5);
    let mut reported = 0;
    let (_, mut half) = ours.split();
    // Until the socket is full.
    let full = |half: &mut WriteHalf<'_>, reported: &mut usize| loop {
        let waker = std::task::Waker::noop();
        let mut cx = std::task::Context::from_waker(waker);
        match half.poll_write(&mut cx, &sent[*reported..]) {
            std::task::Poll::Ready(n) => *reported += n.unwrap(),
            std::task::Poll::Pending => return,
        }
    };
    full(&mut half, &mut reported);
    let at_once = reported;
    let mut arrived = read_exact(&mut theirs.split().0, at_once / 2).await;
    let rest = async {
        let mut left = &sent[reported..];
        while !left.is_empty() {
            left = &left[poll_fn(|cx| half.poll_write(cx, left)).await.unwrap()..];
        }
    };
    let reading = async {
        let left = sent.len() - arrived.len();
        read_exact(&mut theirs.split().0, left).await
    };
    let ((), more) = tokio::join!(rest, reading);
    arrived.extend(more);
    assert!(arrived == sent);
}

#[tokio::test]
async fn a_peer_sees_whether_the_end_was_announced() {
    for (how, announced) in [("dropped", true), ("sent off", true), ("reset", false)] {
        let (mut theirs, mut ours) = sessions().await;
        write_all(&mut ours.split().1, b"so far", 6).await;
        match how {
            "sent off" => ours.send_off(b", the rest"),
            "reset" => {
                // Over TCP a reset says it; here only the session's end is looked at.
                if let Stream::Tls(session) = &ours {
                    session.cut_off();
                }
            }
            _ => {}
        }
        drop(ours);
        let mut all = Vec::new();
        let end = theirs.read_to_end(&mut all).await;
        assert_eq!(end.is_ok(), announced, "{how}: {end:?}");
        let expected: &[u8] = match how {
            "sent off" => b"so far, the rest",
            _ => b"so far",
        };
        assert_eq!(all, expected);
        assert!(!theirs.is_quiet(true), "{how}");
    }
}
