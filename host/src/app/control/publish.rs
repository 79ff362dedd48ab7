//! Puts a change into force: publishes it, waits for the workers, keeps it on disk.

use std::sync::Arc;
use std::time::Duration;

use super::watch_trial::watch_trial;
use super::{ControlPlane, Managed};
use crate::ground;
use crate::policy::{Mode, Trial};
use crate::proxy::Snapshot;
use crate::rollout::State;

/// How long a change waits for every worker to adopt it before it answers anyway.
const ADOPTION: Duration = Duration::from_secs(5);

impl ControlPlane {
    /// Publishes a change, starts to watch a trial, and keeps the active generation on disk.
    pub(super) async fn put_in_force(self: &Arc<Self>, policy: &Arc<Managed>) {
        let version = self.publish(policy);
        let (event, trial) = {
            let state = policy.state();
            (
                state.history.events().next().cloned(),
                state.history.trial().cloned(),
            )
        };
        if let Some(trial) = trial {
            let (this, policy) = (Arc::clone(self), Arc::clone(policy));
            // An unwatched canary would never be withdrawn.
            tokio::spawn(async move {
                ground::stays("the watch over a trial", || {
                    watch_trial(Arc::clone(&this), Arc::clone(&policy), Arc::clone(&trial))
                })
                .await;
            });
        }
        let name = &policy.name;
        let adopted = match self.adoption.has_begun() {
            true => self.is_adopted(version).await,
            // There are no workers yet, and all will start with it.
            false => true,
        };
        if !adopted {
            tracing::warn!(
                policy = name,
                "a worker has not adopted the change within {ADOPTION:?}"
            );
        }
        if let Some(event) = event {
            tracing::info!(
                policy = name,
                generation = event.generation,
                "{}: {}{}",
                event.state,
                event.reason,
                if adopted { "; on all workers" } else { "" }
            );
        }
        self.keep(policy).await;
    }

    /// Withdraws a candidate that failed its trial, if the trial still runs.
    pub(super) async fn withdraw(
        self: &Arc<Self>,
        policy: &Managed,
        trial: &Arc<Trial>,
        reason: &str,
    ) {
        // This does not wait for a change that is being published: a bad canary ends immediately.
        {
            let mut state = policy.state();
            if !state.history.trial().is_some_and(|t| Arc::ptr_eq(t, trial)) {
                return;
            }
            state.history.end_trial(State::Failed, reason);
            state.forget();
        }
        let version = self.publish(policy);
        let name = &policy.name;
        let role = if trial.mode == Mode::Shadow {
            "shadow"
        } else {
            "canary"
        };
        tracing::error!(
            policy = name,
            generation = trial.generation.number(),
            "{role} withdrawn: {reason}"
        );
        if !self.is_adopted(version).await {
            tracing::warn!(
                policy = name,
                "a worker has not dropped the {role} within {ADOPTION:?}"
            );
        }
    }

    /// Waits a while for all workers to adopt this version.
    pub(in crate::app) async fn is_adopted(&self, version: u64) -> bool {
        let adopted = self.adoption.wait(version);
        tokio::time::timeout(ADOPTION, adopted).await.is_ok()
    }

    /// Publishes this policy's current state and returns the snapshot's version.
    pub(super) fn publish(&self, policy: &Managed) -> u64 {
        self.publish_next(|current| {
            // Locked in here, so that the later of two changes is published later.
            let state = policy.state();
            let mut policies = current.policies.clone();
            for entry in policies.iter_mut().filter(|entry| entry.id == policy.id) {
                let why_not = || state.history.last_error().unwrap_or("it is being loaded");
                let active = state.history.active();
                entry.active = active.map(Arc::clone).ok_or_else(|| why_not().into());
                entry.trial = state.history.trial().cloned();
            }
            let Snapshot {
                config,
                topology,
                equipment,
                ..
            } = current;
            let side = (equipment, &self.stats);
            Snapshot::next(Some(current), config, topology, policies, side)
        })
    }

    /// Keeps the active generation on disk, if `state-dir` is set. The caller holds the policy's
    /// lock (`changing`), so that one call at a time writes its files.
    pub(super) async fn keep(&self, policy: &Managed) {
        let Some(state_dir) = self.state_dir.clone() else {
            return;
        };
        let Some(kept) = policy.state().to_keep() else {
            return;
        };
        let (generation, fingerprint) = (kept.generation, kept.fingerprint());
        let name = policy.name.clone();
        let written = tokio::task::spawn_blocking(move || state_dir.write(&name, &kept)).await;
        let mut state = policy.state();
        match written
            .map_err(|e| e.to_string())
            .and_then(|w| w.map_err(|e| e.to_string()))
        {
            Ok(()) => state.on_disk = Some(fingerprint),
            Err(e) => {
                let reason = format!(
                    "it runs, but can't be kept in `state-dir`, so a restart would lose it: {e}"
                );
                tracing::error!(policy = policy.name, generation, "{reason}");
                state.history.note_error(reason);
            }
        }
    }
}
