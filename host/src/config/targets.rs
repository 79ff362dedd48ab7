//! The names in a route's `pools` and `mirror`, resolved.

use super::mirror::MirrorEntry;
use super::resolve::{Table, or_one_of};
use super::retry::RetryEntry;
use super::traffic::TrafficEntry;
use super::values;
use super::{Mirror, PolicySource, RetryPolicy, RouteTarget, TargetRights, Traffic};
use crate::document::At;

impl Table<'_> {
    /// Resolves the names of a route's pools, whose retries it may change.
    pub(super) fn traffic(&mut self, entry: &TrafficEntry, retry: &RetryEntry) -> Traffic {
        let mut targets: Vec<RouteTarget> = Vec::with_capacity(entry.pools.len());
        for (name, weight) in &entry.pools {
            let Some(pool) = self.pool(name) else {
                continue;
            };
            if targets.iter().any(|known| known.pool == pool) {
                let message = format!(
                    "{:?} is listed twice; remove one of them, and write the sum of the weights",
                    name.value
                );
                self.findings.error(&name.place, message);
                continue;
            }
            targets.push(RouteTarget {
                pool,
                weight: *weight,
                retry: retry.over(&self.pools[pool].retry),
            });
        }
        let timeouts = entry.timeouts.over(&self.timeouts);
        let response = timeouts.as_deref().unwrap_or(&self.timeouts).response;
        let default = RetryPolicy::default();
        let retries: Vec<_> = match &targets[..] {
            [] => vec![retry.over(&default)],
            targets => targets.iter().map(|to| to.retry.clone()).collect(),
        };
        let retries: Vec<_> = retries.iter().map(|retry| (retry, response)).collect();
        retry.check(&retries, self.findings);
        let mirror = entry.mirror.as_ref();
        Traffic {
            mirror: mirror.and_then(|entry| self.mirror(entry, &targets)),
            targets,
            timeouts,
            body_bytes: entry.body_bytes,
        }
    }

    /// What the policies of a route may edit, which needs one that could.
    pub(super) fn rights(
        &mut self,
        written: Option<&At<TargetRights>>,
        policies: &[usize],
        answers: bool,
    ) -> TargetRights {
        let Some(rights) = written else {
            return TargetRights::default();
        };
        let builtin = |at: &usize| matches!(self.policies[*at].source, PolicySource::Builtin(_));
        if !answers && policies.iter().all(builtin) {
            let message = "has no effect, because the route has no policy that edits what backends \
                           are asked for; write one into `policies`, or remove the key";
            self.findings.warning(&rights.place, message);
        }
        rights.value
    }

    /// The index of the pool with this name.
    pub(super) fn pool(&mut self, name: &At<String>) -> Option<usize> {
        let known = &self.pools[..self.pool_places.len()];
        let found = known.iter().position(|p| p.name == name.value);
        if found.is_none() && !self.findings.concern_section("pools", &name.value) {
            let names: Vec<_> = known.iter().map(|p| p.name.as_str()).collect();
            let or = or_one_of(&names);
            let message = match values::name(&name.value) {
                Ok(()) => format!(
                    "there is no pool {0:?}; write `[pools.{0}]`{or}",
                    name.value
                ),
                // `[pools.http://app]` would be no help.
                Err(_) => format!(
                    "{:?} is not the name of a pool; write for example pool = \"app\", and its \
                     addresses as `backends` in `[pools.app]`{or}",
                    name.value
                ),
            };
            self.findings.error(&name.place, message);
        }
        found
    }

    /// Resolves the name of the pool that gets copies of what goes to these.
    fn mirror(&mut self, entry: &MirrorEntry, targets: &[RouteTarget]) -> Option<Mirror> {
        let pool = self.pool(&entry.pool)?;
        if targets.iter().any(|target| target.pool == pool) {
            let message = "mirrors to a pool that takes the requests themselves: its backends \
                           process them twice";
            self.findings.warning(&entry.pool.place, message);
        }
        if let (Some(place), 0) = (&entry.share_place, entry.mirror.millionths) {
            self.findings.warning(place, "mirrors no request");
        }
        self.pools[pool].is_mirror = true;
        Some(Mirror {
            pool,
            ..entry.mirror.clone()
        })
    }
}
