//! A connection of HTTP/2 from end to end: it takes requests in, and each of them goes its way as a
//! task of its own.

use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::Request;

use super::limits::{builder, header_list};
use super::open::Open;
use super::stream::{Session, Stream};
use super::task::exchange;
use super::windows::Windows;
use super::wire::{Engine, Line, Wire};
use crate::config::{H2Limits, Limits};
use crate::h2::{Account, Traffic};
use crate::net::{self, ConnectionInfo, Timer, Wait};
use crate::proxy::admission::Beside;
use crate::proxy::boxed::boxed;
use crate::proxy::entry::Entry;
use crate::proxy::linger::{BRIEFLY, MOST, Place, linger, part};
use crate::proxy::runner;
use crate::proxy::settings::Settings;
use crate::proxy::worker::Worker;

/// How long a client has to agree to the end of a connection on which nothing is under way.
const FAREWELL: Duration = Duration::from_millis(500);

/// How long a client has to say that it has read that no more requests are taken.
const GRACE: Duration = Duration::from_secs(1);

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// In good order.
    Close,
    /// With an error that the client should see.
    Error,
    /// The client takes nothing any more.
    Reset,
}

type Arrival = (Request<RecvStream>, SendResponse<Bytes>);

/// Serves a connection that has been admitted to its end. `read_before` was read from it while its
/// protocol was not known.
pub(in crate::proxy) async fn serve(
    (worker, entry): (Rc<Worker>, Rc<Entry>),
    stream: net::Stream,
    (info, beside): (ConnectionInfo, Beside),
    read_before: Vec<u8>,
) {
    let timer = worker.timers.register();
    worker.shard.http2.connections.increment();
    let _open = Open::new(&worker.shard.http2.connections_active);
    let (accounts, most) = worker.latest(|settings| {
        let H2Limits {
            idle_frames,
            stream_errors,
            ..
        } = settings.limits.h2;
        let accounts = (Account::new(idle_frames), Account::new(stream_errors));
        (accounts, header_list(&settings.limits))
    });
    let traffic = Rc::new(Traffic::new(most));
    let line = Line::new(stream, &worker.shard, accounts, &traffic);
    let wire = Wire::new(&line, read_before);
    let session = Session::new(Rc::clone(&worker), entry, info, (beside, &traffic));
    let session = Rc::new(session);
    let end = run(&session, wire, &line, &timer).await;
    let Some(mut stream) = line.into_stream() else {
        return;
    };
    if stream.has_failed() {
        return part(&worker, &mut stream, &timer).await;
    }
    let patience = worker.latest(|settings| settings.timeouts.linger);
    let patience = match end {
        End::Reset => return stream.reset_when_dropped(),
        End::Error => patience.min(BRIEFLY),
        End::Close => patience,
    };
    if let Some(_place) = Place::take(&worker.lingering, MOST) {
        linger(&worker, &mut stream, &timer, patience).await;
    }
}

async fn run(session: &Rc<Session>, wire: Wire, line: &Line, timer: &Timer) -> End {
    let worker = &session.worker;
    let (builder, patience) = worker.latest(|settings| {
        let patience = settings.timeouts.header_read;
        (
            builder(&settings.limits, session.entry().is_forward),
            patience,
        )
    });
    worker.timers.arm(timer, Wait::ClientRead, patience);
    // In a box, so that an idle connection does not hold the room for it.
    let mut handshake = Box::pin(builder.handshake(wire));
    let begun = poll_fn(|cx| match handshake.as_mut().poll(cx) {
        Poll::Pending if worker.is_past_grace(session.entry()) => Poll::Ready(None),
        Poll::Pending => match line.poll_drain(cx) {
            Poll::Ready(Err(_)) => Poll::Ready(None),
            _ => Poll::Pending,
        },
        begun => begun.map(Result::ok),
    });
    let begun = worker.timers.watch(timer, Wait::ClientRead, begun).await;
    drop(handshake);
    let Ok(Some(engine)) = begun else {
        return End::Reset;
    };
    let mut served = Served {
        session,
        line,
        timer,
        engine,
        requests: 0,
        phase: Phase::Open,
        written: None,
        windows: Windows::default(),
    };
    poll_fn(|cx| served.poll(cx)).await
}

/// A connection under way.
struct Served<'a> {
    session: &'a Rc<Session>,
    line: &'a Line,
    timer: &'a Timer,
    engine: Engine,
    requests: u64,
    phase: Phase,
    /// What had been written when the socket took no more.
    written: Option<u64>,
    windows: Windows,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Requests may come.
    Open,
    /// The client is told to send no more, and what has begun is finished. So many requests were
    /// there.
    Leaving(u64),
    /// It ends now, with what is written already.
    Ending,
    /// The same, because of what the client did too often.
    Cut,
}

