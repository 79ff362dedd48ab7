//! A connection from end to end: read a head, have it exchanged, go on or end.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::boxed::boxed;
use super::client::Client;
use super::connection::{Connection, Disposition};
use super::exchange::Exchange;
use super::halves::client_read;
use super::linger::{MOST, Place, linger, part};
use super::refusal::Refusal;
use super::refuse::refuse;
use super::scratch::Scratch;
use super::settings::Settings;
use super::snapshot::WorkerSnapshot;
use super::worker::Worker;
use crate::config::Protocols;
use crate::h1::{self, Arrival, RequestMeta, parse_request};
use crate::net::{Buffer, IoEnd, ReadHalf, Wait};
use crate::observe::Outcome;

/// What a client of HTTP/2 says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How the service of a connection by HTTP/1.1 has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Served {
    /// With the connection.
    Ended,
    /// The client speaks HTTP/2.
    SpeaksHttp2,
}

/// What was read where a request's head should be.
enum HeadRead {
    Request(RequestMeta),
    Refused(Refusal),
    Closed,
}

impl Connection {
    /// Serves it to its end, or until it turns out that the client speaks HTTP/2, without anything
    /// that would say so before.
    pub(super) async fn serve(&mut self) -> Served {
        match self.run().await {
            None => return Served::SpeaksHttp2,
            // A fatal alert is no end that could be taken for a good one.
            Some(_) if self.stream.has_failed() => {
                let Self {
                    worker,
                    stream,
                    timer,
                    ..
                } = self;
                Box::pin(part(worker, stream, timer)).await;
            }
            Some(Disposition::Abort) => self.stream.reset_when_dropped(),
            Some(_) => {}
        }
        self.worker
            .buffers
            .take_back(std::mem::take(&mut self.input));
        Served::Ended
    }

    async fn run(&mut self) -> Option<Disposition> {
        loop {
            if !self.wait().await {
                return Some(Disposition::Finish);
            }
            if self.served == 0 && self.info.tls.is_none() {
                let Protocols { http1, h2 } = self.entry.protocols;
                if h2 && self.may_speak_h2() && Box::pin(self.speaks_h2()).await {
                    return None;
                }
                if !http1 {
                    return Some(Disposition::Close);
                }
            }
            let worker = Rc::clone(&self.worker);
            let mut scratch = worker.scratch();
            // In a box of its own: otherwise every idle connection would hold the room that a
            // request needs.
            let disposition = boxed(|| self.request(&mut scratch)).await;
            let tunnel = scratch.tunnel.take();
            worker.take_back(scratch);
            let disposition = match tunnel {
                Some(tunnel) => Box::pin(self.tunnel(tunnel)).await,
                None => disposition,
            };
            match disposition {
                Disposition::Next => {}
                Disposition::Close => {
                    self.linger().await;
                    return Some(Disposition::Close);
                }
                Disposition::Finish | Disposition::Tunnel | Disposition::Abort => {
                    return Some(disposition);
                }
            }
        }
    }

    /// Whether what has arrived may be the beginning of HTTP/2 (RFC 9113 section 3.4).
    fn may_speak_h2(&self) -> bool {
        let begun = self.input.filled();
        let n = begun.len().min(PREFACE.len());
        begun[..n] == PREFACE[..n]
    }

    /// Waits until it is clear whether the client speaks HTTP/2.
    async fn speaks_h2(&mut self) -> bool {
        let worker = Rc::clone(&self.worker);
        let view = worker.view();
        let timers = &worker.timers;
        timers.arm(
            &self.timer,
            Wait::ClientRead,
            view.settings.timeouts.header_read,
        );
        while self.may_speak_h2() && self.input.len() < PREFACE.len() {
            let half = self.stream.split().0;
            let mut read = client_read(&worker, &view.settings.timeouts, &self.timer, half);
            if !matches!(read.read_watched(&mut self.input).await, Ok(1..)) {
                break;
            }
        }
        self.timer.disarm(Wait::ClientRead);
        self.may_speak_h2() && self.input.len() >= PREFACE.len()
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
            entry,
            ..
        } = self;
        worker.buffers.take_back(std::mem::take(input));
        let patience = worker.latest(|settings| match *served {
            0 => settings.timeouts.header_read,
            _ => settings.timeouts.idle,
        });
        let mut half = stream.split().0;
        let spoke = poll_fn(|cx| match poll_spoke(worker, &mut half, input, cx) {
            // Before the end of a connection the socket itself is asked: a request that has arrived
            // since the last look would be lost.
            Poll::Pending if worker.is_past_grace(entry) && half.socket().unread() == 0 => {
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
        let next = self.read_head(&worker.view().settings, scratch).await;
        let outcome = Outcome::begin();
        // What was published while the head arrived holds for this request.
        let view = worker.view();
        match next {
            HeadRead::Closed => Disposition::Finish,
            HeadRead::Request(meta) => {
                if self.entry.is_forward {
                    return boxed(|| self.request_forward(&view, scratch, meta, outcome)).await;
                }
                self.input.consume(meta.head_len);
                self.served += 1;
                let facts = meta.facts(scratch.head.version);
                let client = Client::H1(self);
                let mut exchange = Exchange::new(client, &view, scratch, facts, outcome);
                exchange.run().await
            }
            HeadRead::Refused(refusal) => {
                let (client, settings) = (Client::H1(self), &view.settings);
                refuse(client, &refusal, settings, scratch, outcome).await
            }
        }
    }

    /// The same for a client of a forward proxy.
    async fn request_forward(
        &mut self,
        view: &Rc<WorkerSnapshot>,
        scratch: &mut Scratch,
        meta: RequestMeta,
        outcome: Outcome,
    ) -> Disposition {
        // The fields of this hop are not among those that go on.
        let head = self.input.filled()[..meta.head_len].to_vec();
        self.input.consume(meta.head_len);
        self.served += 1;
        let facts = meta.facts(scratch.head.version);
        let client = Client::H1(self);
        let mut exchange = Exchange::new(client, view, scratch, facts, outcome);
        exchange.run_forward(h1::to_proxy(&head)).await
    }

    async fn read_head(&mut self, settings: &Settings, scratch: &mut Scratch) -> HeadRead {
        let Self {
            worker,
            stream,
            timer,
            input,
            ..
        } = self;
        let mut read = client_read(worker, &settings.timeouts, timer, stream.split().0);
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

    /// Gives a client that is sending still the time to see its answer.
    pub(super) async fn linger(&mut self) {
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
}

/// Whether the client has said something, which is in `input` then, or has ended.
fn poll_spoke(
    worker: &Worker,
    half: &mut ReadHalf<'_>,
    input: &mut Buffer,
    cx: &mut Context<'_>,
) -> Poll<bool> {
    let read = ready!(half.poll_first(cx, input, &worker.buffers));
    let n = read.unwrap_or(0);
    worker.shard.bytes_from_clients.add(n as u64);
    Poll::Ready(n > 0)
}
