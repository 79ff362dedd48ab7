//! What is known against endpoints, for the process that replaces this one: it does not ask
//! machines again that are known to be dead.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::marks::Marks;
use super::shared::{Ejected, Shared};
use crate::upstream::{PoolTopology, Topology};

/// What is known against one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedHealth {
    /// The name of its pool.
    pub pool: String,
    /// Where it is.
    pub address: SocketAddr,
    /// Its probes fail, for this reason.
    pub down: Option<String>,
    /// Its requests failed.
    pub ejected: Option<Ejected>,
}

impl Topology {
    /// What is known against its endpoints.
    pub fn carried_health(&self) -> Vec<CarriedHealth> {
        let of_pool = |pool: &PoolTopology| {
            let all = pool.endpoints.iter().filter_map(|endpoint| {
                let (down, ejected) = endpoint.health.shared.carried()?;
                Some(CarriedHealth {
                    pool: pool.name.clone(),
                    address: endpoint.address,
                    down,
                    ejected,
                })
            });
            all.collect::<Vec<_>>()
        };
        self.pools.iter().flat_map(|pool| of_pool(pool)).collect()
    }

    /// Begins with what another process knew. What it knew by probes counts only for what is
    /// probed here too: nothing else would end it.
    pub fn take_up_health(&self, all: &[CarriedHealth]) {
        for carried in all {
            for pool in self.pools.iter().filter(|pool| pool.name == carried.pool) {
                let is_probed = pool.health.probe.is_some();
                let same = |e: &&crate::upstream::Endpoint| e.address == carried.address;
                for endpoint in pool.endpoints.iter().filter(same) {
                    let shared = &endpoint.health.shared;
                    if let Some(reason) = carried.down.as_ref().filter(|_| is_probed) {
                        endpoint.health.goes_down(reason);
                    }
                    if let Some(ejected) = &carried.ejected {
                        let rules = &pool.health;
                        let most = rules.ejection.max_time.max(rules.fail_timeout);
                        shared.take_up(ejected, most);
                    }
                }
            }
        }
    }
}

impl Shared {
    fn carried(&self) -> Option<(Option<String>, Option<Ejected>)> {
        let marks = self.marks();
        if !marks.has(Marks::DOWN.and(Marks::EJECTED)) {
            return None;
        }
        let (down, ejected) = (self.reason(Marks::DOWN), self.reason(Marks::EJECTED));
        let ejected = ejected.map(|reason| Ejected {
            left: self.left(),
            times: self.times_ejected(),
            reason,
        });
        Some((down, ejected))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn an_ejection_goes_on_for_the_rest_of_its_time_and_grows_from_there() {
        let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3_600));
        let one = Shared::new(Instant::now());
        assert_eq!(one.carried(), None);
        one.eject((minute, hour), Marks::NONE, || {
            "3 failures in a row".to_owned()
        });
        one.change(Marks::DOWN, Marks::NONE, || "no answer".to_owned());
        let (down, ejected) = one.carried().unwrap();
        let ejected = ejected.unwrap();
        assert_eq!(down.as_deref(), Some("no answer"));
        assert!(ejected.left > minute / 2 && ejected.left <= minute);
        let other = Shared::new(Instant::now());
        other.take_up(&ejected, hour);
        assert!(!other.is_well());
        let state = other.state();
        assert_eq!(
            (state.state, state.reason.as_str(), state.ejections),
            ("ejected", "3 failures in a row", 1)
        );
        // One that has said less than the truth does not eject for longer than may be.
        let long = Ejected {
            left: hour * 9,
            ..ejected
        };
        let third = Shared::new(Instant::now());
        third.take_up(&long, minute);
        assert!(third.left() <= minute);
    }
}
