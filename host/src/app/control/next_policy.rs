//! Which generation decides under a policy's name in another configuration: the one of now, or one
//! that is loaded first.

use std::sync::Arc;

use super::start::Choice;
use super::{Component, ControlPlane, Managed, policies};
use crate::config::{Config, Policy};
use crate::decision::PolicyEntry;
use crate::policy::{Generation, Lists, digest};
use crate::proxy::Snapshot;
use crate::rollout::State;
use crate::upstream::Topology;

/// A policy of the configuration to come.
pub(super) struct NextPolicy {
    pub(super) managed: Arc<Managed>,
    /// What decides instead of the generation of now.
    pub(super) loaded: Option<Loaded>,
}

/// A generation that was loaded for a configuration.
pub(super) struct Loaded {
    pub(super) generation: Arc<Generation>,
    choice: Choice,
    /// Where it was entered.
    entered: Arc<Managed>,
}

impl Drop for Loaded {
    fn drop(&mut self) {
        let (mut state, number) = (self.entered.state(), self.generation.number());
        let entry = state.history.entry(number);
        if entry.is_some_and(|entry| entry.state == State::Loading) {
            let reason = "the configuration that it is a part of was not published";
            state.history.superseded(number, reason);
        }
    }
}

/// Why the components are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::app) enum Purpose {
    /// The configuration is to be published.
    Publish,
    /// It is to be published, because its file has changed: if that looks whole.
    Follow,
    /// Only whether it could be is asked: no history has it.
    Check,
}

impl ControlPlane {
    /// The policies of a configuration, in its order, each with what has to be loaded for it; or
    /// every reason why one can't be.
    pub(super) async fn next_policies(
        self: &Arc<Self>,
        within: (&Arc<Config>, &Arc<Topology>),
        purpose: Purpose,
    ) -> (Vec<NextPolicy>, Vec<String>) {
        let (before, known) = (self.current(), self.managed());
        let mut loading = Vec::new();
        for policy in &within.0.policies {
            let found = known.iter().find(|m| m.name == policy.name).cloned();
            let (this, before) = (Arc::clone(self), Arc::clone(&before));
            let (config, topology) = (Arc::clone(within.0), Arc::clone(within.1));
            let policy = policy.clone();
            loading.push(tokio::spawn(async move {
                let next =
                    this.next_policy((&config, &topology), (&policy, &before), found, purpose);
                next.await
            }));
        }
        let (mut all, mut errors) = (Vec::new(), Vec::new());
        for task in loading {
            match task.await {
                Ok(Ok(next)) => all.push(next),
                Ok(Err(reason)) => errors.push(reason),
                Err(e) => errors.push(format!("a policy can't be loaded: {e}")),
            }
        }
        (all, errors)
    }

    async fn next_policy(
        self: &Arc<Self>,
        within: (&Arc<Config>, &Arc<Topology>),
        (policy, before): (&Policy, &Config),
        found: Option<Arc<Managed>>,
        purpose: Purpose,
    ) -> Result<NextPolicy, String> {
        let (managed, choices) = match found {
            Some(managed) => {
                let was = managed.configured(before);
                let choice = was
                    .map(|was| changed(&managed, was, (within.0, policy)))
                    .transpose()?;
                match choice.flatten() {
                    None => {
                        let loaded = None;
                        return Ok(NextPolicy { managed, loaded });
                    }
                    Some(choice) => (managed, vec![choice]),
                }
            }
            None => {
                let id = self.next_id(&policy.name);
                let managed = Arc::new(Managed::new(id, &policy.name));
                let choices = self.choices(&managed, (within.0, policy));
                (managed, choices.map_err(|e| format!("{e:#}"))?)
            }
        };
        let scratch = Arc::new(Managed::new(managed.id, &managed.name));
        let entered = match purpose {
            Purpose::Publish | Purpose::Follow => &managed,
            Purpose::Check => &scratch,
        };
        let mut reason = String::new();
        for choice in choices {
            match self.load_next(within, policy, entered, choice).await {
                Ok(loaded) => {
                    let loaded = Some(loaded);
                    return Ok(NextPolicy { managed, loaded });
                }
                Err(refused) => reason = refused,
            }
        }
        Err(reason)
    }

