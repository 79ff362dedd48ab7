//! The response on its way down: its head, what policies and ranges make of it, and its body.

use std::cell::Cell;
use std::time::Instant;

use super::context::RequestContext;
use super::partial::{Body, Cut};
use super::presence::Presence;
use super::refusal::{LocalReply, Refusal};
use super::reply::{connection_option, write_date};
use super::upload::{Sent, Stage};
use crate::decision::TRACE;
use crate::h1::{
    ChunkedDecoder, Decoded, Framing, ResponseMeta, write_chunk_size, write_last_chunk,
    write_response_end, write_status_line,
};
use crate::message::{Fields, Malformed, RequestHead, ResponseHead, Version};
use crate::net::{Buffer, IoEnd, ReadHalf, TimedIo, WriteHalf};
use crate::policy::ByteRange;
use crate::upstream::{AttemptOutcome, WorkerEndpoint};

/// The client was not interested any more.
pub const LEFT: End = End::ClientGone("the client left before the backend had answered");
const LEFT_WITHIN: End = End::ClientGone("the client left before it had the whole response");
/// Bytes collected for the client before they are sent.
const BATCH: usize = 64 * 1024;

/// A response on its way down.
#[derive(Debug)]
pub struct Download<'a> {
    /// Where it comes from.
    pub upstream: TimedIo<'a, ReadHalf<'a>>,
    /// What was read from there.
    pub buffer: &'a mut Buffer,
    /// Where it goes.
    pub client: TimedIo<'a, WriteHalf<'a>>,
    /// What goes there next.
    pub out: &'a mut Vec<u8>,
    /// The request.
    pub head: &'a mut RequestHead,
    /// The response.
    pub response: &'a mut ResponseHead,
    /// Trailers of the response.
    pub trailers: &'a mut Fields,
    pub context: RequestContext<'a>,
    /// Who answers.
    pub backend: &'a WorkerEndpoint,
    /// Its index.
    pub index: u32,
    /// The ranges that the client asked for, if the proxy may cut the answer.
    pub ranges: &'a [ByteRange],
    /// Whether the client's connection may carry another request.
    pub keep_alive: bool,
    /// How much of the request has been sent.
    pub uploaded: &'a Cell<Sent>,
    /// The status, once the client has been sent one.
    pub status: &'a Cell<u16>,
    /// When the request was sent.
    pub sent: Instant,
    /// The status of the head that waits in `out`; 0 if none does.
    pub announced: u16,
    /// How the client can tell where the body ends.
    pub to: Framing,
}

/// How a download ended.
#[derive(Debug)]
pub enum End {
    /// The client has the whole response.
    Complete {
        /// The backend's connection may carry another request.
        reusable: bool,
        /// The client's connection may.
        keep_alive: bool,
    },
    /// The backend's connection ended before the response began.
    Closed,
    /// The client gets this in place of the response.
    Local(LocalReply),
    /// The response ended in the middle, after its head went out.
    Broken {
        /// What happened.
        reason: &'static str,
        /// Whether the client can see that what it has is not the whole.
        delimited: bool,
        /// What it says of the backend.
        outcome: AttemptOutcome,
    },
    /// The client takes no more.
    ClientGone(&'static str),
}

impl Download<'_> {
    /// Reads the response and sends it on.
    pub async fn run(mut self) -> End {
        match self.respond().await {
            Ok(end) | Err(end) => end,
        }
    }

    async fn respond(&mut self) -> Result<End, End> {
        let meta = self.head().await?;
        self.backend.answered(self.sent.elapsed());
        self.context.chain().answered();
        let (worker, index, status) = (self.context.worker, self.index, self.response.status);
        let chain = self.context.chain();
        let edited = chain.edit_response(self.head, status, index, &mut self.response.fields);
        edited.map_err(|stop| End::Local(stop.into()))?;
        // After the policies: what `If-Range` is compared with is what the client has been shown.
        let body = self.body(&meta)?;
        let delimited = body.to != Framing::UntilClose;
        let keep_alive = self.keep_alive
            && delimited
            && self.uploaded.get().stage == Stage::Whole
            && !worker.is_draining();
        self.explain();
        self.write_head(&meta, &body, keep_alive);
        self.announced = self.response.status;
        self.to = body.to;
        let ended = match body {
            Body {
                from: Framing::None,
                ..
            } => self.flush().await.map(|()| true),
            Body {
                cut: Cut::One(slice),
                ..
            } => self.slice(slice, 0).await.map(|()| false),
            Body {
                cut: Cut::Many(parts),
                ..
            } => Box::pin(self.slices(&parts)).await.map(|()| false),
            Body {
                from: Framing::Length(n),
                ..
            } => self.length(n).await.map(|()| true),
            Body {
                from: Framing::Chunked,
                ..
            } => self.chunked().await.map(|()| true),
            Body {
                from: Framing::UntilClose,
                ..
            } => self.until_close().await.map(|()| false),
        };
        // Bytes beyond the response belong to nothing we asked for.
        let reusable = ended?
            && self.buffer.is_empty()
            && self.uploaded.get() == Sent::WHOLE
            && persists(&meta, self.response.version);
        Ok(End::Complete {
            reusable,
            keep_alive,
        })
    }

