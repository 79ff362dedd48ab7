//! The request's body on its way up, when it is not in hand as a whole.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::blame::Pace;
use super::interim::SILENCE;
use crate::config::Timeouts;
use crate::h1::{ChunkedDecoder, Decoded, Framing, HeadLimits, write_chunk_size, write_last_chunk};
use crate::message::{Edited, Fields, Malformed};
use crate::net::{Buffer, Buffers, IoEnd, ReadHalf, TimedIo, Wait, WriteHalf};

/// How much of a body is kept after it was sent, so that the request can be sent again: as many
/// bytes as most clients send before they hear of a backend that is gone.
const KEPT: usize = 64 * 1024;

/// A client that sends and does not read, and a backend that answers and does not read, wait for
/// each other for so long.
const STUCK: Duration = Duration::from_secs(2);

/// How much of a request its backend has been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The head. The client waits to be asked for the body.
    Awaited,
    /// The head, and perhaps some of the body.
    Partly,
    /// All of it.
    Whole,
}

/// The same, and whether the backend has agreed to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// How much it is.
    pub stage: Stage,
    /// No expectation was passed on, or the backend has met it. Otherwise nobody knows whether it
    /// takes what comes behind the head for the body.
    agreed: bool,
}

impl Sent {
    /// All that there is, and the backend reads it.
    pub const WHOLE: Self = Self {
        stage: Stage::Whole,
        agreed: true,
    };

    /// At the beginning.
    pub fn new(stage: Stage, expects: bool) -> Self {
        Self {
            stage,
            agreed: !expects,
        }
    }

    /// The same at another stage.
    pub fn at(self, stage: Stage) -> Self {
        Self { stage, ..self }
    }

    /// The same, and the backend has said that it reads the body.
    pub fn agreed(self) -> Self {
        Self {
            agreed: true,
            ..self
        }
    }
}

/// How far a body has come on its way up. It outlives the attempt: what was read of the client
/// can't be read again.
#[derive(Debug)]
pub struct Progress {
    at: At,
    /// Bytes of content so far, where the body is chunked.
    total: u64,
    /// All that was sent of the body, as backends read it, if it is kept.
    sent: Vec<u8>,
    /// Whether all that was sent is in `sent`.
    whole: bool,
    /// What policies have edited in the head.
    edited: Edited,
}

/// Where in the body the client's connection stands.
#[derive(Debug)]
enum At {
    /// So many bytes before its end.
    Length(u64),
    /// Within chunks.
    Chunked(ChunkedDecoder),
    /// At its end.
    End,
}

impl Progress {
    /// At the beginning of a body. What is sent is kept only if the request may be repeated.
    pub fn new(framing: Framing, keep: bool, edited: &Edited) -> Self {
        let at = match framing {
            Framing::Length(n) => At::Length(n),
            _ => At::Chunked(ChunkedDecoder::default()),
        };
        Self {
            at,
            total: 0,
            sent: Vec::new(),
            whole: keep,
            edited: edited.clone(),
        }
    }

    /// What has to be sent before the rest when the request is sent again.
    pub fn sent(&self) -> &[u8] {
        &self.sent
    }

    /// Whether the request can be sent again.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Whether all of the body was taken from the client's connection.
    pub fn is_at_end(&self) -> bool {
        matches!(self.at, At::End)
    }

    fn note(&mut self, bytes: &[u8]) {
        if !self.whole {
            return;
        }
        if self.sent.len() + bytes.len() > KEPT {
            self.forget();
        } else {
            self.sent.extend_from_slice(bytes);
        }
    }

    fn forget(&mut self) {
        (self.whole, self.sent) = (false, Vec::new());
    }
}

