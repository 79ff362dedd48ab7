//! What the heads of streams under way may hold of memory together.
//!
//! A few bytes name a field of kilobytes that the client's table has, so that each head may be
//! small on the wire and as large in memory as a head may be.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use http::HeaderMap;
use http::request::Parts;

use crate::net::ConnectionInfo;
use crate::upstream;

/// How many of the largest heads the streams of one connection may have together.
const LARGEST: usize = 16;
/// Bytes of all heads of a worker, beyond which a connection may only have ...
const OF_WORKER: usize = 64 * 1024 * 1024;
/// ... and those of one client, beyond which each of its connections may only have ...
const OF_CLIENT: usize = 16 * 1024 * 1024;
/// ... so many of them.
const LEAST: usize = 64 * 1024;
/// What a field costs beside its name and value, as the engine counts it (RFC 9113 section 6.5.2).
const OVERHEAD: usize = 32;

/// Counts the heads of a worker, and of each of its clients.
#[derive(Debug, Default)]
pub(in crate::proxy) struct WorkerHeads {
    all: Cell<usize>,
    by_client: RefCell<HashMap<IpAddr, OfClient>>,
}

/// What the connections of one client have.
#[derive(Debug, Default)]
struct OfClient {
    connections: usize,
    held: Rc<Cell<usize>>,
}

/// Counts the heads of one connection's streams, and with them those of its client and worker.
#[derive(Debug)]
pub(super) struct Heads {
    held: Cell<usize>,
    /// `None` if clients can't be distinguished by the peer: it has no address, or is a proxy.
    client: Option<(IpAddr, Rc<Cell<usize>>)>,
    worker: Rc<WorkerHeads>,
}

/// A head that counts until this is dropped.
#[derive(Debug)]
pub(super) struct HeldHead {
    heads: Rc<Heads>,
    bytes: usize,
}

/// Why there is no room for a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IsTooMuch {
    /// The streams of its connection have too much.
    OfConnection,
    /// All streams of its client have, or of the worker.
    OfAll,
}

impl WorkerHeads {
    /// What the client at this address has, with one connection more.
    fn join(&self, client: IpAddr) -> Rc<Cell<usize>> {
        let mut clients = self.by_client.borrow_mut();
        let client = clients.entry(client).or_default();
        client.connections += 1;
        Rc::clone(&client.held)
    }

    fn leave(&self, client: IpAddr) {
        let mut clients = self.by_client.borrow_mut();
        if let Some(of_client) = clients.get_mut(&client) {
            of_client.connections -= 1;
            if of_client.connections == 0 {
                clients.remove(&client);
            }
        }
    }
}

impl Heads {
    /// None so far. `is_proxy` says that the peer's requests are those of many clients.
    pub(super) fn new(worker: &Rc<WorkerHeads>, info: &ConnectionInfo, is_proxy: bool) -> Self {
        let is_client = !is_proxy && !info.is_without_address();
        let client = is_client.then(|| upstream::network(info.peer.ip()));
        Self {
            held: Cell::new(0),
            client: client.map(|client| (client, worker.join(client))),
            worker: Rc::clone(worker),
        }
    }

    /// Counts one more, if there is room for it. The first one has room for certain. `largest` is
    /// what one head may have.
    ///
    /// # Errors
    ///
    /// There is none: whether that is this connection's doing.
    pub(super) fn hold(
        self: &Rc<Self>,
        head: &Parts,
        largest: usize,
    ) -> Result<HeldHead, IsTooMuch> {
        let bytes = bytes_of(head);
        let held = self.held.get() + bytes;
        let most = largest.saturating_mul(LARGEST);
        if held > bytes && held > most {
            return Err(IsTooMuch::OfConnection);
        }
        if held > bytes && held > LEAST && self.is_crowded(bytes) {
            return Err(IsTooMuch::OfAll);
        }
        self.count(|counted| counted + bytes);
        let heads = Rc::clone(self);
        Ok(HeldHead { heads, bytes })
    }

    /// Whether the client or the worker would have too much with so many bytes more.
    fn is_crowded(&self, bytes: usize) -> bool {
        let of_client = self.client.as_ref().map_or(0, |(_, held)| held.get());
        of_client + bytes > OF_CLIENT || self.worker.all.get() + bytes > OF_WORKER
    }

    fn count(&self, change: impl Fn(usize) -> usize) {
        let of_client = self.client.as_ref().map(|(_, held)| &**held);
        for counted in [&self.held, &self.worker.all].into_iter().chain(of_client) {
            counted.set(change(counted.get()));
        }
    }
}

