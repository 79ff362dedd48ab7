//! The admin listener: accepts connections and stops.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::header::CONNECTION;
use hyper::service::service_fn;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::control::Control;
use super::crowd::{Caller, Crowd, Doing};
use super::guard::Guard;
use super::live::Live;
use super::results::Results;
use super::sessions::Sessions;
use super::shared::{Limits, Shared};
use super::uploads::Uploads;
use super::{connection, endpoints};

/// The pause after a failed accept: without file descriptors, the next one would fail immediately.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the admin listener does not start.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Without a token, every host could use it.
    #[error(
        "the admin listener would be open to everyone at {0}: set [admin] token, or listen on a \
         loopback address"
    )]
    Exposed(SocketAddr),
    /// An empty token protects nothing.
    #[error("[admin] token is empty: set one that is hard to guess, or none for loopback only")]
    EmptyToken,
    /// The listener does not know its own address.
    #[error("the admin listener's address can't be read: {0}")]
    Address(#[source] io::Error),
}

/// Serves the admin endpoints, on at most `connections` connections, until `shutdown` completes and
/// the connections have ended, which takes at most 5 seconds. What `shutdown` returns is dropped as
/// soon as no more connections are accepted.
///
/// `/healthz` and `/readyz` are open to all. The others need `token` as a bearer token, or, without
/// a token, a request for a loopback name. Runs on the runtime that polls it, which must not be a
/// worker's.
///
/// # Errors
///
/// Refuses to start on an address other than loopback without a token, and with an empty token.
pub async fn serve<T>(
    listener: TcpListener,
    token: Option<String>,
    connections: usize,
    control: Arc<dyn Control>,
    shutdown: impl Future<Output = T>,
) -> Result<(), AdminError> {
    let limits = Limits {
        connections,
        connections_of_one: connections.div_ceil(2),
        ..Limits::default()
    };
    serve_within(limits, listener, token, control, shutdown).await
}

/// [`serve`] with other limits.
pub(super) async fn serve_within<T>(
    limits: Limits,
    listener: TcpListener,
    token: Option<String>,
    control: Arc<dyn Control>,
    shutdown: impl Future<Output = T>,
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
    let crowd = Arc::new(Crowd::new(limits.connections, limits.connections_of_one));
    let (stop, stopping) = watch::channel(false);
    let shared = Arc::new(Shared {
        control,
        guard: Guard::new(token),
        uploads: Uploads::new(limits.upload_bytes),
        limits,
        live: Live::new(),
        sessions: Sessions::new(address.port()),
        results: Results::default(),
        stopping: stopping.clone(),
    });
    let mut history = pin!(shared.live.keep(Arc::clone(&shared.control)));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    let over = loop {
        tokio::select! {
            // Another process may accept from the same socket by then.
            biased;
            over = &mut shutdown => break over,
            () = &mut history => {}
            Some(ended) = connections.join_next(), if !connections.is_empty() => report(ended),
            accepted = listener.accept() => match accepted {
                // Always, and immediately: a health check must not wait for silent clients.
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
    };
    drop((listener, over));
    stop.send_replace(true);
    end(connections, shared.limits.drain).await;
    Ok(())
}

/// Waits for connections to end. Dropping the set aborts those that do not in time.
async fn end(mut connections: JoinSet<()>, within: Duration) {
    let _ = timeout(within, async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    })
    .await;
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
    let (first, asked) = watch::channel(false);
    let service = service_fn(move |request| {
        first.send_replace(true);
        let (shared, caller) = (Arc::clone(&shared), Arc::clone(&at_work));
        Box::pin(async move {
            caller.is(Doing::Working);
            let mut answer = endpoints::answer(&shared, &caller, request).await;
            caller.is(Doing::Idle);
            if *shared.stopping.borrow() {
                let close = HeaderValue::from_static("close");
                answer.headers_mut().insert(CONNECTION, close);
            }
            Ok::<_, Infallible>(answer)
        })
    });
    tokio::select! {
        () = connection::serve(stream, service, &limits, stopping, asked) => {}
        () = caller.sent_away() => {}
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "an admin connection failed");
    }
}