    /// Decides how the body goes on, and cuts it if a range asks for it.
    fn body(&mut self, meta: &ResponseMeta) -> Result<Body, End> {
        if meta.framing == Framing::None {
            // HEAD and 304 may tell the length that a GET would have had; 204 may not (RFC 9110
            // section 8.6).
            let told = meta.content_length.filter(|_| self.response.status != 204);
            return Ok(Body {
                from: Framing::None,
                to: told.map_or(Framing::None, Framing::Length),
                cut: Cut::Whole,
            });
        }
        if !self.ranges.is_empty()
            && let (Framing::Length(n), 200) = (meta.framing, self.response.status)
            && let Some((cut, length)) = self.cut(n)?
        {
            return Ok(Body {
                from: meta.framing,
                to: Framing::Length(length),
                cut,
            });
        }
        let to = match (meta.framing, self.head.version) {
            (Framing::Length(n), _) => Framing::Length(n),
            (_, Version::Http11) => Framing::Chunked,
            (_, Version::Http10) => Framing::UntilClose,
        };
        Ok(Body {
            from: meta.framing,
            to,
            cut: Cut::Whole,
        })
    }

    /// Tells how the request was decided, if that was asked for.
    #[inline]
    fn explain(&mut self) {
        let (state, status) = (self.context.state, self.response.status);
        state.attempted(self.backend.address, || format!("status-{status}"));
        if let Some(trace) = state.trace() {
            let fields = &mut self.response.fields;
            fields.set(TRACE.as_bytes(), trace.as_bytes());
            // Made for whoever asked, and for no cache on the way.
            fields.set(b"cache-control", b"no-store");
        }
    }

    fn write_head(&mut self, meta: &ResponseMeta, body: &Body, keep_alive: bool) {
        write_status_line(self.response.status, &self.response.reason, self.out);
        let forwarding = &self.context.worker.settings.forwarding;
        if meta.notes.proxy_status && self.response.fields.contains("proxy-status") {
            // RFC 9209 section 2: each hop appends itself to what those behind it have said.
            self.response
                .fields
                .append(b"proxy-status", forwarding.item().as_bytes());
        }
        if body.from == Framing::Chunked && body.to != Framing::Chunked {
            self.response.fields.remove(b"trailer");
        }
        // A policy may have written a date, or removed the backend's; a response has one.
        let dates = self.response.fields.keep_last(b"date");
        self.response.fields.write_to(self.out);
        let capitals = self.response.fields.writes_spelling();
        forwarding.write_response_via(self.response.version, capitals, self.out);
        if !dates {
            write_date(&self.context.worker.date(), capitals, self.out);
        }
        write_response_end(
            body.to,
            connection_option(self.head.version, keep_alive),
            capitals,
            self.out,
        );
    }

    pub(super) async fn length(&mut self, mut left: u64) -> Result<(), End> {
        let n = self
            .buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        self.out.extend_from_slice(&self.buffer.filled()[..n]);
        self.buffer.consume(n);
        left -= n as u64;
        self.flush().await?;
        while left > 0 {
            self.fill(left, true).await?;
            let n = self
                .buffer
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            self.client
                .write_all(&self.buffer.filled()[..n])
                .await
                .map_err(client_end)?;
            self.buffer.consume(n);
            left -= n as u64;
        }
        Ok(())
    }

