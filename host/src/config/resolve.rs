//! From the file to its meaning: merges the layers, resolves names and checks keys against each
//! other.

mod empty_facts;
mod forward;
mod layer4;
mod range_parameter;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::thread;

use super::acme;
use super::file::{Common, File, HostEntry};
use super::forward::{warn_if_idle, warn_of_listeners};
use super::listeners::{Written, admin, listeners};
use super::pools::default_pool;
use super::record::RecordEntry;
use super::retry::RetryEntry;
use super::route_entry::RouteEntry;
use super::sections::{BUILTIN_POLICIES, default_policy};
use super::upgrade::default_upgrade;
use super::{
    Conditions, Config, Listener, PathMatch, Policy, PolicySource, Pool, RecordingConfig, Route,
    RouteEdits, TargetRights, Timeouts, Traffic, shadowed,
};
use crate::document::{At, Findings, Place};

/// The policies of a route that names none.
const DEFAULT_POLICIES: [&str; 2] = ["range", "random"];
/// The most policies of a route: a request's notes have one bit for each.
const MAX_POLICIES: usize = 64;

/// Merges the layers and checks the whole.
pub(super) fn resolve(
    file: File,
    environment: Common,
    flags: Common,
    findings: &mut Findings,
) -> Config {
    let common = file.common.overlaid_by(environment).overlaid_by(flags);
    let (listening, of_forward) = file.forward.unzip();
    let written = Written {
        short: common.listen,
        long: file.listeners,
        self_signed: common.self_signed,
        forward: listening.unwrap_or_default(),
        has_routes: !common.hosts.is_empty() || !file.routes.is_empty(),
    };
    let listeners = listeners(written, findings);
    let own = (common.admin_listen, common.admin_token);
    let admin = admin(own, &listeners, findings);
    acme::check(&file.acme, &file.state_dir, &listeners, findings);
    let mut table = Table::new(file.policies, file.pools, &file.timeouts, findings);
    let preserve_case = common.preserve_header_case.unwrap_or(false);
    let hosts = common.hosts.into_iter();
    hosts.for_each(|host| table.add_host(host, preserve_case));
    let routes = file.routes.into_iter().chain(file.tcp);
    routes.for_each(|route| table.add_route(route));
    table.check_passthrough(&listeners);
    table.check_facts(&listeners);
    let forward = of_forward.map(|entry| table.forward(&entry));
    warn_of_listeners(forward.as_ref(), &listeners, table.findings);
    table.range_parameter(common.range_parameter);
    let record = file.record.map(|entry| table.record(entry));
    table.warn(&listeners);
    Config {
        listeners: listeners.into_iter().map(|l| l.value).collect(),
        forward,
        acme: file.acme.map(|acme| acme.value),
        workers: common.workers.map_or_else(default_workers, |w| w.value),
        admin,
        policies: table.policies,
        pools: table.pools,
        resolver: file.resolver,
        routes: table.routes.into_iter().map(|r| r.value).collect(),
        stats_path: file.stats_path,
        limits: file.limits,
        timeouts: file.timeouts,
        forwarded: file.forwarded,
        paths: file.paths,
        access_log: file.access_log,
        record,
        request_id: file.request_id,
        tracing: file.tracing,
        rollout: file.rollout,
        cache_dir: cache_dir(file.cache_dir, file.state_dir.as_deref()),
        state_dir: file.state_dir,
        pid_file: file.pid_file,
        written: super::WrittenAt::new(findings.take_files(), findings.take_keys()),
        warnings: Vec::new(),
    }
}

impl Common {
    /// The other layer wins, key by key and host by host.
    fn overlaid_by(mut self, over: Common) -> Common {
        self.hosts
            .retain(|entry| over.hosts.iter().all(|o| o.host.value != entry.host.value));
        self.hosts.extend(over.hosts);
        Common {
            listen: over.listen.or(self.listen),
            self_signed: over.self_signed.or(self.self_signed),
            workers: over.workers.or(self.workers),
            admin_listen: over.admin_listen.or(self.admin_listen),
            admin_token: over.admin_token.or(self.admin_token),
            hosts: self.hosts,
            range_parameter: over.range_parameter.or(self.range_parameter),
            preserve_header_case: over.preserve_header_case.or(self.preserve_header_case),
        }
    }
}

/// Compiled components are kept beside the promoted ones unless the operator says where. No policy
/// has a name that begins with a dot.
fn cache_dir(written: Option<PathBuf>, state_dir: Option<&Path>) -> Option<PathBuf> {
    written.or_else(|| state_dir.map(|folder| folder.join(".compiled")))
}

