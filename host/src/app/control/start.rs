//! The first generations: the components that the configuration names, or those that were promoted
//! before a restart.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::deploy::Attempt;
use super::{ControlPlane, Managed, policies};
use crate::config::{Config, Policy};
use crate::ground;
use crate::policy::{Generation, digest};
use crate::rollout::Kept;

/// A component of up to this size compiles in well under a second; larger ones are loaded while the
/// other routes serve.
const SMALL: usize = 1024 * 1024;
/// How long the listeners wait for small components on a busy machine ...
const PATIENCE: Duration = Duration::from_secs(15);
/// ... plus this much for each of them.
const PATIENCE_EACH: Duration = Duration::from_millis(100);
/// How often the start checks which components take long; it does not wait for those.
pub(super) const ASK: Duration = Duration::from_millis(100);

/// Policies that are loaded at the same time. Each has a thread that mostly waits, and the smallest
/// should not wait behind the others.
const AT_ONCE: usize = 64;

/// A candidate for a policy's first generation; the best comes first.
pub(super) struct Choice {
    pub(super) component: Arc<[u8]>,
    pub(super) source: String,
    /// The digest of the component that the configuration named when this one was taken.
    pub(super) configured: Option<String>,
    /// Its generation number before the restart.
    pub(super) number: Option<u64>,
    /// The highest generation number before the restart.
    pub(super) last_number: u64,
}

impl Choice {
    /// Whether the configuration names another component.
    pub(super) fn is_deployed(&self) -> bool {
        self.configured.as_deref() != Some(&digest(&self.component))
    }
}

/// A policy that the start waits for, because its component is small.
struct Awaited {
    policy: Arc<Managed>,
    /// The digests of the candidates for its first generation.
    digests: Vec<String>,
}

impl ControlPlane {
    /// Loads all policies, the smallest first and many in parallel, so that a slow one does not
    /// delay the others. Returns when the small ones are loaded or take long (a second of CPU time
    /// for compiling alone); the rest continue in the background.
    ///
    /// # Errors
    ///
    /// A policy that is refused in this time stops the start, like any other mistake in the
    /// configuration.
    pub async fn load_all(self: &Arc<Self>) -> Result<()> {
        let mut all = Vec::new();
        let config = self.current();
        for managed in self.managed() {
            let Some(policy) = managed.configured(&config) else {
                continue;
            };
            let choices = self.choices(&managed, (&config, policy))?;
            all.push((managed, choices));
        }
        let size = |choices: &[Choice]| choices.first().map_or(0, |c| c.component.len());
        all.sort_by_key(|(_, choices)| size(choices));
        let awaited: Vec<Awaited> = all
            .iter()
            .filter(|(_, choices)| size(choices) <= SMALL)
            .map(|(policy, choices)| Awaited {
                policy: Arc::clone(policy),
                digests: choices.iter().map(|c| digest(&c.component)).collect(),
            })
            .collect();
        self.load_in_background(all);
        let patience = PATIENCE + PATIENCE_EACH * u32::try_from(awaited.len()).unwrap_or(u32::MAX);
        let _ = timeout(patience, self.loaded_or_slow(&awaited)).await;
        self.start_verdict(&awaited)
    }

