//! Another topology or configuration for a process that runs: prepared while the one before goes
//! on, and then published as a whole, or not at all.

mod hold_still;

use std::sync::{Arc, PoisonError};

use anyhow::Result;
use tokio::sync::OwnedMutexGuard;
use tokio::task::spawn_blocking;

use super::backends::NextBackends;
use super::changes::{changes, fixed, route_name};
use super::next_policy::{NextPolicy, Purpose};
use super::snapshot::lists;
use super::{ControlPlane, Managed};
use crate::admin::Changes;
use crate::app::certificates::ListenerCertificates;
use crate::app::descriptors::Shares;
use crate::app::names::Asked;
use crate::config::Config;
use crate::policy::Generation;
use crate::proxy::{Equipment, Snapshot};
use crate::upstream::{TlsFiles, Topology};

/// Another configuration, with all that it needs. While this is there, no other one is prepared.
pub(in crate::app) struct Prepared {
    pub(in crate::app) config: Arc<Config>,
    pub(in crate::app) certificates: Arc<ListenerCertificates>,
    pub(in crate::app) changes: Changes,
    topology: Arc<Topology>,
    policies: Vec<NextPolicy>,
    backends: NextBackends,
    _asked: Asked,
    _configuring: OwnedMutexGuard<()>,
    /// Of the policies that may not change in between.
    _changing: Vec<OwnedMutexGuard<()>>,
}

/// How often preparing begins again because a deployment was quicker.
const OVERTAKEN: usize = 3;

/// Why a configuration is not ready.
struct Unready {
    reasons: Vec<String>,
    /// A policy has changed meanwhile, which another attempt would see.
    is_overtaken: bool,
}

impl Unready {
    fn of(reasons: Vec<String>) -> Self {
        Self {
            reasons,
            is_overtaken: false,
        }
    }
}

impl ControlPlane {
    /// Reads what a configuration names, resolves its backends and loads its policies. Nothing is
    /// changed.
    ///
    /// # Errors
    ///
    /// Every mistake, as a sentence.
    pub(in crate::app) async fn prepare(
        self: &Arc<Self>,
        config: Config,
        purpose: Purpose,
    ) -> Result<Prepared, Vec<String>> {
        let mut overtaken = 0;
        loop {
            match self.prepare_once(config.clone(), purpose).await {
                Ok(prepared) => return Ok(prepared),
                // Often by the watcher of a component that has changed together with the file.
                Err(unready) if unready.is_overtaken && overtaken < OVERTAKEN => overtaken += 1,
                Err(unready) => return Err(unready.reasons),
            }
        }
    }

    async fn prepare_once(
        self: &Arc<Self>,
        mut config: Config,
        purpose: Purpose,
    ) -> Result<Prepared, Unready> {
        let configuring = Arc::clone(&self.configuring).lock_owned().await;
        let mut errors = fixed(&self.config, &config);
        match Shares::claim(config.workers, config.listeners.len()) {
            Err(reason) => errors.push(reason),
            Ok(shares) => {
                if let Some(lowered) = shares.lower(&mut config.limits) {
                    config.warnings.push(lowered.into());
                }
            }
        }
        let certificates = self.next_certificates(&config).await;
        let topology = self.next_topology(&mut config, purpose).await;
        let config = Arc::new(config);
        let ((topology, asked, backends), certificates) = match (topology, certificates) {
            (Ok(topology), Ok(certificates)) => (topology, certificates),
            (topology, certificates) => {
                errors.extend(topology.err().into_iter().flatten());
                errors.extend(certificates.err().into_iter().flatten());
                return Err(Unready::of(errors));
            }
        };
        let next = self.next_policies((&config, &topology), purpose).await;
        let (policies, reasons) = next;
        errors.extend(reasons);
        let mut unready = Unready::of(errors);
        let former = self.current();
        let mut changes = changes((&former, &self.snapshot().topology), (&config, &topology));
        // Trials count by position.
        let order = |config: &Config| config.routes.iter().map(route_name).collect::<Vec<_>>();
        let routes_change =
            changes.routes != Default::default() || order(&former) != order(&config);
        let changing = self
            .hold_still(routes_change, &policies, purpose, &mut unready)
            .await;
        if !unready.reasons.is_empty() || purpose == Purpose::Check {
            self.forget_new_stores(&config);
        }
        if !unready.reasons.is_empty() {
            return Err(unready);
        }
        note_loaded(&policies, &mut changes);
        Ok(Prepared {
            config,
            certificates,
            changes,
            topology,
            policies,
            backends,
            _asked: asked,
            _configuring: configuring,
            _changing: changing,
        })
    }

