//! Changes of what decides: each is one entry in a record and one publication.

use std::sync::Arc;
use std::time::Duration;

use super::watch_trial::watch_trial;
use super::{ControlPlane, Known, policies};
use crate::admin::{Change, ChangeError, Deployment};
use crate::policy::{Generation, Mode, Stickiness, Trial, WHOLE, digest};
use crate::rollout::{Kept, NotNow, State};

/// How long a change waits for every worker to have adopted it before it answers all the same.
const ADOPTION: Duration = Duration::from_secs(5);

impl ControlPlane {
    /// Loads a component off the workers, and publishes it to all of them at once.
    pub async fn deploy(
        self: &Arc<Self>,
        index: usize,
        component: Vec<u8>,
        source: String,
        how: Deployment,
    ) -> Result<(), ChangeError> {
        let component: Arc<[u8]> = component.into();
        let digest = digest(&component);
        let number = self.known(index).record.loading(digest.clone(), source.clone());
        let loaded = match self.unpinned(index, &digest) {
            Some(reason) => Err(reason),
            None => {
                let shadow = matches!(how, Deployment::Shadow { .. });
                self.load(index, Arc::clone(&component), source.clone(), number, shadow).await
            }
        };
        let generation = match loaded {
            Ok(generation) => generation,
            Err(reason) => {
                self.known(index).record.refused(number, &reason);
                return Err(ChangeError::Refused(reason));
            }
        };
        let _one_at_a_time = self.policies[index].changing.lock().await;
        {
            let mut known = self.known(index);
            match how {
                Deployment::Active => known.record.activate(generation, &format!("deployed from {source}"))?,
                Deployment::Shadow { percent } => {
                    let trial = self.trial(generation, Mode::Shadow, percent);
                    known.record.try_out(trial, &format!("shadow for {percent} % of the requests"))?;
                }
                Deployment::Canary { percent, by } => {
                    let trial = self.trial(generation, Mode::Canary(by), percent);
                    known.record.try_out(trial, &format!("canary for {percent} % of the requests"))?;
                }
            }
            known.remember(number, component);
        }
        self.put_in_force(index).await;
        Ok(())
    }

    /// Deploys a file that the configuration names and that has changed.
    pub async fn deploy_file(
        self: &Arc<Self>,
        index: usize,
        component: Vec<u8>,
        path: String,
    ) -> Result<(), ChangeError> {
        self.known(index).configured = Some(digest(&component));
        self.deploy(index, component, path, Deployment::Active).await
    }

    /// Changes what decides, without loading anything.
    pub async fn change(self: &Arc<Self>, index: usize, change: Change) -> Result<(), ChangeError> {
        let _one_at_a_time = self.policies[index].changing.lock().await;
        let trial = self.known(index).record.trial().cloned();
        match (change, &trial) {
            (Change::Promote { generation: Some(meant) }, Some(trial)) if trial.generation.number() != meant => {
                let number = trial.generation.number();
                return Err(ChangeError::NotNow(format!("generation {number} is on trial, not generation {meant}")));
            }
            (Change::Promote { .. }, Some(trial)) => {
                self.warm(&trial.generation).await;
                self.known(index).record.promote()?;
            }
            (Change::RollBack | Change::EndCanary, Some(trial)) if matches!(trial.mode, Mode::Canary(_)) => {
                self.known(index).record.end_trial(State::Retired, "withdrawn by the operator");
            }
            (Change::RollBack, _) => {
                let former = self.known(index).record.former().cloned();
                if let Some(former) = former {
                    self.warm(&former).await;
                }
                self.known(index).record.roll_back()?;
            }
            (Change::EndShadow, Some(trial)) if trial.mode == Mode::Shadow => {
                self.known(index).record.end_trial(State::Retired, "withdrawn by the operator");
            }
            (Change::Canary { percent, by }, Some(trial)) if is_canary(trial, by) => {
                trial.set_share(share(percent));
                self.known(index).record.share_changed(percent);
                return Ok(());
            }
            (Change::Canary { percent, by }, Some(trial)) => {
                self.warm(&trial.generation).await;
                let mode = Mode::Canary(by.unwrap_or(Stickiness::Client));
                let trial = self.trial(Arc::clone(&trial.generation), mode, percent);
                self.known(index).record.try_out(trial, &format!("canary for {percent} % of the requests"))?;
            }
            (change, _) => return Err(not_now(change)),
        }
        self.known(index).forget();
        self.put_in_force(index).await;
        Ok(())
    }

