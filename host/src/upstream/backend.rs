//! One backend as one worker sees it: connections, health, counts.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};

use crate::stats::BackendShard;

/// A backend. Pools that name the same address share it, with its connections and its health.
#[derive(Debug)]
pub struct Backend {
    /// Where it is.
    pub address: SocketAddr,
    /// The same as text, for logs and for the `Host` of clients that named none.
    pub name: String,
    /// What this worker counts of it.
    pub shard: Arc<BackendShard>,
    /// Kept-alive connections, the longest idle first.
    idle: RefCell<VecDeque<Idle>>,
}

#[derive(Debug)]
struct Idle {
    stream: TcpStream,
    /// Milliseconds of the worker's clock.
    since: u64,
}

/// A connection for the length of a request. Dropped, it is closed; [`Lease::keep`] gives it back.
#[derive(Debug)]
pub struct Lease {
    /// The connection.
    pub stream: TcpStream,
    /// Whether it has carried a request before.
    pub reused: bool,
    open: Open,
}

/// Counts an open connection for as long as it lives.
#[derive(Debug)]
struct Open(Rc<Backend>);

impl Open {
    fn new(backend: &Rc<Backend>) -> Self {
        backend.shard.connections.increment();
        Self(Rc::clone(backend))
    }
}

/// Counts a request in flight for as long as it lives.
#[derive(Debug)]
pub struct InFlight(Rc<Backend>);

impl Backend {
    /// A backend without connections.
    pub fn new(address: SocketAddr, shard: Arc<BackendShard>) -> Self {
        Self { address, name: address.to_string(), shard, idle: RefCell::default() }
    }

    /// A pooled connection, the most recently used first, as it is the least likely to be closed.
    ///
    /// A connection that has ended, or on which the backend spoke out of turn, is passed over. `certain` looks at the socket
    /// itself rather than at what the last poll saw: one more system call, for requests that must not be repeated.
    pub fn lease_idle(self: &Rc<Self>, certain: bool) -> Option<Lease> {
        loop {
            let idle = self.idle.borrow_mut().pop_back()?;
            self.shard.connections.decrement();
            if is_quiet(&idle.stream, certain) {
                return Some(Lease { stream: idle.stream, reused: true, open: Open::new(self) });
            }
        }
    }

    /// A new connection. The caller limits the time.
    pub async fn connect(self: &Rc<Self>) -> io::Result<Lease> {
        let socket = if self.address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // Heads and small bodies are written whole: waiting for more to send only costs time.
        socket.set_nodelay(true)?;
        let stream = socket.connect(self.address).await?;
        Ok(Lease { stream, reused: false, open: Open::new(self) })
    }

    /// Closes the connections that have been idle since before `before`, and those that have ended.
    pub fn sweep(&self, before: u64) {
        let mut idle = self.idle.borrow_mut();
        let count = idle.len();
        idle.retain(|i| i.since >= before && is_quiet(&i.stream, false));
        (idle.len()..count).for_each(|_| self.shard.connections.decrement());
    }

    /// Counts a request in flight until the answer is dropped.
    pub fn in_flight(self: &Rc<Self>) -> InFlight {
        self.shard.in_flight.increment();
        self.shard.requests.increment();
        InFlight(Rc::clone(self))
    }

    /// A response head arrived this long after the request was sent.
    pub fn succeeded(&self, took: Duration) {
        let shard = &self.shard;
        let sample = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        shard.latency_microseconds.record(sample);
        let average = shard.latency_ewma_microseconds.value();
        // One eighth, as TCP smooths its round-trip time (RFC 6298 section 2).
        shard.latency_ewma_microseconds.set(if average == 0 {
            sample
        } else {
            (average - average / 8 + sample / 8).max(1)
        });
        if shard.consecutive_failures.value() != 0 {
            shard.consecutive_failures.set(0);
            shard.set_aside_until.set(0);
        }
    }

    /// An attempt failed. After `max_failures` in a row (0 = never) the backend is set aside until `until`, in
    /// milliseconds since counting began.
    pub fn failed(&self, max_failures: u32, until: u64) {
        self.shard.failures.increment();
        self.shard.consecutive_failures.increment();
        if max_failures > 0 && self.shard.consecutive_failures.value() >= u64::from(max_failures) {
            self.shard.set_aside_until.set(until);
        }
    }
}

impl Lease {
    /// Gives the connection back for the next request. At most `max_idle` are kept: the longest idle one goes.
    pub fn keep(self, now: u64, max_idle: usize) {
        let Self { stream, open, .. } = self;
        let backend = &open.0;
        let mut idle = backend.idle.borrow_mut();
        if max_idle == 0 {
            return;
        }
        if idle.len() >= max_idle {
            idle.pop_front();
            backend.shard.connections.decrement();
        }
        // Pooled connections are counted too: `open` uncounts this one when it goes.
        backend.shard.connections.increment();
        idle.push_back(Idle { stream, since: now });
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.shard.connections.decrement();
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.shard.in_flight.decrement();
    }
}

/// Whether nothing has happened on an idle connection: no end, no error, no byte.
fn is_quiet(stream: &TcpStream, certain: bool) -> bool {
    let seen = if certain {
        SockRef::from(stream).peek(&mut [MaybeUninit::uninit(); 1])
    } else {
        stream.try_read(&mut [0; 1])
    };
    seen.is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock)
}
