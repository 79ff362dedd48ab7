//! How connections are made: the socket, TLS, and the protocol that both sides speak.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use super::multiplexed::Multiplexed;
use super::{AttemptOutcome, Protocol, WorkerEndpoint};
use crate::net::Stream;

/// A worker says this often, in seconds, why an endpoint can't be spoken to.
const SAYS_WHY: u64 = 10;

/// A connection that is being made, for all that wait for it.
#[derive(Debug, Default)]
pub(super) struct Opening {
    result: Cell<Option<Result<bool, AttemptOutcome>>>,
    done: Notify,
}

/// A new connection.
pub(super) enum Opened {
    /// Of HTTP/1.1.
    Plain(Stream),
    /// Of HTTP/2.
    Multiplexed(Rc<Multiplexed>),
}

/// Why there is no connection.
pub(super) enum Unopened {
    /// The socket failed: refused, reset, unreachable.
    Socket(io::Error),
    /// The endpoint is reached, but it is not what the configuration says.
    Unfit(String),
}

impl Opening {
    /// The connection to the endpoint that is being made, or the beginning of one. It goes on
    /// without the request that began it, because others may wait for it.
    pub(super) fn join(endpoint: &Rc<WorkerEndpoint>, patience: Duration) -> Rc<Self> {
        let mut opening = endpoint.streams.opening.borrow_mut();
        if let Some(opening) = &*opening {
            return Rc::clone(opening);
        }
        let new = Rc::new(Self::default());
        *opening = Some(Rc::clone(&new));
        spawn_local(Self::run(Rc::clone(endpoint), Rc::clone(&new), patience));
        new
    }

    async fn run(endpoint: Rc<WorkerEndpoint>, opening: Rc<Self>, patience: Duration) {
        // However this ends, those that wait go on.
        let ends = Ends {
            endpoint: &endpoint,
            opening: &opening,
        };
        let opened = match timeout(patience, endpoint.open()).await {
            Ok(opened) => opened.map_err(|unopened| endpoint.outcome_of(unopened)),
            Err(_) => Err(AttemptOutcome::ConnectTimedOut),
        };
        let result = opened.map(|opened| match opened {
            Opened::Multiplexed(connection) => {
                endpoint.keep_multiplexed(&connection);
                true
            }
            Opened::Plain(stream) => {
                endpoint.speaks_http11.set(true);
                endpoint.pool(stream);
                false
            }
        });
        opening.result.set(Some(result));
        drop(ends);
        if endpoint.retired.get() {
            // Those that have waited have taken it by then.
            sleep(patience).await;
            endpoint.retire();
        }
    }

    /// Waits for the connection; whether it is one of HTTP/2. The caller limits the time.
    pub(super) async fn wait(&self) -> Result<bool, AttemptOutcome> {
        loop {
            if let Some(result) = self.result.get() {
                return result;
            }
            self.done.notified().await;
        }
    }
}

/// Ends the wait for a connection.
struct Ends<'a> {
    endpoint: &'a WorkerEndpoint,
    opening: &'a Opening,
}

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        if self.opening.result.get().is_none() {
            let failed = Err(AttemptOutcome::ConnectFailed);
            self.opening.result.set(Some(failed));
        }
        self.endpoint.streams.opening.take();
        self.opening.done.notify_waiters();
    }
}

impl WorkerEndpoint {
    /// A new connection. The caller limits the time.
    pub(super) async fn open(&self) -> Result<Opened, Unopened> {
        self.worker.upstream_connections.increment();
        let stream = Stream::connect(self.address).await;
        let stream = stream.map_err(Unopened::Socket)?;
        let (stream, is_h2) = match &self.tls {
            None => (stream, self.protocol == Protocol::H2),
            Some(connector) => {
                let connected = connector.connect(stream).await;
                connected.map_err(|e| Unopened::Unfit(e.of_backend()))?
            }
        };
        if !is_h2 {
            return match self.protocol {
                Protocol::H2 => Err(Unopened::Unfit(
                    "it does not agree to HTTP/2 in the TLS handshake (ALPN)".to_owned(),
                )),
                Protocol::Http11 | Protocol::Auto => Ok(Opened::Plain(stream)),
            };
        }
        let opened = Multiplexed::open(stream, &self.shard, &self.worker).await;
        match opened {
            Ok(connection) => Ok(Opened::Multiplexed(connection)),
            Err(e) => Err(Unopened::Unfit(format!("it does not speak HTTP/2: {e}"))),
        }
    }

    /// What it means for an attempt that there is no connection. Says why in the log, now and then,
    /// where the endpoint could be reached: that is a mistake in its configuration or in ours.
    pub(super) fn outcome_of(&self, unopened: Unopened) -> AttemptOutcome {
        match unopened {
            Unopened::Socket(e) if is_ours(&e) => AttemptOutcome::OutOfResources,
            Unopened::Socket(_) => AttemptOutcome::ConnectFailed,
            Unopened::Unfit(reason) => {
                self.shard.handshake_failures.increment();
                let now = self.clock.elapsed().as_secs();
                if now >= self.says_why_at.get() {
                    self.says_why_at.set(now + SAYS_WHY);
                    let (name, address) = (&self.server_name, self.address);
                    tracing::warn!(
                        target: "upstream",
                        "no connection to {name} ({address}): {reason}"
                    );
                }
                AttemptOutcome::ConnectFailed
            }
        }
    }

    /// Keeps a connection of HTTP/2 for requests.
    pub(super) fn keep_multiplexed(&self, connection: &Rc<Multiplexed>) {
        self.speaks_http11.set(false);
        self.streams.add(connection);
    }
}

/// Whether a connect failed because this machine ran out of something: file descriptors, ports,
/// buffers.
fn is_ours(e: &io::Error) -> bool {
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
