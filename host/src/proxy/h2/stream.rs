//! A stream: what one exchange may do with it.

use std::cell::OnceCell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::request::Parts;

use super::heads::{Heads, HeldHead, IsTooMuch};
use super::{Incoming, Outgoing};
use crate::config::{HalfClose, Limits};
use crate::h2::{self as h2_message, Account, Traffic};
use crate::message::Fields;
use crate::net::{ConnectionInfo, IoEnd, SMALL, Timer, Wait};
use crate::proxy::admission::Beside;
use crate::proxy::body::{Duplex, H2Reader, H2Sink, MessageReader, MessageSink, Stage};
use crate::proxy::connection::Disposition;
use crate::proxy::entry::Entry;
use crate::proxy::presence::{Presence, Watched};
use crate::proxy::reply::{Answer, ReplyTo};
use crate::proxy::settings::Settings;
use crate::proxy::shares::{Share, Shares};
use crate::proxy::terms::Terms;
use crate::proxy::worker::Worker;

/// What the streams of a connection share.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) worker: Rc<Worker>,
    entry: Rc<Entry>,
    pub(super) info: ConnectionInfo,
    /// Streams that the client resets before it has the response: each may have kept a backend busy
    /// for nothing.
    pub(super) resets: Account,
    traffic: Rc<Traffic>,
    /// Connections to backends that its streams use.
    shares: Rc<Shares>,
    /// The heads of its streams.
    heads: Rc<Heads>,
}

impl Session {
    /// A connection without streams.
    pub(super) fn new(
        worker: Rc<Worker>,
        entry: Rc<Entry>,
        info: ConnectionInfo,
        (beside, traffic): (Beside, &Rc<Traffic>),
    ) -> Self {
        let (resets, is_proxy) = worker.latest(|settings| {
            let is_proxy = settings.forwarding.trusts(info.peer.ip());
            (settings.limits.h2.resets, is_proxy)
        });
        Self {
            shares: Rc::new(Shares::new(beside)),
            heads: Rc::new(Heads::new(&worker.heads, &info, is_proxy)),
            worker,
            entry,
            info,
            resets: Account::new(resets),
            traffic: Rc::clone(traffic),
        }
    }

    /// What its listener does with connections.
    pub(super) fn entry(&self) -> &Rc<Entry> {
        &self.entry
    }

    /// Counts the head of a stream that is to be served; `None` if it has to be refused: because
    /// its client has all that it may have, or because the heads of its connection hold too much.
    pub(super) fn take_in(&self, head: &Parts) -> Option<HeldHead> {
        if self.shares.is_exhausted(self.worker.timers.now()) {
            return None;
        }
        let largest = self.worker.latest(|settings| settings.limits.header_bytes);
        let held = self.heads.hold(head, largest);
        if held.as_ref().is_err_and(|e| *e == IsTooMuch::OfConnection) {
            // Each time for nothing: a client that goes on is cut off.
            self.resets.take();
        }
        held.ok()
    }
}

/// One stream of a client's connection.
#[derive(Debug)]
pub(in crate::proxy) struct Stream {
    pub(in crate::proxy) timer: Rc<Timer>,
    session: Rc<Session>,
    incoming: Incoming,
    outgoing: Outgoing,
    /// The right to a connection to a backend, once the request has needed one.
    share: OnceCell<Share>,
    /// Its head's part of what heads may hold, until the exchange is over.
    head: Option<HeldHead>,
}

/// The parts of a stream that a tunnel uses.
pub(in crate::proxy) struct Ends<'a> {
    pub(in crate::proxy) worker: &'a Worker,
    pub(in crate::proxy) info: &'a ConnectionInfo,
    pub(in crate::proxy) timer: &'a Timer,
    pub(in crate::proxy) incoming: &'a mut Incoming,
    pub(in crate::proxy) outgoing: &'a Outgoing,
}

impl Stream {
    /// One whose head has arrived.
    pub(super) fn new(
        session: Rc<Session>,
        head: HeldHead,
        body: RecvStream,
        response: SendResponse<Bytes>,
    ) -> Self {
        Self {
            timer: session.worker.timers.register(),
            incoming: Incoming::new(body, &session.traffic),
            session,
            outgoing: Outgoing::response(response),
            share: OnceCell::new(),
            head: Some(head),
        }
    }

    /// Whether the request may have a connection to a backend for itself, from now on until it
    /// ends.
    pub(in crate::proxy) fn may_connect(&self, limits: &Limits) -> bool {
        let Session {
            shares,
            info,
            worker,
            ..
        } = &*self.session;
        if self.share.get().is_some() {
            return true;
        }
        match shares.take(info, limits, worker.timers.now()) {
            Some(share) => self.share.set(share).is_ok(),
            None => {
                worker.shard.http2.refused.increment();
                false
            }
        }
    }

    pub(in crate::proxy) fn worker(&self) -> &Rc<Worker> {
        &self.session.worker
    }

    pub(in crate::proxy) fn entry(&self) -> &Rc<Entry> {
        self.session.entry()
    }

    pub(in crate::proxy) fn info(&self) -> &ConnectionInfo {
        &self.session.info
    }

