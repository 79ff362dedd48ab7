//! A request's body on its way up, when it is not in hand as a whole.

use std::cell::Cell;
use std::time::Duration;

use super::{BodySource, Duplex, MessageSink, Stage, TransferEnd, copy};
use crate::net::Wait;

/// Sends what the sink has taken, the head first, and the rest of the body. If the receiver stops
/// taking it, the upload ends as [`TransferEnd::SinkFailed`], after its rest was read, so that the
/// answer can still arrive.
pub(in crate::proxy) async fn upload(
    mut body: BodySource<'_, '_>,
    sink: &mut MessageSink<'_>,
    duplex: &Duplex,
    patience: Duration,
) -> Result<(), TransferEnd> {
    let (timers, timer) = sink.clock();
    // What counts is what was taken from the client, however often it is sent.
    let passed = Cell::new(0);
    let copied = loop {
        match copy(&mut body, sink, &passed).await {
            // The sides of a stream are independent: while the response goes on, a client may be
            // silent for as long as its backend.
            Err(TransferEnd::SourceTimedOut)
                if sink.is_stream() && duplex.is_answered() && !timer.is_broken_off() => {}
            copied => break copied,
        }
    };
    match copied {
        Ok(()) => {
            duplex.reach(Stage::Whole);
            body.rest();
            // From here on it is the backend that is waited for.
            timers.arm(timer, Wait::UpstreamRead, patience);
            return Ok(());
        }
        Err(TransferEnd::SinkFailed) => {}
        Err(TransferEnd::SinkTimedOut) if duplex.is_answered() => {}
        Err(TransferEnd::SourceTimedOut) if duplex.is_answered() && !timer.is_broken_off() => {
            return Err(TransferEnd::SinkFailed);
        }
        Err(end) => return Err(end),
    }
    body.read_on().await;
    Err(TransferEnd::SinkFailed)
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;
    use tokio::io::AsyncWriteExt;

    use super::super::{H1Body, Pace, Progress, Reader, Waits};
    use super::*;
    use crate::config::{HalfClose, Timeouts};
    use crate::h1::HeadLimits;
    use crate::message::{BodyLength, Edited, Fields, RequestHead};
    use crate::net::{Buffer, Buffers, Stream, TimedIo, Timers, pair};
    use crate::stats::Counter;

    type Uploaded = (Result<(), TransferEnd>, u64);

    const LARGE: usize = 24 * 1024 * 1024;
    /// What of a body may be kept.
    const KEPT: usize = 64 * 1024;

    /// How the upload of a client that sends all of it ends, and how many bytes of it were read.
    async fn upload_to(backend: Stream, length: BodyLength, sent: usize) -> Uploaded {
        let (mut input, mut progress) = (Buffer::default(), Progress::of_request(length, None, 0));
        upload_of(backend, &mut input, &mut progress, &vec![b'0'; sent]).await
    }

    async fn upload_of(
        mut backend: Stream,
        input: &mut Buffer,
        progress: &mut Progress,
        sent: &[u8],
    ) -> Uploaded {
        let (mut sender, mut stream) = pair().await;
        let (timers, timeouts) = (Timers::new(), Timeouts::default());
        let (timer, read, written) = (timers.register(), Counter::default(), Counter::default());
        let (timers, timer, wait) = (&timers, &timer, Wait::ClientRead);
        let patience = Duration::from_secs(60);
        let client = TimedIo {
            half: stream.split().0,
            timers,
            timer,
            wait,
            patience,
            bytes: &read,
        };
        let wait = Wait::UpstreamWrite;
        let upstream = TimedIo {
            half: backend.split().1,
            timers,
            timer,
            wait,
            patience,
            bytes: &written,
        };
        let (duplex, pace) = (Duplex::new(Stage::Partly, false), Pace::default());
        let (buffers, edited) = (Buffers::default(), Edited::default());
        let mut trailers = Fields::new();
        let mut out = Vec::new();
        let mut sink = MessageSink::to_backend(upstream, &mut out, &duplex, patience);
        sink.request(&RequestHead::default(), BodyLength::Known(1), "a", false);
        let body = BodySource::H1(H1Body {
            from: &mut Reader {
                read: client,
                buffer: input,
                buffers: &buffers,
                limits: HeadLimits {
                    first_line: 1_000,
                    bytes: 1_000,
                    fields: 10,
                },
            },
            progress,
            trailers: &mut trailers,
            edited: &edited,
            duplex: &duplex,
            waits: Waits::ForClient {
                pace: &pace,
                timeouts: &timeouts,
                reads_by: None,
            },
        });
        let send = async {
            sender.write_all(sent).await.unwrap();
            drop(sender);
        };
        let (end, ()) = tokio::join!(upload(body, &mut sink, &duplex, patience), send);
        (end, read.value())
    }

    /// The sockets' buffers are too small for it: the proxy has to read.
    #[tokio::test]
    async fn what_no_backend_takes_any_more_is_read_to_its_end() {
        let (gone, backend) = pair().await;
        SockRef::from(&gone)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(gone);
        let (end, read) = upload_to(backend, BodyLength::Known(LARGE as u64), LARGE).await;
        assert!(end == Err(TransferEnd::SinkFailed), "{end:?}");
        assert_eq!(read, LARGE as u64);
    }

    #[tokio::test]
    async fn an_upload_whose_backend_takes_all_is_not_read_beyond_its_end() {
        let (_taking, backend) = pair().await;
        let (end, read) = upload_to(backend, BodyLength::Known(1_000), 1_000).await;
        assert!(matches!(end, Ok(())), "{end:?}");
        assert_eq!(read, 1_000);
    }

    /// Discarded bytes take no memory, and the part that is kept for another attempt takes little.
    #[tokio::test]
    async fn discarded_bytes_are_kept_up_to_a_bound_and_only_where_they_may_be_sent_again() {
        for (keep, sent, kept) in [
            (true, 1_000, true),
            (true, LARGE, false),
            (false, 1_000, false),
            (false, LARGE, false),
        ] {
            let backend = gone().await;
            let (mut input, length) = (Buffer::default(), BodyLength::Known(LARGE as u64));
            let mut progress = Progress::of_request(length, keep.then_some(KEPT), 0);
            let bytes = vec![b'0'; sent];
            let (end, read) = upload_of(backend, &mut input, &mut progress, &bytes).await;
            assert!(end == Err(TransferEnd::SinkFailed), "{end:?}");
            assert_eq!(
                (read, progress.is_whole()),
                (sent as u64, kept),
                "{keep} {sent}"
            );
            let held = input.len() + progress.kept().len();
            assert!(
                if kept { held == sent } else { held < 2 * KEPT },
                "{held} of {sent} bytes, {keep}"
            );
        }
    }

    /// It is the client's next request.
    #[tokio::test]
    async fn what_comes_behind_a_body_whose_end_no_backend_takes_stays_where_it_is() {
        for (length, body) in [
            (BodyLength::Known(5), "hello"),
            (BodyLength::Unknown, "5\r\nhello\r\n0\r\n\r\n"),
        ] {
            let backend = gone().await;
            let (mut input, next) = (Buffer::default(), "GET /next HTTP/1.1\r\n\r\n");
            let mut progress = Progress::of_request(length, None, 0);
            let arrived = format!("{body}{next}");
            input.spare()[..arrived.len()].copy_from_slice(arrived.as_bytes());
            input.advance(arrived.len());
            let (end, _) = upload_of(backend, &mut input, &mut progress, &[]).await;
            assert!(end == Err(TransferEnd::SinkFailed), "{end:?}");
            assert!(progress.is_at_end(), "{body}");
            assert_eq!(input.filled(), next.as_bytes(), "{body}");
        }
    }

    /// A backend whose reset has arrived: a write fails.
    async fn gone() -> Stream {
        let (gone, backend) = pair().await;
        SockRef::from(&gone)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(gone);
        backend.socket().left(HalfClose::Allow).await;
        backend
    }
}