    /// Loads the first generations in this order, many in parallel.
    fn load_in_background(self: &Arc<Self>, all: Vec<(Arc<Managed>, Vec<Choice>)>) {
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let places = Arc::new(Semaphore::new(AT_ONCE));
            for (policy, choices) in all {
                // Never closed.
                let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                    return;
                };
                let this = Arc::clone(&this);
                tokio::spawn(async move {
                    // A panic has marked the generation as failed (`Attempt`).
                    let _ = ground::caught(this.load_first(&policy, choices)).await;
                    this.settle(&policy);
                    drop(place);
                });
            }
        });
    }

    /// Returns when each of these policies is loaded or refused, or takes long.
    async fn loaded_or_slow(&self, awaited: &[Awaited]) {
        let takes_long =
            |digests: &[String]| digests.iter().any(|digest| self.engine.takes_long(digest));
        let is_over =
            |awaited: &Awaited| awaited.policy.state().settled || takes_long(&awaited.digests);
        loop {
            let changed = self.settled.notified();
            if awaited.iter().all(is_over) {
                return;
            }
            let _ = timeout(ASK, changed).await;
        }
    }

    /// An error if one of these policies was refused; a warning about those that take long.
    fn start_verdict(&self, awaited: &[Awaited]) -> Result<()> {
        let mut missing = Vec::new();
        for Awaited { policy, .. } in awaited {
            let state = policy.state();
            if let Some(reason) = state
                .history
                .last_error()
                .filter(|_| state.history.active().is_none())
            {
                bail!("{reason}");
            }
            if !state.settled {
                missing.push(policy.name.clone());
            }
        }
        if !missing.is_empty() {
            tracing::warn!(
                "the start does not wait for policies that take long to load: {}; until they are \
                 loaded, their routes answer 503, or what their `on-failure` says",
                missing.join(", ")
            );
        }
        Ok(())
    }

    /// Reads the candidates for this policy.
    pub(super) fn choices(
        &self,
        managed: &Managed,
        (config, policy): (&Config, &Policy),
    ) -> Result<Vec<Choice>> {
        let kept = self.kept(managed)?;
        let configured = policies::component(config, policy);
        let digest_now = configured.as_ref().ok().map(|component| digest(component));
        let (number, last_number) = self.numbers(managed, kept.as_ref(), digest_now.as_deref());
        {
            let mut state = managed.state();
            let on_disk = kept.as_ref().filter(|_| self.state_dir.is_some());
            state.on_disk = on_disk.map(Kept::fingerprint);
            // A file that can't be read now does not count as new when it can be read again.
            state.configured = digest_now
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
            number,
            last_number,
        });
        let mut choices: Vec<Choice> = match (kept, configured) {
            (None, Err(e)) => return Err(e),
            (None, Ok(configured)) => vec![configured],
            (Some(kept), Err(e)) => {
                tracing::error!("{e:#}; using the component that was promoted before the restart");
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
        // Components that the configuration does not accept are dropped, unless nothing else is
        // left to report an error about.
        if choices
            .iter()
            .any(|c| policies::unpinned(policy, &digest(&c.component)).is_none())
        {
            choices.retain(|c| policies::unpinned(policy, &digest(&c.component)).is_none());
        }
        Ok(choices)
    }

    /// The number that the configured component had in the process before this one, and the highest
    /// there.
    fn numbers(
        &self,
        managed: &Managed,
        kept: Option<&Kept>,
        configured: Option<&str>,
    ) -> (Option<u64>, u64) {
        let carried = self.carried();
        let number = configured.and_then(|digest| carried.number(&managed.name, digest));
        let last = carried.last_generation(&managed.name);
        let last = last.max(kept.map(|kept| kept.last_generation));
        (number, last.unwrap_or_default())
    }

    /// The component that was promoted before the restart, if it is there and undamaged.
    fn kept(&self, managed: &Managed) -> Result<Option<Kept>> {
        let policy = managed.name.as_str();
        if let Some(carried) = self.carried().active(policy) {
            return Ok(Some(carried));
        }
        let Some(state_dir) = &self.state_dir else {
            return Ok(None);
        };
        match state_dir.read(policy) {
            Ok(mut kept) => {
                // The generation on trial gets its number again.
                let last = self.carried().last_generation(policy);
                if let (Some(kept), Some(last)) = (&mut kept, last) {
                    kept.last_generation = last.max(kept.generation);
                }
                Ok(kept)
            }
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                let damage = format!(
                    "policy {policy:?}: the component promoted before the restart can't be read \
                     from `state-dir`: {e}; the configured one decides; deploy the promoted one \
                     again"
                );
                tracing::error!("{damage}");
                managed.state().damage = Some(damage);
                Ok(None)
            }
            // Starting without it would overwrite it later.
            Err(e) => Err(e).with_context(|| {
                format!(
                    "policy {policy:?}: the component promoted before the restart can't be read \
                     from `state-dir`"
                )
            }),
        }
    }

    async fn load_first(self: &Arc<Self>, policy: &Arc<Managed>, choices: Vec<Choice>) {
        for choice in choices {
            let digest = digest(&choice.component);
            let number = Self::enter_first(policy, &choice, digest.clone());
            let attempt = Attempt {
                control: self,
                policy,
                number,
            };
            let loaded = attempt
                .load(&choice.component, &digest, &choice.source, false)
                .await;
            let _one_at_a_time = policy.changing.lock().await;
            match loaded {
                Ok(generation) => {
                    if self.activate_first(policy, generation, choice) {
                        self.put_in_force(policy).await;
                    }
                    break;
                }
                Err(reason) => {
                    tracing::error!("{reason}");
                    policy.state().history.refused(number, &reason);
                }
            }
        }
    }

    /// Enters a candidate in the history, with its number from before the restart if it had one.
    pub(super) fn enter_first(policy: &Managed, choice: &Choice, digest: String) -> u64 {
        let Choice {
            source,
            number,
            last_number,
            ..
        } = choice;
        let mut state = policy.state();
        let before = number.map_or(*last_number, |number| number.saturating_sub(1));
        state.history.continue_after(before);
        let number = state.history.loading(digest, source.clone());
        state.history.continue_after(*last_number);
        number
    }

    /// Lets a loaded candidate decide. False if another generation was deployed in the meantime.
    fn activate_first(
        &self,
        policy: &Managed,
        generation: Arc<Generation>,
        choice: Choice,
    ) -> bool {
        let number = generation.number();
        let mut state = policy.state();
        if let Some(deployed) = state.history.active().map(|a| a.number()) {
            let reason = format!("generation {deployed} was deployed before this one was loaded");
            state.history.superseded(number, &reason);
            return false;
        }
        // Nothing is active, so nothing can be newer and refuse this.
        if state
            .history
            .activate(generation, &format!("loaded from {}", choice.source))
            .is_ok()
        {
            state.configured.clone_from(&choice.configured);
            if self.state_dir.is_some() || choice.is_deployed() {
                state.remember(number, choice.component);
            }
        }
        true
    }

    /// Marks the first load of this policy as finished.
    fn settle(&self, policy: &Managed) {
        self.publish(policy);
        policy.state().settled = true;
        self.settled.notify_waiters();
    }
}