/// A body on its way up.
#[derive(Debug)]
pub struct Upload<'a> {
    /// How far it has come.
    pub progress: &'a mut Progress,
    /// Told when the client is waited for.
    pub pace: &'a Pace,
    /// Where it comes from.
    pub client: TimedIo<'a, ReadHalf<'a>>,
    /// What was read from there.
    pub input: &'a mut Buffer,
    /// Where it goes.
    pub upstream: TimedIo<'a, WriteHalf<'a>>,
    /// What goes there next; begins with the request's head.
    pub up: &'a mut Vec<u8>,
    /// For larger buffers.
    pub buffers: &'a Buffers,
    /// Trailers of the body.
    pub trailers: &'a mut Fields,
    /// Bounds of the trailers.
    pub limits: HeadLimits,
    /// The largest body; 0 = no limit.
    pub body_limit: u64,
    /// How long each may take.
    pub timeouts: &'a Timeouts,
    /// How much has been sent.
    pub sent: &'a Cell<Sent>,
    /// The status of the response, once the client has been sent some of it.
    pub answered: &'a Cell<u16>,
    /// Until when a client that is sending still need not read its response, in milliseconds of the
    /// worker's clock.
    pub reads_by: Option<u64>,
}

/// How an upload ended.
#[derive(Debug)]
pub enum UploadEnd {
    /// All of it was sent.
    Complete,
    /// The backend takes no more.
    BackendGone,
    /// The backend took no byte for too long.
    BackendTimedOut,
    /// The client went away in the middle.
    ClientGone,
    /// The client sent no byte for too long.
    ClientTimedOut,
    /// The same, while others waited for its connection.
    ClientBrokenOff,
    /// What the client sent is not a body.
    Malformed(Malformed),
    /// The body is larger than the limit.
    TooLarge,
}

