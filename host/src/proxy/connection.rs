//! One client connection: read a head, have it exchanged, go on or end.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use super::access_log::{self, Line};
use super::body::{Duplex, MessageSink, Reader};
use super::exchange::{Exchange, Record};
use super::halves::{client_read, client_write};
use super::linger::{MOST, Place, linger};
use super::presence::Presence;
use super::refusal::Refusal;
use super::reply::{self, ReplyTo};
use super::scratch::Scratch;
use super::settings::Settings;
use super::worker::Worker;
use crate::config::HalfClose;
use crate::h1::{Arrival, RequestMeta, parse_request};
use crate::message::{Malformed, RequestHead};
use crate::net::{Buffer, ConnectionInfo, IoEnd, ReadHalf, Stream, Timer, Wait};
use crate::stats::WorkerShard;

/// A client connection.
#[derive(Debug)]
pub struct Connection {
    pub(super) worker: Rc<Worker>,
    pub(super) stream: Stream,
    pub(super) info: ConnectionInfo,
    pub(super) timer: Rc<Timer>,
    pub(super) input: Buffer,
    served: u64,
}

/// What becomes of the connection after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// The next request may come.
    Next,
    /// It is closed: the request was read to its end and the client has all of the response.
    Finish,
    /// It is closed, but the client may be sending still and must be given the time to see the
    /// answer.
    Close,
    /// It is reset: the client must not take what it has for the whole.
    Abort,
}

/// What was read where a request's head should be.
enum HeadRead {
    Request(RequestMeta),
    Refused(Refusal),
    Closed,
}

impl Connection {
    /// A connection that has been admitted.
    pub fn new(worker: Rc<Worker>, stream: Stream, info: ConnectionInfo) -> Self {
        let timer = worker.timers.register();
        Self {
            worker,
            stream,
            info,
            timer,
            input: Buffer::default(),
            served: 0,
        }
    }

    /// Serves it to its end.
    pub async fn serve(&mut self) {
        match self.run().await {
            Disposition::Abort => self.stream.reset_when_dropped(),
            Disposition::Next | Disposition::Finish | Disposition::Close => {}
        }
        self.worker
            .buffers
            .take_back(std::mem::take(&mut self.input));
    }

    async fn run(&mut self) -> Disposition {
        loop {
            if !self.wait().await {
                return Disposition::Finish;
            }
            let worker = Rc::clone(&self.worker);
            let mut scratch = worker.scratch();
            // In a box of its own: otherwise every idle connection would hold the room that a
            // request needs.
            let disposition = Box::pin(self.request(&mut scratch)).await;
            worker.take_back(scratch);
            match disposition {
                Disposition::Next => {}
                Disposition::Close => {
                    self.linger().await;
                    return Disposition::Close;
                }
                Disposition::Finish | Disposition::Abort => return disposition,
            }
        }
    }

    /// Waits without a buffer until the client says something; false if it does not, or must not
    /// any more.
    async fn wait(&mut self) -> bool {
        if !self.input.is_empty() {
            return true;
        }
        let Self {
            worker,
            stream,
            timer,
            input,
            served,
            ..
        } = self;
        worker.buffers.take_back(std::mem::take(input));
        let patience = worker.latest(|settings| match *served {
            0 => settings.timeouts.header_read,
            _ => settings.timeouts.idle,
        });
        let mut half = stream.split().0;
        let spoke = poll_fn(|cx| match poll_spoke(worker, &mut half, input, cx) {
            // Who never sent anything is given a moment: the connection was accepted before the
            // drain.
            Poll::Pending if worker.is_draining() && (*served > 0 || worker.is_past_grace()) => {
                Poll::Ready(false)
            }
            spoke => spoke,
        });
        worker
            .timers
            .limit(timer, Wait::ClientRead, patience, spoke)
            .await
            .unwrap_or(false)
    }

    async fn request(&mut self, scratch: &mut Scratch) -> Disposition {
        let worker = Rc::clone(&self.worker);
        let view = worker.view();
        let next = self.read_head(&view.settings, scratch).await;
        let started = Instant::now();
        let mut record = Record::default();
        let disposition = match next {
            HeadRead::Closed => return Disposition::Finish,
            HeadRead::Request(meta) => {
                self.input.consume(meta.head_len);
                self.served += 1;
                worker.shard.requests.increment();
                let active = ActiveRequest::new(&worker.shard);
                let disposition = Exchange::new(self, &view, scratch, meta, &mut record, started)
                    .run()
                    .await;
                drop(active);
                disposition
            }
            HeadRead::Refused(refusal) => {
                worker.shard.requests.increment();
                let to = ReplyTo {
                    method: &http::Method::GET,
                    version: Default::default(),
                    keep_alive: false,
                    date: &worker.date(),
                    trace: None,
                    item: view.settings.forwarding.item(),
                };
                reply::write_refusal(&refusal, to, &mut scratch.out);
                record.status = refusal.status();
                record.refused(&refusal);
                self.send(&view.settings, &mut scratch.out).await
            }
        };
        self.record(&record, &view.settings, &scratch.head, started);
        disposition
    }

    /// The connection as it is read and written for one exchange.
    pub(super) fn open<'a>(
        &'a mut self,
        (worker, settings): (&'a Worker, &Settings),
        out: &'a mut Vec<u8>,
        duplex: &'a Duplex,
    ) -> (Reader<'a>, MessageSink<'a>) {
        let (read, write) = self.stream.split();
        let reader = Reader {
            read: client_read(worker, settings, &self.timer, read),
            buffer: &mut self.input,
            buffers: &worker.buffers,
            limits: settings.head_limits,
        };
        let write = client_write(worker, settings, &self.timer, write);
        (reader, MessageSink::to_client(write, out, duplex))
    }

