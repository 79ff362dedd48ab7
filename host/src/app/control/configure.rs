//! Another topology or configuration for a process that runs. Nothing of the program calls this
//! yet: SIGHUP still asks for a restart.

use std::sync::{Arc, PoisonError};

use anyhow::{Result, bail};
use tokio::task::spawn_blocking;

use super::ControlPlane;
use super::snapshot::lists;
use crate::config::{Config, LoggedRequests, Policy, RecordingConfig};
use crate::policy::Generation;
use crate::proxy::Snapshot;
use crate::upstream::{Topology, resolve};

impl ControlPlane {
    /// Publishes another configuration and returns the version of its snapshot. Requests under way
    /// keep the one that they began with. Endpoints and policies that stayed keep their connections
    /// and their instances.
    ///
    /// # Errors
    ///
    /// Something has changed that a process keeps for its life, the routes have changed while a
    /// policy is on trial, or a backend can't be resolved. Nothing is published then.
    pub async fn publish_config(self: &Arc<Self>, mut config: Arc<Config>) -> Result<u64> {
        let _one_at_a_time = self.configuring.lock().await;
        let changed = changed(&self.config, &config);
        if !changed.is_empty() {
            bail!(
                "these can't change while the proxy runs: {}; restart it to apply the change",
                changed.join(", ")
            );
        }
        if let Some(lowered) = self.shares.lower(&mut Arc::make_mut(&mut config).limits) {
            tracing::warn!("{lowered}");
        }
        let current = self.snapshot();
        let topology = if config.pools == current.config.pools {
            Arc::clone(&current.topology)
        } else {
            Arc::new(resolve(&config.pools, &self.registry).await?)
        };
        let mut no_trials = Vec::new();
        if config.routes != current.config.routes {
            // Until the routes have changed no trial may begin: it would count requests by the old
            // ones.
            for managed in &self.policies {
                no_trials.push(managed.changing.lock().await);
            }
            self.check_trials()?;
        }
        Ok(self.publish_both(config, topology).await)
    }

    /// Publishes another topology of the same configuration and returns the version of its
    /// snapshot.
    pub async fn publish_topology(self: &Arc<Self>, topology: Arc<Topology>) -> u64 {
        let _one_at_a_time = self.configuring.lock().await;
        self.publish_both(self.current(), topology).await
    }

    /// Reads the files of the pools' `tls` again, and has new connections use them.
    ///
    /// # Errors
    ///
    /// A file can't be used, or a backend can't be resolved. Nothing is published then.
    pub(in crate::app) async fn publish_pool_files(self: &Arc<Self>) -> Result<()> {
        let _one_at_a_time = self.configuring.lock().await;
        let config = self.current();
        let topology = resolve(&config.pools, &self.registry).await?;
        self.publish_both(config, Arc::new(topology)).await;
        Ok(())
    }

    /// Publishes a configuration with the topology of its pools. Endpoints that stayed keep their
    /// connections and their health; instances of policies are told the lists that changed. Those
    /// that can't be told in the time of a call are built first.
    async fn publish_both(self: &Arc<Self>, config: Arc<Config>, topology: Arc<Topology>) -> u64 {
        let this = Arc::clone(self);
        let (next, resolved) = (Arc::clone(&config), Arc::clone(&topology));
        // A panic was logged where it happened. An instance that is not built here is built by the
        // first request that needs it.
        let _ = spawn_blocking(move || this.warm_for(&next, &resolved)).await;
        let version = self.publish_next(|previous| {
            let current = Arc::clone(&config);
            *self.current.lock().unwrap_or_else(PoisonError::into_inner) = current;
            Snapshot::next(
                Some(previous),
                &config,
                &topology,
                previous.policies.clone(),
            )
        });
        for (index, entry) in self.snapshot().policies.iter().enumerate() {
            for generation in self.generations(index) {
                generation.set_lists(&entry.lists);
            }
        }
        version
    }

    fn warm_for(&self, config: &Config, topology: &Topology) {
        for (index, entry) in self.snapshot().policies.iter().enumerate() {
            let lists = lists(&entry.lists, config, topology, index);
            for generation in self.generations(index) {
                if let Err(reason) = generation.warm_for(&lists) {
                    tracing::error!(
                        policy = generation.name(),
                        "no instance can be built for a list of backends that has changed: {reason}"
                    );
                }
            }
        }
    }

    /// The generations of this policy that are asked now, or may be again.
    fn generations(&self, index: usize) -> Vec<Arc<Generation>> {
        let state = self.state(index);
        let history = &state.history;
        let trial = history.trial().map(|trial| &trial.generation);
        let all = [history.active(), history.previous(), trial];
        all.into_iter().flatten().map(Arc::clone).collect()
    }

    /// Refuses routes that change while a policy is on trial.
    fn check_trials(&self) -> Result<()> {
        let on_trial = |index: &usize| self.state(*index).history.trial().is_some();
        if let Some(policy) = (0..self.policies.len()).find(on_trial) {
            bail!(
                "policy {:?} is on trial, and its requests are counted by route; promote or \
                 withdraw it before the routes change",
                self.config.policies[policy].name
            );
        }
        Ok(())
    }
}

/// What has changed of that which a process keeps for its life.
fn changed(start: &Config, next: &Config) -> Vec<&'static str> {
    // Without `..`: a key that is new must be thought of here.
    let Config {
        listeners,
        acme,
        workers,
        admin,
        policies,
        access_log,
        record,
        state_dir,
        cache_dir,
        pools: _,
        routes: _,
        stats_path: _,
        limits: _,
        timeouts: _,
        forwarded: _,
        paths: _,
        rollout: _,
        warnings: _,
    } = next;
    let opens_log = start.access_log.requests == LoggedRequests::None
        && access_log.requests != LoggedRequests::None;
    let fixed = [
        (
            "`listen` and `[[listeners]]`",
            *listeners != start.listeners,
        ),
        ("`[acme]`", *acme != start.acme),
        ("`workers`", *workers != start.workers),
        ("`[admin]`", *admin != start.admin),
        ("`[policies]`", !are_loaded(&start.policies, policies)),
        (
            "`access-log.path`",
            access_log.path != start.access_log.path,
        ),
        ("`access-log.requests`, which was \"none\"", opens_log),
        (
            "`[record]`",
            !is_written(start.record.as_ref(), record.as_ref()),
        ),
        ("`state-dir`", *state_dir != start.state_dir),
        ("`cache-dir`", *cache_dir != start.cache_dir),
    ];
    let changed = fixed.into_iter().filter(|(_, changed)| *changed);
    changed.map(|(key, _)| key).collect()
}

/// Whether the same policies are loaded in the same way. What becomes of requests when they fail
/// is no part of that.
fn are_loaded(start: &[Policy], next: &[Policy]) -> bool {
    let as_before = |(start, next): (&Policy, &Policy)| {
        let next = Policy {
            on_failure: start.on_failure,
            while_absent: start.while_absent,
            ..next.clone()
        };
        next == *start
    };
    start.len() == next.len() && start.iter().zip(next).all(as_before)
}

/// Whether the recording is written as before. Which requests it has is no part of that.
fn is_written(start: Option<&RecordingConfig>, next: Option<&RecordingConfig>) -> bool {
    match (start, next) {
        (None, None) => true,
        (Some(start), Some(next)) => {
            let next = RecordingConfig {
                sample: start.sample,
                policies: start.policies.clone(),
                ..next.clone()
            };
            next == *start
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
