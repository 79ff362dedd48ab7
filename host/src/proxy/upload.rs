//! The request's body on its way up, when it is not in hand as a whole.

use std::cell::Cell;
use std::time::Duration;

use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::buffer::{Buffer, Buffers};
use super::io::{IoEnd, Limited};
use super::timer::Wait;
use crate::wire::{
    ChunkedDecoder, Decoded, Fields, Framing, HeadLimits, Malformed, write_chunk_size, write_last_chunk,
};

/// A body on its way up.
#[derive(Debug)]
pub struct Upload<'a> {
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
    /// What the client sent is not a body.
    Malformed(Malformed),
    /// The body is larger than the limit.
    TooLarge,
}

impl Upload<'_> {
    /// Sends head and body.
    pub async fn run(mut self, framing: Framing) -> UploadEnd {
        let sent = match framing {
            Framing::Length(n) => self.length(n).await,
            _ => self.chunked().await,
        };
        match sent {
            Ok(()) => {
                self.complete.set(true);
                // From here on it is the backend that is waited for.
                self.client.timers.arm(self.client.timer, Wait::UpstreamRead, self.response_patience);
                UploadEnd::Complete
            }
            Err(UploadEnd::BackendGone) => {
                self.drop_rest().await;
                UploadEnd::BackendGone
            }
            Err(end) => end,
        }
    }

    /// Reads on for nobody: a client that sends all of its upload before it reads would otherwise never read what the
    /// backend has said of it. Ends with the client, or with the exchange.
    async fn drop_rest(&mut self) {
        self.input.consume(self.input.len());
        while let Ok(1..) = self.client.read(self.input).await {
            self.input.consume(self.input.len());
        }
    }

    async fn length(&mut self, mut left: u64) -> Result<(), UploadEnd> {
        while left > 0 {
            if self.input.is_empty() {
                self.fill(left).await?;
            }
            let n = self.input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            left -= n as u64;
            // The head goes out with the first piece; after that pieces go as they are.
            if self.up.is_empty() {
                self.upstream.write_all(&self.input.filled()[..n]).await.map_err(backend_end)?;
            } else {
                self.up.extend_from_slice(&self.input.filled()[..n]);
                self.flush().await?;
            }
            self.input.consume(n);
        }
        Ok(())
    }

    async fn chunked(&mut self) -> Result<(), UploadEnd> {
        let mut decoder = ChunkedDecoder::default();
        let mut total = 0u64;
        loop {
            let decoded = decoder.decode(self.input.filled(), self.limits, self.trailers);
            match decoded.map_err(UploadEnd::Malformed)? {
                Decoded::End(n) => {
                    self.input.consume(n);
                    write_last_chunk(self.trailers, self.up);
                    return self.flush().await;
                }
                Decoded::Data { skip, data: 0 } => {
                    self.input.consume(skip);
                    self.flush().await?;
                    self.fill(total).await?;
                }
                Decoded::Data { skip, data } => {
                    total = total.saturating_add(data as u64);
                    if self.body_limit > 0 && total > self.body_limit {
                        return Err(UploadEnd::TooLarge);
                    }
                    write_chunk_size(data, self.up);
                    self.up.extend_from_slice(&self.input.filled()[skip..skip + data]);
                    self.up.extend_from_slice(b"\r\n");
                    self.input.consume(skip + data);
                }
            }
        }
    }

    /// Reads more. What is ready for the backend is sent first: a client may wait for it to be answered.
    async fn fill(&mut self, body: u64) -> Result<(), UploadEnd> {
        self.flush().await?;
        self.buffers.enlarge(self.input, body);
        match self.client.read(self.input).await {
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
