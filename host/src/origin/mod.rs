//! Origin: what can stand behind the proxy in a demo or a test? A small real web server: pages,
//! pictures, a large text, a form to create users, and a directory if one is given.
//!
//! `waypost origin`, `waypost demo` and the tests call [`serve`]. The proxy never uses this room,
//! and this room uses no other: an origin's code for ranges and conditions must not come from the
//! proxy that is tested with it.
//!
//! | path | what it is |
//! |---|---|
//! | `/` | an index that links the rest |
//! | `/page_one`, `/page_two` | a page with one picture, with several |
//! | `/page_three`, `/page_four` | a page with a large download, with the download and pictures |
//! | `/image_user_one`, `/image_user_two` | a PNG and an SVG |
//! | `/bigfile` | 1.25 MiB of plain text, the same on every origin |
//! | `/createUser` | `POST` `{"Nombre": "..."}` makes a user; `GET` is a form |
//! | `/files/` | the directory of [`OriginOptions::dir`]: listings (HTML or JSON), files, slices |
//!
//! Everything answers `HEAD`, conditions (RFC 9110 section 13) and ranges (section 14), and carries
//! `x-origin: NAME`.

mod answer;
mod condition;
mod content;
mod directory;
mod escape;
mod page;
mod picture;
mod range;
mod site;
mod user;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use site::Site;

/// An origin's name, and what it serves beside its own pages.
#[derive(Debug, Clone, Default)]
pub struct OriginOptions {
    /// The value of `x-origin`, also shown on every page: visible ASCII. Empty means the address
    /// that it listens on.
    pub name: String,
    /// A directory to serve under `/files/`, read only. Nothing outside of it can be reached, by
    /// `..` or by link.
    pub dir: Option<PathBuf>,
}

/// More connections than this wait in the kernel's queue. High enough for a load test, low enough
/// for the usual limit of open files with a few hundred clients that read a file each.
const CONNECTIONS: usize = 4096;
/// How long a client may take over a request's head, and how long an idle connection stays open.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// How long requests in flight may still run after `shutdown`.
pub const GRACE: Duration = Duration::from_secs(10);
/// `accept` fails at once, again and again, when the process is out of file descriptors; trying on
/// would burn a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown` completes, then finishes requests in flight (for at most ten seconds)
/// and returns.
///
/// Runs on the caller's tokio runtime, of either kind, which needs its I/O and time drivers.
///
/// # Errors
/// When the name can't be a header's value, the directory can't be opened, or the listener can't be
/// used.
pub async fn serve(
    listener: TcpListener,
    options: OriginOptions,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let name = if options.name.is_empty() {
        listener.local_addr()?.to_string()
    } else {
        options.name
    };
    let site = Arc::new(Site::open(name, options.dir).await?);
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &slots) => accepted,
        };
        let Some((stream, slot)) = accepted else {
            continue;
        };
        let (site, stopped) = (Arc::clone(&site), stopped.clone());
        connections.spawn(async move {
            converse(stream, site, stopped).await;
            drop(slot);
        });
    }
    drop(listener);
    stop.send_replace(true);
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, finished).await.is_err() {
        connections.shutdown().await;
    }
    Ok(())
}

/// The next connection, or nothing after a failure that concerns one connection or passes by
/// itself.
async fn accept(
    listener: &tokio::net::TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, slot)),
        Err(error) => {
            tracing::debug!(%error, "the origin could not accept a connection");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// One connection from its first request to its end.
async fn converse(stream: TcpStream, site: Arc<Site>, mut stopped: watch::Receiver<bool>) {
    // Fails only on a connection that is already gone, which the first read will find.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let site = Arc::clone(&site);
        async move { Ok::<_, Infallible>(site.answer(request).await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service)
    );
    let ended = tokio::select! {
        ended = &mut connection => ended,
        // The receiver's guard must not live on while the connection finishes.
        () = async { drop(stopped.wait_for(|stopped| *stopped).await) } => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the origin ended early");
    }
}

#[cfg(test)]
mod tests;