fn default_workers() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Policies, pools and routes by index while they are put together.
pub(super) struct Table<'f> {
    pub(super) findings: &'f mut Findings,
    pub(super) policies: Vec<Policy>,
    policy_places: Vec<Place>,
    pub(super) pools: Vec<Pool>,
    /// The number of pools with a section of their own; those of hosts come after them.
    pub(super) pool_places: Vec<Place>,
    pool_retries: Vec<RetryEntry>,
    routes: Vec<At<Route>>,
    /// Where a route is, by its host, path and conditions.
    known: HashMap<String, usize>,
    /// The pools and the policies that `[forward]` names.
    of_forward: (Vec<usize>, Vec<usize>),
    /// `[timeouts]`
    pub(super) timeouts: Timeouts,
}

impl<'f> Table<'f> {
    fn new(
        policies: Vec<At<Policy>>,
        pools: Vec<At<(Pool, RetryEntry)>>,
        timeouts: &Timeouts,
        findings: &'f mut Findings,
    ) -> Self {
        let (policies, policy_places) = policies.into_iter().map(|p| (p.value, p.place)).unzip();
        let (pools, pool_places) = pools.into_iter().map(|p| (p.value, p.place)).unzip();
        let (pools, pool_retries): (Vec<Pool>, _) = Vec::into_iter(pools).unzip();
        Self {
            findings,
            policies,
            policy_places,
            pools,
            pool_places,
            pool_retries,
            routes: Vec::new(),
            known: HashMap::new(),
            of_forward: Default::default(),
            timeouts: timeouts.clone(),
        }
    }

    /// A host of the short form: a pool and a route of its own.
    fn add_host(&mut self, entry: HostEntry, preserve_header_case: bool) {
        let At { value: host, place } = entry.host;
        let pool = self.pools.len();
        let of_host = default_pool(&host.to_string(), entry.backends);
        let retry = of_host.retry.clone();
        self.pools.push(of_host);
        let policies = self.default_policies();
        self.push(
            Route {
                host,
                path: PathMatch::Prefix("/".to_owned()),
                conditions: Conditions::default(),
                traffic: Traffic::to(pool, retry),
                answer: None,
                edits: RouteEdits::default(),
                policies,
                rights: TargetRights::default(),
                preserve_header_case,
                upgrade: default_upgrade(),
                compress: None,
                layer4: None,
            },
            place,
        );
    }

    fn add_route(&mut self, entry: RouteEntry) {
        if let Some(layer4) = entry.layer4 {
            return self.add_layer4((entry.hosts, entry.traffic.pool(), entry.policies), &layer4);
        }
        let traffic = self.traffic(&entry.traffic, &entry.retry);
        let upgrade = entry.upgrade.as_deref();
        entry.traffic.check_upgrade(upgrade, self.findings);
        let policies = match entry.policies {
            None if entry.answer.is_some() => Vec::new(),
            None => self.default_policies(),
            Some(names) => self.policies(&names),
        };
        let rights = self.rights(entry.rights.as_ref(), &policies, entry.answer.is_some());
        for host in entry.hosts {
            let route = Route {
                host: host.value,
                path: entry.path.clone(),
                conditions: entry.conditions.clone(),
                traffic: traffic.clone(),
                answer: entry.answer.clone(),
                edits: entry.edits.clone(),
                policies: policies.clone(),
                rights,
                preserve_header_case: entry.preserve_header_case,
                upgrade: entry.upgrade.clone().unwrap_or_else(default_upgrade),
                compress: entry.compress.clone(),
                layer4: None,
            };
            self.push(route, host.place);
        }
    }

    /// The policies it names must belong to some route, so this runs after the routes.
    fn record(&mut self, entry: RecordEntry) -> RecordingConfig {
        let policies = entry.policies.map(|names| {
            let known = |name: &At<String>| self.policies.iter().position(|p| p.name == name.value);
            let (found, unknown): (Vec<_>, Vec<_>) = names
                .iter()
                .map(|name| (known(name), name))
                .partition(|(index, _)| index.is_some());
            for (_, name) in unknown {
                if !self.findings.concern_section("policies", &name.value) {
                    let names: Vec<_> = self.policies.iter().map(|p| p.name.as_str()).collect();
                    let message = format!(
                        "neither a route nor `[forward]` names a policy {:?}; named are: {}",
                        name.value,
                        names.join(", ")
                    );
                    self.findings.error(&name.place, message);
                }
            }
            found.into_iter().filter_map(|(index, _)| index).collect()
        });
        RecordingConfig {
            policies,
            ..entry.record
        }
    }

