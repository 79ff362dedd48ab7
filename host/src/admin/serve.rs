//! The admin listener: accepts, and stops.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::guard::Guard;
use super::{Control, connection, endpoints};

/// A pause after a failed accept: out of file descriptors, the next one would fail as fast.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the admin listener does not start.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Anyone could ask.
    #[error("the admin listener would be open to everyone at {0}: set [admin] token, or listen on a loopback address")]
    Exposed(SocketAddr),
    /// A token that guards nothing.
    #[error("[admin] token is empty: set one that nobody can guess, or none to allow loopback only")]
    EmptyToken,
    /// The listener does not know its own address.
    #[error("the admin listener's address can't be read: {0}")]
    Address(#[source] io::Error),
}

/// What clients of the admin listener may use.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// Connections at a time; more wait in the accept queue.
    pub connections: usize,
    /// From the first byte (or the last response) to the end of a head.
    pub header_read: Duration,
    /// Between two pieces of a request body.
    pub body_idle: Duration,
    /// For a whole request body.
    pub body_total: Duration,
    /// Bytes of a component.
    pub component_bytes: usize,
    /// For an upload to wait for the one before it.
    pub turn: Duration,
    /// For a client to take some bytes of a response.
    pub write: Duration,
    /// For connections to end after a stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            header_read: Duration::from_secs(10),
            body_idle: Duration::from_secs(15),
            body_total: Duration::from_secs(300),
            component_bytes: 64 << 20,
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
    /// Held by the one upload that is read and loaded: a component in memory is up to 64 MiB.
    pub turn: Arc<Semaphore>,
}

/// Serves the admin endpoints until `shutdown` completes and the connections have ended, which takes 5 seconds at most.
///
/// `/healthz` and `/readyz` are open to all. The others need `token` as a bearer token, or, without one, a request for a
/// loopback name. Runs on the runtime it is polled on; a worker's runtime is not the place.
///
/// # Errors
///
/// Refuses to start on an address other than loopback without a token, and with an empty token.
pub async fn serve(
    listener: TcpListener,
    token: Option<String>,
    control: Arc<dyn Control>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), AdminError> {
    serve_within(Limits::default(), listener, token, control, shutdown).await
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
        None if !address.ip().to_canonical().is_loopback() => return Err(AdminError::Exposed(address)),
        _ => {}
    }
    let guard = Guard::new(token);
    let shared = Arc::new(Shared { control, guard, limits, turn: Arc::new(Semaphore::new(1)) });
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => report(ended),
            accepted = listener.accept(), if connections.len() < shared.limits.connections => match accepted {
                Ok((stream, _)) => {
                    let shared = Arc::clone(&shared);
                    let stopping = stopping.clone();
                    connections.spawn(async move {
                        let limits = shared.limits.clone();
                        let service = service_fn(move |request| {
                            let shared = Arc::clone(&shared);
                            Box::pin(async move { Ok::<_, Infallible>(endpoints::answer(&shared, request).await) })
                        });
                        connection::serve(stream, service, &limits, stopping).await;
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

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "an admin connection failed");
    }
}
