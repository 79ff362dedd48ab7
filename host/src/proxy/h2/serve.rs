//! A connection of HTTP/2 from end to end: it takes requests in, and each of them goes its way as a
//! task of its own.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{self, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;

use super::frames::Account;
use super::limits::{SMALL_WINDOW, builder};
use super::open::Open;
use super::stream::{Session, Stream};
use super::task::exchange;
use super::wire::{Line, Wire};
use crate::net::{self, ConnectionInfo, Timer, Wait};
use crate::proxy::admission::Beside;
use crate::proxy::boxed::boxed;
use crate::proxy::entry::Entry;
use crate::proxy::linger::{MOST, Place, linger};
use crate::proxy::runner;
use crate::proxy::worker::Worker;

/// How long a client has to agree to the end of a connection on which nothing is under way.
const FAREWELL: Duration = Duration::from_millis(500);

/// How long a client that has broken the rules may take to read why it is cut off.
const BRIEFLY: Duration = Duration::from_secs(1);

/// Connections of a worker with a large window for bodies at a time.
const MOST_WINDOWS: usize = 256;

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

type Engine = server::Connection<Wire, Bytes>;
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
    let frames = worker.latest(|settings| settings.limits.h2.idle_frames);
    let line = Line::new(stream, &worker.shard, Account::new(frames));
    let wire = Wire::new(&line, read_before);
    let session = Rc::new(Session::new(Rc::clone(&worker), entry, info, beside));
    let end = run(&session, wire, &line, &timer).await;
    let Some(mut stream) = line.into_stream() else {
        return;
    };
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
        (builder(&settings.limits), patience)
    });
    worker.timers.arm(timer, Wait::ClientRead, patience);
    // In a box, so that an idle connection does not hold the room for it.
    let mut handshake = Box::pin(builder.handshake(wire));
    let begun = poll_fn(|cx| match handshake.as_mut().poll(cx) {
        Poll::Pending if worker.is_past_grace() => Poll::Ready(None),
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
        window: None,
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
    /// The right to a large window, while requests have bodies.
    window: Option<Place>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Requests may come.
    Open,
    /// The client is told to send no more, and what has begun is finished.
    Leaving,
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
                Poll::Pending if self.must_end() => {}
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
            Some(_) => End::Error,
            None if self.phase == Phase::Cut => End::Error,
            None => End::Close,
        }
    }

    /// Leaves when the worker does, or when the connection has had its share of requests.
    fn look(&mut self) {
        if self.phase != Phase::Open {
            return;
        }
        let worker = &self.session.worker;
        let most = worker.latest(|settings| settings.limits.requests_per_connection);
        if worker.is_draining() || (most > 0 && self.requests >= most) {
            self.leave();
        }
    }

    fn leave(&mut self) {
        self.phase = Phase::Leaving;
        self.timer.disarm(Wait::ClientRead);
        self.engine.graceful_shutdown();
    }

    /// Whether the connection is to end for a reason that was not there a moment ago.
    fn must_end(&mut self) -> bool {
        if matches!(self.phase, Phase::Ending | Phase::Cut) {
            return false;
        }
        let frames = self.line.account.is_overdrawn();
        if frames || self.session.resets.is_overdrawn() {
            self.cut(if frames { "frames" } else { "resets" });
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
        let Session { worker, info, .. } = &**self.session;
        worker.shard.http2.cut.increment();
        tracing::debug!(
            peer = info.peer_text(),
            "a connection of HTTP/2 is cut off: too many {what}"
        );
        self.phase = Phase::Cut;
        self.engine.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
    }

    fn is_due(&self) -> bool {
        let timers = &self.session.worker.timers;
        timers.is_due(self.timer, Wait::ClientRead)
    }

    /// Takes a request in.
    fn begin(&mut self, (request, mut response): Arrival) {
        self.requests += 1;
        let (parts, body) = request.into_parts();
        let Some(head) = self.session.take_in(&parts) else {
            // Nothing of it was processed: the client may send it again.
            self.session.worker.shard.http2.refused.increment();
            response.send_reset(Reason::REFUSED_STREAM);
            return;
        };
        if !body.is_end_stream() {
            self.widen();
        }
        let stream = Stream::new(Rc::clone(self.session), head, body, response);
        let job = boxed(|| exchange(stream, parts));
        runner::run(&self.session.worker.runners, job);
    }

    /// Makes room for a body. Only some connections at a time have a large window: what arrives is
    /// held in memory until a backend takes it.
    fn widen(&mut self) {
        let worker = &self.session.worker;
        if self.window.is_none() {
            self.window = Place::take(&worker.windows, MOST_WINDOWS);
            if self.window.is_some() {
                let window = worker.latest(|settings| settings.limits.h2.connection_window);
                self.engine.set_target_window_size(window);
            }
        }
    }

    /// Nothing can be done now: settles how long that may last.
    fn wait(&mut self) -> Poll<End> {
        if self.is_stuck() {
            return Poll::Ready(End::Reset);
        }
        let worker = &self.session.worker;
        if self.engine.has_streams() {
            self.timer.disarm(Wait::ClientRead);
            return Poll::Pending;
        }
        if self.window.take().is_some() {
            self.engine.set_target_window_size(SMALL_WINDOW);
        }
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
