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
use tokio::task::spawn_local;

use super::frames::Account;
use super::limits::builder;
use super::stream::{Session, Stream};
use super::task::exchange;
use super::wire::{Notes, Wire};
use crate::net::{self, ConnectionInfo, Timer, Wait};
use crate::proxy::linger::{MOST, Place, linger};
use crate::proxy::worker::Worker;

/// How long a client has to agree to the end of a connection on which nothing is under way.
const FAREWELL: Duration = Duration::from_millis(500);

type Engine = server::Connection<Wire, Bytes>;
type Arrival = (Request<RecvStream>, SendResponse<Bytes>);

/// Serves a connection that has been admitted to its end. `read_before` was read from it while its
/// protocol was not known.
pub(in crate::proxy) async fn serve(
    worker: Rc<Worker>,
    stream: net::Stream,
    info: ConnectionInfo,
    read_before: Vec<u8>,
) {
    let timer = worker.timers.register();
    let frames = worker.latest(|settings| settings.limits.h2.idle_frames);
    let notes = Notes::new(Account::new(frames));
    let wire = Wire::new(stream, read_before, &worker.shard, &notes);
    let session = Rc::new(Session::new(Rc::clone(&worker), info));
    let is_clean = run(&session, wire, &notes, &timer).await;
    let Some(mut stream) = notes.take_back() else {
        return;
    };
    if !is_clean {
        stream.reset_when_dropped();
    } else if let Some(_place) = Place::take(&worker.lingering, MOST) {
        let patience = worker.latest(|settings| settings.timeouts.linger);
        linger(&worker, &mut stream, &timer, patience).await;
    }
}

/// Returns whether what was sent at last may still reach the client.
async fn run(session: &Rc<Session>, wire: Wire, notes: &Rc<Notes>, timer: &Timer) -> bool {
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
        begun => begun.map(Result::ok),
    });
    let begun = worker.timers.watch(timer, Wait::ClientRead, begun).await;
    drop(handshake);
    let Ok(Some(engine)) = begun else {
        return false;
    };
    let mut served = Served {
        session,
        notes,
        timer,
        engine,
        requests: 0,
        phase: Phase::Open,
        written: None,
    };
    poll_fn(|cx| served.poll(cx)).await
}

/// A connection under way.
struct Served<'a> {
    session: &'a Rc<Session>,
    notes: &'a Notes,
    timer: &'a Timer,
    engine: Engine,
    requests: u64,
    phase: Phase,
    /// What had been written when the socket took no more.
    written: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Requests may come.
    Open,
    /// The client is told to send no more, and what has begun is finished.
    Leaving,
    /// It ends now, with what is written already.
    Ending,
}

impl Served<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.timer.remember(cx.waker());
        loop {
            self.look();
            match self.engine.poll_accept(cx) {
                Poll::Ready(Some(Ok(arrival))) => self.begin(arrival),
                Poll::Ready(Some(Err(e))) => return Poll::Ready(!e.is_io()),
                Poll::Ready(None) => return Poll::Ready(true),
                Poll::Pending if self.must_end() => {}
                Poll::Pending => break,
            }
        }
        self.wait()
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
        if self.phase == Phase::Ending {
            return false;
        }
        if self.notes.account.is_overdrawn() || self.session.resets.is_overdrawn() {
            self.phase = Phase::Ending;
            self.engine.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
            return true;
        }
        if self.engine.has_streams() || !self.is_due() {
            return false;
        }
        // Nothing is under way, and the client has had its time.
        match self.phase {
            Phase::Open => self.leave(),
            Phase::Leaving | Phase::Ending => {
                self.phase = Phase::Ending;
                self.engine.abrupt_shutdown(Reason::NO_ERROR);
            }
        }
        true
    }

    fn is_due(&self) -> bool {
        let timers = &self.session.worker.timers;
        timers.is_due(self.timer, Wait::ClientRead)
    }

    /// Takes a request in.
    fn begin(&mut self, (request, response): Arrival) {
        self.requests += 1;
        let (parts, body) = request.into_parts();
        let stream = Stream::new(Rc::clone(self.session), body, response);
        // A panic in it ends only this stream: tokio catches it, and its parts are dropped.
        spawn_local(exchange(stream, parts));
    }

    /// Nothing can be done now: settles how long that may last.
    fn wait(&mut self) -> Poll<bool> {
        let worker = &self.session.worker;
        if self.is_stuck() {
            return Poll::Ready(false);
        }
        if self.engine.has_streams() {
            self.timer.disarm(Wait::ClientRead);
            return Poll::Pending;
        }
        if !self.timer.is_armed(Wait::ClientRead) {
            let patience = match self.phase {
                Phase::Open => worker.latest(|settings| settings.timeouts.idle),
                Phase::Leaving | Phase::Ending => FAREWELL,
            };
            worker.timers.arm(self.timer, Wait::ClientRead, patience);
        }
        Poll::Pending
    }

    /// Whether the client has taken nothing for too long.
    fn is_stuck(&mut self) -> bool {
        let worker = &self.session.worker;
        if !self.notes.is_stuck.get() {
            if self.written.take().is_some() {
                self.timer.disarm(Wait::ClientWrite);
            }
            return false;
        }
        let written = self.notes.written.get();
        if self.written != Some(written) {
            self.written = Some(written);
            let send = worker.latest(|settings| settings.timeouts.send);
            worker.timers.arm(self.timer, Wait::ClientWrite, send);
        }
        worker.timers.is_due(self.timer, Wait::ClientWrite)
    }
}
