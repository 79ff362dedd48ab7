//! How the configuration to come differs from the one that runs.

use crate::admin::{Changes, Difference};
use crate::config::{Config, Pool, Route};
use crate::upstream::{PoolTopology, Topology};

/// What has changed of that which a process keeps for its life, as sentences.
pub(super) fn fixed(start: &Config, next: &Config) -> Vec<String> {
    let fixed = [
        ("`workers`", next.workers != start.workers),
        ("`state-dir`", next.state_dir != start.state_dir),
    ];
    let changed = fixed.into_iter().filter(|(_, changed)| *changed);
    changed
        .map(|(key, _)| {
            format!("{key} can't change while the proxy runs; restart it to apply the change")
        })
        .collect()
}

/// A configuration with the topology of its pools.
pub(super) type Resolved<'a> = (&'a Config, &'a Topology);

/// What differs, apart from the components of policies.
pub(super) fn changes(former: Resolved<'_>, next: Resolved<'_>) -> Changes {
    Changes {
        listeners: Difference::of(&listeners(former.0), &listeners(next.0)),
        routes: Difference::of(&routes(former.0), &routes(next.0)),
        pools: Difference::of(&pools(former), &pools(next)),
        policies: Difference::of(&policies(former.0), &policies(next.0)),
        settings: settings(former.0, next.0),
    }
}

fn listeners(config: &Config) -> Vec<(String, &crate::config::Listener)> {
    let all = config.listeners.iter();
    all.map(|listener| (listener.address.to_string(), listener))
        .collect()
}

/// With names in the place of positions, which every change in a list would move.
fn routes(config: &Config) -> Vec<(String, (Vec<&str>, Route))> {
    let named = |route: &Route| {
        let mirror = route.traffic.mirror.as_ref().map(|to| to.pool);
        let pools = route.traffic.pools().chain(mirror);
        let pools = pools.filter_map(|at| Some(config.pools.get(at)?.name.as_str()));
        let policies = route.policies.iter();
        let policies = policies.filter_map(|at| Some(config.policies.get(*at)?.name.as_str()));
        let names = pools.chain(policies).collect();
        let rest = Route {
            traffic: route.traffic.without_positions(),
            policies: Vec::new(),
            ..route.clone()
        };
        (route_name(route), (names, rest))
    };
    config.routes.iter().map(named).collect()
}

/// How a route is called where it is counted.
pub(super) fn route_name(route: &Route) -> String {
    route.to_string()
}

type Endpoints = Vec<(String, u32, Vec<(String, String)>)>;

fn pools<'a>((config, topology): Resolved<'a>) -> Vec<(String, (&'a Pool, Endpoints))> {
    let all = config.pools.iter().zip(&topology.pools);
    all.map(|(pool, resolved)| (pool.name.clone(), (pool, endpoints(resolved))))
        .collect()
}

fn endpoints(pool: &PoolTopology) -> Endpoints {
    let all = pool.endpoints.iter();
    all.map(|e| (e.label.to_string(), e.weight, e.labels.clone()))
        .collect()
}

fn policies(config: &Config) -> Vec<(String, &crate::config::Policy)> {
    let all = config.policies.iter();
    all.map(|policy| (policy.name.clone(), policy)).collect()
}

fn settings(former: &Config, next: &Config) -> Vec<&'static str> {
    // Without `..`: a key that is new must be thought of here.
    let Config {
        listeners: _,
        forward,
        acme,
        workers: _,
        admin,
        policies: _,
        pools: _,
        resolver,
        routes: _,
        stats_path,
        limits,
        timeouts,
        forwarded,
        paths,
        access_log,
        record,
        request_id,
        tracing,
        rollout,
        state_dir: _,
        cache_dir,
        pid_file,
        written: _,
        warnings: _,
    } = next;
    let all = [
        ("forward", *forward != former.forward),
        ("acme", *acme != former.acme),
        ("admin", *admin != former.admin),
        ("resolver", *resolver != former.resolver),
        ("stats-path", *stats_path != former.stats_path),
        ("limits", *limits != former.limits),
        ("timeouts", *timeouts != former.timeouts),
        ("forwarded", *forwarded != former.forwarded),
        ("paths", *paths != former.paths),
        ("access-log", *access_log != former.access_log),
        ("record", *record != former.record),
        ("request-id", *request_id != former.request_id),
        ("tracing", *tracing != former.tracing),
        ("rollout", *rollout != former.rollout),
        ("cache-dir", *cache_dir != former.cache_dir),
        ("pid-file", *pid_file != former.pid_file),
    ];
    let changed = all.into_iter().filter(|(_, changed)| *changed);
    changed.map(|(key, _)| key).collect()
}
