//! What nothing uses any more is forgotten.

use std::time::Instant;

use super::*;

/// A process whose topology changes.
struct Changing {
    registry: Registry,
    stats: Stats,
    worker: Option<WorkerPools>,
    ids: Vec<PoolId>,
    generation: u64,
    now: Instant,
}

impl Changing {
    fn new() -> Self {
        Self {
            registry: Registry::new(1),
            stats: Stats::new(1),
            worker: None,
            ids: Vec::new(),
            generation: 0,
            now: Instant::now(),
        }
    }

    /// Publishes pools of these names, each with endpoints at these ports.
    fn publish(&mut self, pools: &[(&str, &[u16])]) {
        self.registry.forget(&self.stats, self.now);
        self.ids = self.registry.pools(pools.iter().map(|(name, _)| *name));
        let pool = |(&id, (name, ports)): (&PoolId, &(&str, &[u16]))| {
            let address = |port: &u16| SocketAddr::from(([127, 0, 0, 1], *port));
            let endpoints = ports.iter().map(|p| endpoint(&self.registry, address(p)));
            PoolTopology {
                id,
                name: (*name).to_owned(),
                endpoints: endpoints.collect(),
                _presence: self.registry.presence(id),
                ..topology(&[])
            }
        };
        self.generation += 1;
        let topology = Topology {
            generation: self.generation,
            pools: self.ids.iter().zip(pools).map(pool).map(Arc::new).collect(),
            limits: Vec::new(),
            request_limits: Vec::new(),
        };
        let former = self.worker.as_ref();
        self.worker = Some(WorkerPools::new(&topology, former, &self.stats, 0));
    }

    fn after(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.registry.forget(&self.stats, self.now);
    }

    fn requests(&self) -> (u64, u64) {
        let all = self.stats.backends();
        let shards = all.by_name.values().flat_map(|backend| &backend.shards);
        let known = shards.map(|shard| shard.requests.value()).sum();
        (known, all.forgotten.sum.requests.value())
    }

    fn pool(&self, at: usize) -> &WorkerPool {
        let worker = self.worker.as_ref().unwrap();
        worker.pool(self.ids[at]).unwrap()
    }

    fn lease_first(&self) {
        self.pool(0).endpoints[0].shard.requests.increment();
    }
}

#[test]
fn two_thousand_topologies_of_new_backends_and_pools_leave_a_bounded_number() {
    let mut process = Changing::new();
    for turn in 0..2_000_u16 {
        let ports: Vec<u16> = (0..20).map(|n| turn * 20 + n).collect();
        process.publish(&[(&format!("pool {turn}"), &ports), ("stays", &[60_000])]);
        process.lease_first();
    }
    let (pools, endpoints) = process.registry.size();
    assert!(
        pools <= 1_024 + 4 && endpoints <= 1_024 + 50,
        "{pools} {endpoints}"
    );
    let all = process.stats.backends();
    assert!(all.by_name.len() <= 1_024 + 50, "{}", all.by_name.len());
    assert!(all.forgotten.names >= 38_900, "{}", all.forgotten.names);
    let (known, forgotten) = process.requests();
    assert_eq!(known + forgotten, 2_000, "no request is lost");
    let number = process.ids[0].number();
    assert!(number <= 1_024 + 4, "numbers of pools stay small: {number}");
}

#[test]
fn what_comes_back_in_time_is_the_same_and_later_it_is_new() {
    let mut process = Changing::new();
    process.publish(&[("a", &[1]), ("b", &[2])]);
    process.lease_first();
    let id = |process: &Changing, at| {
        let pool = process.pool(at);
        (pool.topology.id, pool.endpoints[0].id)
    };
    let first = id(&process, 0);
    process.publish(&[("b", &[2])]);
    process.after(0);
    process.after(599);
    process.publish(&[("a", &[1]), ("b", &[2])]);
    assert_eq!(id(&process, 0), first);
    assert_eq!(process.requests(), (1, 0));
    // A connection of the endpoint keeps it, although no topology has it.
    let held = Rc::clone(&process.pool(0).endpoints[0]);
    process.publish(&[("b", &[2])]);
    process.after(0);
    process.after(600);
    assert_eq!(process.requests(), (1, 0));
    assert_eq!(process.registry.size(), (1, 2), "the pool is forgotten");
    drop(held);
    process.after(0);
    process.after(600);
    assert_eq!(process.registry.size(), (1, 1));
    assert_eq!(process.requests(), (0, 1));
    process.publish(&[("b", &[2]), ("c", &[3]), ("a", &[1])]);
    let (pool, endpoint) = id(&process, 1);
    assert_eq!(
        pool, first.0,
        "the number of a pool that was forgotten is given again"
    );
    assert!(endpoint > first.1, "the id of an endpoint is not");
    assert_eq!(process.requests(), (0, 1));
}

#[test]
fn endpoints_at_one_address_have_names_of_their_own_whichever_leaves() {
    let registry = Registry::new(1);
    let stats = Stats::new(1);
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let at = |protocol| registry.endpoint(address, protocol, None);
    let (first, second) = (at(Protocol::Http11), at(Protocol::H2));
    assert_eq!(&*second.label, "127.0.0.1:1 (h2c)");
    drop(first);
    let now = Instant::now();
    registry.forget(&stats, now);
    registry.forget(&stats, now + Duration::from_secs(600));
    let (third, fourth) = (at(Protocol::Auto), at(Protocol::Http11));
    let labels = [&third, &fourth, &second].map(|known| known.label.to_string());
    assert_eq!(
        labels,
        ["127.0.0.1:1", "127.0.0.1:1 (http)", "127.0.0.1:1 (h2c)"]
    );
}
