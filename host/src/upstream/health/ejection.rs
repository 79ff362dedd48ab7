//! Which endpoints of a pool may be ejected.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::Health;
use super::marks::Marks;
use crate::config::PoolHealth;
use crate::upstream::{Endpoint, Failure, PoolTopology};

/// Held while one is ejected, so that two workers don't eject more than may be. Only failures that
/// are too many come here.
static EJECTING: Mutex<()> = Mutex::new(());

/// Wakes what looks for endpoints that can't be reached.
static SOUGHT: Notify = Notify::const_new();

/// Waits until endpoints were ejected that are to be looked for, since the last call. One waits at
/// a time.
pub async fn some_are_sought() {
    SOUGHT.notified().await;
}

impl PoolTopology {
    /// This failure is held against the endpoint at this position.
    #[cold]
    pub(in crate::upstream) fn failed(&self, position: usize, failure: Failure) {
        let Some(endpoint) = self.endpoints.get(position) else {
            return;
        };
        let in_a_row = endpoint.health.shared.failed();
        let most = self.health.max_failures;
        if most > 0 && in_a_row >= most {
            let sought = sought(failure, &self.health);
            self.eject(endpoint, sought, || match in_a_row {
                1 => "a failure".to_owned(),
                n => format!("{n} failures in a row"),
            });
        }
    }

    /// Ejects an endpoint, unless too many are ejected. Where all others fail as well nothing is
    /// gained by it: then none is ejected, and the first that answers is used again at once.
    pub(super) fn eject(&self, endpoint: &Endpoint, sought: Marks, reason: impl Fn() -> String) {
        let _one = EJECTING.lock().unwrap_or_else(PoisonError::into_inner);
        let own = &endpoint.health.shared;
        let is_other = |e: &&Endpoint| e.weight > 0 && !Arc::ptr_eq(&e.health, &endpoint.health);
        let others = || self.endpoints.iter().filter(is_other);
        let bad = Marks::EJECTED.and(Marks::FAILING).and(Marks::DOWN);
        if others().all(|e| e.health.has(bad)) {
            own.change(Marks::FAILING, Marks::NONE, || {
                format!("{}; no other backend of its pool is better", reason())
            });
            own.is_as_good_as_others();
            others().for_each(|e| e.health.shared.is_as_good_as_others());
            return;
        }
        let ejected = others().filter(|e| e.health.has(Marks::EJECTED)).count();
        let rules = &self.health.ejection;
        if ejected < most_ejected(others().count() + 1, rules.max_share) {
            own.eject((self.health.fail_timeout, rules.max_time), sought, reason);
            if own.is_sought() {
                SOUGHT.notify_one();
            }
        } else {
            own.change(Marks::FAILING, Marks::EJECTED, || {
                format!("{}; no more of its pool may be ejected", reason())
            });
        }
    }
}

/// Whether one that was ejected for this failure is looked for, and what is known. A process that
/// ends under load breaks more connections than it refuses. Probes look anyway.
fn sought(failure: Failure, rules: &PoolHealth) -> Marks {
    match failure {
        _ if rules.probe.is_some() || rules.ejection.reconnect.is_zero() => Marks::NONE,
        Failure::Connect | Failure::ConnectTimeout => Marks::UNREACHED,
        Failure::Closed => Marks::CUT_OFF,
        Failure::Other => Marks::NONE,
    }
}

/// At least one, unless the share is 0.
fn most_ejected(of: usize, share: f64) -> usize {
    let most = (of as f64 * share).floor() as usize;
    most.max(usize::from(share > 0.0))
}

impl Health {
    fn has(&self, marks: Marks) -> bool {
        self.shared.marks().has(marks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_a_pool_may_be_ejected_and_one_in_any_case() {
        let most = |of| most_ejected(of, 0.5);
        assert_eq!([1, 2, 3, 4, 5, 8].map(most), [1, 1, 1, 2, 2, 4]);
        assert_eq!((most_ejected(8, 0.0), most_ejected(3, 1.0)), (0, 3));
    }
}