    fn push(&mut self, route: Route, place: Place) {
        let key = format!("{:?} {:?} {:?}", route.host, route.path, route.conditions);
        let at = *self.known.entry(key).or_insert(self.routes.len());
        let Some(earlier) = self.routes.get(at) else {
            self.routes.push(At::new(route, place));
            return;
        };
        let host = route.host.to_string();
        if matches!(earlier.place, Place::Environment(_) | Place::Flag(_))
            && matches!(place, Place::File { .. })
        {
            self.findings.warning(
                &place,
                format!("the route of \"{host}\" is replaced by {}", earlier.place),
            );
            return;
        }
        let message = format!(
            "host \"{host}\" with path \"{}\"{} has a route already, at {}; remove one of them \
             (case, port and a trailing dot or slash make no difference)",
            route.path, route.conditions, earlier.place
        );
        self.findings.error(&place, message);
    }

    fn policies(&mut self, names: &[At<String>]) -> Vec<usize> {
        let mut indices = Vec::with_capacity(names.len());
        for name in names {
            let Some(index) = self.policy(&name.value) else {
                if !self.findings.concern_section("policies", &name.value) {
                    self.unknown_policy(name);
                }
                continue;
            };
            if indices.contains(&index) {
                self.findings.error(
                    &name.place,
                    format!("{:?} is listed twice; remove one of them", name.value),
                );
            }
            if indices.len() == MAX_POLICIES {
                let message = format!(
                    "is one policy too many: a route can have {MAX_POLICIES}; remove some of them"
                );
                self.findings.error(&name.place, message);
                break;
            }
            indices.push(index);
        }
        indices
    }

    fn unknown_policy(&mut self, name: &At<String>) {
        // A built-in policy that another route names is among the policies already.
        let mut names: Vec<_> = self.policies.iter().map(|p| p.name.as_str()).collect();
        names.extend(BUILTIN_POLICIES);
        let names: BTreeSet<_> = names.into_iter().collect();
        let names: Vec<_> = names.into_iter().collect();
        let message = format!(
            "there is no policy {:?}; write `[policies.{}]`{}",
            name.value,
            name.value,
            or_one_of(&names)
        );
        self.findings.error(&name.place, message);
    }

    fn default_policies(&mut self) -> Vec<usize> {
        DEFAULT_POLICIES
            .iter()
            .filter_map(|name| self.policy(name))
            .collect()
    }

    /// The index of a policy; a built-in without a section of its own gets its index here.
    fn policy(&mut self, name: &str) -> Option<usize> {
        if let Some(index) = self.policies.iter().position(|p| p.name == name) {
            return Some(index);
        }
        if !BUILTIN_POLICIES.contains(&name) {
            return None;
        }
        self.policies
            .push(default_policy(name, PolicySource::Builtin(name.to_owned())));
        Some(self.policies.len() - 1)
    }

    fn warn(&mut self, listeners: &[At<Listener>]) {
        warn_if_idle(self.routes.len(), listeners, self.findings);
        shadowed::check(&self.routes, self.findings);
        for (index, place) in self.pool_places.iter().enumerate() {
            let all = self.routes.iter().map(|route| &route.value.traffic);
            let response = self.timeouts.response;
            let of_pool = all.clone().flat_map(|to| to.retries(index, response));
            let mut retries: Vec<_> = of_pool.collect();
            if retries.is_empty() {
                let is_used = self.of_forward.0.contains(&index)
                    || all.clone().any(|to| to.is_mirrored_to(index));
                if !is_used {
                    self.findings.warning(place, "no route leads to this pool");
                }
                retries.push((&self.pools[index].retry, response));
            }
            self.pool_retries[index].check(&retries, self.findings);
        }
        for (index, place) in self.policy_places.iter().enumerate() {
            let mut routes = self.routes.iter();
            let names = |policies: &[usize]| policies.contains(&index);
            let is_named = names(&self.of_forward.1) || routes.any(|r| names(&r.value.policies));
            if !is_named {
                self.findings.warning(place, "no route names this policy");
            }
        }
    }
}

pub(super) fn or_one_of(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        names => format!(", or one of: {}", names.join(", ")),
    }
}