impl Upload<'_> {
    /// Sends what is ready, the head first, and the rest of the body.
    pub async fn run(mut self) -> UploadEnd {
        let sent = match self.progress.at {
            At::Length(_) => self.length().await,
            At::Chunked(_) => self.chunked().await,
            At::End => self.flush().await,
        };
        match sent {
            Ok(()) => {
                self.sent.set(self.sent.get().at(Stage::Whole));
                // From here on it is the backend that is waited for.
                self.client.timers.arm(
                    self.client.timer,
                    Wait::UpstreamRead,
                    self.timeouts.response,
                );
                UploadEnd::Complete
            }
            Err(end) => self.stopped(end).await,
        }
    }

    /// What an upload that stopped comes to: the answer that is under way does not end with it.
    async fn stopped(&mut self, end: UploadEnd) -> UploadEnd {
        let (answered, timer) = (self.answered.get() != 0, self.client.timer);
        match end {
            UploadEnd::BackendTimedOut if answered => {}
            UploadEnd::BackendGone => {}
            UploadEnd::ClientTimedOut if answered && !timer.is_broken_off() => {
                return UploadEnd::BackendGone;
            }
            end => return end,
        }
        self.read_on().await;
        UploadEnd::BackendGone
    }

    /// Reads on though nobody takes it: a client that sends all of its upload before it reads would
    /// otherwise never read what the backend has said of it. What is little is kept for another
    /// attempt. Ends with the client, or with the exchange.
    async fn read_on(&mut self) {
        loop {
            if !self.progress.whole || self.input.len() >= KEPT {
                self.progress.forget();
                self.input.consume(self.input.len());
            }
            if !matches!(self.client.read(self.input).await, Ok(1..)) {
                return;
            }
            self.sends_still();
        }
    }

    async fn length(&mut self) -> Result<(), UploadEnd> {
        while let At::Length(left) = self.progress.at
            && left > 0
        {
            if self.input.is_empty() {
                self.fill(left).await?;
            }
            let n = self
                .input
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            // The head goes out with the first piece; after that pieces go as they are.
            if self.up.is_empty() {
                let go_on = worth_waiting(&self.client, self.answered, self.timeouts.send);
                let written = self
                    .upstream
                    .write_while(&self.input.filled()[..n], go_on)
                    .await;
                written.map_err(backend_end)?;
            } else {
                self.up.extend_from_slice(&self.input.filled()[..n]);
                self.flush().await?;
            }
            // Only now: a piece that did not get through as a whole is still there for another
            // attempt.
            self.progress.note(&self.input.filled()[..n]);
            self.input.consume(n);
            self.progress.at = At::Length(left - n as u64);
        }
        self.progress.at = At::End;
        self.flush().await
    }

    async fn chunked(&mut self) -> Result<(), UploadEnd> {
        while let At::Chunked(decoder) = &mut self.progress.at {
            let decoded = decoder.decode(self.input.filled(), self.limits, self.trailers);
            match decoded.map_err(UploadEnd::Malformed)? {
                Decoded::End(n) => {
                    self.input.consume(n);
                    self.progress.edited.keep_out_of(self.trailers);
                    self.add(|up, trailers, _| write_last_chunk(trailers, up));
                    self.progress.at = At::End;
                }
                Decoded::Data { skip, data: 0 } => {
                    self.input.consume(skip);
                    self.flush().await?;
                    self.fill(self.progress.total).await?;
                }
                Decoded::Data { skip, data } => {
                    self.progress.total = self.progress.total.saturating_add(data as u64);
                    if self.body_limit > 0 && self.progress.total > self.body_limit {
                        return Err(UploadEnd::TooLarge);
                    }
                    self.add(|up, _, input| {
                        write_chunk_size(data, up);
                        up.extend_from_slice(&input[skip..skip + data]);
                        up.extend_from_slice(b"\r\n");
                    });
                    self.input.consume(skip + data);
                }
            }
        }
        self.flush().await
    }

    /// Adds to what goes to the backend next, from the trailers and what was read of the client,
    /// and keeps a copy.
    fn add(&mut self, write: impl FnOnce(&mut Vec<u8>, &Fields, &[u8])) {
        let begin = self.up.len();
        write(self.up, self.trailers, self.input.filled());
        self.progress.note(&self.up[begin..]);
    }

    /// Reads more. What is ready for the backend is sent first: a client may wait for it to be
    /// answered.
    async fn fill(&mut self, body: u64) -> Result<(), UploadEnd> {
        self.flush().await?;
        self.buffers.enlarge(self.input, body);
        let timers = self.client.timers;
        let read = if self.sent.get().stage == Stage::Awaited {
            // What passes before the client is asked is not its doing.
            self.pace
                .wait(timers.now() + u64::try_from(SILENCE.as_millis()).unwrap_or(u64::MAX));
            self.first().await
        } else {
            self.pace.wait(timers.now());
            self.client.read(self.input).await
        };
        self.pace.go_on(timers.now());
        match read {
            Ok(0) | Err(IoEnd::Failed) => Err(UploadEnd::ClientGone),
            Ok(_) => {
                self.sends_still();
                Ok(())
            }
            Err(IoEnd::TimedOut) => Err(UploadEnd::ClientTimedOut),
        }
    }

    /// Reads the beginning of a body that the client holds back until it is asked for it. A client
    /// that does not wait for that is not made to, as long as there is no answer. Behind an answer
    /// what it sends is not for the backend any more.
    async fn first(&mut self) -> Result<usize, IoEnd> {
        let (sent, answered, timer) = (self.sent, self.answered, self.client.timer);
        // Without a deadline until the client is asked.
        let mut read = pin!(self.client.read_watched(self.input));
        let read = poll_fn(
            |cx| match sent.get().stage == Stage::Awaited && answered.get() != 0 {
                true => Poll::Pending,
                false => read.as_mut().poll(cx),
            },
        );
        let read = read.await;
        timer.disarm(Wait::ClientRead);
        if sent.get().stage == Stage::Awaited {
            timer.disarm(Wait::UpstreamRead);
            sent.set(sent.get().at(Stage::Partly));
        }
        read
    }

    /// Notes that the client sends: for as long as a connection may linger, it need not read its
    /// answer meanwhile.
    fn sends_still(&mut self) {
        if self.answered.get() == 0 {
            return;
        }
        let (timers, timer) = (self.client.timers, self.client.timer);
        let linger = u64::try_from(self.timeouts.linger.as_millis()).unwrap_or(u64::MAX);
        if timers.now()
            < *self
                .reads_by
                .get_or_insert(timers.now().saturating_add(linger))
        {
            timers.extend(timer, Wait::ClientWrite, self.timeouts.send);
        }
    }

    async fn flush(&mut self) -> Result<(), UploadEnd> {
        let go_on = worth_waiting(&self.client, self.answered, self.timeouts.send);
        let written = self.upstream.write_while(self.up, go_on).await;
        self.up.clear();
        written.map_err(backend_end)
    }
}

