//! Bodies over real sockets, in pieces of any size.

use std::cell::Cell;
use std::future::{pending, ready};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::config::HalfClose;
use crate::h1::{ChunkedDecoder, Decoded, Framing, HeadLimits};
use crate::message::{Edited, Fields, Malformed, ResponseHead};
use crate::net::{Buffer, Buffers, Stream, TimedIo, Timer, Timers, Wait, pair};
use crate::proxy::slice::{Multipart, Slice};
use crate::stats::Counter;

const LIMITS: HeadLimits = HeadLimits {
    first_line: 1_000,
    bytes: 1_000,
    fields: 10,
};
/// Pieces in which a backend sends.
const PIECES: [usize; 3] = [1, 3, usize::MAX];
const CHUNKED: &str = "2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nx-sum: 5\r\n\r\n";

/// The part of a body that a client got.
#[derive(Debug, PartialEq)]
struct Moved {
    end: Result<(), TransferEnd>,
    /// Content and trailers.
    got: String,
    /// Whether the backend had nothing more to say.
    drained: bool,
}

fn timed<'a, H>(
    half: H,
    timers: &'a Timers,
    timer: &'a Timer,
    bytes: &'a Counter,
) -> TimedIo<'a, H> {
    TimedIo {
        half,
        timers,
        timer,
        wait: Wait::ClientWrite,
        patience: Duration::from_secs(60),
        bytes,
    }
}

/// Has a backend send this in pieces of that size and end its side, and moves the body to a client.
async fn moved(sent: &str, piece: usize, from: Framing, to: Framing, cut: Option<Cut>) -> Moved {
    let (backend, mut upstream) = pair().await;
    let (mut client, mut downstream) = pair().await;
    let send = send(backend, sent, piece);
    let receive = async {
        let (end, drained) = transfer(&mut upstream, &mut downstream, from, to, cut).await;
        drop(downstream);
        (end, drained)
    };
    let ((), (end, drained)) = tokio::join!(send, receive);
    let mut all = Vec::new();
    client.read_to_end(&mut all).await.unwrap();
    let body = all
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .map_or(0, |at| at + 4);
    let got = match to {
        Framing::Chunked => decoded(&all[body..]),
        _ => String::from_utf8(all[body..].to_vec()).unwrap(),
    };
    Moved { end, got, drained }
}

async fn send(mut backend: TcpStream, sent: &str, piece: usize) {
    backend.set_nodelay(true).unwrap();
    for bytes in sent.as_bytes().chunks(piece.min(sent.len())) {
        // A receiver that has all it wants may have left.
        let _ = backend.write_all(bytes).await;
        tokio::task::yield_now().await;
    }
}

async fn transfer(
    upstream: &mut Stream,
    downstream: &mut Stream,
    from: Framing,
    to: Framing,
    cut: Option<Cut>,
) -> (Result<(), TransferEnd>, bool) {
    let (timers, bytes, buffers) = (Timers::new(), Counter::default(), Buffers::default());
    let timer = timers.register();
    let (duplex, edited) = (Duplex::new(Stage::Whole, false), Edited::default());
    let (mut buffer, mut trailers, mut out) = (Buffer::default(), Fields::new(), Vec::new());
    let write = timed(downstream.split().1, &timers, &timer, &bytes);
    let mut sink = MessageSink::to_client(write, &mut out, &duplex);
    let lines = ResponseLines {
        via: b"test\r\n",
        date: None,
        connection: None,
    };
    let head = ResponseHead {
        status: 206,
        ..ResponseHead::default()
    };
    sink.response(&head, to, lines);
    let mut progress = Progress::of_response(from);
    let mut source = BodySource::H1(H1Body {
        from: &mut Reader {
            read: timed(upstream.split().0, &timers, &timer, &bytes),
            buffer: &mut buffer,
            buffers: &buffers,
            limits: LIMITS,
        },
        progress: &mut progress,
        trailers: &mut trailers,
        edited: &edited,
        duplex: &duplex,
        waits: Waits::ForBackend(HalfClose::Allow),
    });
    let passed = Cell::new(0);
    let end = match cut {
        None => copy(&mut source, &mut sink, &passed).await,
        Some(cut) => copy(&mut Sliced::new(&mut source, cut), &mut sink, &passed).await,
    };
    assert!(end.is_err() || duplex.status() == 206, "the head went out");
    (end, source.is_drained())
}

/// The content of chunks, and the trailers behind it.
fn decoded(mut chunks: &[u8]) -> String {
    let (mut decoder, mut trailers) = (ChunkedDecoder::default(), Fields::new());
    let mut content = Vec::new();
    loop {
        match decoder.decode(chunks, LIMITS, &mut trailers).unwrap() {
            Decoded::Data { skip, data } => {
                content.extend_from_slice(&chunks[skip..skip + data]);
                chunks = &chunks[skip + data..];
                if data == 0 {
                    break;
                }
            }
            Decoded::End(n) => {
                assert_eq!(n, chunks.len(), "nothing follows");
                trailers.write_to(&mut content);
                break;
            }
        }
    }
    String::from_utf8(content).unwrap()
}

