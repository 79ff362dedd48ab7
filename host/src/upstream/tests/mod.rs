//! Connections, places and health of endpoints, over real sockets and without a proxy around them.

mod attempts;
mod connections;
mod discovery;
mod forgetting;
mod queue;
mod streams;
mod topology;

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::*;
use crate::config::PoolHealth;
use crate::net::Stream;
use crate::stats::Stats;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const OTHER_CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

const PATIENCE: Duration = Duration::from_secs(10);

/// A connection of HTTP/1.1.
fn plain(carrier: Carrier) -> Connection {
    match carrier {
        Carrier::H1(connection) => connection,
        Carrier::H2(slot) => panic!("{slot:?}"),
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    crate::ground::limit_this_test();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// An endpoint of a separate worker.
fn backend(address: SocketAddr, places: Option<&Arc<Places>>) -> Rc<WorkerEndpoint> {
    let endpoint = Endpoint {
        places: places.cloned(),
        ..endpoint(&Registry::new(1), address)
    };
    Rc::new(WorkerEndpoint::new(&endpoint, &Stats::new(1), 0))
}

fn endpoint(registry: &Registry, address: SocketAddr) -> Endpoint {
    Endpoint::new(address, &"a.test".into(), registry)
}

fn places(count: usize) -> Arc<Places> {
    Arc::new(Places::new(count, &Arc::new(Notify::new())))
}

/// A connection and the backend's end of it.
async fn connected(
    backend: &Rc<WorkerEndpoint>,
    listener: &TcpListener,
) -> (Connection, TcpStream) {
    let carrier = backend
        .connect((backend.place(), None), PATIENCE)
        .await
        .unwrap();
    (plain(carrier), listener.accept().await.unwrap().0)
}

/// What a future is after one poll.
async fn polled<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
    poll_fn(|cx| {
        Poll::Ready(match pin!(&mut *future).poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

fn tcp(connection: &Connection) -> &TcpStream {
    match &connection.stream {
        Stream::Tcp(stream) => stream,
        other => panic!("{other:?}"),
    }
}

fn local(connection: &Connection) -> SocketAddr {
    tcp(connection).local_addr().unwrap()
}

/// Pools with endpoints at these addresses each.
fn topologies(pools: &[&[&str]]) -> Vec<PoolTopology> {
    topologies_of(&Registry::new(1), pools)
}

fn topologies_of(registry: &Registry, pools: &[&[&str]]) -> Vec<PoolTopology> {
    let ids = registry.pools(pools.iter().map(|_| "a"));
    let pool = |(id, addresses): (PoolId, &&[&str])| PoolTopology {
        id,
        name: "a".to_owned(),
        endpoints: addresses
            .iter()
            .map(|a| endpoint(registry, a.parse().unwrap()))
            .collect(),
        requests: None,
        max_idle: 64,
        queue: 9,
        queue_timeout: Duration::from_secs(1),
        body_wait: Duration::ZERO,
        slow_client: Duration::from_secs(2),
        slow_client_rate: 16 * 1024,
        is_mirror: false,
        health: PoolHealth {
            max_failures: 1,
            fail_timeout: Duration::from_secs(3_600),
            ..PoolHealth::default()
        },
        _presence: registry.presence(id),
    };
    ids.into_iter().zip(pools).map(pool).collect()
}

fn topology(addresses: &[&str]) -> PoolTopology {
    topologies(&[addresses]).remove(0)
}

fn worker_pools(topologies: impl IntoIterator<Item = PoolTopology>) -> WorkerPools {
    next_pools(None, 1, topologies)
}

fn next_pools(
    former: Option<&WorkerPools>,
    generation: u64,
    topologies: impl IntoIterator<Item = PoolTopology>,
) -> WorkerPools {
    let topology = Topology {
        generation,
        pools: topologies.into_iter().map(Arc::new).collect(),
        request_limits: Vec::new(),
        limits: Vec::new(),
    };
    WorkerPools::new(&topology, former, &Stats::new(1), 0)
}

/// The id of the pool after `number` others.
fn id(number: usize) -> PoolId {
    let ids = Registry::new(1).pools((0..=number).map(|_| "a"));
    ids[number]
}

impl WorkerPools {
    /// The pool with this number.
    fn nth(&self, number: usize) -> &WorkerPool {
        self.pool(id(number)).unwrap()
    }
}