    async fn load_next(
        self: &Arc<Self>,
        within: (&Arc<Config>, &Arc<Topology>),
        policy: &Policy,
        managed: &Arc<Managed>,
        choice: Choice,
    ) -> Result<Loaded, String> {
        let digest = digest(&choice.component);
        if let Some(reason) = policies::unpinned(policy, &digest) {
            return Err(reason);
        }
        let number = Self::enter_first(managed, &choice, digest);
        let what = Component {
            bytes: Arc::clone(&choice.component),
            source: choice.source.clone(),
            number,
            shadow: false,
        };
        match self.load_within(within, &policy.name, what).await {
            Ok(generation) => Ok(Loaded {
                generation,
                choice,
                entered: Arc::clone(managed),
            }),
            Err(reason) => {
                managed.state().history.refused(number, &reason);
                Err(reason)
            }
        }
    }

    /// The entry of a policy in the snapshot that follows. The caller holds the policy's lock
    /// (`changing`) if another generation is to decide.
    pub(super) fn next_entry(
        &self,
        previous: &Snapshot,
        next: &NextPolicy,
        policy: &Policy,
    ) -> PolicyEntry {
        let NextPolicy { managed, loaded } = next;
        let known = previous
            .policies
            .iter()
            .find(|entry| entry.id == managed.id);
        let mut entry = known.cloned().unwrap_or_else(|| PolicyEntry {
            id: managed.id,
            name: policy.name.as_str().into(),
            on_failure: policy.on_failure,
            while_absent: policy.while_absent,
            lists: Arc::new(Lists::new(&[], 0)),
            active: Err("it is being loaded".into()),
            trial: None,
        });
        let Some(Loaded {
            generation, choice, ..
        }) = loaded
        else {
            return entry;
        };
        let mut state = managed.state();
        let reason = format!("loaded from {} for a changed configuration", choice.source);
        // Nothing newer can be active: that was looked at under the lock.
        if state
            .history
            .activate(Arc::clone(generation), &reason)
            .is_ok()
        {
            entry.active = Ok(Arc::clone(generation));
            entry.trial = None;
            state.configured.clone_from(&choice.configured);
            state.damage = None;
            if self.state_dir.is_some() || choice.is_deployed() {
                state.remember(generation.number(), Arc::clone(&choice.component));
            }
        }
        state.settled = true;
        drop(state);
        self.engine.keep_store(generation);
        entry
    }
}

/// What has to be loaded because this policy is configured in another way, or because its file has
/// another component; `None` if nothing has to.
fn changed(
    managed: &Managed,
    was: &Policy,
    (config, policy): (&Config, &Policy),
) -> Result<Option<Choice>, String> {
    let file = match policies::component(config, policy) {
        // What it has named until now may have gone since; what it names from now on must be there.
        Err(e) if policy.source != was.source => return Err(format!("{e:#}")),
        file => file,
    };
    let now = file.as_ref().ok().map(|component| digest(component));
    let state = managed.state();
    let same_way = policies::loads_the_same(was, policy);
    let is_named_anew = policy.source != was.source || now.is_some() && now != state.configured;
    let active = state.history.active();
    let fits = |digest: &str| policies::unpinned(policy, digest).is_none();
    let active_fits = active.is_some_and(|active| fits(active.digest()));
    if !is_named_anew && same_way && (active_fits || was.digest == policy.digest) {
        return Ok(None);
    }
    if let Some(active) = active
        && active_fits
        && (!is_named_anew || !now.as_deref().is_some_and(fits))
    {
        if same_way {
            return Ok(None);
        }
        let kept = state.components.iter();
        let mut kept = kept.filter(|(number, _)| *number == active.number());
        let component = match (kept.next(), file) {
            (Some((_, component)), _) => Arc::clone(component),
            (None, Ok(component)) if now.as_deref() == Some(active.digest()) => component,
            _ => {
                return Err(format!(
                    "policy {:?}: its settings have changed, and the component that decides is \
                     not in its file any more; put it back, or deploy it again",
                    policy.name
                ));
            }
        };
        let entry = state.history.entry(active.number());
        return Ok(Some(Choice {
            component,
            source: entry.map(|e| e.source.clone()).unwrap_or_default(),
            configured: now.or_else(|| state.configured.clone()),
            number: None,
            last_number: 0,
        }));
    }
    let component = file.map_err(|e| format!("{e:#}"))?;
    Ok(Some(Choice {
        component,
        source: policies::source(policy),
        configured: now,
        number: None,
        last_number: 0,
    }))
}
