//! A tunnel: after a 101, or where there is no request, the bytes of another protocol both ways,
//! whatever carries them.
//!
//! It begins when its request has ended: it holds no head, no policy and no snapshot, and a buffer
//! only while bytes that were read are not written. Nothing of what passes is interpreted.

mod flow;

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;

use self::flow::{Broken, Flow, Reader, Writer};
use super::connection::{Connection, Disposition};
use super::exchange::{Attempted, Exchange};
use super::forward_proxy::TunnelPlace;
use super::h2::{Ends, Stream};
use super::layer4::Layer4;
use super::switched::{Backend, Patience, Request, Switched};
use super::worker::Worker;
use crate::config::LoggedRequests;
use crate::net::{Buffer, ConnectionInfo, Timer, Wait};
use crate::observe::access_log::Moved;
use crate::upstream::{AttemptOutcome, Lease};

/// Why a tunnel has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Both sides have ended theirs, or one its whole connection.
    Done,
    /// The same, but the client may be sending still.
    DoneUnread,
    /// The client reset its connection, or cut a TLS session off.
    ClientFailed,
    /// The backend did.
    BackendFailed,
    /// No byte moved for too long.
    Idle,
    /// The same, after one side had ended.
    HalfEnded,
    /// A side took no byte for too long.
    Stuck,
}

impl Exchange<'_> {
    /// Keeps the connection to a backend that has changed its protocol.
    #[cold]
    pub(super) fn switched(
        &mut self,
        lease: Lease<'_>,
        backend: Backend,
        received: Buffer,
    ) -> Attempted {
        let settings = &self.view.settings;
        let (idle, ending) = (self.timeouts.tunnel_idle, self.timeouts.linger);
        self.scratch.tunnel = Some(Box::new(Switched {
            backend,
            received,
            in_flight: lease.goes_on(),
            patience: Patience {
                idle,
                ending: ending.min(idle),
            },
            logged: settings.logged,
            request: None,
            place: None,
            layer4: self.layer4,
        }));
        self.client.timer().disarm(Wait::UpstreamRead);
        let answered = AttemptOutcome::Answered;
        lease.finish(answered, &mut self.doubt, self.scratch.head.client);
        self.outcome.status = 101;
        Attempted::Ended(Disposition::Tunnel)
    }
}

impl Connection {
    /// Serves the client as one side of a tunnel, until that ends. What it has sent behind its
    /// request goes first.
    pub(super) async fn tunnel(&mut self, switched: Box<Switched>) -> Disposition {
        let (read, write) = self.stream.split();
        let client = Side {
            worker: &self.worker,
            info: &self.info,
            timer: &self.timer,
            sent: std::mem::take(&mut self.input),
            from: Reader::Stream(read),
            to: Writer::Stream(write),
        };
        carry(client, *switched).await.disposition()
    }
}

impl Stream {
    /// The same for a stream of the client's connection.
    pub(super) async fn tunnel(mut self, switched: Box<Switched>) {
        let Ends {
            worker,
            info,
            timer,
            incoming,
            outgoing,
        } = self.ends();
        let client = Side {
            worker,
            info,
            timer,
            sent: Buffer::default(),
            from: Reader::H2(incoming),
            to: Writer::H2(outgoing),
        };
        let failed = match switched.place {
            Some(_) => Reason::CONNECT_ERROR,
            // RFC 8441 section 5.
            None => Reason::CANCEL,
        };
        let end = carry(client, *switched).await;
        let sent = self.response();
        match end {
            // As the end of a connection that failed.
            End::BackendFailed => sent.reset(failed),
            End::Stuck => sent.reset(Reason::CANCEL),
            // It fails if it has ended before.
            End::Idle | End::HalfEnded => drop(sent.send(Bytes::new(), true)),
            End::Done | End::DoneUnread | End::ClientFailed => {}
        }
        self.end(match end {
            End::ClientFailed => Disposition::Abort,
            _ => Disposition::Finish,
        });
    }
}

/// The client's side of a tunnel.
struct Side<'a> {
    worker: &'a Worker,
    info: &'a ConnectionInfo,
    timer: &'a Timer,
    /// What the client has sent before the tunnel began.
    sent: Buffer,
    from: Reader<'a>,
    to: Writer<'a>,
}

