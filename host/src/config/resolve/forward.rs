//! The names in `[forward]`, resolved.

use super::Table;
use crate::config::forward::ForwardEntry;
use crate::config::{ForwardProxy, PolicySource, RouteTarget};
use crate::document::At;

impl Table<'_> {
    /// Resolves the policies that decide about destinations, and the pools that they may choose.
    pub(super) fn forward(&mut self, entry: &ForwardEntry) -> ForwardProxy {
        let policies = self.policies(&entry.policies);
        for (name, at) in entry.policies.iter().zip(&policies) {
            if let PolicySource::Builtin(_) = self.policies[*at].source {
                let message = format!(
                    "{:?} decides nothing about destinations; write a policy that exports \
                     `destination`, or remove it",
                    name.value
                );
                self.findings.error(&name.place, message);
            }
        }
        if let (Some(pool), true) = (entry.pools.first(), entry.policies.is_empty()) {
            let message = "is never used, because no policy chooses it; write `policies`, or \
                           remove `pools`";
            self.findings.error(&pool.place, message);
        }
        let mut pools: Vec<RouteTarget> = Vec::with_capacity(entry.pools.len());
        for name in &entry.pools {
            pools.extend(self.pool_of_forward(name, &pools));
        }
        self.of_forward = (pools.iter().map(|to| to.pool).collect(), policies.clone());
        ForwardProxy {
            policies,
            pools,
            ..entry.proxy.clone()
        }
    }

    fn pool_of_forward(
        &mut self,
        name: &At<String>,
        before: &[RouteTarget],
    ) -> Option<RouteTarget> {
        let pool = self.pool(name)?;
        // A tunnel's bytes are its client's.
        self.check_plain(pool, &name.place);
        if before.iter().any(|known| known.pool == pool) {
            let message = format!("{:?} is listed twice; remove one of them", name.value);
            self.findings.error(&name.place, message);
            return None;
        }
        Some(RouteTarget {
            pool,
            weight: 1,
            retry: self.pools[pool].retry.clone(),
        })
    }
}
