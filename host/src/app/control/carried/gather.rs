//! Gathers what was deployed for the process that replaces this one, and takes up what the one
//! before had.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use super::{CarriedPrevious, CarriedTrial, Component, Entry, Role, Table, VERSION, memory};
use crate::admin::ChangeError;
use crate::app::control::{ControlPlane, Managed};
use crate::app::policies;
use crate::policy::digest;

/// Those of a component.
type Bytes = Arc<[u8]>;

impl ControlPlane {
    /// From now on nothing can be deployed by hand, promoted or rolled back, and no backend changed
    /// by hand: another process is about to have what there was so far. `false` ends that.
    pub(in crate::app) fn hold_deployments(&self, held: bool) {
        self.held.store(held, SeqCst);
    }

    /// An error while deployments are held.
    pub(in crate::app::control) fn may_deploy(&self) -> Result<(), ChangeError> {
        match self.held.load(SeqCst) {
            false => Ok(()),
            true => Err(ChangeError::Unavailable(
                "another process is about to take over (an upgrade); try again when it has"
                    .to_owned(),
            )),
        }
    }

    /// What was deployed, as a file in memory; `None` if nothing was. Changes that are under way
    /// are waited for.
    pub(in crate::app) async fn carry(&self) -> io::Result<Option<File>> {
        let (mut table, mut components, mut last) = (Table::default(), Vec::new(), Vec::new());
        for policy in self.managed() {
            let _one_at_a_time = policy.changing.lock().await;
            if let Some((entry, bytes, previous)) = self.entry(&policy) {
                table.policies.push(entry);
                components.extend(bytes);
                last.extend(previous);
            }
        }
        if table.policies.is_empty() {
            return Ok(None);
        }
        table.version = VERSION;
        let write = move || {
            let mut file = memory()?;
            let text = serde_json::to_vec(&table)?;
            file.write_all(&(text.len() as u64).to_le_bytes())?;
            file.write_all(&text)?;
            for component in components.into_iter().chain(last) {
                file.write_all(&component)?;
            }
            Ok(Some(file))
        };
        tokio::task::spawn_blocking(write).await?
    }

    /// What is to be carried of one policy, with its components in their order, and the one of the
    /// previous generation; `None` if that is nothing.
    fn entry(&self, policy: &Managed) -> Option<(Entry, Vec<Bytes>, Option<Bytes>)> {
        let state = policy.state();
        let kept = |number: u64| state.components.iter().find(|(of, _)| *of == number);
        let described = |number: u64, digest: String, length: usize| Component {
            generation: number,
            source: state
                .history
                .entry(number)
                .map(|e| e.source.clone())
                .unwrap_or_default(),
            digest,
            length: length as u64,
        };
        let mut components = Vec::new();
        let mut component = |number: u64| {
            let (_, bytes) = kept(number)?;
            components.push(Arc::clone(bytes));
            Some(described(number, digest(bytes), bytes.len()))
        };
        let deciding = state.history.active();
        let active = deciding.filter(|_| self.state_dir.is_none());
        let active = active.and_then(|active| component(active.number()));
        let trial = state.history.trial().and_then(|trial| {
            let component = component(trial.generation.number())?;
            Some((component, Role::of(trial)))
        });
        // One that the configuration names is not kept in memory: its digest says which it is.
        let previous = state.history.previous().map(|previous| {
            let (number, bytes) = (previous.number(), kept(previous.number()));
            let bytes = bytes.map(|(_, bytes)| Arc::clone(bytes));
            let length = bytes.as_ref().map_or(0, |bytes| bytes.len());
            let named = previous.digest().to_owned();
            (described(number, named, length), bytes)
        });
        if active.is_none() && trial.is_none() && previous.is_none() {
            return None;
        }
        let (previous, of_previous) = previous.unzip();
        // The generation on trial is deployed again, and gets the next number.
        let last = state.history.last_number();
        let is_last = trial
            .as_ref()
            .is_some_and(|(trial, _)| trial.generation == last);
        let entry = Entry {
            name: policy.name.clone(),
            configured: state.configured.clone(),
            last_generation: last - u64::from(is_last),
            active,
            trial,
            previous,
            deciding: deciding.map(|active| (active.number(), active.digest().to_owned())),
        };
        Some((entry, components, of_previous.flatten()))
    }

    /// Begins again what another process had beside the active generations: those to which a policy
    /// can be rolled back, and trials. What can't begin is left out.
    pub(in crate::app) async fn resume(self: &Arc<Self>) {
        let carried = {
            let mut carried = self.carried();
            std::mem::take(&mut carried.0)
        };
        for carried in carried {
            let Ok(policy) = self.named(&carried.name) else {
                continue;
            };
            if let Some(previous) = carried.previous {
                self.resume_previous(&policy, previous).await;
            }
            if let Some(trial) = carried.trial {
                self.resume_trial(&policy, trial).await;
            }
        }
    }

    async fn resume_trial(self: &Arc<Self>, policy: &Arc<Managed>, trial: CarriedTrial) {
        let CarriedTrial {
            component,
            source,
            role,
        } = trial;
        let how = role.deployment();
        let resumed = self.deploy(policy, component.to_vec(), source, how).await;
        if let Err(e) = resumed {
            tracing::error!(policy = policy.name, "the trial does not go on: {e}");
        }
    }

    async fn resume_previous(self: &Arc<Self>, policy: &Arc<Managed>, previous: CarriedPrevious) {
        let CarriedPrevious {
            generation: number,
            source,
            digest: named,
            component,
        } = previous;
        let name = &policy.name;
        let component = component.or_else(|| {
            let config = self.current();
            let configured = policies::component(&config, policy.configured(&config)?).ok()?;
            (digest(&configured) == named).then_some(configured)
        });
        let Some(component) = component else {
            tracing::warn!(
                policy = name,
                "it can't be rolled back to generation {number}: the configuration does not name \
                 that component any more"
            );
            return;
        };
        let loaded = match self.unpinned(policy, &named) {
            Some(reason) => Err(reason),
            None => {
                let (bytes, source) = (Arc::clone(&component), source.clone());
                self.load(policy, bytes, source, number, false).await
            }
        };
        match loaded {
            Ok(generation) => {
                let mut state = policy.state();
                let is_before = state.history.restore_previous(generation, named, source);
                if is_before {
                    state.remember(number, component);
                }
            }
            Err(reason) => tracing::warn!(
                policy = name,
                "it can't be rolled back to generation {number}: {reason}"
            ),
        }
    }
}
