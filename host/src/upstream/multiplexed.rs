//! One connection of HTTP/2 to an endpoint: its streams, what keeps it alive, and its end.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use h2::{Ping, PingPong, SendStream};
use http::Request;
use tokio::task::spawn_local;

use super::Room;
use super::allowance::STREAM_WINDOW;
use super::resets::{Resets, poll_resets, poll_timer};
use super::watched::{Liveness, Named, Watched};
use crate::h2::Traffic;
use crate::net::Stream;
use crate::stats::{BackendShard, WorkerShard};

/// Streams on one connection, even if the endpoint allows more: a lost connection costs no more
/// requests than that.
const MOST_STREAMS: usize = 128;
/// As much as all streams together, so that clients that take nothing never stand in the way of
/// others on the same connection.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MOST_STREAMS as u32;
/// What small frames may cost that wait for their clients: each costs 256 bytes less its content.
/// The engine's default is so little that eight clients which do not read end the connection, and
/// with it the responses of all others.
const FRAME_BUDGET: usize = 128 * 1024 * 1024;
/// Bytes of a request that lie between it and the socket.
const SEND_BUFFER: usize = 128 * 1024;
/// Bytes of a response's head for the engine. More than a response may have: the proxy refuses a
/// head, as with HTTP/1.1, and not the engine.
const MAX_HEAD: u32 = 256 * 1024;
/// Streams that ended early and of which frames may be under way.
const RESETS: usize = 1_024;
/// How long the answer to a ping may take, in milliseconds.
const PONG: u64 = 10_000;
/// How many times longer each further wait for a silent endpoint is, in powers of two, and how
/// often it grows. Servers of gRPC take frequent pings for an attack.
const PING_GROWTH: u32 = 2;
const PING_STEPS: u32 = 2;
/// How long the window of a connection may be closed before further requests get another one.
const CLOGGED: Duration = Duration::from_secs(1);
/// How long an endpoint may take to let a connection go that has no stream any more.
const GOODBYE: Duration = Duration::from_secs(10);

/// A connection of HTTP/2. Closed, it ends with its last stream.
#[derive(Debug)]
pub(super) struct Multiplexed {
    /// What opens streams; `None` once it is closed.
    send: RefCell<Option<SendRequest<Bytes>>>,
    /// Streams in use.
    open: Cell<usize>,
    used: Cell<bool>,
    alive: Rc<Liveness>,
    traffic: Rc<Traffic>,
    ping: RefCell<Option<PingPong>>,
    looked: Cell<Looked>,
    resets: RefCell<Resets>,
    shard: Arc<BackendShard>,
}

/// What the sweep knows of a connection. Times are milliseconds of the worker's clock.
#[derive(Debug, Clone, Copy, Default)]
struct Looked {
    /// Since when it has had no stream.
    idle: Option<u64>,
    /// Since when nothing has come.
    silent: Option<u64>,
    /// When it was asked whether it is alive, if it has not answered.
    asked: Option<u64>,
    /// How often it has answered since something else came.
    answers: u32,
}

impl Multiplexed {
    /// Agrees with an endpoint on HTTP/2, and has it show that it speaks it: before that no request
    /// is risked. The caller limits the time.
    pub(super) async fn open(
        (stream, room): (Stream, Room),
        endpoint: Named,
        (shard, worker): (&Arc<BackendShard>, &Arc<WorkerShard>),
    ) -> Result<Rc<Self>, h2::Error> {
        let alive = Rc::new(Liveness::default());
        let traffic = Rc::new(Traffic::new(MAX_HEAD));
        let watched = Watched::new(stream, &alive, &traffic, worker, endpoint);
        let (send, mut connection) = builder().handshake(watched).await?;
        let mut ping = connection.ping_pong();
        shard.connections.increment();
        let multiplexed = Rc::new(Self {
            send: RefCell::new(Some(send)),
            open: Cell::new(0),
            used: Cell::new(false),
            alive,
            traffic,
            ping: RefCell::default(),
            looked: Cell::default(),
            resets: RefCell::default(),
            shard: Arc::clone(shard),
        });
        let unless_given_up = CloseUnless::new(&multiplexed);
        spawn_local(drive(connection, Rc::clone(&multiplexed), room));
        if let Some(ping) = &mut ping {
            let pong = ping.ping(Ping::opaque()).await;
            // Only the connection's task knows why it has ended.
            pong.map_err(|e| multiplexed.alive.error.take().unwrap_or(e))?;
        }
        multiplexed.ping.replace(ping);
        unless_given_up.keep();
        Ok(multiplexed)
    }