    /// Both directions, as they are read and written for one attempt.
    pub(in crate::proxy) fn open<'a>(
        &'a mut self,
        terms: Terms<'a>,
        duplex: &'a Duplex,
    ) -> (MessageReader<'a>, MessageSink<'a>) {
        let Self {
            timer,
            incoming,
            outgoing,
            ..
        } = self;
        let reader = reader(terms, timer, incoming);
        let sink = sink(terms, timer, outgoing, duplex);
        (MessageReader::H2(reader), MessageSink::H2(sink))
    }

    /// Whether the client is still there.
    pub(in crate::proxy) fn presence(
        &self,
        half_close: HalfClose,
        read_whole: bool,
    ) -> Presence<'_> {
        Presence {
            client: Watched::Stream(&self.outgoing),
            timers: &self.session.worker.timers,
            timer: &self.timer,
            half_close,
            read_whole,
        }
    }

    /// Its ends and what is known of its client, for a tunnel: that holds no head.
    pub(in crate::proxy) fn ends(&mut self) -> Ends<'_> {
        self.head = None;
        Ends {
            worker: &self.session.worker,
            info: &self.session.info,
            timer: &self.timer,
            incoming: &mut self.incoming,
            outgoing: &self.outgoing,
        }
    }

    /// How far its response has come.
    pub(in crate::proxy) fn response(&self) -> &Outgoing {
        &self.outgoing
    }

    /// Whether nothing more comes from the client.
    pub(super) fn is_at_end(&self) -> bool {
        self.incoming.is_at_end()
    }

    /// Takes what has arrived of the body, without waiting.
    pub(super) fn take_arrived(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        while self.incoming.filled().len() < SMALL
            && let Poll::Ready(Ok(1..)) = self.incoming.poll_fill(&mut cx)
        {}
    }

    /// So many bytes of the body, if they are all there and no trailers follow.
    pub(in crate::proxy) fn in_hand(&self, length: u64) -> Option<usize> {
        let held = self.incoming.filled().len();
        (held as u64 == length && self.incoming.is_at_end()).then_some(held)
    }

    /// What has arrived after the head.
    pub(in crate::proxy) fn held(&self) -> &[u8] {
        self.incoming.filled()
    }

    pub(in crate::proxy) fn awaits_body(&self) -> bool {
        self.incoming.filled().is_empty()
    }

    pub(in crate::proxy) fn consume(&mut self, length: usize) {
        self.incoming.consume(length);
    }

    /// Waits so long for the beginning of a body. Returns whether it came in time.
    pub(in crate::proxy) async fn gather(
        &mut self,
        settings: &Settings,
        patience: Duration,
    ) -> bool {
        let worker = Rc::clone(&self.session.worker);
        let Self {
            timer, incoming, ..
        } = self;
        worker.timers.arm(timer, Wait::ClientRead, patience);
        let mut in_time = true;
        while incoming.filled().len() < SMALL {
            let mut reader = reader(Terms::new(&worker, settings), timer, incoming);
            match reader.read_watched().await {
                Ok(1..) => {}
                Err(IoEnd::TimedOut) => {
                    in_time = false;
                    break;
                }
                // The upload will come to the same end.
                Ok(_) | Err(IoEnd::Failed) => break,
            }
        }
        timer.disarm(Wait::ClientRead);
        in_time
    }

    /// Sends an answer that is not a backend's. A message that is malformed in HTTP/2's own terms
    /// gets none (RFC 9113 section 8.1.1).
    pub(in crate::proxy) async fn answer(
        &mut self,
        settings: &Settings,
        answer: &Answer<'_>,
        to: ReplyTo<'_>,
    ) -> Disposition {
        if self.incoming.is_malformed() {
            self.outgoing.reset(Reason::PROTOCOL_ERROR);
            return Disposition::Abort;
        }
        let duplex = Duplex::new(Stage::Whole, false);
        let worker = &self.session.worker;
        let (timer, outgoing) = (&self.timer, &self.outgoing);
        let mut sink = sink(Terms::new(worker, settings), timer, outgoing, &duplex);
        let (body, length) = match answer.body(to.method) {
            Some((body, length)) => (body, Some(length)),
            None => (&b""[..], None),
        };
        let mut fields = Fields::new();
        answer.each_field(to, |name, value| fields.append(name, value));
        sink.answer(answer.status(), &fields, length);
        let sent = match body {
            b"" => Ok(()),
            body => sink.piece(body).await,
        };
        let sent = match sent {
            Ok(()) => sink.end(&Fields::new()).await,
            end => end,
        };
        match sent {
            Ok(()) => Disposition::Close,
            Err(_) => Disposition::Abort,
        }
    }

    /// Sends the 200 with which a tunnel begins (RFC 9113 section 8.5).
    pub(in crate::proxy) fn begin_tunnel(&self) -> Disposition {
        let head = h2_message::answer(200, &Fields::new(), None);
        match self.outgoing.start(head, false) {
            Ok(()) => Disposition::Close,
            Err(_) => Disposition::Abort,
        }
    }

    /// Ends it as the exchange has decided. A body that the client is still sending after a
    /// response is none of ours: it is asked to stop (RFC 9113 section 8.1).
    pub(in crate::proxy) fn end(self, disposition: Disposition) {
        if disposition != Disposition::Abort {
            self.session.resets.add(1);
            return;
        }
        let mut cx = Context::from_waker(Waker::noop());
        if self.outgoing.poll_left(&mut cx).is_ready() {
            self.session.resets.take();
        }
        self.outgoing.reset(Reason::INTERNAL_ERROR);
    }
}

fn reader<'a>(terms: Terms<'a>, timer: &'a Timer, from: &'a mut Incoming) -> H2Reader<'a> {
    H2Reader {
        from,
        timers: &terms.worker.timers,
        timer,
        wait: Wait::ClientRead,
        patience: terms.timeouts.body_read,
        limits: terms.head_limits,
    }
}

fn sink<'a>(
    terms: Terms<'a>,
    timer: &'a Timer,
    to: &'a Outgoing,
    duplex: &'a Duplex,
) -> H2Sink<'a> {
    H2Sink {
        to,
        timers: &terms.worker.timers,
        timer,
        wait: Wait::ClientWrite,
        patience: terms.timeouts.send,
        duplex,
        head: None,
        held: Bytes::new(),
    }
}