    /// Publishes, keeps on disk what decides now, and begins to watch a canary.
    pub(super) async fn put_in_force(self: &Arc<Self>, index: usize) {
        let version = self.publish(index);
        let name = &self.config.policies[index].name;
        // At the start there are no workers yet.
        if self.adoption.has_begun() && tokio::time::timeout(ADOPTION, self.adoption.wait(version)).await.is_err() {
            tracing::warn!(policy = name, "a worker has not adopted the change after {ADOPTION:?}");
        }
        let (event, trial) = {
            let known = self.known(index);
            (known.record.events().next().cloned(), known.record.trial().cloned())
        };
        if let Some(event) = event {
            tracing::info!(
                policy = name,
                generation = event.generation,
                "{}: {}; on all workers",
                event.state,
                event.reason
            );
        }
        if let Some(trial) = trial.filter(|t| matches!(t.mode, Mode::Canary(_))) {
            tokio::spawn(watch_trial(Arc::clone(self), index, trial));
        }
        self.keep(index).await;
    }

    /// Withdraws a canary that has not stood its trial, if it is still on.
    pub(super) async fn withdraw(self: &Arc<Self>, index: usize, trial: &Arc<Trial>, reason: &str) {
        // Not behind a change that is being published: a bad canary goes at once.
        {
            let mut known = self.known(index);
            if !known.record.trial().is_some_and(|t| Arc::ptr_eq(t, trial)) {
                return;
            }
            known.record.end_trial(State::Failed, reason);
            known.forget();
        }
        let version = self.publish(index);
        let name = &self.config.policies[index].name;
        tracing::error!(policy = name, generation = trial.generation.number(), "canary withdrawn: {reason}");
        if tokio::time::timeout(ADOPTION, self.adoption.wait(version)).await.is_err() {
            tracing::warn!(policy = name, "a worker has not let go of the canary after {ADOPTION:?}");
        }
    }

    /// Why a component with this digest is not accepted for this policy, if it is not.
    pub(super) fn unpinned(&self, index: usize, digest: &str) -> Option<String> {
        policies::unpinned(&self.config.policies[index], digest)
    }

    fn trial(&self, generation: Arc<Generation>, mode: Mode, percent: f64) -> Arc<Trial> {
        Arc::new(Trial::new(generation, mode, share(percent), self.config.workers))
    }

    /// Has the instances built that workers are about to take.
    async fn warm(&self, generation: &Arc<Generation>) {
        generation.leave_the_shadow();
        let generation = Arc::clone(generation);
        let warmed = tokio::task::spawn_blocking(move || generation.warm()).await;
        if let Ok(Err(reason)) = warmed {
            // The workers ask again, and tell what is wrong.
            tracing::warn!("{reason}");
        }
    }

    /// Keeps what decides on disk, where the operator wants that.
    async fn keep(&self, index: usize) {
        let Some(keep) = self.keep.clone() else { return };
        let name = self.config.policies[index].name.clone();
        let Some(kept) = self.known(index).kept() else { return };
        let (policy, generation) = (name.clone(), kept.generation);
        let written = tokio::task::spawn_blocking(move || keep.write(&policy, &kept)).await;
        match written.map_err(|e| e.to_string()).and_then(|w| w.map_err(|e| e.to_string())) {
            Ok(()) => {}
            Err(e) => tracing::error!(
                policy = name,
                generation,
                "it runs, but could not be kept in `state-dir`, so a restart would not come back with it: {e}"
            ),
        }
    }
}

impl Known {
    fn kept(&self) -> Option<Kept> {
        let active = self.record.active()?;
        let (_, component) = self.components.iter().find(|(number, _)| *number == active.number())?;
        let source = self.record.entry(active.number()).map(|e| e.source.clone()).unwrap_or_default();
        let component = Arc::clone(component);
        Some(Kept { component, generation: active.number(), source, configured: self.configured.clone() })
    }
}

/// Of percent, in ten-thousandths; whoever wrote more than nothing gets more than nothing.
fn share(percent: f64) -> u32 {
    let share = (percent * f64::from(WHOLE) / 100.0).round() as u32;
    if percent > 0.0 { share.max(1) } else { share }
}

/// Whether this is a canary already, of requests that are chosen like this or in whichever way.
fn is_canary(trial: &Trial, by: Option<Stickiness>) -> bool {
    matches!(trial.mode, Mode::Canary(now) if by.is_none_or(|by| by == now))
}

fn not_now(change: Change) -> ChangeError {
    ChangeError::NotNow(
        match change {
            Change::Promote { .. } => "no generation is on trial; nothing to promote",
            Change::EndShadow => "there is no shadow to withdraw",
            Change::EndCanary => "there is no canary to withdraw",
            Change::Canary { .. } => "no generation is on trial; PUT one with ?mode=shadow or ?mode=canary first",
            Change::RollBack => "there is no former generation to go back to",
        }
        .to_owned(),
    )
}

impl From<NotNow> for ChangeError {
    fn from(reason: NotNow) -> Self {
        Self::NotNow(reason.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_percentage_is_not_nothing() {
        assert_eq!([share(0.0), share(0.001), share(0.01), share(5.0), share(100.0)], [0, 1, 1, 500, 10_000]);
    }
}
