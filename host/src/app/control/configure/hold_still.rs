//! What must not change between the preparing of a configuration and its publishing.

use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;

use super::Unready;
use crate::app::control::ControlPlane;
use crate::app::control::next_policy::{NextPolicy, Purpose};

impl ControlPlane {
    /// Waits until no policy changes that may not, and says which are on trial and must not be.
    pub(super) async fn hold_still(
        &self,
        routes_change: bool,
        policies: &[NextPolicy],
        purpose: Purpose,
        unready: &mut Unready,
    ) -> Vec<OwnedMutexGuard<()>> {
        let mut guards = Vec::new();
        for managed in self.managed() {
            let next = policies.iter().find(|p| p.managed.id == managed.id);
            let loaded = next.and_then(|next| next.loaded.as_ref());
            if !routes_change && loaded.is_none() && next.is_some() {
                continue;
            }
            guards.push(Arc::clone(&managed.changing).lock_owned().await);
            let (state, name) = (managed.state(), &managed.name);
            if state.history.trial().is_some() {
                unready.reasons.push(match loaded {
                    _ if next.is_none() => format!(
                        "policy {name:?} is on trial, and no longer in the configuration; \
                         promote or withdraw it first"
                    ),
                    Some(_) => format!(
                        "policy {name:?} is on trial, and its section or its file has changed; \
                         promote or withdraw it first"
                    ),
                    None => format!(
                        "policy {name:?} is on trial, and its requests are counted by route; \
                         promote or withdraw it before the routes change"
                    ),
                });
            }
            let active = state.history.active().map(|active| active.number());
            // What is only checked has numbers of its own.
            if purpose != Purpose::Check
                && loaded.is_some_and(|l| active > Some(l.generation.number()))
            {
                unready.is_overtaken = true;
                unready.reasons.push(format!(
                    "policy {name:?}: another generation was deployed in the meantime; try again"
                ));
            }
        }
        guards
    }
}
