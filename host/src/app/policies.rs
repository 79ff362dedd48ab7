//! From the configuration's policies to loaded generations.

use std::sync::Arc;

use anyhow::{Context, Result, bail};

use crate::config::{Config, Policy, PolicySource};
use crate::files;
use crate::policy::{
    BackendSpec, Engine, Generation, MAX_COMPONENT, PolicySpec, PoolSpec, builtin, digest,
};
use crate::stats::Stats;
use crate::upstream::PoolTopology;

/// The bytes of a policy's component; an error says where the configuration names it.
pub(super) fn component(config: &Config, policy: &Policy) -> Result<Arc<[u8]>> {
    match &policy.source {
        PolicySource::Builtin(name) => match builtin(name) {
            Some(bytes) => Ok(bytes.into()),
            None => bail!(
                "policy {:?}: there is no built-in policy named {name:?}",
                policy.name
            ),
        },
        PolicySource::File(path) => {
            let bytes = files::read_regular(path, MAX_COMPONENT as u64).with_context(|| {
                let (named, file) = (config.named_at(path), path.display());
                format!("{named}policy {:?}: {file} can't be read", policy.name)
            })?;
            Ok(bytes.into())
        }
    }
}

/// Where a policy's component comes from, in words.
pub(super) fn source(policy: &Policy) -> String {
    match &policy.source {
        PolicySource::Builtin(name) => format!("built-in {name}"),
        PolicySource::File(path) => path.display().to_string(),
    }
}

/// The engine's spec of a policy.
pub(super) fn spec(policy: &Policy, component: Arc<[u8]>, source: String) -> PolicySpec {
    PolicySpec {
        setup: None,
        name: policy.name.clone(),
        component,
        settings: policy.settings.clone(),
        deadline: policy.deadline,
        memory: policy.memory,
        on_failure: policy.on_failure,
        isolation: policy.isolation,
        shadow: false,
        store: policy.store,
        compiling: policy.compiling,
        source,
    }
}

/// The reason to refuse a component with this digest for this policy, if there is one.
pub(super) fn unpinned(policy: &Policy, digest: &str) -> Option<String> {
    let pinned = policy.digest.as_ref().filter(|pinned| *pinned != digest)?;
    Some(format!(
        "policy {:?}: the component's digest is {digest}, and the configuration accepts only \
         {pinned}; change `digest` in [policies.{}], or deploy that component",
        policy.name, policy.name
    ))
}

/// Whether a component is loaded in the same way. What becomes of requests when it fails is no part
/// of that, nor is where it comes from.
pub(super) fn loads_the_same(was: &Policy, next: &Policy) -> bool {
    let next = Policy {
        on_failure: was.on_failure,
        while_absent: was.while_absent,
        source: was.source.clone(),
        digest: was.digest.clone(),
        ..next.clone()
    };
    next == *was
}

/// The pools of the routes that name this policy, and those of a forward proxy that does.
pub(super) fn pools(
    config: &Config,
    topologies: &[Arc<PoolTopology>],
    policy: usize,
) -> Vec<PoolSpec> {
    let pools = config.pools_of(policy);
    let backends = |topology: &PoolTopology| {
        let spec = topology.endpoints.iter().map(|b| BackendSpec {
            address: b.address.to_string(),
            weight: b.weight,
            labels: b.labels.clone(),
        });
        spec.collect()
    };
    pools
        .into_iter()
        .filter_map(|pool| {
            let topology = topologies.get(pool)?;
            Some(PoolSpec {
                id: topology.id.number(),
                name: topology.name.clone(),
                backends: backends(topology),
            })
        })
        .collect()
}

/// Loads all policies of a configuration, in order.
pub(super) fn load_all(
    engine: &Engine,
    config: &Config,
    topologies: &[Arc<PoolTopology>],
    stats: &Stats,
) -> Vec<Result<Arc<Generation>>> {
    let load = |(index, policy): (usize, &Policy)| {
        let component = component(config, policy)?;
        if let Some(reason) = unpinned(policy, &digest(&component)) {
            bail!("{reason}");
        }
        let spec = spec(policy, component, source(policy));
        let pools = pools(config, topologies, index);
        Ok(engine.load(&spec, &pools, 1, &stats.policy(&policy.name), 1)?)
    };
    config.policies.iter().enumerate().map(load).collect()
}
