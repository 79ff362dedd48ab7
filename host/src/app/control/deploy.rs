//! Changes of what decides: each is one entry in a record and one publication.

use std::sync::Arc;
use std::time::Duration;

use super::watch_trial::watch_trial;
use super::{ControlPlane, Known, policies};
use crate::admin::{Change, ChangeError, Deployment};
use crate::ground;
use crate::policy::{Generation, Mode, Trial, WHOLE, digest};
use crate::rollout::{Kept, NotNow, Record, State};

/// How long a change waits for every worker to have adopted it before it answers all the same.
const ADOPTION: Duration = Duration::from_secs(5);
/// Whoever rolls back so soon after a withdrawal meant what was withdrawn.
const JUST_NOW: Duration = Duration::from_secs(30);

/// A generation that is being loaded. If that breaks off, by a panic for instance, it has failed,
/// and is not being loaded for ever.
pub(super) struct Attempt<'a> {
    pub control: &'a ControlPlane,
    pub index: usize,
    pub number: u64,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.control.known(self.index).record.broke_off(self.number);
    }
}

impl ControlPlane {
    /// Loads a component off the workers, and publishes it to all of them at once.
    pub async fn deploy(
        self: &Arc<Self>,
        index: usize,
        component: Vec<u8>,
        source: String,
        how: Deployment,
    ) -> Result<(), ChangeError> {
        self.deploy_as(index, component, source, how, None).await
    }

