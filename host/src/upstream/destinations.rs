//! Endpoints that no configuration names: what the clients of a forward proxy ask for.
//!
//! Each destination is a pool of its own on each worker, with the addresses that were found and
//! allowed, in the order in which they are tried. So an exchange with it is the same as with any
//! backend, and its connections are kept and counted in the same budget. There is a bounded number
//! of them, and no statistics by name: clients choose the names.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ids::KnownEndpoint;
use super::recent::Recent;
use super::{
    Budget, Endpoint, EndpointId, FailedAttempt, Health, PoolId, PoolTopology, Presence, Registry,
    WorkerEndpoint, WorkerPool,
};
use crate::config::{Ejection, PoolHealth};
use crate::stats::{BackendShard, WorkerShard};

/// Destinations of one worker whose connections are kept.
const MOST: usize = 512;
/// Idle connections to one address that a worker keeps.
const MAX_IDLE: usize = 8;
/// For how long, in milliseconds, a destination without connections is kept.
const UNUSED: u64 = 60_000;

/// The destinations of one worker.
#[derive(Debug)]
pub struct Destinations {
    budget: Arc<Budget>,
    workers: usize,
    worker: usize,
    clock: Instant,
    /// What is counted of all of them.
    shard: Arc<BackendShard>,
    worker_shard: Arc<WorkerShard>,
    pools: RefCell<HashMap<Key, Kept>>,
}

/// The host as it was asked for, and its addresses.
type Key = (Box<str>, Box<[SocketAddr]>);

#[derive(Debug)]
struct Kept {
    pool: Rc<WorkerPool>,
    /// When it was used last, in milliseconds of the worker's clock.
    used: Cell<u64>,
}

impl Destinations {
    /// None yet, of worker number `worker`.
    pub fn new(registry: &Registry, worker: usize, worker_shard: &Arc<WorkerShard>) -> Self {
        Self {
            budget: Arc::clone(registry.budget()),
            workers: registry.workers(),
            worker,
            clock: Instant::now(),
            shard: Arc::default(),
            worker_shard: Arc::clone(worker_shard),
            pools: RefCell::default(),
        }
    }

    /// The pool of this host with these addresses, at this moment of the worker's clock.
    pub fn pool(&self, host: &str, addresses: &[SocketAddr], now: u64) -> Rc<WorkerPool> {
        let mut pools = self.pools.borrow_mut();
        let key: Key = (host.into(), addresses.into());
        if let Some(kept) = pools.get(&key) {
            kept.used.set(now);
            return Rc::clone(&kept.pool);
        }
        if pools.len() >= MOST {
            let oldest = pools.iter().min_by_key(|(_, kept)| kept.used.get());
            let oldest = oldest.map(|(key, _)| key.clone());
            if let Some(kept) = oldest.and_then(|key| pools.remove(&key)) {
                kept.retire();
            }
        }
        let pool = Rc::new(self.make(host, addresses));
        let kept = Kept {
            pool: Rc::clone(&pool),
            used: Cell::new(now),
        };
        pools.insert(key, kept);
        pool
    }

    fn make(&self, host: &str, addresses: &[SocketAddr]) -> WorkerPool {
        let host: Arc<str> = host.into();
        let endpoints: Vec<Endpoint> = addresses
            .iter()
            .map(|address| self.endpoint(*address, &host))
            .collect();
        let of_worker = endpoints.iter().map(|endpoint| {
            let counters = (Arc::clone(&self.shard), Arc::clone(&self.worker_shard));
            Rc::new(WorkerEndpoint::counted(endpoint, counters, self.worker))
        });
        WorkerPool {
            endpoints: of_worker.collect(),
            topology: Arc::new(topology(&host, endpoints)),
            shard: Arc::default(),
            started: self.clock,
            repeats: Cell::default(),
            recent: Recent::default(),
            limits_requests: false,
        }
    }

    fn endpoint(&self, address: SocketAddr, host: &Arc<str>) -> Endpoint {
        let known = KnownEndpoint {
            id: EndpointId::APART,
            health: Arc::new(Health::new(self.workers, self.clock)),
            label: address.to_string().into(),
            presence: Presence::default(),
        };
        Endpoint {
            kept: MAX_IDLE,
            ..Endpoint::of(known, address, host, Arc::clone(&self.budget))
        }
    }

    /// Looks after all connections: closes what has been idle since before `before`, and forgets
    /// what nobody has asked for in a while.
    pub fn sweep(&self, now: u64, before: u64) {
        self.pools.borrow_mut().retain(|_, kept| {
            let endpoints = kept.pool.endpoints.iter();
            endpoints.for_each(|endpoint| endpoint.look_after(now, before));
            let is_kept = kept.used.get() + UNUSED > now || Rc::strong_count(&kept.pool) > 1;
            if !is_kept {
                kept.retire();
            }
            is_kept
        });
    }

    /// Closes idle connections if the process may have no more, so that others can be opened.
    pub fn make_room(&self) {
        if self.budget.is_used_up() || self.budget.waiting() > 0 {
            let pools = self.pools.borrow();
            let endpoints = pools.values().flat_map(|kept| kept.pool.endpoints.iter());
            endpoints.for_each(|endpoint| while endpoint.close_oldest() {});
        }
    }
}

impl Kept {
    fn retire(&self) {
        self.pool.endpoints.iter().for_each(|e| e.retire());
    }
}

impl WorkerPool {
    /// The first endpoint that has not failed.
    pub fn first_untried(&self, failed: &[FailedAttempt]) -> u32 {
        let count = u32::try_from(self.endpoints.len()).unwrap_or(u32::MAX);
        let untried = |position: &u32| !failed.iter().any(|f| f.backend == *position);
        (0..count).find(untried).unwrap_or(0)
    }
}

/// A pool whose endpoints are never ejected: no other one does what each of them does.
fn topology(host: &Arc<str>, endpoints: Vec<Endpoint>) -> PoolTopology {
    PoolTopology {
        id: PoolId::NOWHERE,
        name: host.to_string(),
        endpoints,
        max_idle: MAX_IDLE,
        queue: 0,
        queue_timeout: Duration::ZERO,
        body_wait: Duration::ZERO,
        slow_client: Duration::ZERO,
        slow_client_rate: 0,
        is_mirror: false,
        requests: None,
        health: PoolHealth {
            max_failures: 0,
            ejection: Ejection {
                max_share: 0.0,
                statuses: Vec::new(),
                stalled_after: Duration::ZERO,
                reconnect: Duration::ZERO,
                ..Ejection::default()
            },
            ..PoolHealth::default()
        },
        _presence: Presence::default(),
    }
}