    /// Publishes what was prepared, and returns the version of its snapshot. Requests under way
    /// keep the one that they began with. Endpoints and policies that stayed keep their connections
    /// and their instances.
    pub(in crate::app) async fn publish_prepared(
        self: &Arc<Self>,
        prepared: Prepared,
        equipment: Arc<Equipment>,
    ) -> u64 {
        let Prepared {
            config,
            certificates,
            topology,
            policies,
            backends,
            _asked,
            _configuring,
            _changing,
            ..
        } = prepared;
        *self
            .certificates
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = certificates;
        let gone: Vec<_> = {
            let stays = |name: &str| policies.iter().any(|next| next.managed.name == name);
            let all = self.managed();
            all.into_iter().filter(|m| !stays(&m.name)).collect()
        };
        let is_to_be_kept = self.follow_backends(&config, backends);
        let version = self
            .publish_all(&config, &topology, &policies, &equipment)
            .await;
        if let Err(reason) = self.names.follow(&config.pools, &config.resolver) {
            tracing::error!("{reason}; names are looked up as before");
        }
        for policy in gone {
            self.engine.forget_store(&policy.name);
        }
        for next in policies.iter().filter(|next| next.loaded.is_some()) {
            self.keep(&next.managed).await;
        }
        if is_to_be_kept {
            // What can't be kept was logged.
            let _ = self.keep_backends().await;
        }
        version
    }

    /// Has compiled components kept where the configuration of now wants them, if the one before
    /// wanted them elsewhere.
    pub(in crate::app) fn keep_compiled(&self, former: &Config) {
        let config = self.current();
        if config.cache_dir == former.cache_dir {
            return;
        }
        if let Err(e) = self.engine.keep_compiled_in(config.cache_dir.as_deref()) {
            tracing::warn!("{e}; compiled components are kept where they were");
        }
    }

    /// Publishes another topology of the same configuration and returns the version of its
    /// snapshot.
    #[cfg(test)]
    pub(super) async fn publish_topology(self: &Arc<Self>, topology: Arc<Topology>) -> u64 {
        let _one_at_a_time = self.configuring.lock().await;
        self.publish_resolved(topology).await
    }

    /// Reads the files of the pools' `tls` again, and has new connections use them.
    ///
    /// # Errors
    ///
    /// A file can't be used. Nothing is published then.
    pub(in crate::app) async fn publish_pool_files(self: &Arc<Self>) -> Result<()> {
        let _one_at_a_time = self.configuring.lock().await;
        let topology = self.topology_of_now(TlsFiles::Read).await?;
        self.publish_resolved(Arc::new(topology)).await;
        Ok(())
    }

    pub(super) async fn publish_resolved(self: &Arc<Self>, topology: Arc<Topology>) -> u64 {
        let same = |managed| NextPolicy {
            managed,
            loaded: None,
        };
        let policies: Vec<_> = self.managed().into_iter().map(same).collect();
        let (config, equipment) = (self.current(), Arc::clone(&self.snapshot().equipment));
        self.publish_all(&config, &topology, &policies, &equipment)
            .await
    }