    /// Whether the client is still there.
    pub(super) fn presence(&self, half_close: HalfClose, read_whole: bool) -> Presence<'_> {
        Presence {
            socket: self.stream.socket(),
            timers: &self.worker.timers,
            timer: &self.timer,
            half_close,
            read_whole,
        }
    }

    /// Whether the connection may carry another request after this many.
    pub(super) fn may_continue(&self) -> bool {
        let limit = self.worker.latest(|s| s.limits.requests_per_connection);
        !self.worker.is_draining() && (limit == 0 || self.served < limit)
    }

    async fn read_head(&mut self, settings: &Settings, scratch: &mut Scratch) -> HeadRead {
        let Self {
            worker,
            stream,
            timer,
            input,
            ..
        } = self;
        let mut read = client_read(worker, settings, timer, stream.split().0);
        let (timers, patience) = (&worker.timers, settings.timeouts.header_read);
        timers.arm(timer, Wait::ClientRead, patience);
        scratch.head.fields.keep_spelling(settings.keeps_spelling);
        let mut arrival = Arrival::default();
        let limits = settings.head_limits;
        let next = loop {
            if arrival.is_due(input.filled(), limits) {
                match parse_request(&mut scratch.head, input.filled(), limits) {
                    Ok(Some(meta)) => break HeadRead::Request(meta),
                    Ok(None) => {}
                    Err(reason) => break HeadRead::Refused(Refusal::Malformed(reason)),
                }
            }
            match read.read_watched(input).await {
                Ok(0) | Err(IoEnd::Failed) => break HeadRead::Closed,
                Ok(_) => {}
                Err(IoEnd::TimedOut) if input.is_empty() => break HeadRead::Closed,
                Err(IoEnd::TimedOut) => {
                    // As much of the head as there is, for the log: what the scratch space holds
                    // may be another's.
                    let _ = parse_request(&mut scratch.head, input.filled(), limits);
                    break HeadRead::Refused(Refusal::RequestTimeout);
                }
            }
        };
        timer.disarm(Wait::ClientRead);
        next
    }

    /// Sends what was written, as the last thing on this connection unless it may continue.
    pub(super) async fn send(&mut self, settings: &Settings, out: &mut Vec<u8>) -> Disposition {
        let Self {
            worker,
            stream,
            timer,
            ..
        } = self;
        let mut write = client_write(worker, settings, timer, stream.split().1);
        match write.flush(out).await {
            Ok(()) => Disposition::Close,
            Err(_) => Disposition::Abort,
        }
    }

    /// Gives a client that is sending still the time to see its answer.
    async fn linger(&mut self) {
        let Self {
            worker,
            stream,
            timer,
            input,
            ..
        } = self;
        worker.buffers.take_back(std::mem::take(input));
        if let Some(_place) = Place::take(&worker.lingering, MOST) {
            let patience = worker.latest(|settings| settings.timeouts.linger);
            linger(worker, stream, timer, patience).await;
        }
    }

    /// Whether the client has sent more than was read, as far as the last poll saw. For a
    /// connection that is to end: a byte of it is gone.
    pub(super) fn has_unread(&self) -> bool {
        !self.input.is_empty() || self.stream.took_unread()
    }

    fn record(&self, record: &Record, settings: &Settings, head: &RequestHead, started: Instant) {
        let shard = &self.worker.shard;
        let took = started.elapsed();
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        shard.request_microseconds.record(microseconds);
        match shard
            .by_status
            .get(usize::from(record.status).wrapping_sub(100))
        {
            Some(count) => count.increment(),
            None => shard.unanswered.increment(),
        }
        if !settings.logged.wants(record.reason.is_some()) {
            return;
        }
        let client = head_client(head, self);
        self.worker.access_log.record(&Line {
            time: access_log::time(took),
            client: &client,
            // A head that was not understood up to its target has no method to speak of.
            method: if head.target.is_empty() {
                ""
            } else {
                head.method.as_str()
            },
            host: &head.host,
            target: &head.target,
            status: record.status,
            duration_microseconds: microseconds,
            backend: record.backend.as_deref().map(|b| b.name.as_str()),
            attempts: record.attempts,
            reason: record.reason.as_deref(),
        });
    }
}

/// A request counts as active until this is dropped, also by a panic.
struct ActiveRequest<'a>(&'a WorkerShard);

impl<'a> ActiveRequest<'a> {
    fn new(shard: &'a WorkerShard) -> Self {
        shard.requests_active.increment();
        Self(shard)
    }
}

impl Drop for ActiveRequest<'_> {
    fn drop(&mut self) {
        self.0.requests_active.decrement();
    }
}

/// The client as the forwarding fields told it, or the peer if the head was not understood.
fn head_client(head: &RequestHead, connection: &Connection) -> String {
    match head.client.is_unspecified() {
        true => connection.info.peer_text().to_owned(),
        false => head.client.to_string(),
    }
}

/// Whether the client has said something, which is in `input` then, or has ended.
fn poll_spoke(
    worker: &Worker,
    half: &mut ReadHalf<'_>,
    input: &mut Buffer,
    cx: &mut Context<'_>,
) -> Poll<bool> {
    if ready!(half.poll_ready(cx)).is_err() {
        return Poll::Ready(false);
    }
    *input = worker.buffers.small();
    if let Poll::Ready(read) = half.poll_read(cx, input) {
        let n = read.unwrap_or(0);
        worker.shard.bytes_from_clients.add(n as u64);
        return Poll::Ready(n > 0);
    }
    // Readiness was a false alarm, and the read has asked to be woken.
    worker.buffers.take_back(std::mem::take(input));
    Poll::Pending
}

impl From<Malformed> for Refusal {
    fn from(reason: Malformed) -> Self {
        Self::Malformed(reason)
    }
}