/// Moves the bytes of a tunnel until it ends.
async fn carry(client: Side<'_>, switched: Switched) -> End {
    let Switched {
        mut backend,
        received,
        in_flight: _in_flight,
        patience,
        logged,
        request,
        place,
        layer4,
    } = switched;
    let worker = client.worker;
    let sent = client.sent.len() as u64;
    worker.shard.tunnel_begins(layer4.is_some(), sent);
    let on_wire = [client.to.is_stream(), matches!(backend, Backend::Stream(_))];
    let mut open = Open {
        up: Flow::new(client.sent, &worker.buffers),
        down: Flow::new(received, &worker.buffers),
        worker,
        info: client.info,
        timer: client.timer,
        patience,
        logged,
        request,
        place,
        layer4,
        ending: false,
        blocked: [false; 2],
        counted_on_wire: on_wire,
        ended: None,
    };
    let halves = halves(&mut backend);
    let end = open.run((client.from, client.to), halves).await;
    open.ended = Some(end);
    drop(open);
    // A stream is reset when it is dropped, unless both sides have ended it.
    if let (Backend::Connection(connection), End::ClientFailed) = (&mut backend, end) {
        connection.stream.reset_when_dropped();
    }
    end
}

/// The backend's side of a tunnel, as it is read and written.
fn halves(backend: &mut Backend) -> Halves<'_> {
    match backend {
        Backend::Connection(connection) => {
            let (read, write) = connection.stream.split();
            (Reader::Stream(read), Writer::Stream(write))
        }
        Backend::Stream(stream) => {
            let (incoming, outgoing) = stream.ends();
            (Reader::H2(incoming), Writer::H2(outgoing))
        }
    }
}

/// A tunnel that is open. However it ends, it is uncounted and has its line in the log.
struct Open<'a> {
    worker: &'a Worker,
    info: &'a ConnectionInfo,
    timer: &'a Timer,
    /// From the client to the backend.
    up: Flow,
    /// From the backend to the client.
    down: Flow,
    patience: Patience,
    logged: LoggedRequests,
    request: Option<Request>,
    place: Option<TunnelPlace>,
    /// As what it was passed on, if it carries no request.
    layer4: Option<Layer4>,
    /// Whether one side has ended.
    ending: bool,
    /// Whether bytes to the backend, and to the client, wait until they are taken.
    blocked: [bool; 2],
    /// Whether the bytes of the client's side, and of the backend's, are counted where the frames
    /// of their connection are.
    counted_on_wire: [bool; 2],
    /// How it has ended.
    ended: Option<End>,
}

type Halves<'a> = (Reader<'a>, Writer<'a>);
type Both = [(u64, u64); 2];