    /// Whether streams may be opened on it, now or when others have ended.
    pub(super) fn is_usable(&self) -> bool {
        if self.alive.ended.get() || self.alive.cut.get() {
            return false;
        }
        // It fails once the endpoint has announced that it takes no more.
        !matches!(self.poll_ready(), Poll::Ready(Err(_)))
    }

    /// Whether the engine takes a stream now: not while one waits because the endpoint has lowered
    /// its limit.
    fn poll_ready(&self) -> Poll<Result<(), h2::Error>> {
        let mut cx = Context::from_waker(Waker::noop());
        match &mut *self.send.borrow_mut() {
            Some(send) => send.poll_ready(&mut cx),
            None => Poll::Ready(Err(h2::Reason::REFUSED_STREAM.into())),
        }
    }

    /// How many streams it may have at a time.
    fn limit(&self) -> usize {
        let send = self.send.borrow();
        let of_endpoint = send
            .as_ref()
            .map_or(0, SendRequest::current_max_send_streams);
        of_endpoint.min(MOST_STREAMS)
    }

    /// Whether no stream uses it.
    pub(super) fn is_idle(&self) -> bool {
        self.open.get() == 0
    }

    /// Whether the endpoint has said that it takes extended CONNECTs. Its settings have arrived
    /// before the connection is used.
    pub(super) fn takes_connect(&self) -> bool {
        let send = self.send.borrow();
        send.as_ref()
            .is_some_and(SendRequest::is_extended_connect_protocol_enabled)
    }

    pub(super) fn has_room(&self) -> bool {
        self.open.get() < self.limit()
    }

    /// Whether it has no stream, and may have none.
    pub(super) fn allows_none(&self) -> bool {
        self.open.get() == 0 && self.limit() == 0
    }

    /// Takes one of its streams, if it has room; whether it has carried one before.
    pub(super) fn occupy(&self) -> Option<bool> {
        if !self.has_room() || self.poll_ready().is_pending() {
            return None;
        }
        self.open.set(self.open.get() + 1);
        let looked = self.looked.get();
        self.looked.set(Looked {
            idle: None,
            ..looked
        });
        Some(self.used.replace(true))
    }

    /// What passes on it.
    pub(super) fn traffic(&self) -> &Rc<Traffic> {
        &self.traffic
    }

    /// Whether the endpoint has taken no content of any stream for so long that those which hold it
    /// up seem to have stopped.
    pub(super) fn is_clogged(&self) -> bool {
        self.traffic.full_for().is_some_and(|full| full >= CLOGGED)
    }

    /// Gives a stream back.
    pub(super) fn leave(&self) {
        self.open.set(self.open.get() - 1);
        self.alive.wake();
    }

    /// Opens a stream with this head.
    ///
    /// # Errors
    ///
    /// It takes no more streams: nothing was sent.
    pub(super) fn request(
        &self,
        head: Request<()>,
        is_end: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        match &mut *self.send.borrow_mut() {
            Some(send) => send.send_request(head, is_end),
            None => Err(h2::Reason::REFUSED_STREAM.into()),
        }
    }

    /// An exchange has ended before its stream, which is reset when what is left of it is dropped.
    pub(super) fn abandon(&self, left: Box<dyn Any>) {
        if self.alive.ended.get() {
            return;
        }
        let mut resets = self.resets.borrow_mut();
        let at_once = resets.add(left, Instant::now());
        drop(resets);
        match at_once {
            Some(left) => drop(left),
            None => self.alive.wake(),
        }
    }

