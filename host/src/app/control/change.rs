//! Changes without a new component: promote, roll back, end or resize a trial.

use std::sync::Arc;
use std::time::Duration;

use super::deploy::{canary_for, share};
use super::{ControlPlane, Managed};
use crate::admin::{Change, ChangeError};
use crate::policy::{Generation, Mode, Stickiness, Trial};
use crate::rollout::{History, NotNow, State};

/// A rollback that names no generation and comes this soon after an automatic withdrawal is
/// refused: the operator meant the generation that was withdrawn.
const JUST_NOW: Duration = Duration::from_secs(30);

impl ControlPlane {
    /// Applies a change that needs no new component.
    pub(super) async fn change(
        self: &Arc<Self>,
        policy: &Arc<Managed>,
        change: Change,
    ) -> Result<(), ChangeError> {
        let _one_at_a_time = policy.changing.lock().await;
        self.may_deploy()?;
        let trial = policy.state().history.trial().cloned();
        let canary = trial.as_ref().filter(|t| matches!(t.mode, Mode::Canary(_)));
        Self::is_meant(policy, change, trial.as_ref())?;
        match (change, &trial) {
            (Change::Promote { .. }, Some(trial)) => {
                self.warm(&trial.generation)
                    .await
                    .map_err(ChangeError::Refused)?;
                Self::with_trial(policy, trial, |history| history.promote().map(|_| ()))?;
            }
            (Change::RollBack { .. } | Change::EndCanary, Some(trial)) if canary.is_some() => {
                Self::with_trial(policy, trial, |history| {
                    history.end_trial(State::Retired, "withdrawn by the operator");
                    Ok(())
                })?;
            }
            (Change::RollBack { .. }, _) => {
                let previous = policy.state().history.previous().cloned();
                if let Some(previous) = previous
                    && let Err(reason) = self.warm(&previous).await
                {
                    // A rollback must not fail for this: the workers build missing instances later.
                    tracing::warn!("{reason}");
                }
                policy.state().history.roll_back()?;
            }
            (Change::EndShadow, Some(trial)) if trial.mode == Mode::Shadow => {
                Self::with_trial(policy, trial, |history| {
                    history.end_trial(State::Retired, "withdrawn by the operator");
                    Ok(())
                })?;
            }
            (Change::Canary { percent, by }, Some(trial)) => {
                if self.resize(policy, trial, (percent, by)).await? {
                    return Ok(());
                }
            }
            (change, _) => return Err(not_now(change)),
        }
        policy.state().forget();
        self.put_in_force(policy).await;
        Ok(())
    }

    /// Gives the generation on trial this share as a canary. True if no more than the share has
    /// changed, which needs no publication.
    async fn resize(
        &self,
        policy: &Managed,
        trial: &Arc<Trial>,
        (percent, by): (f64, Option<Stickiness>),
    ) -> Result<bool, ChangeError> {
        let mode = match (by, trial.mode) {
            (Some(by), _) => Mode::Canary(by),
            (None, Mode::Canary(by)) => Mode::Canary(by),
            (None, Mode::Shadow) => Mode::Canary(Default::default()),
        };
        if trial.mode == mode {
            Self::with_trial(policy, trial, |history| {
                trial.set_share(share(percent));
                history.share_changed(percent);
                Ok(())
            })?;
            return Ok(true);
        }
        let warmed = self.warm(&trial.generation).await;
        warmed.map_err(ChangeError::Refused)?;
        let moved = self.trial(policy, Arc::clone(&trial.generation), mode, percent);
        let reason = canary_for(percent, mode);
        Self::with_trial(policy, trial, |history| history.try_out(moved, &reason))?;
        Ok(false)
    }

    /// Refuses a change that names a generation other than the current one.
    fn is_meant(
        policy: &Managed,
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
                    canary.or_else(|| policy.state().history.active().map(|g| g.number())),
                )
            }
            _ => return Ok(()),
        };
        if let (Change::RollBack { generation: None }, None) = (change, trial)
            && let Some(withdrawn) = policy.state().history.withdrawn_since(JUST_NOW)
        {
            return Err(ChangeError::NotNow(format!(
                "generation {withdrawn} was withdrawn automatically a moment ago, so the \
                 generation before it already decides; to roll that one back too, name it: \
                 rollback?generation=N"
            )));
        }
        match (meant, there) {
            (Some(meant), Some(there)) if meant != there => {
                let role = match on_trial == Some(there) {
                    true => "is on trial",
                    false => "decides",
                };
                Err(ChangeError::NotNow(format!(
                    "generation {there} {role}, not {meant}; look at the policy again"
                )))
            }
            _ => Ok(()),
        }
    }

    /// Changes the history if this trial still runs: a canary may be withdrawn at any moment.
    fn with_trial(
        policy: &Managed,
        trial: &Arc<Trial>,
        change: impl FnOnce(&mut History) -> Result<(), NotNow>,
    ) -> Result<(), ChangeError> {
        let mut state = policy.state();
        if !state.history.trial().is_some_and(|t| Arc::ptr_eq(t, trial)) {
            let reason = state.history.last_error().unwrap_or("it was ended");
            return Err(ChangeError::NotNow(format!("the trial is over: {reason}")));
        }
        Ok(change(&mut state.history)?)
    }

    /// Builds the instances that the workers will take.
    async fn warm(&self, generation: &Arc<Generation>) -> Result<(), String> {
        let was_shadow = generation.set_shadow(false);
        let warming = Arc::clone(generation);
        let warmed = tokio::task::spawn_blocking(move || warming.warm()).await;
        let warmed = warmed.unwrap_or_else(|e| Err(format!("its instances can't be built: {e}")));
        if warmed.is_err() {
            generation.set_shadow(was_shadow);
        }
        warmed
    }
}

fn not_now(change: Change) -> ChangeError {
    ChangeError::NotNow(
        match change {
            Change::Promote { .. } => "no generation is on trial; nothing to promote",
            Change::EndShadow => "there is no shadow to withdraw",
            Change::EndCanary => "there is no canary to withdraw",
            Change::Canary { .. } => {
                "no generation is on trial; deploy one with `--mode shadow` or `--mode canary` first \
                 (over HTTP: `?mode=shadow` or `?mode=canary`)"
            }
            Change::RollBack { .. } => "there is no previous generation to roll back to",
        }
        .to_owned(),
    )
}

impl From<NotNow> for ChangeError {
    fn from(reason: NotNow) -> Self {
        Self::NotNow(reason.0)
    }
}