/// Whether a write to the backend is worth waiting for: not if the answer, which the client does
/// not take, waits as well.
fn worth_waiting<'a>(
    client: &TimedIo<'a, ReadHalf<'a>>,
    answered: &'a Cell<u16>,
    send: Duration,
) -> impl Fn(Duration) -> bool + use<'a> {
    let (timers, timer) = (client.timers, client.timer);
    move |waited| {
        answered.get() == 0
            || waited < STUCK
            || timers.waited(timer, Wait::ClientWrite, send) < STUCK
    }
}

fn backend_end(end: IoEnd) -> UploadEnd {
    match end {
        IoEnd::TimedOut => UploadEnd::BackendTimedOut,
        IoEnd::Failed => UploadEnd::BackendGone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HalfClose;
    use crate::net::{Stream, Timers, pair};
    use crate::stats::Counter;
    use socket2::SockRef;
    use tokio::io::AsyncWriteExt;

    const LARGE: usize = 24 * 1024 * 1024;

    /// How the upload of a client that sends all of it ends, and how many bytes of it were read.
    async fn upload_to(backend: Stream, framing: Framing, sent: usize) -> (UploadEnd, u64) {
        let (mut input, mut progress) = (
            Buffer::default(),
            Progress::new(framing, false, &Edited::default()),
        );
        upload(backend, &mut input, &mut progress, sent).await
    }

    async fn upload(
        mut backend: Stream,
        input: &mut Buffer,
        progress: &mut Progress,
        sent: usize,
    ) -> (UploadEnd, u64) {
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
        let upload = Upload {
            progress,
            pace: &Pace::default(),
            client,
            input,
            upstream,
            up: &mut b"POST / HTTP/1.1\r\n\r\n".to_vec(),
            buffers: &Buffers::default(),
            trailers: &mut Fields::new(),
            limits: HeadLimits {
                first_line: 1_000,
                bytes: 1_000,
                fields: 10,
            },
            body_limit: 0,
            timeouts: &timeouts,
            sent: &Cell::new(Sent::new(Stage::Partly, false)),
            answered: &Cell::new(0),
            reads_by: None,
        };
        let send = async {
            sender.write_all(&vec![b'0'; sent]).await.unwrap();
            drop(sender);
        };
        let (end, ()) = tokio::join!(upload.run(), send);
        (end, read.value())
    }

    /// What the sockets hold would not be enough: somebody has to read.
    #[tokio::test]
    async fn what_no_backend_takes_any_more_is_read_to_its_end() {
        let (gone, backend) = pair().await;
        SockRef::from(&gone)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(gone);
        let (end, read) = upload_to(backend, Framing::Length(LARGE as u64), LARGE).await;
        assert!(matches!(end, UploadEnd::BackendGone), "{end:?}");
        assert_eq!(read, LARGE as u64);
    }

    #[tokio::test]
    async fn an_upload_whose_backend_takes_all_is_not_read_beyond_its_end() {
        let (_taking, backend) = pair().await;
        let (end, read) = upload_to(backend, Framing::Length(1_000), 1_000).await;
        assert!(matches!(end, UploadEnd::Complete), "{end:?}");
        assert_eq!(read, 1_000);
    }

    /// What is read in vain takes no memory, and what is kept for another attempt takes little.
    #[tokio::test]
    async fn what_is_read_for_nobody_is_kept_up_to_a_bound_and_only_where_it_may_be_sent_again() {
        for (keep, sent, kept) in [
            (true, 1_000, true),
            (true, LARGE, false),
            (false, 1_000, false),
            (false, LARGE, false),
        ] {
            let (gone, backend) = pair().await;
            SockRef::from(&gone)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
            drop(gone);
            // From here on the reset has arrived, and a write fails.
            backend.socket().left(HalfClose::Allow).await;
            let (mut input, framing) = (Buffer::default(), Framing::Length(LARGE as u64));
            let mut progress = Progress::new(framing, keep, &Edited::default());
            let (end, read) = upload(backend, &mut input, &mut progress, sent).await;
            assert!(matches!(end, UploadEnd::BackendGone), "{end:?}");
            assert_eq!(
                (read, progress.is_whole()),
                (sent as u64, kept),
                "{keep} {sent}"
            );
            let held = input.len() + progress.sent().len();
            assert!(
                if kept { held == sent } else { held < 2 * KEPT },
                "{held} of {sent} bytes, {keep}"
            );
        }
    }
}