    async fn chunked(&mut self) -> Result<(), End> {
        let limits = self.context.worker.response_limits;
        let mut decoder = ChunkedDecoder::default();
        let mut total = 0;
        loop {
            let decoded = decoder.decode(self.buffer.filled(), limits, self.trailers);
            match decoded.map_err(|reason| self.malformed(reason))? {
                Decoded::End(n) => {
                    self.buffer.consume(n);
                    if self.to == Framing::Chunked {
                        self.response.fields.edited().keep_out_of(self.trailers);
                        write_last_chunk(self.trailers, self.out);
                    }
                    return self.flush().await;
                }
                Decoded::Data { skip, data: 0 } => {
                    self.buffer.consume(skip);
                    self.flush().await?;
                    self.fill(total, decoder.owes()).await?;
                }
                Decoded::Data { skip, data } => {
                    total += data as u64;
                    self.buffer.consume(skip);
                    self.piece(data);
                    if self.out.len() >= BATCH {
                        self.flush().await?;
                    }
                }
            }
        }
    }

    async fn until_close(&mut self) -> Result<(), End> {
        let mut total = 0;
        loop {
            let n = self.buffer.len();
            total += n as u64;
            self.piece(n);
            self.flush().await?;
            match self.read_body(total).await? {
                Ok(0) => break,
                Ok(_) => {}
                Err(end) => return Err(self.lost(end, false)),
            }
        }
        if self.to == Framing::Chunked {
            self.trailers.clear();
            write_last_chunk(self.trailers, self.out);
        }
        self.flush().await
    }

    /// Moves so many bytes of content from the buffer to the client's side.
    fn piece(&mut self, n: usize) {
        if n == 0 {
            return;
        }
        if self.to == Framing::Chunked {
            write_chunk_size(n, self.out);
        }
        self.out.extend_from_slice(&self.buffer.filled()[..n]);
        if self.to == Framing::Chunked {
            self.out.extend_from_slice(b"\r\n");
        }
        self.buffer.consume(n);
    }

    /// Reads more of the body, of which the backend `owes` some that it has announced.
    pub(super) async fn fill(&mut self, body: u64, owes: bool) -> Result<(), End> {
        match self.read_body(body).await? {
            Ok(0) => Err(self.broken(
                "the backend's connection ended within the body",
                AttemptOutcome::BodyCut,
            )),
            Ok(_) => Ok(()),
            Err(end) => Err(self.lost(end, owes)),
        }
    }

    /// Reads more of a body that is `body` bytes long, as far as it is known, while the client is
    /// there.
    async fn read_body(&mut self, body: u64) -> Result<Result<usize, IoEnd>, End> {
        self.context.worker.buffers.enlarge(self.buffer, body);
        let read_whole = self.uploaded.get().stage == Stage::Whole;
        let presence = Presence::of(self.context.worker, &self.client, read_whole);
        presence
            .during(self.upstream.read(self.buffer))
            .await
            .ok_or(LEFT_WITHIN)
    }

    pub(super) async fn flush(&mut self) -> Result<(), End> {
        if self.announced != 0 {
            self.status.set(self.announced);
        }
        self.client.flush(self.out).await.map_err(client_end)
    }

    /// The body turned out not to be one: as long as nothing has been sent the client can be told.
    fn malformed(&self, reason: Malformed) -> End {
        match self.status.get() {
            0 => bad(reason),
            _ => self.broken(
                "the backend's body is not correctly chunked",
                AttemptOutcome::BodyCut,
            ),
        }
    }

    fn lost(&self, end: IoEnd, owes: bool) -> End {
        match end {
            IoEnd::Failed => self.broken(
                "the backend's connection failed within the body",
                AttemptOutcome::BodyCut,
            ),
            IoEnd::TimedOut if owes => self.broken(
                "the backend stopped within the body",
                AttemptOutcome::BodyStalled,
            ),
            IoEnd::TimedOut => self.broken(
                "the backend was silent for too long within the body",
                AttemptOutcome::Quiet,
            ),
        }
    }

    fn broken(&self, reason: &'static str, outcome: AttemptOutcome) -> End {
        End::Broken {
            reason,
            delimited: self.to != Framing::UntilClose,
            outcome,
        }
    }
}

fn persists(meta: &ResponseMeta, version: Version) -> bool {
    !meta.control.close && (version == Version::Http11 || meta.control.keep_alive)
}

pub(super) fn refused(refusal: Refusal) -> End {
    End::Local(LocalReply::Refusal(refusal))
}

pub(super) fn bad(reason: Malformed) -> End {
    refused(Refusal::BadResponse(reason))
}

fn client_end(end: IoEnd) -> End {
    End::ClientGone(match end {
        IoEnd::TimedOut => "the client took no byte of the response in time",
        IoEnd::Failed => "the client closed the connection before it had the response",
    })
}