impl Served<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.timer.remember(cx.waker());
        loop {
            self.look();
            match self.engine.poll_accept(cx) {
                Poll::Ready(Some(Ok(arrival))) => self.begin(arrival),
                Poll::Ready(end) => return Poll::Ready(self.end(end.and_then(Result::err))),
                Poll::Pending if self.must_end() || self.line.go_on() => {}
                Poll::Pending => match self.line.poll_drain(cx) {
                    // The engine can go on.
                    Poll::Ready(Ok(())) if self.line.was_full() => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(End::Reset),
                    Poll::Ready(Ok(())) | Poll::Pending => return self.wait(),
                },
            }
        }
    }

    fn end(&self, error: Option<h2::Error>) -> End {
        match error {
            Some(e) if e.is_io() => End::Reset,
            Some(e) => {
                if e.is_library() {
                    self.note_cut(&e);
                }
                End::Error
            }
            None if self.phase == Phase::Cut => End::Error,
            None => End::Close,
        }
    }

    /// Leaves when the worker does, or when the connection has had its share of requests. Further
    /// requests may be on their way then: not for long, and not many.
    fn look(&mut self) {
        let worker = &self.session.worker;
        let limits = |settings: &Settings| {
            let Limits { h2, .. } = &settings.limits;
            (settings.limits.requests_per_connection, h2.streams)
        };
        match self.phase {
            Phase::Open => {
                let (most, _) = worker.latest(limits);
                if worker.ends(self.session.entry()) || (most > 0 && self.requests >= most) {
                    self.leave();
                }
            }
            Phase::Leaving(at) => {
                let (_, late) = worker.latest(limits);
                let is_over = worker.timers.is_due(self.timer, Wait::Presence);
                if is_over || self.requests >= at.saturating_add(late.into()) {
                    self.timer.disarm(Wait::Presence);
                    self.line.end_farewell();
                }
            }
            Phase::Ending | Phase::Cut => {}
        }
    }

    fn leave(&mut self) {
        self.phase = Phase::Leaving(self.requests);
        self.timer.disarm(Wait::ClientRead);
        let timers = &self.session.worker.timers;
        timers.arm(self.timer, Wait::Presence, GRACE);
        self.engine.graceful_shutdown();
    }

    /// Whether the connection is to end for a reason that was not there a moment ago.
    fn must_end(&mut self) -> bool {
        if matches!(self.phase, Phase::Ending | Phase::Cut) {
            return false;
        }
        let overdrawn = [
            (&self.line.account, "too many frames that bring nothing"),
            (&self.line.errors, "too many streams with errors"),
            (&self.session.resets, "too many resets"),
        ];
        if let Some((_, what)) = overdrawn.iter().find(|(a, _)| a.is_overdrawn()) {
            self.cut(what);
            return true;
        }
        if self.engine.has_streams() || !self.is_due() {
            return false;
        }
        // Nothing is under way, and the client has had its time.
        match self.phase {
            Phase::Open => self.leave(),
            _ => {
                self.phase = Phase::Ending;
                self.engine.abrupt_shutdown(Reason::NO_ERROR);
            }
        }
        true
    }

    /// Ends the connection because of what its client did too often.
    #[cold]
    fn cut(&mut self, what: &str) {
        self.note_cut(&what);
        self.phase = Phase::Cut;
        self.engine.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
    }

    #[cold]
    fn note_cut(&self, why: &dyn fmt::Display) {
        let Session { worker, info, .. } = &**self.session;
        worker.shard.http2.cut.increment();
        let peer = info.shown_peer();
        tracing::debug!(%peer, "a connection of HTTP/2 is cut off: {why}");
    }

    fn is_due(&self) -> bool {
        let timers = &self.session.worker.timers;
        timers.is_due(self.timer, Wait::ClientRead)
    }

    /// Takes a request in.
    fn begin(&mut self, (request, mut response): Arrival) {
        self.requests += 1;
        let mut cx = Context::from_waker(Waker::noop());
        if response.poll_reset(&mut cx).is_ready() {
            // Nothing of it was seen, and nothing is done for it.
            self.session.resets.take();
            return;
        }
        let (parts, body) = request.into_parts();
        let Some(head) = self.session.take_in(&parts) else {
            // Nothing of it was processed: the client may send it again.
            self.session.worker.shard.http2.refused.increment();
            response.send_reset(Reason::REFUSED_STREAM);
            return;
        };
        self.line.account.request();
        if !body.is_end_stream() {
            self.windows.begin(&self.session.worker, &mut self.engine);
        }
        let stream = Stream::new(Rc::clone(self.session), head, body, response);
        let job = boxed(|| exchange(stream, parts));
        runner::run(&self.session.worker.runners, job);
    }

    /// Nothing can be done now: settles how long that may last.
    fn wait(&mut self) -> Poll<End> {
        if self.is_stuck() {
            return Poll::Ready(End::Reset);
        }
        let worker = &self.session.worker;
        match self.line.was_crowded() {
            // The next sweep asks again.
            true => worker
                .timers
                .arm(self.timer, Wait::UpstreamRead, Duration::ZERO),
            false => self.timer.disarm(Wait::UpstreamRead),
        }
        if self.engine.has_streams() {
            self.timer.disarm(Wait::ClientRead);
            let left = self.line.traffic.window();
            self.windows.follow(worker, &mut self.engine, left);
            return Poll::Pending;
        }
        self.windows.end(&mut self.engine);
        if !self.timer.is_armed(Wait::ClientRead) {
            let patience = match self.phase {
                Phase::Open => worker.latest(|settings| settings.timeouts.idle),
                _ => FAREWELL,
            };
            worker.timers.arm(self.timer, Wait::ClientRead, patience);
        }
        Poll::Pending
    }

    /// Whether the client has taken nothing for too long.
    fn is_stuck(&mut self) -> bool {
        let worker = &self.session.worker;
        if !self.line.is_stuck.get() {
            if self.written.take().is_some() {
                self.timer.disarm(Wait::ClientWrite);
            }
            return false;
        }
        let written = self.line.written.get();
        if self.written != Some(written) {
            self.written = Some(written);
            let send = worker.latest(|settings| settings.timeouts.send);
            worker.timers.arm(self.timer, Wait::ClientWrite, send);
        }
        worker.timers.is_due(self.timer, Wait::ClientWrite)
    }
}