    /// Publishes a configuration with the topology of its pools. Endpoints that stayed keep their
    /// connections and their health; instances of policies receive the lists that changed. Those
    /// that can't receive them in the time of a call are built first.
    async fn publish_all(
        self: &Arc<Self>,
        config: &Arc<Config>,
        topology: &Arc<Topology>,
        policies: &[NextPolicy],
        equipment: &Arc<Equipment>,
    ) -> u64 {
        self.forget_what_left();
        let this = Arc::clone(self);
        let (next, resolved) = (Arc::clone(config), Arc::clone(topology));
        let all: Vec<_> = policies.iter().map(|p| Arc::clone(&p.managed)).collect();
        let warmed = all.clone();
        // A panic was logged where it happened. An instance that is not built here is built by the
        // first request that needs it.
        let _ = spawn_blocking(move || this.warm_for(&next, &resolved, &warmed)).await;
        topology.apply_limits();
        let version = self.publish_next(|previous| {
            *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(config);
            *self.policies.lock().unwrap_or_else(PoisonError::into_inner) = all;
            let entry = |(next, policy)| self.next_entry(previous, next, policy);
            let entries = policies.iter().zip(&config.policies).map(entry).collect();
            let side = (equipment, &self.stats);
            Snapshot::next(Some(previous), config, topology, entries, side)
        });
        for (next, entry) in policies.iter().zip(&self.snapshot().policies) {
            for generation in generations(&next.managed) {
                generation.set_lists(&entry.lists);
            }
        }
        version
    }

    fn warm_for(&self, config: &Config, topology: &Topology, policies: &[Arc<Managed>]) {
        let snapshot = self.snapshot();
        for (index, managed) in policies.iter().enumerate() {
            let mut entries = snapshot.policies.iter();
            let Some(entry) = entries.find(|entry| entry.id == managed.id) else {
                continue;
            };
            let lists = lists(&entry.lists, config, topology, index);
            for generation in generations(managed) {
                if let Err(reason) = generation.warm_for(&lists) {
                    tracing::error!(
                        policy = generation.name(),
                        "no instance can be built for a list of backends that has changed: {reason}"
                    );
                }
            }
        }
    }

    /// The certificates of another configuration's listeners, read on a thread for blocking work.
    async fn next_certificates(
        &self,
        config: &Config,
    ) -> Result<Arc<ListenerCertificates>, Vec<String>> {
        let (current, config) = (self.listener_certificates(), config.clone());
        let read = spawn_blocking(move || current.next(&config)).await;
        let read = read.unwrap_or_else(|e| Err(vec![format!("certificates can't be read: {e}")]));
        Ok(match read? {
            next if next.is_same(&self.listener_certificates()) => self.listener_certificates(),
            next => Arc::new(next),
        })
    }

    /// The stores of policies that don't run.
    fn forget_new_stores(&self, config: &Config) {
        let known = self.managed();
        let is_new = |name: &str| known.iter().all(|managed| managed.name != name);
        for policy in config.policies.iter().filter(|p| is_new(&p.name)) {
            self.engine.forget_store(&policy.name);
        }
    }
}

/// Policies whose section is the same, but whose file is not.
fn note_loaded(policies: &[NextPolicy], changes: &mut Changes) {
    let noted = &mut changes.policies;
    for next in policies.iter().filter(|next| next.loaded.is_some()) {
        let name = &next.managed.name;
        if !noted.added.contains(name) && !noted.changed.contains(name) {
            noted.changed.push(name.clone());
        }
    }
}

/// The generations of this policy that are asked now, or may be again.
fn generations(policy: &Managed) -> Vec<Arc<Generation>> {
    let state = policy.state();
    let history = &state.history;
    let trial = history.trial().map(|trial| &trial.generation);
    let all = [history.active(), history.previous(), trial];
    all.into_iter().flatten().map(Arc::clone).collect()
}

#[cfg(test)]
mod tests;