    /// `configured` is the component's digest if the configuration names it.
    async fn deploy_as(
        self: &Arc<Self>,
        index: usize,
        component: Vec<u8>,
        source: String,
        how: Deployment,
        configured: Option<String>,
    ) -> Result<(), ChangeError> {
        let component: Arc<[u8]> = component.into();
        let digest = digest(&component);
        let number = self
            .known(index)
            .record
            .loading(digest.clone(), source.clone());
        let _failed_if_it_breaks_off = Attempt {
            control: self,
            index,
            number,
        };
        ground::fault_point("loading");
        let loaded = match self.unpinned(index, &digest) {
            Some(reason) => Err(reason),
            None => {
                let shadow = matches!(how, Deployment::Shadow { .. });
                self.load(
                    index,
                    Arc::clone(&component),
                    source.clone(),
                    number,
                    shadow,
                )
                .await
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
                Deployment::Active => known
                    .record
                    .activate(generation, &format!("deployed from {source}"))?,
                Deployment::Shadow { percent } => {
                    let trial = self.trial(index, generation, Mode::Shadow, percent);
                    known
                        .record
                        .try_out(trial, &format!("shadow for {percent} % of the requests"))?;
                }
                Deployment::Canary { percent, by } => {
                    let trial = self.trial(index, generation, Mode::Canary(by), percent);
                    known
                        .record
                        .try_out(trial, &format!("canary for {percent} % of the requests"))?;
                }
            }
            if self.keep.is_some() {
                known.remember(number, component);
            }
            // Before it is kept, and under the lock: two writers would leave a record of the one
            // and the component of the other.
            known.configured = configured.or(known.configured.take());
            known.damage = None;
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
        let digest = digest(&component);
        self.deploy_as(index, component, path, Deployment::Active, Some(digest))
            .await
    }

    /// Changes what decides, without loading anything.
    pub async fn change(self: &Arc<Self>, index: usize, change: Change) -> Result<(), ChangeError> {
        let _one_at_a_time = self.policies[index].changing.lock().await;
        let trial = self.known(index).record.trial().cloned();
        let canary = trial.as_ref().filter(|t| matches!(t.mode, Mode::Canary(_)));
        self.is_meant(index, change, trial.as_ref())?;
        match (change, &trial) {
            (Change::Promote { .. }, Some(trial)) => {
                self.warm(&trial.generation)
                    .await
                    .map_err(ChangeError::Refused)?;
                self.with_trial(index, trial, |record| record.promote().map(|_| ()))?;
            }
            (Change::RollBack { .. } | Change::EndCanary, Some(trial)) if canary.is_some() => {
                self.with_trial(index, trial, |record| {
                    record.end_trial(State::Retired, "withdrawn by the operator");
                    Ok(())
                })?;
            }
            (Change::RollBack { .. }, _) => {
                let former = self.known(index).record.former().cloned();
                if let Some(former) = former
                    && let Err(reason) = self.warm(&former).await
                {
                    // Whoever rolls back wants it all the same: the workers ask again for what is
                    // missing.
                    tracing::warn!("{reason}");
                }
                self.known(index).record.roll_back()?;
            }
            (Change::EndShadow, Some(trial)) if trial.mode == Mode::Shadow => {
                self.with_trial(index, trial, |record| {
                    record.end_trial(State::Retired, "withdrawn by the operator");
                    Ok(())
                })?;
            }
            (Change::Canary { percent, by }, Some(trial)) => {
                let mode = match (by, trial.mode) {
                    (Some(by), _) => Mode::Canary(by),
                    (None, Mode::Canary(by)) => Mode::Canary(by),
                    (None, Mode::Shadow) => Mode::Canary(Default::default()),
                };
                if trial.mode == mode {
                    return self.with_trial(index, trial, |record| {
                        trial.set_share(share(percent));
                        record.share_changed(percent);
                        Ok(())
                    });
                }
                self.warm(&trial.generation)
                    .await
                    .map_err(ChangeError::Refused)?;
                let moved = self.trial(index, Arc::clone(&trial.generation), mode, percent);
                let reason = format!("canary for {percent} % of the requests");
                self.with_trial(index, trial, |record| record.try_out(moved, &reason))?;
            }
            (change, _) => return Err(not_now(change)),
        }
        self.known(index).forget();
        self.put_in_force(index).await;
        Ok(())
    }

    /// Whether the change is about the generation that it names.
    fn is_meant(
        &self,
        index: usize,
        change: Change,
        trial: Option<&Arc<Trial>>,
    ) -> Result<(), ChangeError> {
        let on_trial = trial.map(|t| t.generation.number());
        let (meant, there) = match change {
            Change::Promote { generation } => (generation, on_trial),
            Change::RollBack { generation } => {
                let canary = trial
                    .filter(|t| matches!(t.mode, Mode::Canary(_)))
                    .and(on_trial);
                (
                    generation,
                    canary.or_else(|| self.known(index).record.active().map(|g| g.number())),
                )
            }
            _ => return Ok(()),
        };
        if let (Change::RollBack { generation: None }, None) = (change, trial)
            && let Some(withdrawn) = self.known(index).record.withdrawn_since(JUST_NOW)
        {
            return Err(ChangeError::NotNow(format!(
                "generation {withdrawn} was withdrawn by itself a moment ago, and what decides now is what decided before; \
                 to roll that back as well, name it: rollback?generation=N"
            )));
        }
        match (meant, there) {
            (Some(meant), Some(there)) if meant != there => Err(ChangeError::NotNow(format!(
                "this is about generation {there} now, not about generation {meant}; look at the policy again"
            ))),
            _ => Ok(()),
        }
    }

    /// Changes the record if this trial is still on: a canary may be withdrawn at any moment.
    fn with_trial(
        &self,
        index: usize,
        trial: &Arc<Trial>,
        change: impl FnOnce(&mut Record) -> Result<(), NotNow>,
    ) -> Result<(), ChangeError> {
        let mut known = self.known(index);
        if !known.record.trial().is_some_and(|t| Arc::ptr_eq(t, trial)) {
            let reason = known.record.last_error().unwrap_or("it has ended");
            return Err(ChangeError::NotNow(format!("the trial is over: {reason}")));
        }
        Ok(change(&mut known.record)?)
    }

    /// Publishes, begins to watch a trial, and keeps on disk what decides now.
    pub(super) async fn put_in_force(self: &Arc<Self>, index: usize) {
        let version = self.publish(index);
        let (event, trial) = {
            let known = self.known(index);
            (
                known.record.events().next().cloned(),
                known.record.trial().cloned(),
            )
        };
        if let Some(trial) = trial {
            let this = Arc::clone(self);
            // A canary that nobody watches would never be withdrawn.
            tokio::spawn(async move {
                ground::stays("the watch over a trial", || {
                    watch_trial(Arc::clone(&this), index, Arc::clone(&trial))
                })
                .await;
            });
        }
        let name = &self.config.policies[index].name;
        // At the start there are no workers yet.
        if self.adoption.has_begun()
            && tokio::time::timeout(ADOPTION, self.adoption.wait(version))
                .await
                .is_err()
        {
            tracing::warn!(
                policy = name,
                "a worker has not adopted the change after {ADOPTION:?}"
            );
        }
        if let Some(event) = event {
            tracing::info!(
                policy = name,
                generation = event.generation,
                "{}: {}; on all workers",
                event.state,
                event.reason
            );
        }
        self.keep(index).await;
    }

    /// Withdraws a candidate that has not stood its trial, if it is still on.
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
        if tokio::time::timeout(ADOPTION, self.adoption.wait(version))
            .await
            .is_err()
        {
            tracing::warn!(
                policy = name,
                "a worker has not let go of the {role} after {ADOPTION:?}"
            );
        }
    }

