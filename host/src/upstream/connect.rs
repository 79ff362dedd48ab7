//! How connections are made: the socket, TLS, and the protocol that both sides speak.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use h2::Reason;
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use super::multiplexed::Multiplexed;
use super::opening::Opening;
use super::streams::{NoStream, Slot};
use super::watched::Named;
use super::{AttemptOutcome, Carrier, Connection, Place, Protocol, Room, WorkerEndpoint};
use crate::net::Stream;

/// A new connection.
pub(super) enum Opened {
    /// Of HTTP/1.1.
    Plain(Stream, Room),
    /// Of HTTP/2.
    Multiplexed(Rc<Multiplexed>),
}

/// Why there is no connection.
pub(super) enum Unopened {
    /// This process may have no more.
    NoRoom,
    /// The socket failed: refused, reset, unreachable.
    Socket(io::Error),
    /// The endpoint is reached, and the handshake with it fails.
    Handshake(String),
    /// The endpoint is reached, but it does not speak the protocol that the configuration says.
    Unfit(String),
}

impl WorkerEndpoint {
    /// A new connection, or a stream of one. The caller limits the time; `patience` is for making
    /// a connection that others wait for as well.
    pub(super) async fn connect(
        self: &Rc<Self>,
        (place, room): (Option<Place>, Option<Room>),
        patience: Duration,
    ) -> Result<Carrier, AttemptOutcome> {
        if self.has_streams() {
            if let Some(slot) = self.stream(patience).await? {
                return Ok(Carrier::H2(slot));
            }
            if let Some(connection) = self.pooled_connection(false) {
                return Ok(Carrier::H1(connection));
            }
        }
        let room = match room {
            Some(room) => room,
            None => self.room().await?,
        };
        match self.open(room, patience).await {
            Ok(Opened::Plain(stream, room)) => {
                room.pass_on();
                let connection = Connection::new(self, stream, false, place);
                Ok(Carrier::H1(connection))
            }
            Ok(Opened::Multiplexed(connection)) => {
                self.keep_multiplexed(&connection);
                let slot = self.streams.take();
                slot.map(Carrier::H2).map_err(|_| AttemptOutcome::NoPlace)
            }
            Err(unopened) => Err(self.outcome_of(unopened)),
        }
    }

    /// The right to a new connection.
    pub(super) async fn room(&self) -> Result<Room, AttemptOutcome> {
        let room = self.budget.take().await;
        room.ok_or_else(|| self.outcome_of(Unopened::NoRoom))
    }

    /// A stream of a connection, which is made if there is none; `None` in place of a stream if the
    /// endpoint turns out to speak HTTP/1.1. The caller limits the time.
    async fn stream(self: &Rc<Self>, patience: Duration) -> Result<Option<Slot>, AttemptOutcome> {
        let mut has_opened = false;
        loop {
            match self.streams.take() {
                Ok(slot) => return Ok(Some(slot)),
                Err(NoStream::Full) => return Err(AttemptOutcome::NoPlace),
                // A connection that allows no stream is none. Each request would make another.
                Err(NoStream::Connect)
                    if (has_opened && self.streams.allows_none())
                        || self.streams.is_in_vain(self.swept.get()) =>
                {
                    return Err(AttemptOutcome::NoPlace);
                }
                Err(NoStream::Connect) => {}
            }
            let opening = self.opening(patience);
            if !opening.wait().await? {
                return Ok(None);
            }
            has_opened = true;
        }
    }

    /// The connection that is being made, or the beginning of one. It goes on without the request
    /// that began it, because others may wait for it.
    fn opening(self: &Rc<Self>, patience: Duration) -> Rc<Opening> {
        let mut opening = self.streams.opening.borrow_mut();
        if let Some(opening) = &*opening {
            return Rc::clone(opening);
        }
        let new = Rc::new(Opening::default());
        *opening = Some(Rc::clone(&new));
        spawn_local(run(Rc::clone(self), patience));
        new
    }

    /// A new connection, whatever it turns out to be.
    async fn open_within(&self, patience: Duration) -> Result<bool, AttemptOutcome> {
        let room = self.room().await?;
        let opened = timeout(patience, self.open(room, patience)).await;
        let opened = opened.map_err(|_| AttemptOutcome::ConnectTimedOut)?;
        match opened.map_err(|unopened| self.outcome_of(unopened))? {
            Opened::Multiplexed(connection) => {
                self.keep_multiplexed(&connection);
                Ok(true)
            }
            Opened::Plain(stream, room) => {
                self.speaks_http11.set(true);
                room.pass_on();
                self.pool(stream);
                Ok(false)
            }
        }
    }

    /// A new connection. The caller limits the time, to `patience`.
    async fn open(&self, room: Room, patience: Duration) -> Result<Opened, Unopened> {
        self.worker.upstream_connections.increment();
        let began = Instant::now();
        let stream = Stream::connect(self.address).await;
        let stream = stream.map_err(Unopened::Socket)?;
        if self.tls.is_none() && self.protocol != Protocol::H2 {
            return Ok(Opened::Plain(stream, room));
        }
        // From here on it is the endpoint's turn to speak.
        let mut silence = Silence {
            endpoint: self,
            // A little less, because the caller's clock is another one.
            ends: Some(began + patience - patience / 8),
        };
        let opened = self.agree(stream, room).await;
        silence.ends = None;
        opened
    }

