//! `GET /config`: what runs, without secrets.

use serde_json::{Value, json};

use super::ControlPlane;
use super::changes::route_name;
use crate::admin::RouteStatus;
use crate::config::{Config, PolicySource, Pool, Route};
use crate::upstream::PoolTopology;

impl ControlPlane {
    /// What runs: the file, and what its values mean where that is not the same.
    pub(super) fn shown(&self) -> Value {
        let (snapshot, status) = (self.snapshot(), self.reload_status());
        let config = &snapshot.config;
        let pools = config.pools.iter().zip(&snapshot.topology.pools);
        json!({
            "version": snapshot.version,
            "reload": status,
            "workers": config.workers,
            "listeners": config.listeners.iter().map(|l| json!({
                "address": l.address.to_string(),
                "tls": l.tls.is_some(),
                "forward": l.forward,
                "tcp": l.tcp.as_ref().map(|tcp| &tcp.pool),
            })).collect::<Value>(),
            "admin": config.admin.as_ref().map(|admin| json!({
                "listen": admin.listen.to_string(),
                "token": admin.token.is_some(),
            })),
            "routes": config.routes.iter().map(|r| route(r, config)).collect::<Value>(),
            "pools": pools.map(|(pool, resolved)| self::pool(pool, resolved)).collect::<Value>(),
            "policies": self.shown_policies(config),
            "written": *self.written(),
        })
    }

    /// The routes, for the page.
    pub(super) fn shown_routes(&self) -> Vec<RouteStatus> {
        let snapshot = self.snapshot();
        let config = &snapshot.config;
        let status = |route| route_status(route, config);
        config.routes.iter().map(status).collect()
    }

    fn shown_policies(&self, config: &Config) -> Value {
        let running = self.policies();
        let policy = |policy: &crate::config::Policy| {
            let found = running.iter().find(|status| status.name == policy.name);
            json!({
                "name": policy.name,
                "configured": match &policy.source {
                    PolicySource::Builtin(name) => format!("built-in {name}"),
                    PolicySource::File(path) => path.display().to_string(),
                },
                "generation": found.map(|status| status.generation),
                "digest": found.map(|status| &status.digest),
                "source": found.map(|status| &status.source),
            })
        };
        config.policies.iter().map(policy).collect()
    }
}

fn route(route: &Route, config: &Config) -> Value {
    let policies = route.policies.iter();
    let policies = policies.filter_map(|at| Some(&config.policies.get(*at)?.name));
    let name = |at: usize| Some(config.pools.get(at)?.name.as_str());
    let (traffic, targets) = (&route.traffic, &route.traffic.targets);
    let pools = targets
        .iter()
        .map(|to| json!({ "pool": name(to.pool), "weight": to.weight }));
    let proxy_protocol = route.layer4.as_ref().and_then(|l| l.proxy_protocol);
    json!({
        "route": route_name(route),
        "pool": targets.first().filter(|_| targets.len() == 1).and_then(|to| name(to.pool)),
        "pools": (targets.len() > 1).then(|| pools.collect::<Vec<_>>()),
        "mirror": traffic.mirror.as_ref().and_then(|to| name(to.pool)),
        "answer": route.answer.as_ref().map(ToString::to_string),
        "edits": (!route.edits.is_empty()).then(|| route.edits.to_string()),
        "compress": route.compress.as_ref().map(ToString::to_string),
        "policies": policies.collect::<Vec<_>>(),
        "policies_may_edit": route.rights.is_any().then(|| route.rights.to_string()),
        "proxy_protocol": proxy_protocol.map(|version| version.to_string()),
    })
}

fn route_status(route: &Route, config: &Config) -> RouteStatus {
    let targets = &route.traffic.targets;
    let name = |at: usize| config.pools.get(at).map(|pool| pool.name.clone());
    let all: f64 = targets.iter().map(|to| f64::from(to.weight)).sum();
    let share = |weight: u32| f64::from(weight) * 100.0 / all.max(1.0);
    let pools = targets
        .iter()
        .filter_map(|to| Some((name(to.pool)?, share(to.weight))));
    let (host, path) = match &route.layer4 {
        None => (
            route.host.to_string(),
            format!("{}{}", route.path, route.conditions),
        ),
        Some(_) => (route.to_string(), String::new()),
    };
    RouteStatus {
        name: route_name(route),
        host,
        path,
        pools: match &route.answer {
            Some(_) => Vec::new(),
            None => pools.collect(),
        },
        answer: route.answer.as_ref().map(ToString::to_string),
        mirror: route.traffic.mirror.as_ref().and_then(|to| name(to.pool)),
        policies: route
            .policies
            .iter()
            .filter_map(|at| Some(config.policies.get(*at)?.name.clone()))
            .collect(),
    }
}

fn pool(pool: &Pool, resolved: &PoolTopology) -> Value {
    let endpoints = resolved.endpoints.iter();
    json!({
        "name": pool.name,
        "backends": pool.backends.iter().map(|b| &b.address).collect::<Vec<_>>(),
        "endpoints": endpoints.map(|endpoint| json!({
            "address": &*endpoint.label,
            "weight": endpoint.weight,
        })).collect::<Value>(),
    })
}