impl Drop for Heads {
    fn drop(&mut self) {
        if let Some((client, _)) = &self.client {
            self.worker.leave(*client);
        }
    }
}

fn bytes_of(head: &Parts) -> usize {
    let uri = head
        .uri
        .path_and_query()
        .map_or(0, |path| path.as_str().len());
    let authority = head.uri.authority().map_or(0, |a| a.as_str().len());
    uri + authority + bytes_of_fields(&head.headers)
}

fn bytes_of_fields(fields: &HeaderMap) -> usize {
    let bytes = fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + OVERHEAD);
    bytes.sum()
}

impl Drop for HeldHead {
    fn drop(&mut self) {
        let Self { heads, bytes } = self;
        heads.count(|counted| counted - *bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    const LARGE: usize = 32 * 1024;

    fn head(bytes: usize) -> Parts {
        let value = "x".repeat(bytes);
        let request = http::Request::get("http://a.test/").header("a", value);
        request.body(()).unwrap().into_parts().0
    }

    fn info(address: &str) -> ConnectionInfo {
        let peer = SocketAddr::new(address.parse().unwrap(), 40_000);
        ConnectionInfo::new(peer, ([127, 0, 0, 1], 80).into())
    }

    fn heads(worker: &Rc<WorkerHeads>, address: &str) -> Rc<Heads> {
        Rc::new(Heads::new(worker, &info(address), false))
    }

    /// As many heads of 8 KB as there is room for, up to 100.
    fn fill(heads: &Rc<Heads>) -> (Vec<HeldHead>, Option<IsTooMuch>) {
        let mut held = Vec::new();
        while held.len() < 100 {
            match heads.hold(&head(8_000), LARGE) {
                Ok(one) => held.push(one),
                Err(e) => return (held, Some(e)),
            }
        }
        (held, None)
    }

    #[test]
    fn the_heads_of_a_connection_have_a_budget_that_comes_back() {
        let worker = Rc::default();
        let heads = heads(&worker, "192.0.2.1");
        let largest = 4_000;
        for _ in 0..2 {
            let held: Vec<_> = (0..100)
                .map_while(|_| heads.hold(&head(3_000), largest).ok())
                .collect();
            // 64,000 bytes, of which each takes some 3,040.
            assert_eq!(held.len(), 21);
            let refused = heads.hold(&head(3_000), largest).unwrap_err();
            assert_eq!(refused, IsTooMuch::OfConnection);
            assert!(worker.all.get() > 63_000 && worker.all.get() <= 64_000);
            drop(held);
            assert_eq!((heads.held.get(), worker.all.get()), (0, 0));
        }
        assert!(heads.hold(&head(100_000), largest).is_ok(), "the first");
        drop(heads);
        assert!(worker.by_client.borrow().is_empty());
    }

    #[test]
    fn where_a_worker_has_many_heads_each_connection_may_have_few() {
        let worker = Rc::new(WorkerHeads::default());
        worker.all.set(OF_WORKER);
        let heads = heads(&worker, "192.0.2.1");
        let (held, refused) = fill(&heads);
        assert_eq!(held.len(), LEAST / 8_046);
        assert_eq!(refused, Some(IsTooMuch::OfAll));
        drop(held);
        assert_eq!(worker.all.get(), OF_WORKER);
    }

    #[test]
    fn a_client_with_many_connections_leaves_others_their_heads() {
        let worker = Rc::new(WorkerHeads::default());
        // Two addresses of one network of IPv6 are one client.
        let flood: Vec<_> = (0..60)
            .map(|n| heads(&worker, &format!("2001:db8::{n:x}")))
            .collect();
        let held: Vec<_> = flood.iter().map(fill).collect();
        assert!(worker.all.get() <= OF_CLIENT + 60 * LEAST);
        let (first, last) = (&held[0], &held[59]);
        assert_eq!(first.1, Some(IsTooMuch::OfConnection));
        assert_eq!(
            (last.0.len(), last.1),
            (LEAST / 8_046, Some(IsTooMuch::OfAll))
        );
        let all = worker.all.get();
        for (address, is_proxy) in [("2001:db8:0:1::1", false), ("2001:db8::1", true)] {
            let other = Rc::new(Heads::new(&worker, &info(address), is_proxy));
            let (others, refused) = fill(&other);
            assert!(others.len() > 60, "{address}");
            assert_eq!(refused, Some(IsTooMuch::OfConnection), "its own limit");
        }
        assert_eq!(worker.all.get(), all);
        drop((held, flood));
        assert_eq!(worker.all.get(), 0);
        assert!(worker.by_client.borrow().is_empty());
    }
}
