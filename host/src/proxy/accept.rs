//! Taking connections in, within the limits.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Method;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::spawn_local;

use super::access_log::Line;
use super::connection;
use super::linger::{Place, linger};
use super::refusal::Refusal;
use super::reply::{self, ReplyTo};
use super::worker::Worker;
use crate::config::Limits;
use crate::ground;
use crate::message::Version;
use crate::stats::WorkerShard;

/// How long accepting rests when the process is out of file descriptors: trying again at once would
/// burn a core.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);

/// How long a client that was turned away may take to send its request.
const TURNED_AWAY: Duration = Duration::from_secs(2);

/// Counts client connections over all workers. Locked once when a connection comes and once when it
/// goes.
#[derive(Debug)]
pub struct Admission {
    connections: usize,
    per_client: usize,
    /// Of a worker.
    turned_away: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// A connection that was let in; counts as open until it is dropped.
#[derive(Debug)]
struct Admitted {
    admission: Arc<Admission>,
    client: IpAddr,
}

impl Admission {
    /// Limits for all workers together; of those that are turned away a worker has so many at a
    /// time.
    pub fn new(limits: &Limits, turned_away: usize) -> Self {
        let (connections, per_client) = (limits.connections, limits.connections_per_client);
        Self {
            connections,
            per_client,
            turned_away,
            open: Mutex::default(),
        }
    }

    fn admit(self: &Arc<Self>, client: IpAddr) -> Result<Admitted, Refusal> {
        let client = client.to_canonical();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if self.connections > 0 && open.all >= self.connections {
            return Err(Refusal::TooManyConnections);
        }
        if self.per_client > 0 {
            let count = open.by_client.entry(client).or_default();
            if *count >= self.per_client {
                return Err(Refusal::TooManyOfClient);
            }
            *count += 1;
        }
        open.all += 1;
        Ok(Admitted {
            admission: Arc::clone(self),
            client,
        })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self
            .admission
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        open.all -= 1;
        if let Some(count) = open.by_client.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                open.by_client.remove(&self.client);
            }
        }
    }
}

/// Accepts until the future is dropped; each connection is a task of this thread.
pub async fn accept(worker: Rc<Worker>, listener: Rc<TcpListener>, admission: Arc<Admission>) {
    loop {
        ground::fault_point("accept");
        match listener.accept().await {
            Ok((stream, peer)) => take(&worker, stream, peer, &admission),
            Err(e) if is_of_one_connection(&e) => {}
            Err(e) => {
                tracing::warn!(
                    "connections can't be accepted: {e}; trying again in {OUT_OF_DESCRIPTORS:?}"
                );
                tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
            }
        }
    }
}

/// Takes connections that an acceptor hands in, where the kernel does not spread them over the
/// workers.
pub async fn hand_in(
    worker: Rc<Worker>,
    handed: Rc<RefCell<UnboundedReceiver<(std::net::TcpStream, SocketAddr)>>>,
    admission: Arc<Admission>,
) {
    loop {
        // Borrowed for each poll, so that another task can go on where this one ended.
        let next = poll_fn(|cx| handed.borrow_mut().poll_recv(cx)).await;
        let Some((stream, peer)) = next else { return };
        if let Ok(stream) = stream
            .set_nonblocking(true)
            .and_then(|()| TcpStream::from_std(stream))
        {
            take(&worker, stream, peer, &admission);
        }
    }
}

/// Takes what has been waiting in the accept queue when the listener closes: those clients were
/// told that they are connected.
pub fn accept_rest(worker: &Rc<Worker>, listener: TcpListener, admission: &Arc<Admission>) {
    let Ok(listener) = listener.into_std() else {
        return;
    };
    while let Ok((stream, peer)) = listener.accept() {
        let stream = stream
            .set_nonblocking(true)
            .and_then(|()| TcpStream::from_std(stream));
        if let Ok(stream) = stream {
            take(worker, stream, peer, admission);
        }
    }
}

fn take(worker: &Rc<Worker>, stream: TcpStream, peer: SocketAddr, admission: &Arc<Admission>) {
    let admitted = match admission.admit(peer.ip()) {
        Ok(admitted) => admitted,
        Err(refusal) => {
            worker.shard.connections_refused.increment();
            turn_away(worker, stream, peer, &refusal, admission.turned_away);
            return;
        }
    };
    // Heads and small bodies are written whole: waiting for more to send only costs time.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    worker.shard.connections.increment();
    let open = OpenConnection::new(Arc::clone(&worker.shard), admitted);
    let worker = Rc::clone(worker);
    // A panic in it ends this connection alone: tokio catches it, and what it held is let go of.
    spawn_local(async move {
        let _open = open;
        ground::fault_point("connection");
        connection::serve(worker, stream, peer).await;
    });
}

/// A connection counts as open until this is dropped, however it ends.
struct OpenConnection {
    shard: Arc<WorkerShard>,
    _admitted: Admitted,
}