    /// Opens no more streams, and ends with the last one.
    pub(super) fn close(&self) {
        let send = self.send.take();
        drop(send);
        self.alive.wake();
    }

    /// What the sweep does with it at this moment; whether it may stay. `ping` is how long it may
    /// be silent.
    pub(super) fn look(&self, now: u64, before: u64, ping: u64) -> bool {
        let mut looked = self.looked.get();
        let heard = self.alive.heard.take();
        if self.open.get() == 0 {
            let idle = *looked.idle.get_or_insert(now);
            self.looked.set(Looked {
                idle: Some(idle),
                ..Looked::default()
            });
            return idle >= before;
        }
        let answered = looked.asked.is_some() && self.has_answered();
        if answered {
            looked.answers += 1;
            (looked.asked, looked.silent) = (None, Some(now));
        } else if heard {
            looked.silent = Some(now);
            if looked.asked.is_none() {
                looked.answers = 0;
            }
        }
        let silent = *looked.silent.get_or_insert(now);
        // What comes in place of an answer shows as well that it is alive.
        let since = looked.asked.map(|asked| asked.max(silent));
        if since.is_some_and(|since| now >= since.saturating_add(PONG)) {
            self.cut();
            return false;
        }
        let steps = looked.answers.min(PING_STEPS) * PING_GROWTH;
        let patience = ping.saturating_mul(1 << steps);
        if ping > 0 && looked.asked.is_none() && now >= silent.saturating_add(patience) {
            self.ask();
            looked.asked = Some(now);
        }
        self.looked.set(looked);
        true
    }

    fn ask(&self) {
        if let Some(ping) = &mut *self.ping.borrow_mut() {
            // It fails where one is under way, or on a connection that has ended.
            let _ = ping.send_ping(Ping::opaque());
        }
    }

    fn has_answered(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let mut ping = self.ping.borrow_mut();
        ping.as_mut()
            .is_some_and(|ping| matches!(ping.poll_pong(&mut cx), Poll::Ready(Ok(_))))
    }

    /// Ends it and all its streams at once: nothing comes any more.
    fn cut(&self) {
        self.alive.cut.set(true);
        self.alive.wake();
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .max_concurrent_streams(0)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEAD)
        .data_frame_budget(FRAME_BUDGET)
        .max_send_buffer_size(SEND_BUFFER)
        .initial_max_send_streams(MOST_STREAMS)
        .max_concurrent_reset_streams(RESETS)
        // In the connection's life, and never forgiven: the stream's request fails, no other.
        .max_local_error_reset_streams(None);
    builder
}

/// Reads and writes the connection until its end. It counts among those of the process until then.
async fn drive(connection: Connection<Watched, Bytes>, of: Rc<Multiplexed>, _room: Room) {
    let _ended = Ended(&of);
    let mut connection = pin!(connection);
    let (mut pause, mut goodbye) = (None, None);
    poll_fn(|cx| {
        of.alive.remember(cx.waker());
        if of.alive.cut.get() {
            return Poll::Ready(());
        }
        if let Poll::Ready(end) = connection.as_mut().poll(cx) {
            of.alive.error.replace(end.err());
            return Poll::Ready(());
        }
        poll_resets(&of.resets, cx, &mut pause);
        if of.open.get() > 0 || of.send.borrow().is_some() {
            goodbye = None;
            return Poll::Pending;
        }
        poll_timer(&mut goodbye, GOODBYE, cx)
    })
    .await;
}

/// Notes the end of a connection, however its task ends.
struct Ended<'a>(&'a Rc<Multiplexed>);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.alive.ended.set(true);
        self.0.alive.waker.take();
        self.0.send.take();
        self.0.shard.connections.decrement();
        let left = self.0.resets.take();
        drop(left);
    }
}

/// Closes a connection that nobody waits for any more.
struct CloseUnless<'a>(Option<&'a Multiplexed>);

impl<'a> CloseUnless<'a> {
    fn new(connection: &'a Multiplexed) -> Self {
        Self(Some(connection))
    }

    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for CloseUnless<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.0 {
            connection.cut();
        }
    }
}
