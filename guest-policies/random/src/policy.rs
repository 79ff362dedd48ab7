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
        self.pools.at_mut(attempt.pool).and_then(|pool| pool.draw(&mut attempt)).into()
    }
}

impl Facts for &Attempt {
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