impl OpenConnection {
    fn new(shard: Arc<WorkerShard>, admitted: Admitted) -> Self {
        shard.connections_active.increment();
        Self {
            shard,
            _admitted: admitted,
        }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.shard.connections_active.decrement();
    }
}

/// Says why, as far as the socket takes it at once, and closes. A few such clients are given the
/// time to send their request, because a close over unread bytes would reset the connection and
/// take the answer with it; of the others only what is there already is read.
fn turn_away(
    worker: &Rc<Worker>,
    mut stream: TcpStream,
    peer: SocketAddr,
    refusal: &Refusal,
    most: usize,
) {
    let mut answer = Vec::new();
    let date = worker.date();
    let to = ReplyTo {
        method: &Method::GET,
        version: Version::Http11,
        keep_alive: false,
        date: &date,
        trace: None,
        item: worker.settings.forwarding.item(),
    };
    reply::write_refusal(refusal, to, &mut answer);
    let socket = SockRef::from(&stream);
    // All of this is a courtesy: a client that does not take it is closed all the same.
    let _ = socket.send(&answer);
    let _ = socket.shutdown(Shutdown::Write);
    let _ = socket.recv(&mut [MaybeUninit::uninit(); 4096]);
    if worker.access_log.wants(true) {
        let client = peer.ip().to_canonical().to_string();
        let (status, reason) = (refusal.status(), refusal.reason());
        worker.access_log.record(&Line {
            client: &client,
            status,
            reason: Some(&reason),
            ..Line::now()
        });
    }
    // Before the task is polled: else a burst of clients would hold a descriptor each until then,
    // and those that are served would get none for their backends.
    let Some(place) = Place::take(&worker.turned_away, most) else {
        return;
    };
    let worker = Rc::clone(worker);
    spawn_local(async move {
        let _place = place;
        let timer = worker.timers.register();
        linger(&worker, &mut stream, &timer, TURNED_AWAY).await;
    });
}

/// Errors of the connection that was to be accepted, not of the listener.
fn is_of_one_connection(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(connections: usize, connections_per_client: usize) -> Arc<Admission> {
        Arc::new(Admission::new(
            &Limits {
                connections,
                connections_per_client,
                ..Limits::default()
            },
            1,
        ))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_client_has_one_account_however_it_came_and_gets_its_places_back() {
        let admission = admission(9, 2);
        let (plain, mapped) = (address("192.0.2.1"), address("::ffff:192.0.2.1"));
        for _ in 0..3 {
            let (one, two) = (
                admission.admit(plain).unwrap(),
                admission.admit(mapped).unwrap(),
            );
            for again in [plain, mapped] {
                assert!(
                    matches!(admission.admit(again), Err(Refusal::TooManyOfClient)),
                    "{again}"
                );
            }
            let other = admission.admit(address("192.0.2.2")).unwrap();
            drop(one);
            let three = admission.admit(plain).unwrap();
            assert!(matches!(
                admission.admit(plain),
                Err(Refusal::TooManyOfClient)
            ));
            drop((two, three, other));
            let open = admission.open.lock().unwrap();
            assert_eq!(
                (open.all, open.by_client.len()),
                (0, 0),
                "and nothing is left of those that went"
            );
        }
    }

    #[test]
    fn the_limit_of_all_is_of_all_and_one_that_was_refused_takes_no_place() {
        let admission = admission(3, 2);
        let first = admission.admit(address("192.0.2.1")).unwrap();
        let _second = admission.admit(address("192.0.2.1")).unwrap();
        assert!(matches!(
            admission.admit(address("192.0.2.1")),
            Err(Refusal::TooManyOfClient)
        ));
        let _third = admission.admit(address("192.0.2.2")).unwrap();
        assert!(matches!(
            admission.admit(address("192.0.2.3")),
            Err(Refusal::TooManyConnections)
        ));
        drop(first);
        assert!(admission.admit(address("192.0.2.3")).is_ok());
    }

    /// Only what is the listener's own is a reason to rest: a client must not be able to have the
    /// others wait.
    #[test]
    fn a_client_that_left_the_accept_queue_is_no_reason_to_rest() {
        use io::ErrorKind::{
            ConnectionAborted, ConnectionRefused, ConnectionReset, Other, OutOfMemory, WouldBlock,
        };
        for kind in [ConnectionAborted, ConnectionReset, ConnectionRefused] {
            assert!(is_of_one_connection(&kind.into()), "{kind:?}");
        }
        for kind in [Other, OutOfMemory, WouldBlock] {
            assert!(!is_of_one_connection(&kind.into()), "{kind:?}");
        }
        for errno in [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE] {
            assert!(!is_of_one_connection(&errno.into()), "{errno}");
        }
    }

    #[test]
    fn no_limit_is_no_limit() {
        let admission = admission(0, 0);
        let open: Vec<_> = (0..100)
            .map(|_| admission.admit(address("192.0.2.1")))
            .collect();
        assert!(open.iter().all(Result::is_ok));
    }
}
