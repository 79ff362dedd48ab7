//! Taking connections in, within the limits.

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::spawn_local;

use super::admission::{Admission, Admitted, Beside};
use super::arrival::Arrival;
use super::connection::Connection;
use super::entry::Entry;
use super::h2;
use super::linger::{Place, linger};
use super::refusal::Refusal;
use super::reply::{self, ReplyTo};
use super::serve::Served;
use super::worker::Worker;
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

/// What becomes of connections, by the number of their listener's sockets.
pub type Entries = Rc<RefCell<Vec<(usize, Rc<Entry>)>>>;

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
    entries: Entries,
    handed: Rc<RefCell<UnboundedReceiver<Handed>>>,
    admission: Arc<Admission>,
) {
    loop {
        // Borrowed for each poll, so that another task can go on where this one ended.
        let next = poll_fn(|cx| handed.borrow_mut().poll_recv(cx)).await;
        let Some((number, stream, peer)) = next else {
            return;
        };
        let of_number =
            |(its, entry): &(usize, Rc<Entry>)| (*its == number).then(|| Rc::clone(entry));
        let entry = entries.borrow().iter().find_map(of_number);
        if let Some(entry) = entry
            && let Ok(connection) = net::handed_in(stream, peer)
        {
            take(&worker, &entry, connection, &admission);
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
            // An end would be taken for that of what the client has.
            if entry.tcp.is_some() {
                stream.reset_when_dropped();
            // Plain text would be nothing to a client that begins a handshake.
            } else if entry.tls.is_none() {
                turn_away(worker, stream, &info, &refusal, admission.turned_away);
            }
            return;
        }
    };
    worker.shard.connections.increment();
    let open = OpenConnection::new(Arc::clone(&worker.shard), Rc::clone(entry), admitted);
    if !entry.begins_at_once() {
        let arrival = Arrival {
            worker: Rc::clone(worker),
            entry: Rc::clone(entry),
            stream,
            info,
        };
        return begin(arrival, open, Arc::clone(admission));
    }
    // Made here and served in place: a future that is handed it would keep room for it twice.
    let mut connection = Connection::new(Rc::clone(worker), Rc::clone(entry), stream, info);
    // A panic in it ends only this connection: tokio catches it, and its resources are freed.
    let task = spawn_local(async move {
        ground::fault_point("connection");
        match connection.serve().await {
            Served::Ended => drop(connection),
            // In a box, so that a connection of HTTP/1.1 does not hold the room for it.
            Served::SpeaksHttp2 => Box::pin(serve_h2(connection, open.admitted.beside())).await,
        }
        drop(open);
    });
    entry.serves(&task);
}

/// Serves a connection that has to show something before its first request.
fn begin(arrival: Arrival, mut open: OpenConnection, admission: Arc<Admission>) {
    let entry = Rc::clone(&arrival.entry);
    // In a box, so that its room is free again once a request may come.
    let begun = async move {
        let begun = arrival.begin(&mut open.admitted, &admission).await;
        (begun, open)
    };
    let begun = Box::pin(begun);
    let task = spawn_local(async move {
        ground::fault_point("connection");
        let (Some((mut connection, passed)), open) = begun.await else {
            return;
        };
        if let Some(passed) = passed {
            Box::pin(connection.pass_on(passed)).await;
            drop(connection);
            return drop(open);
        }
        let protocol = connection.info.tls.as_ref();
        let protocol = protocol.and_then(|facts| facts.session.protocol.as_deref());
        let served = match (protocol, connection.entry.protocols.http1) {
            (Some("h2"), _) => Served::SpeaksHttp2,
            (_, true) => connection.serve().await,
            // It has agreed to nothing, and what it speaks is not served.
            (_, false) => Served::Ended,
        };
        match served {
            Served::Ended => drop(connection),
            Served::SpeaksHttp2 => Box::pin(serve_h2(connection, open.admitted.beside())).await,
        }
        drop(open);
    });
    entry.serves(&task);
}

/// Serves a connection on by HTTP/2.
async fn serve_h2(connection: Connection, beside: Beside) {
    let Connection {
        worker,
        entry,
        stream,
        info,
        input,
        ..
    } = connection;
    let read_before = input.filled().to_vec();
    worker.buffers.take_back(input);
    h2::serve((worker, entry), stream, (info, beside), read_before).await;
}

/// A connection counts as open until this is dropped, however it ends.
struct OpenConnection {
    shard: Arc<WorkerShard>,
    entry: Rc<Entry>,
    admitted: Admitted,
}

impl OpenConnection {
    fn new(shard: Arc<WorkerShard>, entry: Rc<Entry>, admitted: Admitted) -> Self {
        shard.connections_active.increment();
        Self {
            shard,
            entry,
            admitted,
        }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.shard.connections_active.decrement();
        self.entry.served();
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