impl Open<'_> {
    async fn run(&mut self, client: Halves<'_>, backend: Halves<'_>) -> End {
        let (mut from_client, mut to_client) = client;
        let (mut from_backend, mut to_backend) = backend;
        self.arm(Wait::ClientRead, self.patience.idle);
        poll_fn(|cx| {
            let (before, buffers) = (self.moved(), &self.worker.buffers);
            let up = self.up.poll(cx, &mut from_client, &mut to_backend, buffers);
            let down = self
                .down
                .poll(cx, &mut from_backend, &mut to_client, buffers);
            self.count(before);
            // Reading would see it as well, but nothing is read while the backend takes nothing.
            if to_client.poll_left(cx).is_ready() {
                return Poll::Ready(End::ClientFailed);
            }
            if let Some(end) = self.end(up, down) {
                return Poll::Ready(end);
            }
            self.wait(cx, before)
        })
        .await
    }

    fn moved(&self) -> Both {
        [self.up.moved(), self.down.moved()]
    }

    /// Adds what has moved since `before` to the statistics.
    fn count(&self, before: Both) {
        let (shard, [up, down]) = (&self.worker.shard, self.moved());
        if self.layer4.is_some() {
            shard.layer4.bytes_from_clients.add(up.0 - before[0].0);
            shard.layer4.bytes_to_clients.add(down.1 - before[1].1);
        }
        let [client, backend] = self.counted_on_wire;
        if !client {
            shard.bytes_from_clients.add(up.0 - before[0].0);
            shard.bytes_to_clients.add(down.1 - before[1].1);
        }
        if !backend {
            shard.bytes_to_backends.add(up.1 - before[0].1);
            shard.bytes_from_backends.add(down.0 - before[1].0);
        }
    }

    /// Whether the tunnel has ended by what its directions have come to.
    fn end(&self, up: Poll<Result<(), Broken>>, down: Poll<Result<(), Broken>>) -> Option<End> {
        match (up, down) {
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Some(End::Done),
            (_, Poll::Ready(Err(Broken::Reader))) => Some(End::BackendFailed),
            // A side that has all that there is may close its connection in any way.
            (Poll::Ready(Err(Broken::Reader)), Poll::Ready(Ok(()))) => Some(End::Done),
            (Poll::Ready(Err(Broken::Reader)), _) => Some(End::ClientFailed),
            // One that has ended its own direction may close the other as well.
            (Poll::Ready(Err(Broken::Writer)), _) => Some(match self.down.has_ended() {
                true => End::DoneUnread,
                false => End::BackendFailed,
            }),
            (_, Poll::Ready(Err(Broken::Writer))) => Some(match self.up.has_ended() {
                true => End::Done,
                false => End::ClientFailed,
            }),
            _ => None,
        }
    }

    /// Waits for more, within the time that each wait may take.
    fn wait(&mut self, cx: &mut Context<'_>, before: Both) -> Poll<End> {
        let now = self.moved();
        let ending = self.up.has_ended() || self.down.has_ended();
        if now != before || ending != self.ending {
            self.ending = ending;
            let Patience { idle, ending: end } = self.patience;
            self.arm(Wait::ClientRead, if ending { end } else { idle });
        }
        let blocked = [self.up.is_blocked(), self.down.is_blocked()];
        for (at, wait) in [(0, Wait::UpstreamWrite), (1, Wait::ClientWrite)] {
            match blocked[at] {
                true if self.blocked[at] && now[at] == before[at] => {}
                true => self.arm(wait, self.patience.idle),
                false => self.timer.disarm(wait),
            }
        }
        self.blocked = blocked;
        let is_due = |wait| self.worker.timers.is_due(self.timer, wait);
        if is_due(Wait::ClientRead) {
            let end = if ending { End::HalfEnded } else { End::Idle };
            return Poll::Ready(end);
        }
        if is_due(Wait::UpstreamWrite) || is_due(Wait::ClientWrite) {
            return Poll::Ready(End::Stuck);
        }
        self.timer.remember(cx.waker());
        Poll::Pending
    }

    fn arm(&self, wait: Wait, patience: Duration) {
        self.worker.timers.arm(self.timer, wait, patience);
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        for wait in [Wait::ClientRead, Wait::ClientWrite, Wait::UpstreamWrite] {
            self.timer.disarm(wait);
        }
        self.up.discard(&self.worker.buffers);
        self.down.discard(&self.worker.buffers);
        self.worker.shard.tunnel_ends(self.layer4.is_some());
        if let Some(place) = self.place.take() {
            place.carried((self.up.moved().0, self.down.moved().1));
        }
        let Some((mut outcome, head)) = self.request.take().map(Request::parts) else {
            return;
        };
        outcome.end(outcome.client);
        let reason = match self.ended {
            Some(end) => end.reason(),
            // Its task was dropped.
            None => Some("the tunnel was open when the time to drain was over"),
        };
        outcome.reason = reason.map(str::to_owned);
        let moved = Moved {
            from_client: self.up.moved().0,
            to_client: self.down.moved().1,
            layer4: self.layer4.map(Layer4::as_str),
        };
        let log = &self.worker.access_log;
        log.record_tunnel(self.logged, &outcome, &head, self.info, moved);
    }
}

impl End {
    /// What becomes of the client's connection.
    fn disposition(self) -> Disposition {
        match self {
            Self::BackendFailed => Disposition::Abort,
            Self::DoneUnread => Disposition::Close,
            Self::Done | Self::ClientFailed | Self::Idle | Self::HalfEnded | Self::Stuck => {
                Disposition::Finish
            }
        }
    }

    /// Why the tunnel could not go on; `None` if its sides have ended it.
    fn reason(self) -> Option<&'static str> {
        match self {
            Self::Done | Self::DoneUnread => None,
            Self::ClientFailed => Some("the client broke the tunnel off"),
            Self::BackendFailed => Some("the backend broke the tunnel off"),
            Self::Idle => Some("the tunnel was idle for too long"),
            Self::HalfEnded => Some("one side of the tunnel ended, and the other did not follow"),
            Self::Stuck => Some("a side of the tunnel took no byte for too long"),
        }
    }
}