    /// Why a component with this digest is not accepted for this policy, if it is not.
    pub(super) fn unpinned(&self, index: usize, digest: &str) -> Option<String> {
        policies::unpinned(&self.config.policies[index], digest)
    }

    fn trial(
        &self,
        index: usize,
        generation: Arc<Generation>,
        mode: Mode,
        percent: f64,
    ) -> Arc<Trial> {
        let routes = self
            .config
            .routes
            .iter()
            .map(|route| format!("{}{}", route.host, route.path))
            .collect();
        let rules = &self.config.rollout;
        let trial = Arc::new(Trial::new(
            generation,
            mode,
            share(percent),
            self.config.workers,
            rules,
            routes,
        ));
        if matches!(mode, Mode::Canary(_)) {
            // What a canary decides is decided under the policy's name.
            let candidate = trial
                .shards
                .iter()
                .map(|shard| Arc::clone(&shard.candidate));
            self.stats
                .policy(&self.config.policies[index].name)
                .join(candidate);
        }
        trial
    }

    /// Has the instances built that workers are about to take.
    async fn warm(&self, generation: &Arc<Generation>) -> Result<(), String> {
        let was_shadow = generation.set_shadow(false);
        let warming = Arc::clone(generation);
        let warmed = tokio::task::spawn_blocking(move || warming.warm()).await;
        let warmed = warmed.unwrap_or_else(|e| Err(format!("building its instances failed: {e}")));
        if warmed.is_err() {
            generation.set_shadow(was_shadow);
        }
        warmed
    }

    /// Keeps what decides on disk, where the operator wants that. Called with the policy's lock
    /// (`changing`) held, so that one call at a time writes its files.
    async fn keep(&self, index: usize) {
        let Some(keep) = self.keep.clone() else {
            return;
        };
        let Some(kept) = self.known(index).to_keep() else {
            return;
        };
        let (policy, generation, mark) = (
            self.config.policies[index].name.clone(),
            kept.generation,
            kept.mark(),
        );
        let name = policy.clone();
        let written = tokio::task::spawn_blocking(move || keep.write(&name, &kept)).await;
        let mut known = self.known(index);
        match written
            .map_err(|e| e.to_string())
            .and_then(|w| w.map_err(|e| e.to_string()))
        {
            Ok(()) => known.on_disk = Some(mark),
            Err(e) => {
                let reason = format!(
                    "it runs, but could not be kept in `state-dir`, so a restart would not come back with it: {e}"
                );
                tracing::error!(policy, generation, "{reason}");
                known.record.note_error(reason);
            }
        }
    }
}

impl Known {
    /// What is to be written, if that is not on the disk already.
    fn to_keep(&self) -> Option<Kept> {
        let active = self.record.active()?;
        let (_, component) = self
            .components
            .iter()
            .find(|(number, _)| *number == active.number())?;
        let kept = Kept {
            component: Arc::clone(component),
            generation: active.number(),
            last_generation: self.record.last_number(),
            source: self
                .record
                .entry(active.number())
                .map(|e| e.source.clone())
                .unwrap_or_default(),
            configured: self.configured.clone(),
        };
        (self.on_disk.as_ref() != Some(&kept.mark())).then_some(kept)
    }
}

/// Of percent, in ten-thousandths; whoever wrote more than nothing gets more than nothing.
fn share(percent: f64) -> u32 {
    let share = (percent * f64::from(WHOLE) / 100.0).round() as u32;
    if percent > 0.0 { share.max(1) } else { share }
}

fn not_now(change: Change) -> ChangeError {
    ChangeError::NotNow(
        match change {
            Change::Promote { .. } => "no generation is on trial; nothing to promote",
            Change::EndShadow => "there is no shadow to withdraw",
            Change::EndCanary => "there is no canary to withdraw",
            Change::Canary { .. } => {
                "no generation is on trial; PUT one with ?mode=shadow or ?mode=canary first"
            }
            Change::RollBack { .. } => "there is no former generation to go back to",
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
        assert_eq!(
            [
                share(0.0),
                share(0.001),
                share(0.01),
                share(5.0),
                share(100.0)
            ],
            [0, 1, 1, 500, 10_000]
        );
    }
}
