//! Which of a route's pools takes a request.

use rand::RngExt;
use rand::rngs::SmallRng;

use super::snapshot::WorkerSnapshot;
use super::worker::Worker;
use crate::route::{Rule, RuleTarget};

/// The pool that takes the next request; `None` only if the route has none.
#[inline]
pub(super) fn target<'a>(
    worker: &Worker,
    view: &WorkerSnapshot,
    rule: &'a Rule,
) -> Option<&'a RuleTarget> {
    match &*rule.targets {
        [only] => Some(only),
        several => {
            let has_backends = |target: &RuleTarget| view.pools.has_backends(target.pool);
            choose(several, &mut worker.rng.borrow_mut(), has_backends)
        }
    }
}

/// A choice by weight. Where no backend of the chosen pool would take the request, another one is
/// chosen among those that have some; if there is none, the first choice stays.
fn choose<'a>(
    targets: &'a [RuleTarget],
    rng: &mut SmallRng,
    has_backends: impl Fn(&RuleTarget) -> bool,
) -> Option<&'a RuleTarget> {
    let first = by_weight(targets.iter(), rng)?;
    if has_backends(first) {
        return Some(first);
    }
    let others = targets.iter().filter(|target| has_backends(target));
    by_weight(others, rng).or(Some(first))
}

/// `None` if all weights are 0.
fn by_weight<'a>(
    targets: impl Iterator<Item = &'a RuleTarget> + Clone,
    rng: &mut SmallRng,
) -> Option<&'a RuleTarget> {
    let weights = targets.clone().map(|target| u64::from(target.weight));
    let total: u64 = weights.sum();
    if total == 0 {
        return None;
    }
    let mut left = rng.random_range(0..total);
    let mut targets = targets;
    targets.find(|target| {
        let is_it = left < u64::from(target.weight);
        left = left.saturating_sub(target.weight.into());
        is_it
    })
}
