//! What was said of backends that left is forgotten after a while: an address may be another
//! machine's by then.

use std::sync::PoisonError;
use std::time::Instant;

use super::ControlPlane;
use crate::config::Pool;
use crate::stats::Departed;
use crate::upstream::{Origin, unresolved};

/// What was said of this many backends that left is remembered.
const REMEMBERED: usize = 1_024;

/// The backends that left, by pool and address, of which something was said.
#[derive(Debug)]
pub(in crate::app::control) struct LeftEdits(Departed<(String, String)>);

impl Default for LeftEdits {
    fn default() -> Self {
        Self(Departed::new(REMEMBERED))
    }
}

impl ControlPlane {
    /// Forgets what was said of backends that have been away for long.
    pub(in crate::app::control) async fn forget_left(&self, now: Instant) {
        let _one_at_a_time = self.changing_backends.lock().await;
        if self.may_deploy().is_err() {
            return;
        }
        let over = self.long_left(now);
        for (pool, address) in &over {
            let discovery = self.discovery();
            let mut overlay = discovery.overlay_of(pool, Origin::Api);
            overlay.edits.remove(address);
            discovery.overlay(pool, Origin::Api, overlay);
            tracing::info!(
                "what the admin API has said of backend {address} of pool {pool:?} is forgotten: \
                 that has left"
            );
        }
        if !over.is_empty() {
            // The log says what is wrong.
            let _ = self.keep_backends().await;
        }
    }

    fn long_left(&self, now: Instant) -> Vec<(String, String)> {
        let config = self.current();
        let gone = config.pools.iter().flat_map(|pool| self.left(pool));
        let left = self.left_edits.lock();
        let mut left = left.unwrap_or_else(PoisonError::into_inner);
        left.0.look(gone, now)
    }

    /// The backends of which something was said, and that are not there; none while not everything
    /// is known of the pool.
    fn left(&self, pool: &Pool) -> Vec<(String, String)> {
        let discovery = self.discovery();
        let overlay = discovery.overlay_of(&pool.name, Origin::Api);
        if overlay.edits.is_empty()
            || self.backend_files.is_refused(&pool.name)
            || !unresolved(std::slice::from_ref(pool), discovery).is_empty()
        {
            return Vec::new();
        }
        let known = self.addresses(pool, &overlay);
        let gone = overlay.edits.keys().filter(|a| !known.contains(a));
        gone.map(|a| (pool.name.clone(), a.clone())).collect()
    }
}
