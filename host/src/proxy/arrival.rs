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
use super::linger::part;
use super::worker::Worker;
use crate::net::proxy_protocol::{self, Announced, HeaderError};
use crate::net::tls::{Acceptor, HandshakeError, Refused};
use crate::net::{ConnectionInfo, ShownPeer, Stream, Wait};

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
    /// Reads what comes before the first request. `None` if that is not what has to come; the
    /// connection is closed then.
    pub(super) async fn begin(
        mut self,
        admitted: &mut Admitted,
        admission: &Admission,
    ) -> Option<Connection> {
        let (worker, peer) = (Rc::clone(&self.worker), self.info.shown_peer());
        if let Err(turned) = self.header(admitted).await {
            turned.note(&worker, peer);
            return None;
        }
        if let Some(acceptor) = self.entry.tls.clone() {
            match self.handshake(&acceptor, admission).await {
                Ok(encrypted) => self = encrypted,
                Err(turned) => {
                    turned.note(&worker, peer);
                    turned.part(&worker).await;
                    return None;
                }
            }
        }
        let Self {
            entry,
            stream,
            info,
            ..
        } = self;
        Some(Connection::new(worker, entry, stream, info))
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

    async fn handshake(self, acceptor: &Acceptor, admission: &Admission) -> Result<Self, Turned> {
        let Self {
            worker,
            entry,
            stream,
            mut info,
        } = self;
        let admitted = worker.latest(|settings| admission.admit_handshake(&info, &settings.limits));
        let _under_way = admitted.map_err(|_| Turned::Handshakes)?;
        let patience = worker.latest(|settings| settings.timeouts.tls_handshake);
        let done = within((&worker, &entry), patience, acceptor.accept(stream)).await;
        let (stream, facts) = done.ok_or(Turned::HandshakeLate)??;
        worker.shard.tls_handshakes.increment();
        info.tls = Some(Box::new(facts));
        Ok(Self {
            worker,
            entry,
            stream,
            info,
        })
    }
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
