//! Whether clients may be sent here, and what is in the way.

use std::sync::{Arc, PoisonError};

use anyhow::{Result, bail};
use tokio::time::timeout;

use super::start::ASK;
use super::{ControlPlane, Managed};
use crate::admin::Readiness;

impl ControlPlane {
    /// Waits until all policies are loaded, those too that take long: another process serves
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// One was refused, and has no other generation.
    pub(in crate::app) async fn all_loaded(&self) -> Result<()> {
        let all = self.managed();
        loop {
            let changed = self.settled.notified();
            if all.iter().all(|policy| policy.state().settled) {
                break;
            }
            let _ = timeout(ASK, changed).await;
        }
        for policy in all {
            let state = policy.state();
            if state.history.active().is_none() {
                bail!(
                    "{}",
                    state
                        .history
                        .last_error()
                        .unwrap_or("a policy is not loaded")
                );
            }
        }
        Ok(())
    }

    /// The policies that are still being loaded for the first time.
    pub(super) fn unsettled(&self) -> Vec<String> {
        let all = self.managed();
        let unsettled = all.iter().filter(|policy| !policy.state().settled);
        unsettled.map(|policy| policy.name.clone()).collect()
    }

    /// Whether load balancers should send clients here.
    pub fn readiness(&self) -> Readiness {
        let noted = self
            .readiness
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if noted != Readiness::Ready {
            return noted;
        }
        let workers = self.stats().workers().iter().enumerate();
        let hanging: Vec<usize> = workers
            .filter(|(_, shard)| shard.hanging_seconds.value() > 0)
            .map(|(index, _)| index)
            .collect();
        if !hanging.is_empty() {
            return Readiness::Hanging(hanging);
        }
        let (loading, refused) = (self.unsettled(), self.refused());
        match (loading.is_empty(), refused.is_empty()) {
            (_, false) => Readiness::Refused(refused),
            (false, true) => Readiness::Loading(loading),
            (true, true) => Readiness::Ready,
        }
    }

    /// The policies that have no generation because every candidate was refused.
    fn refused(&self) -> Vec<String> {
        let refused = |policy: &&Arc<Managed>| {
            let state = policy.state();
            state.settled && state.history.active().is_none()
        };
        let all = self.managed();
        let refused = all.iter().filter(refused);
        refused.map(|policy| policy.name.clone()).collect()
    }

    /// Sentences about problems that the operator should look at although requests are served.
    pub(super) fn notes(&self) -> Vec<String> {
        let all = self.managed();
        all.iter()
            .filter_map(|policy| policy.state().damage.clone())
            .chain(self.listener_certificates().notes())
            .chain(self.pool_files.note())
            .chain(self.name_notes())
            .chain(self.backend_files.notes())
            .collect()
    }
}
