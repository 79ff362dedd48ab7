//! The component: the contract on one side, `choice` on the other.

use waypost_policy::{prelude::*, random};

use crate::choice::{self, Facts};

/// Draws from the pool of the request.
#[derive(Debug, Default)]
pub struct Random {
    pools: Pools<choice::Pool>,
}

impl Topology for Random {
    fn backends_changed(&mut self, pool: &Pool, backends: &[Backend]) {
        let weights: Vec<u32> = backends.iter().map(|backend| backend.weight).collect();
        self.pools.keep(pool.id, choice::Pool::new(&weights));
    }
}

impl Select for Random {
    fn select(&mut self, _request: &Request, mut attempt: &Attempt) -> Decision {
        self.pools
            .at_mut(attempt.pool)
            .and_then(|pool| pool.draw(&mut attempt))
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
}

waypost_policy::export!(Random: Topology, Select);

#[cfg(test)]
mod tests {
    use waypost_policy::testing::{self, Host};

    use super::*;

    #[test]
    fn each_pool_is_drawn_from_by_its_own_weights() {
        let host = Host::new();
        let weighted = |weights: [u32; 2]| {
            weights.map(|weight| Backend::new("10.0.0.1:80").with_weight(weight))
        };
        let (one, two) = (
            host.pool("one", weighted([1, 1])),
            host.pool("two", weighted([1, 9])),
        );
        let mut policy = host.load::<Random>("{}").unwrap();
        host.draws([1, 1, 0]);
        assert_eq!(
            policy.select(&testing::get("/").pool(&one)),
            Decision::Backend(1)
        );
        assert_eq!(
            policy.select(&testing::get("/").pool(&two)),
            Decision::Backend(1)
        );
        assert_eq!(
            policy.retry(&testing::get("/").pool(&one), [0]),
            Decision::Backend(1)
        );
        one.change(&mut policy, []);
        assert_eq!(policy.select(&testing::get("/").pool(&one)), Decision::Pass);
    }
}
