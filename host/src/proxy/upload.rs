//! The request's body on its way up, when it is not in hand as a whole.

use std::cell::Cell;
use std::time::Duration;

use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::blame::Pace;
use super::buffer::{Buffer, Buffers};
use super::io::{IoEnd, Limited};
use super::timer::Wait;
use crate::wire::{
    ChunkedDecoder, Decoded, Fields, Framing, HeadLimits, Malformed, write_chunk_size, write_last_chunk,
};

/// How much of a body is kept after it was sent, so that the request can be sent again: as many bytes as most clients send
/// before they hear of a backend that is gone.
const KEPT: usize = 64 * 1024;

/// How far a body has come on its way up. It outlives the attempt: what was read of the client can't be read again.
#[derive(Debug)]
pub struct Progress {
    at: At,
    /// Bytes of content so far, where the body is chunked.
    total: u64,
    /// All that was sent of the body, as backends read it, if it is kept.
    sent: Vec<u8>,
    /// Whether all that was sent is in `sent`.
    whole: bool,
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
    pub fn new(framing: Framing, keep: bool) -> Self {
        let at = match framing {
            Framing::Length(n) => At::Length(n),
            _ => At::Chunked(ChunkedDecoder::default()),
        };
        Self { at, total: 0, sent: Vec::new(), whole: keep }
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
    pub client: Limited<'a, ReadHalf<'a>>,
    /// What was read from there.
    pub input: &'a mut Buffer,
    /// Where it goes.
    pub upstream: Limited<'a, WriteHalf<'a>>,
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
    /// How long the backend may take to answer, once it has the whole.
    pub response_patience: Duration,
    /// Set when the whole has been sent.
    pub complete: &'a Cell<bool>,
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
                self.complete.set(true);
                // From here on it is the backend that is waited for.
                self.client.timers.arm(self.client.timer, Wait::UpstreamRead, self.response_patience);
                UploadEnd::Complete
            }
            Err(UploadEnd::BackendGone) => {
                self.read_on().await;
                UploadEnd::BackendGone
            }
            Err(end) => end,
        }
    }

    /// Reads on though nobody takes it: a client that sends all of its upload before it reads would otherwise never read what the
    /// backend has said of it. What is little is kept for another attempt. Ends with the client, or with the exchange.
    async fn read_on(&mut self) {
        loop {
            if !self.progress.whole || self.input.len() >= KEPT {
                self.progress.forget();
                self.input.consume(self.input.len());
            }
            if !matches!(self.client.read(self.input).await, Ok(1..)) {
                return;
            }
        }
    }

    async fn length(&mut self) -> Result<(), UploadEnd> {
        while let At::Length(left) = self.progress.at
            && left > 0
        {
            if self.input.is_empty() {
                self.fill(left).await?;
            }
            let n = self.input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            // The head goes out with the first piece; after that pieces go as they are.
            if self.up.is_empty() {
                self.upstream.write_all(&self.input.filled()[..n]).await.map_err(backend_end)?;
            } else {
                self.up.extend_from_slice(&self.input.filled()[..n]);
                self.flush().await?;
            }
            // Only now: a piece that did not get through as a whole is still there for another attempt.
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

    /// Adds to what goes to the backend next, from the trailers and what was read of the client, and keeps a copy.
    fn add(&mut self, write: impl FnOnce(&mut Vec<u8>, &Fields, &[u8])) {
        let begin = self.up.len();
        write(self.up, self.trailers, self.input.filled());
        self.progress.note(&self.up[begin..]);
    }

    /// Reads more. What is ready for the backend is sent first: a client may wait for it to be answered.
    async fn fill(&mut self, body: u64) -> Result<(), UploadEnd> {
        self.flush().await?;
        self.buffers.enlarge(self.input, body);
        self.pace.wait(self.client.timers.now());
        let read = self.client.read(self.input).await;
        self.pace.go_on(self.client.timers.now());
        match read {
            Ok(0) | Err(IoEnd::Failed) => Err(UploadEnd::ClientGone),
            Ok(_) => Ok(()),
            Err(IoEnd::TimedOut) => Err(UploadEnd::ClientTimedOut),
        }
    }

    async fn flush(&mut self) -> Result<(), UploadEnd> {
        self.upstream.flush(self.up).await.map_err(backend_end)
    }
}

fn backend_end(end: IoEnd) -> UploadEnd {
    match end {
        IoEnd::TimedOut => UploadEnd::BackendTimedOut,
        IoEnd::Failed => UploadEnd::BackendGone,
    }
}
