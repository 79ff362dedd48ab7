//! The admin listener: accepts, and stops.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::crowd::{Caller, Crowd, Doing};
use super::guard::Guard;
use super::uploads::Uploads;
use super::{Control, connection, endpoints};

/// A pause after a failed accept: out of file descriptors, the next one would fail as fast.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the admin listener does not start.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Anyone could ask.
    #[error(
        "the admin listener would be open to everyone at {0}: set [admin] token, or listen on a loopback address"
    )]
    Exposed(SocketAddr),
    /// A token that guards nothing.
    #[error(
        "[admin] token is empty: set one that nobody can guess, or none to allow loopback only"
    )]
    EmptyToken,
    /// The listener does not know its own address.
    #[error("the admin listener's address can't be read: {0}")]
    Address(#[source] io::Error),
}

/// Connections to the admin listener at a time, if the process may have as many; one client has
/// half of them.
pub const CONNECTIONS: usize = 256;

/// What clients of the admin listener may use.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// Connections at a time; for one more, the one that has been idle for the longest is closed.
    pub connections: usize,
    /// The same for one client address.
    pub connections_of_one: usize,
    /// From the first byte (or the last response) to the end of a head.
    pub header_read: Duration,
    /// Between two pieces of a request body.
    pub body_idle: Duration,
    /// For a whole request body.
    pub body_total: Duration,
    /// Bytes of a component.
    pub component_bytes: usize,
    /// Bytes of all components that are being uploaded or loaded; for more, the upload that has
    /// been silent for the longest ends.
    pub upload_bytes: usize,
    /// For a whole upload to wait for the one of the same policy before it.
    pub turn: Duration,
    /// For a client to take some bytes of a response.
    pub write: Duration,
    /// For connections to end after a stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS,
            connections_of_one: CONNECTIONS / 2,
            header_read: Duration::from_secs(5),
            body_idle: Duration::from_secs(15),
            body_total: Duration::from_secs(300),
            component_bytes: 64 << 20,
            upload_bytes: 256 << 20,
            turn: Duration::from_secs(60),
            write: Duration::from_secs(10),
            drain: Duration::from_secs(5),
        }
    }
}

/// What every connection shares.
pub(super) struct Shared {
    pub control: Arc<dyn Control>,
    pub guard: Guard,
    pub limits: Limits,
    pub uploads: Arc<Uploads>,
}

/// Serves the admin endpoints, on so many connections at a time, until `shutdown` completes and the
/// connections have ended, which takes 5 seconds at most.
///
/// `/healthz` and `/readyz` are open to all. The others need `token` as a bearer token, or, without
/// one, a request for a loopback name. Runs on the runtime it is polled on; a worker's runtime is
/// not the place.
///
/// # Errors
///
/// Refuses to start on an address other than loopback without a token, and with an empty token.
pub async fn serve(
    listener: TcpListener,
    token: Option<String>,
    connections: usize,
    control: Arc<dyn Control>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), AdminError> {
    let limits = Limits {
        connections,
        connections_of_one: connections.div_ceil(2),
        ..Limits::default()
    };
    serve_within(limits, listener, token, control, shutdown).await
}

/// [`serve`] with limits of the caller's choice.
pub(super) async fn serve_within(
    limits: Limits,
    listener: TcpListener,
    token: Option<String>,
    control: Arc<dyn Control>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), AdminError> {
    let address = listener.local_addr().map_err(AdminError::Address)?;
    let token = token.as_deref().map(str::trim);
    match token {
        Some("") => return Err(AdminError::EmptyToken),
        None if !address.ip().to_canonical().is_loopback() => {
            return Err(AdminError::Exposed(address));
        }
        _ => {}
    }
    let guard = Guard::new(token);
    let crowd = Arc::new(Crowd::new(limits.connections, limits.connections_of_one));
    let uploads = Uploads::new(limits.upload_bytes);
    let shared = Arc::new(Shared {
        control,
        guard,
        limits,
        uploads,
    });
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => report(ended),
            accepted = listener.accept() => match accepted {
                // At once, and however many there are: no health check waits for clients that say
                // nothing.
                Ok((stream, peer)) => {
                    let Some(caller) = crowd.enter(peer.ip()) else { continue };
                    let (shared, crowd) = (Arc::clone(&shared), Arc::clone(&crowd));
                    let stopping = stopping.clone();
                    connections.spawn(async move {
                        serve_one(stream, &caller, shared, stopping).await;
                        crowd.left(&caller);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the admin listener can't accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    stop.send_replace(true);
    // What does not end in time is cut when the set is dropped.
    let _ = timeout(shared.limits.drain, async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    })
    .await;
    Ok(())
}

/// Serves one connection until it ends or another needs its room.
async fn serve_one(
    stream: TcpStream,
    caller: &Arc<Caller>,
    shared: Arc<Shared>,
    stopping: watch::Receiver<bool>,
) {
    let limits = shared.limits.clone();
    let at_work = Arc::clone(caller);
    let service = service_fn(move |request| {
        let (shared, caller) = (Arc::clone(&shared), Arc::clone(&at_work));
        Box::pin(async move {
            caller.is(Doing::Working);
            let answer = endpoints::answer(&shared, &caller, request).await;
            caller.is(Doing::Idle);
            Ok::<_, Infallible>(answer)
        })
    });
    tokio::select! {
        () = connection::serve(stream, service, &limits, stopping) => {}
        () = caller.sent_away() => {}
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "an admin connection failed");
    }
}
