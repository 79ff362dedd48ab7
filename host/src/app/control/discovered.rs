//! The topology as it follows from what is known of names and from what was changed beside the
//! configuration.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::spawn_blocking;

use super::backends::NextBackends;
use super::changes::changes;
use super::{ControlPlane, Purpose};
use crate::admin::NameStatus;
use crate::app::names::Asked;
use crate::config::{Config, Pool};
use crate::ground;
use crate::upstream::{
    self, Discovery, NameState, Registry, ResolveError, TlsFiles, Topology, topology, unresolved,
};

/// Answers come in groups: both families of a name, and many names of a start.
const TOGETHER: Duration = Duration::from_millis(20);

impl ControlPlane {
    /// Publishes the topology of the configuration of now, with what is known of its backends, if
    /// that differs from what runs. Returns the version of its snapshot then.
    ///
    /// # Errors
    ///
    /// It can't be made: a sentence says why. Nothing is published then.
    pub(in crate::app) async fn follow_discovery(self: &Arc<Self>) -> Result<Option<u64>> {
        let _one_at_a_time = self.configuring.lock().await;
        let next = self.topology_of_now(TlsFiles::Keep).await?;
        let now = Arc::clone(&self.snapshot().topology);
        if next.is_like(&now) {
            return Ok(None);
        }
        for line in next.differences(&now) {
            tracing::info!("{line}");
        }
        Ok(Some(self.publish_resolved(Arc::new(next)).await))
    }

    /// Follows what becomes known for as long as it is polled.
    pub(in crate::app) async fn keep_following(self: Arc<Self>) {
        ground::stays("what follows the names of backends", || {
            Arc::clone(&self).follow_changes()
        })
        .await;
    }

    async fn follow_changes(self: Arc<Self>) {
        let mut changes = self.discovery().changes();
        loop {
            // Also at first: something may have changed since the topology of the start was made.
            changes.borrow_and_update();
            self.names.reconcile();
            if let Err(reason) = self.follow_discovery().await {
                tracing::error!("{reason:#}; the backends that were known before stay in use");
            }
            if changes.changed().await.is_err() {
                return;
            }
            tokio::time::sleep(TOGETHER).await;
        }
    }

    /// The topology of the configuration of now.
    pub(super) async fn topology_of_now(&self, files: TlsFiles) -> Result<Topology> {
        let config = self.current();
        let (registry, discovery) = (self.registry.clone(), self.discovery().clone());
        let made = spawn_blocking(move || topology(&config.pools, &registry, &discovery, files));
        Ok(made.await.context("the topology can't be made")??)
    }

    /// The topology of another configuration: the one of now if nothing differs. Its names are
    /// looked up for as long as the other part lives.
    pub(super) async fn next_topology(
        &self,
        config: &mut Config,
        purpose: Purpose,
    ) -> Result<(Arc<Topology>, Asked, NextBackends), Vec<String>> {
        let (current, former) = (Arc::clone(&self.snapshot().topology), self.current());
        let backends = self.next_backends(config, &former).await?;
        let asked = backends.pools(&config.pools);
        let asked = self.names.ask(&asked, &config.resolver).await;
        let asked = asked.map_err(|reason| vec![reason])?;
        let discovery = backends.apart(self.discovery());
        judge_names(config, &former, &discovery)?;
        let registry = match purpose {
            Purpose::Publish | Purpose::Follow => self.registry.clone(),
            Purpose::Check => Registry::new(config.workers),
        };
        let pools = config.pools.clone();
        let made = spawn_blocking(move || every(&pools, &registry, &discovery)).await;
        let made = made.unwrap_or_else(|e| Err(vec![format!("the topology can't be made: {e}")]));
        let topology = made?;
        let pools = changes((&former, &current), (config, &topology)).pools;
        let in_order = former.pools.iter().zip(&config.pools);
        let in_order = former.pools.len() == config.pools.len()
            && in_order.into_iter().all(|(a, b)| a.name == b.name);
        let topology = match in_order && pools == Default::default() {
            true => current,
            false => Arc::new(topology),
        };
        Ok((topology, asked, backends))
    }
}

impl ControlPlane {
    /// What is known of the names of backends.
    pub(in crate::app) fn name_status(&self) -> Vec<NameStatus> {
        let all = self.discovery().status().into_iter();
        all.map(shown).collect()
    }

    /// Sentences about names that can't be resolved now.
    pub(super) fn name_notes(&self) -> Vec<String> {
        let discovery = self.discovery();
        let missing = unresolved(&self.current().pools, discovery);
        let stale = discovery.status().into_iter().filter_map(|name| {
            let NameState::Stale { since, reason } = name.state else {
                return None;
            };
            let elapsed = since.elapsed().unwrap_or_default().as_secs();
            Some(format!(
                "{}: {reason}; the addresses that were found before are in use, for {elapsed} s now",
                name.name
            ))
        });
        missing.iter().map(warning).chain(stale).collect()
    }
}

/// What becomes of backends without an address: errors where names have to be known, else warnings.
/// What has been in the configuration before is no reason to refuse the next one.
fn judge_names(
    config: &mut Config,
    former: &Config,
    discovery: &Discovery,
) -> Result<(), Vec<String>> {
    let is_new = |pool: &&Pool| !former.pools.contains(pool);
    let new: Vec<Pool> = config.pools.iter().filter(is_new).cloned().collect();
    let missing = unresolved(&new, discovery);
    let is_strict = config.resolver.strict;
    let (wrong, missing): (Vec<_>, Vec<_>) = missing
        .into_iter()
        .partition(|error| is_strict && error.is_written());
    if !wrong.is_empty() {
        return Err(wrong.iter().map(ToString::to_string).collect());
    }
    let missing = missing.iter().map(|name| warning(name).into());
    config.warnings.extend(missing);
    Ok(())
}

fn shown(name: upstream::NameStatus) -> NameStatus {
    let (state, stale_since, reason) = match name.state {
        NameState::Asked => ("asked", None, None),
        NameState::Resolved => ("resolved", None, None),
        NameState::Stale { since, reason } => ("stale", Some(since), Some(reason)),
        NameState::Unresolved { reason } => ("unresolved", None, Some(reason)),
    };
    NameStatus {
        name: name.name,
        kind: match name.is_service {
            true => "srv",
            false => "host",
        },
        state,
        stale_since,
        records: name.records,
        ttl: name.ttl,
        answered: name.answered,
        next_lookup: name.next,
        lookups: name.lookups,
        failures: name.failures,
        last_error: reason.or(name.error),
    }
}

/// What is said of a backend without an address where that is no error.
pub(in crate::app) fn warning(error: &ResolveError) -> String {
    format!("{error}; until then it gets no requests")
}

/// The topology of these pools, or every reason why there is none.
fn every(
    pools: &[Pool],
    registry: &Registry,
    discovery: &Discovery,
) -> Result<Topology, Vec<String>> {
    let first = match topology(pools, registry, discovery, TlsFiles::Read) {
        Ok(topology) => return Ok(topology),
        Err(first) => first,
    };
    let apart = Registry::new(1);
    let alone = pools.iter().filter_map(|pool| {
        let alone = std::slice::from_ref(pool);
        topology(alone, &apart, discovery, TlsFiles::Read).err()
    });
    let mut errors: Vec<String> = alone.map(|e| e.to_string()).collect();
    if errors.is_empty() {
        errors.push(first.to_string());
    }
    Err(errors)
}
