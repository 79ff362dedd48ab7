//! The first generations: what the configuration names, or what was promoted before a restart.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::deploy::Attempt;
use super::{ControlPlane, policies};
use crate::admin::Readiness;
use crate::ground;
use crate::policy::digest;
use crate::rollout::Kept;

/// A component of this size compiles in well under a second; larger ones are loaded while the other
/// routes serve.
const SMALL: usize = 1024 * 1024;
/// How long the listeners wait for small components on a machine that has no time for them ...
const PATIENCE: Duration = Duration::from_secs(15);
/// ... and so much longer for each of them.
const PATIENCE_EACH: Duration = Duration::from_millis(100);
/// How often it is asked which of them take long: these are not waited for.
const ASK: Duration = Duration::from_millis(100);

/// Policies that are loaded at once: each has a thread that mostly waits, and the smallest are not
/// to wait behind all others.
const AT_ONCE: usize = 64;

/// What may become a policy's first generation, best first.
struct Choice {
    component: Arc<[u8]>,
    source: String,
    /// The digest of what the configuration named when this one was taken.
    configured: Option<String>,
    /// The number that it had before the restart.
    number: Option<u64>,
    /// The last number that was given before the restart.
    last_number: u64,
}

impl ControlPlane {
    /// Loads all policies, the smallest first and many at once, so that one that takes long holds
    /// up none of the others. Returns when those of the usual size are loaded, or take long (a
    /// second of the processor for compiling alone): the rest goes on.
    ///
    /// # Errors
    ///
    /// One that is refused in this time stops the start, as any other mistake in the configuration
    /// does.
    pub async fn load_all(self: &Arc<Self>) -> Result<()> {
        let mut all = Vec::with_capacity(self.config.policies.len());
        for index in 0..self.config.policies.len() {
            all.push((index, self.choices(index)?));
        }
        let size = |choices: &[Choice]| choices.first().map_or(0, |c| c.component.len());
        all.sort_by_key(|(_, choices)| size(choices));
        let digests = |choices: &[Choice]| {
            choices
                .iter()
                .map(|c| digest(&c.component))
                .collect::<Vec<_>>()
        };
        let small: Vec<(usize, Vec<String>)> = all
            .iter()
            .filter(|(_, choices)| size(choices) <= SMALL)
            .map(|(index, choices)| (*index, digests(choices)))
            .collect();
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let places = Arc::new(Semaphore::new(AT_ONCE));
            for (index, choices) in all {
                // Never closed.
                let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                    return;
                };
                let this = Arc::clone(&this);
                tokio::spawn(async move {
                    // What broke off has failed; that is all there is to know.
                    let _ = ground::caught(this.load_first(index, choices)).await;
                    this.settle(index);
                    drop(place);
                });
            }
        });
        let patience = PATIENCE + PATIENCE_EACH * u32::try_from(small.len()).unwrap_or(u32::MAX);
        let takes_long =
            |digests: &[String]| digests.iter().any(|digest| self.engine.takes_long(digest));
        let settled = async {
            loop {
                let changed = self.settled.notified();
                if small
                    .iter()
                    .all(|(index, digests)| self.known(*index).settled || takes_long(digests))
                {
                    return;
                }
                let _ = timeout(ASK, changed).await;
            }
        };
        let _ = timeout(patience, settled).await;
        let mut missing = Vec::new();
        for (index, _) in small {
            let known = self.known(index);
            if let Some(reason) = known
                .record
                .last_error()
                .filter(|_| known.record.active().is_none())
            {
                bail!("{reason}");
            }
            if !known.settled {
                missing.push(self.config.policies[index].name.clone());
            }
        }
        if !missing.is_empty() {
            tracing::warn!(
                "the start does not wait for policies that take long to load: {}; until they are there, their routes answer \
                 503, or as a written on-failure says",
                missing.join(", ")
            );
        }
        Ok(())
    }

    /// The policies that are still being loaded for the first time.
    pub(super) fn unsettled(&self) -> Vec<String> {
        let unsettled = |index: &usize| !self.known(*index).settled;
        let all = 0..self.config.policies.len();
        all.filter(unsettled)
            .map(|index| self.config.policies[index].name.clone())
            .collect()
    }

    /// Whether clients should be sent here.
    pub fn readiness(&self) -> Readiness {
        let noted = self
            .readiness
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
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

    /// The policies that have no generation, because all that there was for them was refused.
    fn refused(&self) -> Vec<String> {
        let refused = |index: &usize| {
            let known = self.known(*index);
            known.settled && known.record.active().is_none()
        };
        (0..self.config.policies.len())
            .filter(refused)
            .map(|index| self.config.policies[index].name.clone())
            .collect()
    }

    /// What the operator should look at though requests are served, a sentence each.
    pub(super) fn notes(&self) -> Vec<String> {
        (0..self.config.policies.len())
            .filter_map(|index| self.known(index).damage.clone())
            .collect()
    }

    /// Reads what there is for this policy.
    fn choices(&self, index: usize) -> Result<Vec<Choice>> {
        let policy = &self.config.policies[index];
        let kept = self.kept(index)?;
        let configured = policies::component(policy);
        let digest_now = configured.as_ref().ok().map(|component| digest(component));
        let last_number = kept.as_ref().map_or(0, |k| k.last_generation);
        {
            let mut known = self.known(index);
            known.on_disk = kept.as_ref().map(Kept::mark);
            // A file that can't be read now is not a new one when it can be read again.
            known.configured = digest_now
                .clone()
                .or(kept.as_ref().and_then(|k| k.configured.clone()));
        }
        let deployed_since = kept
            .as_ref()
            .is_some_and(|k| digest_now.is_some() && k.configured != digest_now);
        let kept = kept.map(|k| Choice {
            component: k.component,
            source: k.source,
            configured: k.configured,
            number: Some(k.generation),
            last_number,
        });
        let configured = configured.map(|component| Choice {
            component,
            source: policies::source(policy),
            configured: digest_now,
            number: None,
            last_number,
        });
        let mut choices: Vec<Choice> = match (kept, configured) {
            (None, Err(e)) => return Err(e),
            (None, Ok(configured)) => vec![configured],
            (Some(kept), Err(e)) => {
                tracing::error!("{e:#}; going on with what was promoted before the restart");
                vec![kept]
            }
            (Some(kept), Ok(configured)) if deployed_since => {
                let name = &policy.name;
                tracing::info!(
                    policy = name,
                    "the configuration names another component than before the restart"
                );
                vec![configured, kept]
            }
            (Some(kept), Ok(configured)) => vec![kept, configured],
        };
        // What the configuration does not accept is no choice, unless nothing else would be left to
        // complain about.
        if choices
            .iter()
            .any(|c| self.unpinned(index, &digest(&c.component)).is_none())
        {
            choices.retain(|c| self.unpinned(index, &digest(&c.component)).is_none());
        }
        Ok(choices)
    }

    /// What was promoted before the restart, if it is there and whole.
    fn kept(&self, index: usize) -> Result<Option<Kept>> {
        let policy = self.config.policies[index].name.as_str();
        let Some(keep) = &self.keep else {
            return Ok(None);
        };
        match keep.read(policy) {
            Ok(kept) => Ok(kept),
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                let damage = format!(
                    "policy {policy:?}: what was promoted before the restart can't be read from `state-dir`: {e}; \
                     what the configuration names decides; deploy the other one again"
                );
                tracing::error!("{damage}");
                self.known(index).damage = Some(damage);
                Ok(None)
            }
            // To go on would be to write over it.
            Err(e) => Err(e).with_context(|| {
                format!("policy {policy:?}: what was promoted before the restart can't be read from `state-dir`")
            }),
        }
    }

    async fn load_first(self: &Arc<Self>, index: usize, choices: Vec<Choice>) {
        for Choice {
            component,
            source,
            configured,
            number,
            last_number,
        } in choices
        {
            let digest = digest(&component);
            let number = {
                let mut known = self.known(index);
                known
                    .record
                    .continue_after(number.map_or(last_number, |number| number.saturating_sub(1)));
                let number = known.record.loading(digest.clone(), source.clone());
                known.record.continue_after(last_number);
                number
            };
            let _failed_if_it_breaks_off = Attempt {
                control: self,
                index,
                number,
            };
            ground::fault_point("loading");
            let loaded = match self.unpinned(index, &digest) {
                Some(reason) => Err(reason),
                None => {
                    self.load(index, Arc::clone(&component), source.clone(), number, false)
                        .await
                }
            };
            let _one_at_a_time = self.policies[index].changing.lock().await;
            match loaded {
                Ok(generation) => {
                    {
                        let mut known = self.known(index);
                        if let Some(deployed) = known.record.active().map(|a| a.number()) {
                            let reason = format!(
                                "generation {deployed} was deployed before this one was loaded"
                            );
                            known.record.superseded(number, &reason);
                            break;
                        }
                        // Nothing is active that could be newer, so this can't be refused.
                        if known
                            .record
                            .activate(generation, &format!("loaded from {source}"))
                            .is_ok()
                        {
                            known.configured = configured;
                            if self.keep.is_some() {
                                known.remember(number, component);
                            }
                        }
                    }
                    self.put_in_force(index).await;
                    break;
                }
                Err(reason) => {
                    tracing::error!("{reason}");
                    self.known(index).record.refused(number, &reason);
                }
            }
        }
    }

    /// From here on it is known whether this policy has a generation.
    fn settle(&self, index: usize) {
        self.publish(index);
        self.known(index).settled = true;
        self.settled.notify_waiters();
    }
}