    /// Agrees with the endpoint on how it is spoken to.
    async fn agree(&self, stream: Stream, room: Room) -> Result<Opened, Unopened> {
        let (stream, is_h2) = match &self.tls {
            None => (stream, self.protocol == Protocol::H2),
            Some(connector) => {
                let connected = connector.connect(stream).await;
                let (stream, facts) = connected.map_err(|e| Unopened::Handshake(e.of_backend()))?;
                (stream, facts.session.protocol.as_deref() == Some("h2"))
            }
        };
        if !is_h2 {
            return match self.protocol {
                Protocol::H2 => Err(Unopened::Unfit(
                    "it does not agree to HTTP/2 in the TLS handshake (ALPN)".to_owned(),
                )),
                Protocol::Http11 | Protocol::Auto => Ok(Opened::Plain(stream, room)),
            };
        }
        let opened = Multiplexed::open(
            (stream, room),
            Named {
                name: Arc::clone(&self.server_name),
                address: self.address,
                says_cut_off: Rc::clone(&self.says_cut_off),
            },
            (&self.shard, &self.worker),
        )
        .await;
        opened.map(Opened::Multiplexed).map_err(|e| unopened(&e))
    }

    /// What it means for an attempt that there is no connection. Says why in the log, now and then,
    /// where that is a mistake in the endpoint's configuration or in ours.
    fn outcome_of(&self, unopened: Unopened) -> AttemptOutcome {
        match unopened {
            Unopened::NoRoom => AttemptOutcome::OutOfResources,
            Unopened::Socket(e) if is_ours(&e) => {
                self.say_why(&format!(
                    "this machine or this process has no more of what it takes: {e}"
                ));
                AttemptOutcome::OutOfResources
            }
            Unopened::Socket(_) => AttemptOutcome::ConnectFailed,
            Unopened::Handshake(reason) => {
                self.shard.handshake_failures.increment();
                self.say_why(&reason);
                AttemptOutcome::ConnectFailed
            }
            Unopened::Unfit(reason) => {
                self.shard.handshake_failures.increment();
                self.say_why(&reason);
                self.unfit.replace(Some(reason.into()));
                AttemptOutcome::Unfit
            }
        }
    }

    fn say_why(&self, reason: &str) {
        if self.says_why.is_due() {
            let (name, address) = (&self.server_name, self.address);
            tracing::warn!(target: "upstream", "no connection to {name} ({address}): {reason}");
        }
    }

    /// Why its protocol was not what it should be when that happened last.
    pub fn unfit(&self) -> String {
        self.unfit
            .borrow()
            .as_deref()
            .unwrap_or_default()
            .to_owned()
    }

    /// Keeps a connection of HTTP/2 for requests.
    fn keep_multiplexed(&self, connection: &Rc<Multiplexed>) {
        self.speaks_http11.set(false);
        self.streams.add(connection);
    }
}

/// Makes the connection that requests wait for.
async fn run(endpoint: Rc<WorkerEndpoint>, patience: Duration) {
    // However this ends, those that wait go on.
    let mut ends = Ends {
        endpoint: &endpoint,
        result: Err(AttemptOutcome::ConnectFailed),
    };
    ends.result = endpoint.open_within(patience).await;
    drop(ends);
    if endpoint.retired.get() {
        // Those that have waited have taken it by then.
        sleep(patience).await;
        endpoint.retire();
    }
}

/// Ends the wait for a connection.
struct Ends<'a> {
    endpoint: &'a WorkerEndpoint,
    result: Result<bool, AttemptOutcome>,
}

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        if let Some(opening) = self.endpoint.streams.opening.take() {
            opening.end(self.result);
        }
    }
}

/// Waits for what the endpoint says in a handshake. Dropped when its time is over, it says so in
/// the log; before that, it is the request that has gone.
struct Silence<'a> {
    endpoint: &'a WorkerEndpoint,
    /// `None` once it has spoken.
    ends: Option<Instant>,
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        if self.ends.is_some_and(|ends| Instant::now() >= ends) {
            let awaited = match self.endpoint.tls {
                Some(_) => "its part of the TLS handshake",
                None => "its SETTINGS and the answer to a PING (HTTP/2)",
            };
            self.endpoint.shard.handshake_failures.increment();
            self.endpoint.say_why(&format!(
                "it accepted the connection, and {awaited} did not come in time"
            ));
        }
    }
}

/// What an error of the engine means, before the first request.
fn unopened(error: &h2::Error) -> Unopened {
    let reason = format!("it does not speak HTTP/2: {error}");
    let goes_away = error.is_go_away() && error.is_remote();
    match error.reason() {
        // A server that is about to stop, or that has closed the connection.
        Some(Reason::NO_ERROR) if goes_away => Unopened::Handshake(reason),
        None if error.is_io() => Unopened::Handshake(reason),
        _ => Unopened::Unfit(reason),
    }
}

/// Whether a connect failed because this machine ran out of something: file descriptors, ports,
/// buffers.
pub fn is_ours(e: &io::Error) -> bool {
    use rustix::io::Errno;
    Errno::from_io_error(e).is_some_and(|e| {
        [
            Errno::MFILE,
            Errno::NFILE,
            Errno::ADDRNOTAVAIL,
            Errno::NOBUFS,
            Errno::NOMEM,
        ]
        .contains(&e)
    })
}
