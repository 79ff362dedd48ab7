//! What comes before the first request where a listener asks for it: a PROXY header, and a TLS
//! handshake.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::admission::{Admission, Admitted};
use super::connection::Connection;
use super::entry::Entry;
use super::layer4::Layer4;
use super::linger::part;
use super::passed_on::PassedOn;
use super::snapshot::WorkerSnapshot;
use super::worker::Worker;
use crate::net::proxy_protocol::{self, Announced, HeaderError};
use crate::net::tls::{Acceptor, Asked, HandshakeError, Peeked, Refused};
use crate::net::{ConnectionInfo, ShownPeer, Stream, TlsFacts, Wait};

/// A connection that has been admitted and has shown nothing yet.
pub(super) struct Arrival {
    pub worker: Rc<Worker>,
    pub entry: Rc<Entry>,
    pub stream: Stream,
    pub info: ConnectionInfo,
}

/// Why a connection does not come to its first request. It is closed without an answer but an alert
/// of TLS, because it is not known what the peer would understand.
#[derive(Debug, thiserror::Error)]
enum Turned {
    #[error("its PROXY header is refused: {0}")]
    Header(#[from] HeaderError),
    #[error("its PROXY header has not arrived in time")]
    HeaderLate,
    #[error("the client of its PROXY header has reached its limit of connections")]
    Client,
    #[error("too many TLS handshakes are under way")]
    Handshakes,
    #[error("its TLS handshake has failed: {0}")]
    Handshake(#[from] Refused),
    #[error("its TLS handshake has not ended in time")]
    HandshakeLate,
}

impl Arrival {
    /// Reads what comes before the first request, or before the connection is passed on. `None` if
    /// that is not what has to come; the connection is closed then.
    pub(super) async fn begin(
        mut self,
        admitted: &mut Admitted,
        admission: &Admission,
    ) -> Option<(Connection, Option<PassedOn>)> {
        let (worker, peer) = (Rc::clone(&self.worker), self.info.shown_peer());
        if let Err(turned) = self.header(admitted).await {
            turned.note(&worker, peer);
            return None;
        }
        let mut passed = None;
        if let Some(acceptor) = self.entry.tls.clone() {
            match self.handshake(&acceptor, admission).await {
                Ok(Shaken::Encrypted(encrypted)) => self = encrypted,
                Ok(Shaken::PassedOn(arrival, hello, by)) => {
                    let mut connection = arrival.into_connection();
                    connection.hold(&hello);
                    return Some((connection, Some(by)));
                }
                Err(turned) => {
                    turned.note(&worker, peer);
                    turned.part(&worker).await;
                    return None;
                }
            }
        }
        if self.entry.tcp.is_some() {
            passed = Some(PassedOn {
                view: worker.view(),
                as_what: Layer4::Tcp,
                name: None,
            });
        }
        Some((self.into_connection(), passed))
    }

    fn into_connection(self) -> Connection {
        let Self {
            worker,
            entry,
            stream,
            info,
        } = self;
        Connection::new(worker, entry, stream, info)
    }

    /// The PROXY header, if this peer has to begin with one. Other peers are served as they come: a
    /// header is no request.
    async fn header(&mut self, admitted: &mut Admitted) -> Result<(), Turned> {
        let (worker, info) = (&self.worker, &mut self.info);
        let is_trusted = self.entry.proxy_protocol.as_ref().is_some_and(|trusted| {
            match info.is_without_address() {
                true => trusted.unix,
                false => trusted.covers(info.peer.ip()),
            }
        });
        if !is_trusted {
            return Ok(());
        }
        let patience = worker.latest(|settings| settings.timeouts.header_read);
        let header = within(
            (worker, &self.entry),
            patience,
            proxy_protocol::read(&self.stream),
        )
        .await;
        if let Announced::Addresses {
            source,
            destination,
        } = header.ok_or(Turned::HeaderLate)??
        {
            *info = ConnectionInfo::new(source, destination);
            let charged = worker.latest(|settings| admitted.charge_to(info, &settings.limits));
            charged.map_err(|_| Turned::Client)?;
        }
        Ok(())
    }

    async fn handshake(self, acceptor: &Acceptor, admission: &Admission) -> Result<Shaken, Turned> {
        let Self {
            worker,
            entry,
            stream,
            mut info,
        } = self;
        let admitted = worker.latest(|settings| admission.admit_handshake(&info, &settings.limits));
        let _under_way = admitted.map_err(|_| Turned::Handshakes)?;
        let patience = worker.latest(|settings| settings.timeouts.tls_handshake);
        let view = worker.view();
        let peeks = entry.tcp.is_none() && view.snapshot.routes.passes_through();
        let done = match peeks {
            false => within((&worker, &entry), patience, acceptor.accept(stream))
                .await
                .map(|accepted| accepted.map(|(stream, facts)| Hello::Answered(stream, facts))),
            true => within((&worker, &entry), patience, peek(acceptor, stream, view)).await,
        };
        let (stream, by) = match done.ok_or(Turned::HandshakeLate)?? {
            Hello::Answered(stream, facts) => {
                worker.shard.tls_handshakes.increment();
                info.tls = Some(Box::new(facts));
                (stream, None)
            }
            Hello::PassedOn(stream, hello, by) => (stream, Some((hello, by))),
        };
        let arrival = Self {
            worker,
            entry,
            stream,
            info,
        };
        Ok(match by {
            None => Shaken::Encrypted(arrival),
            Some((hello, by)) => Shaken::PassedOn(arrival, hello, by),
        })
    }
}

/// What has become of a client's first message.
enum Hello {
    Answered(Stream, TlsFacts),
    /// It is a backend's to answer.
    PassedOn(Stream, Vec<u8>, PassedOn),
}

/// The same with what is known of the connection.
enum Shaken {
    Encrypted(Arrival),
    PassedOn(Arrival, Vec<u8>, PassedOn),
}

/// Reads the first message, and answers it unless a route passes such connections on.
async fn peek(
    acceptor: &Acceptor,
    stream: Stream,
    view: Rc<WorkerSnapshot>,
) -> Result<Hello, Refused> {
    let peeked = Peeked::read(stream).await?;
    let name = match &peeked.asked {
        Asked::Name(name) => Some(Some(name)),
        Asked::NoName => Some(None),
        Asked::Unreadable => None,
    };
    let routes = &view.snapshot.routes;
    let takes = |name: Option<&Box<str>>| routes.passthrough(name.map(|name| &**name)).is_some();
    let Some(name) = name.filter(|name| takes(*name)) else {
        let (stream, facts) = acceptor.go_on(peeked).await?;
        return Ok(Hello::Answered(stream, facts));
    };
    let name = name.cloned();
    let (stream, hello) = peeked.into_parts();
    let by = PassedOn {
        view,
        as_what: Layer4::Passthrough,
        name,
    };
    Ok(Hello::PassedOn(stream, hello, by))
}

impl Turned {
    /// Counts it, and says why to an operator who looks for it.
    fn note(&self, worker: &Worker, peer: ShownPeer) {
        let shard = &worker.shard;
        let counter = match self {
            Self::Handshake(Refused {
                error: HandshakeError::Answered,
                ..
            }) => &shard.tls_handshakes,
            Self::Header(_) | Self::HeaderLate => &shard.proxy_headers_refused,
            Self::Client => &shard.connections_refused,
            Self::Handshakes => &shard.tls_handshakes_refused,
            Self::Handshake(_) | Self::HandshakeLate => &shard.tls_handshakes_failed,
        };
        counter.increment();
        tracing::debug!(%peer, "a connection is closed before its first request: {self}");
    }

    /// Has the client read its alert, if it got one.
    async fn part(self, worker: &Worker) {
        if let Self::Handshake(Refused {
            stream: Some(mut stream),
            ..
        }) = self
        {
            let timer = worker.timers.register();
            part(worker, &mut stream, &timer).await;
        }
    }
}

/// Waits so long, and while the worker drains only as long as for a first request.
async fn within<T>(
    (worker, entry): (&Worker, &Entry),
    patience: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let timer = worker.timers.register();
    let mut work = pin!(work);
    let watched = poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if worker.is_past_grace(entry) => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    let timers = &worker.timers;
    let limited = timers.limit(&timer, Wait::ClientRead, patience, watched);
    limited.await.ok().flatten()
}
