//! Taking connections in, within the limits.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Method;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::spawn_local;

use super::connection::Connection;
use super::entry::Entry;
use super::h2;
use super::linger::{Place, linger};
use super::refusal::Refusal;
use super::reply::{self, ReplyTo};
use super::serve::Served;
use super::worker::Worker;
use crate::config::Limits;
use crate::ground;
use crate::message::Version;
use crate::net::{self, ConnectionInfo, Listener, Stream};
use crate::observe::Outcome;
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
    /// If connections of one client were limited when it came.
    client: Option<IpAddr>,
}

impl Admission {
    /// For all workers together; of those that are turned away a worker has so many at a time.
    pub fn new(turned_away: usize) -> Self {
        Self {
            turned_away,
            open: Mutex::default(),
        }
    }

    fn admit(
        self: &Arc<Self>,
        info: &ConnectionInfo,
        limits: &Limits,
    ) -> Result<Admitted, Refusal> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if limits.connections > 0 && open.all >= limits.connections {
            return Err(Refusal::TooManyConnections);
        }
        // Clients of a Unix socket can't be told apart; the socket's mode limits them.
        let is_limited = limits.connections_per_client > 0 && !info.is_without_address();
        if is_limited {
            let count = open.by_client.entry(info.peer.ip()).or_default();
            if *count >= limits.connections_per_client {
                return Err(Refusal::TooManyOfClient);
            }
            *count += 1;
        }
        open.all += 1;
        Ok(Admitted {
            admission: Arc::clone(self),
            client: is_limited.then_some(info.peer.ip()),
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
        if let Some(client) = self.client
            && let Some(count) = open.by_client.get_mut(&client)
        {
            *count -= 1;
            if *count == 0 {
                open.by_client.remove(&client);
            }
        }
    }
}

/// A connection from an acceptor, and the number of the listener that it came by.
pub type Handed = (usize, std::net::TcpStream, SocketAddr);

/// Accepts until the future is dropped; each connection is a task of this thread.
pub async fn accept(
    worker: Rc<Worker>,
    (listener, entry): (Rc<Listener>, Rc<Entry>),
    admission: Arc<Admission>,
) {
    loop {
        ground::fault_point("accept");
        match listener.accept().await {
            Ok(Some(connection)) => take(&worker, &entry, connection, &admission),
            Ok(None) => {}
            Err(e) if net::is_of_one_connection(&e) => {}
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
    entries: Rc<[Rc<Entry>]>,
    handed: Rc<RefCell<UnboundedReceiver<Handed>>>,
    admission: Arc<Admission>,
) {
    loop {
        // Borrowed for each poll, so that another task can go on where this one ended.
        let next = poll_fn(|cx| handed.borrow_mut().poll_recv(cx)).await;
        let Some((number, stream, peer)) = next else {
            return;
        };
        if let Some(entry) = entries.get(number)
            && let Ok(connection) = net::handed_in(stream, peer)
        {
            take(&worker, entry, connection, &admission);
        }
    }
}

/// Accepts the connections that wait in the queue when the listener closes: for those clients they
/// are established.
pub fn accept_rest(
    worker: &Rc<Worker>,
    listener: Listener,
    entry: &Rc<Entry>,
    admission: &Arc<Admission>,
) {
    for connection in listener.into_rest() {
        take(worker, entry, connection, admission);
    }
}

fn take(
    worker: &Rc<Worker>,
    entry: &Rc<Entry>,
    (stream, info): (Stream, ConnectionInfo),
    admission: &Arc<Admission>,
) {
    let admitted = match worker.latest(|settings| admission.admit(&info, &settings.limits)) {
        Ok(admitted) => admitted,
        Err(refusal) => {
            worker.shard.connections_refused.increment();
            turn_away(worker, stream, &info, &refusal, admission.turned_away);
            return;
        }
    };
    worker.shard.connections.increment();
    let open = OpenConnection::new(Arc::clone(&worker.shard), admitted);
    if !entry.begins_at_once() {
        // TLS is not served yet.
        return;
    }
    // Made here and served in place: a future that is handed it would keep room for it twice.
    let mut connection = Connection::new(Rc::clone(worker), Rc::clone(entry), stream, info);
    // A panic in it ends only this connection: tokio catches it, and its resources are freed.
    spawn_local(async move {
        ground::fault_point("connection");
        match connection.serve().await {
            Served::Ended => drop(connection),
            // In a box, so that a connection of HTTP/1.1 does not hold the room for it.
            Served::SpeaksHttp2 => Box::pin(serve_h2(connection)).await,
        }
        drop(open);
    });
}

/// Serves a connection on by HTTP/2.
async fn serve_h2(connection: Connection) {
    let Connection {
        worker,
        stream,
        info,
        input,
        ..
    } = connection;
    let read_before = input.filled().to_vec();
    worker.buffers.take_back(input);
    h2::serve(worker, stream, info, read_before).await;
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

/// Sends the reason, as far as the socket takes it at once, and closes. A few such clients get the
/// time to send their request, because a close over unread bytes would reset the connection and
/// lose the answer; from the others only the bytes that have arrived are read.
fn turn_away(
    worker: &Rc<Worker>,
    mut stream: Stream,
    info: &ConnectionInfo,
    refusal: &Refusal,
    most: usize,
) {
    let mut answer = Vec::new();
    let (date, view) = (worker.date(), worker.view());
    let to = ReplyTo {
        method: &Method::GET,
        version: Version::Http11,
        keep_alive: false,
        date: &date,
        trace: None,
        item: view.settings.forwarding.item(),
    };
    reply::write_refusal(refusal, to, &mut answer);
    stream.send_off(&answer);
    let mut outcome = Outcome::begin();
    outcome.answered(refusal.status(), Some(refusal.reason()));
    let logged = view.settings.logged;
    worker.access_log.record(logged, &outcome, None, info);
    // Before the task is polled: else a burst of clients would hold a descriptor each until then,
    // and those that are served would get none for their backends.
    if let Some(place) = Place::take(&worker.turned_away, most) {
        let worker = Rc::clone(worker);
        spawn_local(async move {
            let _place = place;
            let timer = worker.timers.register();
            linger(&worker, &mut stream, &timer, TURNED_AWAY).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(connections: usize, connections_per_client: usize) -> Limits {
        Limits {
            connections,
            connections_per_client,
            ..Limits::default()
        }
    }

    fn address(text: &str) -> ConnectionInfo {
        let peer = SocketAddr::new(text.parse().unwrap(), 40_000);
        ConnectionInfo::new(peer, ([127, 0, 0, 1], 80).into())
    }

    #[test]
    fn a_client_has_one_account_however_it_came_and_gets_its_places_back() {
        let (admission, limits) = (Arc::new(Admission::new(1)), limits(9, 2));
        let (plain, mapped) = (address("192.0.2.1"), address("::ffff:192.0.2.1"));
        for _ in 0..3 {
            let (one, two) = (
                admission.admit(&plain, &limits).unwrap(),
                admission.admit(&mapped, &limits).unwrap(),
            );
            for again in [&plain, &mapped] {
                assert!(
                    matches!(
                        admission.admit(again, &limits),
                        Err(Refusal::TooManyOfClient)
                    ),
                    "{again:?}"
                );
            }
            let other = admission.admit(&address("192.0.2.2"), &limits).unwrap();
            drop(one);
            let three = admission.admit(&plain, &limits).unwrap();
            assert!(matches!(
                admission.admit(&plain, &limits),
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
        let (admission, limits) = (Arc::new(Admission::new(1)), limits(3, 2));
        let first = admission.admit(&address("192.0.2.1"), &limits).unwrap();
        let _second = admission.admit(&address("192.0.2.1"), &limits).unwrap();
        assert!(matches!(
            admission.admit(&address("192.0.2.1"), &limits),
            Err(Refusal::TooManyOfClient)
        ));
        let _third = admission.admit(&address("192.0.2.2"), &limits).unwrap();
        assert!(matches!(
            admission.admit(&address("192.0.2.3"), &limits),
            Err(Refusal::TooManyConnections)
        ));
        drop(first);
        assert!(admission.admit(&address("192.0.2.3"), &limits).is_ok());
    }

    #[test]
    fn without_a_limit_every_connection_is_admitted() {
        let (admission, limits) = (Arc::new(Admission::new(1)), limits(0, 0));
        let open: Vec<_> = (0..100)
            .map(|_| admission.admit(&address("192.0.2.1"), &limits))
            .collect();
        assert!(open.iter().all(Result::is_ok));
    }

    #[test]
    fn limits_may_change_while_connections_are_open() {
        let admission = Arc::new(Admission::new(1));
        let client = address("192.0.2.1");
        let before = admission.admit(&client, &limits(0, 0)).unwrap();
        let limited = limits(2, 1);
        let counted = admission.admit(&client, &limited).unwrap();
        assert!(matches!(
            admission.admit(&client, &limited),
            Err(Refusal::TooManyConnections)
        ));
        // It came when nothing was counted for its client.
        drop(before);
        assert!(matches!(
            admission.admit(&client, &limited),
            Err(Refusal::TooManyOfClient)
        ));
        drop(counted);
        assert!(admission.admit(&client, &limited).is_ok());
    }
}
