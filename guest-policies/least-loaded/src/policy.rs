//! The component: the contract on one side, `choice` on the other.

use waypost_policy::{prelude::*, random};

use crate::choice::{self, Facts};

/// Chooses from the pool of the request.
#[derive(Debug, Default)]
pub struct LeastLoaded {
    pools: Pools<choice::Pool>,
}

impl Topology for LeastLoaded {
    fn backends_changed(&mut self, pool: &Pool, backends: &[Backend]) {
        let weights = backends.iter().map(|backend| backend.weight).collect();
        self.pools.keep(pool.id, choice::Pool::new(weights));
    }
}

impl Select for LeastLoaded {
    fn select(&mut self, _request: &Request, mut attempt: &Attempt) -> Decision {
        self.pools
            .at_mut(attempt.pool)
            .and_then(|pool| pool.choose(&mut attempt))
            .into()
    }
}

impl Facts for &Attempt<'_> {
    fn below(&mut self, bound: u32) -> u32 {
        random::below(bound)
    }
    fn healthy(&self, backend: u32) -> bool {
        facts::healthy(backend)
    }
    fn failed(&self, backend: u32) -> bool {
        self.has_failed(backend)
    }
    fn in_flight(&self, backend: u32) -> u32 {
        facts::in_flight(backend)
    }
    fn latency(&self, backend: u32) -> u64 {
        facts::latency_microseconds(backend)
    }
}

waypost_policy::export!(LeastLoaded: Topology, Select);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use waypost_policy::testing::{self, Host};

    use super::*;

    #[test]
    fn the_facts_of_the_requests_own_pool_decide() {
        let host = Host::new();
        let backends = || ["10.0.0.1:80", "10.0.0.2:80"].map(Backend::new);
        let (one, two) = (host.pool("one", backends()), host.pool("two", backends()));
        let mut policy = host.load::<LeastLoaded>("{}").unwrap();
        one.set_in_flight(0, 5);
        two.set_in_flight(1, 5);
        // Two draws for the pair, and one that says: compare them.
        host.draws([0, 0, 1, 0, 0, 1, 0, 0, 1]);
        assert_eq!(
            policy.select(&testing::get("/").pool(&one)),
            Decision::Backend(1)
        );
        assert_eq!(
            policy.select(&testing::get("/").pool(&two)),
            Decision::Backend(0)
        );
        two.set_latency(0, Duration::from_secs(1));
        two.set_latency(1, Duration::from_millis(1));
        assert_eq!(
            policy.select(&testing::get("/").pool(&two)),
            Decision::Backend(1)
        );
        assert_eq!(
            policy.retry(&testing::get("/").pool(&two), [1]),
            Decision::Backend(0)
        );
    }
}