#[tokio::test]
async fn a_body_is_the_same_however_it_arrives_and_goes_on() {
    for piece in PIECES {
        for (sent, from, to, got) in [
            ("hello", Framing::Length(5), Framing::Length(5), "hello"),
            (
                CHUNKED,
                Framing::Chunked,
                Framing::Chunked,
                "hellox-sum: 5\r\n",
            ),
            (CHUNKED, Framing::Chunked, Framing::UntilClose, "hello"),
            ("hello", Framing::UntilClose, Framing::Chunked, "hello"),
            ("hello", Framing::UntilClose, Framing::UntilClose, "hello"),
            ("more", Framing::Length(0), Framing::Length(0), ""),
            ("more", Framing::None, Framing::Length(9), ""),
        ] {
            let moved = moved(sent, piece, from, to, None).await;
            assert_eq!(
                (moved.end, moved.got.as_str()),
                (Ok(()), got),
                "{from:?} {to:?} {piece}"
            );
        }
    }
}

#[tokio::test]
async fn what_breaks_off_says_how_and_what_came_before_it_went_on() {
    use TransferEnd::{Malformed as Bad, SourceEnded};
    for piece in PIECES {
        for (sent, framing, end, got) in [
            ("hello", Framing::Length(9), SourceEnded, "hello"),
            ("5\r\nhello\r\n", Framing::Chunked, SourceEnded, "hello"),
            ("5\r\nhell", Framing::Chunked, SourceEnded, "hell"),
            (
                "5\r\nhello\r\n0\r\nx: y\r\n",
                Framing::Chunked,
                SourceEnded,
                "hello",
            ),
        ] {
            let moved = moved(sent, piece, framing, framing, None).await;
            assert_eq!(
                (moved.end, moved.got.as_str()),
                (Err(end), got),
                "{sent:?} {piece}"
            );
        }
        let sent = "5\r\nhello\r\nzz\r\n";
        let moved = moved(sent, piece, Framing::Chunked, Framing::Chunked, None).await;
        assert_eq!(moved.end, Err(Bad(Malformed::Chunk)));
    }
}

#[tokio::test]
async fn what_comes_behind_a_body_is_not_part_of_it() {
    for (sent, framing, drained) in [
        ("hello", Framing::Length(5), true),
        ("hello!", Framing::Length(5), false),
        (CHUNKED, Framing::Chunked, true),
        (&format!("{CHUNKED}!"), Framing::Chunked, false),
    ] {
        let moved = moved(sent, usize::MAX, framing, framing, None).await;
        assert_eq!((moved.end, moved.drained), (Ok(()), drained), "{sent:?}");
    }
}

#[tokio::test]
async fn parts_are_cut_out_of_a_body_wherever_its_pieces_begin() {
    let digits = "0123456789".repeat(3);
    let whole = Framing::Length(30);
    for piece in [1, 3, 10, usize::MAX] {
        for (skip, take) in [(0, 30), (0, 1), (29, 1), (3, 14), (10, 10)] {
            let cut = Some(Cut::One(Slice { skip, take }));
            let moved = moved(&digits, piece, whole, Framing::Length(take), cut).await;
            let (from, to) = (skip as usize, (skip + take) as usize);
            assert_eq!(
                (moved.end, moved.got.as_str()),
                (Ok(()), &digits[from..to]),
                "{piece}"
            );
        }
        let parts = || {
            let slice = |(skip, take)| Slice { skip, take };
            [(0, 2), (9, 12), (29, 1)].map(slice).to_vec()
        };
        let multipart = Multipart::new(parts(), 30, None);
        let mut expected = Vec::new();
        for (at, part) in parts().iter().enumerate() {
            multipart.write_head(at, &mut expected);
            let (from, to) = (part.skip as usize, (part.skip + part.take) as usize);
            expected.extend_from_slice(&digits.as_bytes()[from..to]);
        }
        multipart.write_end(&mut expected);
        let to = Framing::Length(expected.len() as u64);
        let moved = moved(&digits, piece, whole, to, Some(Cut::Many(multipart))).await;
        assert_eq!(
            (moved.end, moved.got.into_bytes()),
            (Ok(()), expected),
            "{piece}"
        );
    }
}

#[tokio::test]
async fn a_part_of_a_body_that_breaks_off_before_it_is_not_whole() {
    let cut = Some(Cut::One(Slice { skip: 5, take: 5 }));
    let moved = moved("0123456", 3, Framing::Length(10), Framing::Length(5), cut).await;
    assert_eq!(
        (moved.end, moved.got.as_str()),
        (Err(TransferEnd::SourceEnded), "56")
    );
}

#[tokio::test]
async fn an_upload_that_is_not_taken_leaves_the_last_word_to_the_download() {
    let taken = join(ready(Ok(())), ready(7)).await;
    assert_eq!(taken, Ok(7));
    let refused = join(ready(Err(TransferEnd::SinkFailed)), ready(7)).await;
    assert_eq!(refused, Ok(7));
    for end in [
        TransferEnd::SourceEnded,
        TransferEnd::TooLarge,
        TransferEnd::SinkTimedOut,
    ] {
        assert_eq!(join(ready(Err(end)), pending::<()>()).await, Err(end));
    }
    assert_eq!(join(pending(), ready(7)).await, Ok(7), "an early answer");
}
