//! Deployments: each is one entry in the history and one publication.

use std::sync::Arc;

use super::{ControlPlane, Managed, policies};
use crate::admin::{ChangeError, Deployment};
use crate::config::Config;
use crate::ground;
use crate::policy::{Generation, Mode, Trial, WHOLE, digest};
use crate::rollout::History;

/// A generation that is being loaded. If loading ends without a result, for instance by a panic,
/// dropping this marks the generation as failed.
pub(super) struct Attempt<'a> {
    pub control: &'a Arc<ControlPlane>,
    pub policy: &'a Arc<Managed>,
    pub number: u64,
}

impl Attempt<'_> {
    /// Loads the component, unless the configuration does not accept its digest.
    pub(super) async fn load(
        &self,
        component: &Arc<[u8]>,
        digest: &str,
        source: &str,
        shadow: bool,
    ) -> Result<Arc<Generation>, String> {
        ground::fault_point("loading");
        match self.control.unpinned(self.policy, digest) {
            Some(reason) => Err(reason),
            None => {
                self.control
                    .load(
                        self.policy,
                        Arc::clone(component),
                        source.to_owned(),
                        self.number,
                        shadow,
                    )
                    .await
            }
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.policy.state().history.broke_off(self.number);
    }
}

impl ControlPlane {
    /// Loads a component outside the workers and publishes it to all of them.
    pub(super) async fn deploy(
        self: &Arc<Self>,
        policy: &Arc<Managed>,
        component: Vec<u8>,
        source: String,
        how: Deployment,
    ) -> Result<(), ChangeError> {
        self.deploy_as(policy, component, source, how, None).await
    }

    /// `configured` is the component's digest if the configuration names it.
    async fn deploy_as(
        self: &Arc<Self>,
        policy: &Arc<Managed>,
        component: Vec<u8>,
        source: String,
        how: Deployment,
        configured: Option<String>,
    ) -> Result<(), ChangeError> {
        let component: Arc<[u8]> = component.into();
        let digest = digest(&component);
        let number = policy
            .state()
            .history
            .loading(digest.clone(), source.clone());
        let attempt = Attempt {
            control: self,
            policy,
            number,
        };
        let shadow = matches!(how, Deployment::Shadow { .. });
        let before = self.current();
        let generation = match attempt.load(&component, &digest, &source, shadow).await {
            Ok(generation) => generation,
            Err(reason) => {
                policy.state().history.refused(number, &reason);
                return Err(ChangeError::Refused(reason));
            }
        };
        let _one_at_a_time = policy.changing.lock().await;
        self.is_current(policy, &before, number, &digest)?;
        if configured.is_none()
            && let Err(held) = self.may_deploy()
        {
            policy.state().history.superseded(number, &held.to_string());
            return Err(held);
        }
        {
            let mut state = policy.state();
            self.assign(policy, generation, how, &source, &mut state.history)?;
            if self.state_dir.is_some() || configured.is_none() {
                state.remember(number, component);
            }
            // Under the lock, before the files are written: `configured` must be that of the
            // component that is kept.
            state.configured = configured.or(state.configured.take());
            state.damage = None;
        }
        self.put_in_force(policy).await;
        Ok(())
    }

    /// Refuses a generation that was loaded as another configuration wanted it.
    fn is_current(
        &self,
        policy: &Managed,
        before: &Config,
        number: u64,
        digest: &str,
    ) -> Result<(), ChangeError> {
        let now = self.current();
        let both = policy.configured(before).zip(policy.configured(&now));
        if both.is_some_and(|(was, is)| {
            policies::loads_the_same(was, is) && policies::unpinned(is, digest).is_none()
        }) {
            return Ok(());
        }
        let reason = "the configuration of this policy has changed while the component was being \
                      loaded; deploy it again";
        policy.state().history.superseded(number, reason);
        Err(ChangeError::NotNow(reason.to_owned()))
    }

    /// Gives a loaded generation the role that it was deployed for.
    fn assign(
        &self,
        policy: &Managed,
        generation: Arc<Generation>,
        how: Deployment,
        source: &str,
        history: &mut History,
    ) -> Result<(), ChangeError> {
        match how {
            Deployment::Active => {
                history.activate(generation, &format!("deployed from {source}"))?;
            }
            Deployment::Shadow { percent } => {
                let trial = self.trial(policy, generation, Mode::Shadow, percent);
                history.try_out(trial, &format!("shadow for {percent} % of the requests"))?;
            }
            Deployment::Canary { percent, by } => {
                let mode = Mode::Canary(by);
                let trial = self.trial(policy, generation, mode, percent);
                history.try_out(trial, &canary_for(percent, mode))?;
            }
        }
        Ok(())
    }

    /// Deploys a file that the configuration names and that has changed.
    pub(in crate::app) async fn deploy_file(
        self: &Arc<Self>,
        policy: &Arc<Managed>,
        component: Vec<u8>,
        path: String,
    ) -> Result<(), ChangeError> {
        let digest = digest(&component);
        self.deploy_as(policy, component, path, Deployment::Active, Some(digest))
            .await
    }

    /// The reason to refuse a component with this digest for this policy, if there is one.
    pub(super) fn unpinned(&self, policy: &Managed, digest: &str) -> Option<String> {
        policies::unpinned(policy.configured(&self.current())?, digest)
    }

    pub(super) fn trial(
        &self,
        policy: &Managed,
        generation: Arc<Generation>,
        mode: Mode,
        percent: f64,
    ) -> Arc<Trial> {
        let config = self.current();
        let routes = config.routes.iter().map(ToString::to_string).collect();
        let rules = &config.rollout;
        let trial = Arc::new(Trial::new(
            generation,
            mode,
            share(percent),
            config.workers,
            rules,
            routes,
        ));
        if matches!(mode, Mode::Canary(_)) {
            // A canary's decisions count under the policy's name.
            let candidate = trial
                .shards
                .iter()
                .map(|shard| Arc::clone(&shard.candidate));
            self.stats.policy(&policy.name).join(candidate);
        }
        trial
    }
}

/// A percentage in ten-thousandths. A share above 0 never becomes 0.
pub(super) fn share(percent: f64) -> u32 {
    let share = (percent * f64::from(WHOLE) / 100.0).round() as u32;
    if percent > 0.0 { share.max(1) } else { share }
}

/// Of whom a canary decides the requests, for its history.
pub(super) fn canary_for(percent: f64, mode: Mode) -> String {
    format!("canary for {percent} % of the {}", mode.crowd())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_above_zero_stays_above_zero() {
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
