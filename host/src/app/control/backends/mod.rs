//! Backends beside the configuration: those that the admin API adds, and what it says of all.
//! `kept` keeps them over a restart, `carried` over an upgrade.

mod carried;
mod kept;
mod left;
mod next;

use std::net::SocketAddr;
use std::sync::Arc;

pub(in crate::app) use self::carried::CarriedBackends;
pub(in crate::app) use self::kept::restore_backends;
pub(super) use self::left::LeftEdits;
pub(super) use self::next::NextBackends;
use super::{ControlPlane, warning};
use crate::admin::{
    BackendsChange, BackendsChanged, BackendsError, EndpointStatus, PoolStatus, Said, unknown_pool,
};
use crate::config::{Backend, MAX_BACKENDS, Pool, list_of_one, parse_backend, parse_backends};
use crate::upstream::{AdminState, Endpoint, Origin, Overlay, unresolved};

/// How many backends a sentence names.
const NAMED: usize = 16;
/// What bodies of JSON are called in sentences.
const BODY: &str = "the body";

impl ControlPlane {
    /// The pools of the newest snapshot.
    pub(in crate::app) fn pools(&self) -> Vec<PoolStatus> {
        let (snapshot, files) = (self.snapshot(), self.backend_files.status());
        let pools = snapshot.topology.pools.iter();
        pools
            .map(|pool| PoolStatus {
                name: pool.name.clone(),
                file: files.get(&pool.name).cloned(),
                endpoints: pool.endpoints.iter().map(endpoint_status).collect(),
            })
            .collect()
    }

    fn pool_status(&self, name: &str) -> Option<PoolStatus> {
        let mut pools = self.pools().into_iter();
        pools.find(|pool| pool.name == name)
    }

    /// Changes the backends of a pool, publishes that, keeps it, and waits for the workers.
    pub(super) async fn change_backends(
        self: &Arc<Self>,
        name: &str,
        change: BackendsChange,
    ) -> Result<BackendsChanged, BackendsError> {
        let _one_at_a_time = self.changing_backends.lock().await;
        if let Err(held) = self.may_deploy() {
            return Err(BackendsError::Unavailable(held.to_string()));
        }
        let config = self.current();
        let Some(pool) = config.pools.iter().find(|pool| pool.name == name) else {
            let all = config.pools.iter().map(|pool| pool.name.as_str());
            return Err(unknown_pool(name, all));
        };
        let discovery = self.discovery();
        let former = discovery.overlay_of(name, Origin::Api);
        let (next, mut warnings) = self.next_overlay(pool, &former, &change)?;
        self.overlay_when_asked(pool, Origin::Api, next).await;
        if let Err(reason) = self.follow_discovery().await {
            discovery.overlay(name, Origin::Api, former);
            return Err(BackendsError::Refused(vec![format!("{reason:#}")]));
        }
        // Whatever has published it.
        let adopted = self.is_adopted(self.snapshot().version).await;
        if !adopted {
            tracing::warn!("a worker has not adopted the backends of pool {name:?} in time");
        }
        warnings.extend(self.keep_backends().await.err());
        let missing = unresolved(std::slice::from_ref(pool), discovery);
        let added = missing.iter().filter(|missing| !missing.is_written());
        warnings.extend(added.map(warning));
        let gone = || BackendsError::Unknown(format!("pool {name:?} has left the configuration"));
        let pool = self.pool_status(name).ok_or_else(gone)?;
        warnings.extend(none_is_left(&pool));
        Ok(BackendsChanged {
            pool,
            adopted,
            warnings,
        })
    }

    /// Puts down what one origin has changed of a pool. New names are looked up first, so that they
    /// get requests at once.
    pub(in crate::app) async fn overlay_when_asked(
        self: &Arc<Self>,
        pool: &Pool,
        origin: Origin,
        next: Overlay,
    ) {
        let is_name = |backend: &&Backend| backend.address.parse::<SocketAddr>().is_err();
        let backends: Vec<Backend> = next.added.iter().filter(is_name).cloned().collect();
        let note = || self.discovery().overlay(&pool.name, origin, next);
        if backends.is_empty() {
            return note();
        }
        // Names of a configuration that is prepared are asked in the same place.
        let _one_at_a_time = self.configuring.lock().await;
        let config = self.current();
        let mut pools = config.pools.clone();
        pools.push(Pool {
            backends,
            ..pool.clone()
        });
        let _asked = self.names.ask(&pools, &config.resolver).await;
        // Only now: until the names are wanted here, nothing else wants them.
        note();
    }

    /// What the admin API will have changed of a pool.
    fn next_overlay(
        &self,
        pool: &Pool,
        former: &Overlay,
        change: &BackendsChange,
    ) -> Result<(Overlay, Vec<String>), BackendsError> {
        let mut next = former.clone();
        let mut warnings = Vec::new();
        match change {
            BackendsChange::Replace(text) => {
                (next.added, warnings) = read(text, pool)?;
            }
            BackendsChange::Add(address, text) => {
                let one = list_of_one(address, text);
                let one = one.map_err(|reason| BackendsError::Refused(vec![reason]))?;
                let (added, more) = read(&one, pool)?;
                warnings = more;
                for backend in added {
                    let mut known = next.added.iter_mut();
                    match known.find(|known| known.address == backend.address) {
                        Some(known) => *known = backend,
                        None => next.added.push(backend),
                    }
                }
                if next.added.len() > MAX_BACKENDS {
                    let most = format!("the admin API may add {MAX_BACKENDS} backends to a pool");
                    return Err(BackendsError::Refused(vec![most]));
                }
            }
            BackendsChange::Remove(address) => {
                let written = normalised(address, pool);
                let count = next.added.len();
                next.added.retain(|backend| backend.address != written);
                if next.added.len() == count {
                    return Err(self.not_added(pool, address, former));
                }
            }
            BackendsChange::All(changes) => {
                for change in changes {
                    let (after, more) = self.next_overlay(pool, &next, change)?;
                    next = after;
                    warnings.extend(more);
                }
                return Ok((next, warnings));
            }
            BackendsChange::Say(address, said) => {
                let written = self.known_address(pool, address, former)?;
                say(&mut next, &written, *said);
            }
        }
        self.forget_edits(pool, former, &mut next);
        Ok((next, warnings))
    }

    /// Takes back what was said of backends that the admin API does not add any more: one that
    /// comes back begins anew.
    fn forget_edits(&self, pool: &Pool, former: &Overlay, next: &mut Overlay) {
        let has = |all: &[Backend], address: &str| all.iter().any(|b| b.address == address);
        let removed = former.added.iter().map(|backend| &backend.address);
        let removed = removed.filter(|address| !has(&next.added, address));
        let file = self.discovery().overlay_of(&pool.name, Origin::File);
        let stays = |address: &str| has(&pool.backends, address) || has(&file.added, address);
        let removed: Vec<&String> = removed.filter(|address| !stays(address)).collect();
        next.edits.retain(|address, _| !removed.contains(&address));
    }

    /// An address of this pool as it is known: as it was written, or as it was resolved.
    fn known_address(
        &self,
        pool: &Pool,
        address: &str,
        former: &Overlay,
    ) -> Result<String, BackendsError> {
        let wanted = normalised(address, pool);
        let all = self.addresses(pool, former);
        match all.contains(&wanted) {
            true => Ok(wanted),
            false => Err(unknown_backend(pool, address, &all)),
        }
    }

    /// Why this backend can't be removed.
    fn not_added(&self, pool: &Pool, address: &str, former: &Overlay) -> BackendsError {
        let name = &pool.name;
        match self.known_address(pool, address, former) {
            Err(unknown) => unknown,
            Ok(known) => BackendsError::Refused(vec![format!(
                "the admin API has not added {known} to pool {name:?}; drain it, or remove it where \
                 it is written (GET /pools/NAME says where that is)"
            )]),
        }
    }

    /// All addresses by which backends of this pool are known.
    fn addresses(&self, pool: &Pool, of_api: &Overlay) -> Vec<String> {
        let file = self.discovery().overlay_of(&pool.name, Origin::File);
        let written = pool.backends.iter().chain(&file.added).chain(&of_api.added);
        let mut all: Vec<String> = written.map(|backend| backend.address.clone()).collect();
        let snapshot = self.snapshot();
        let mut pools = snapshot.topology.pools.iter();
        let topology = pools.find(|topology| topology.name == pool.name);
        let endpoints = topology.into_iter().flat_map(|pool| &pool.endpoints);
        all.extend(endpoints.map(|endpoint| endpoint.address.to_string()));
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// Reads a list on behalf of the admin API.
fn read(text: &str, pool: &Pool) -> Result<(Vec<Backend>, Vec<String>), BackendsError> {
    parse_backends(BODY, text, pool).map_err(|errors| {
        let errors = errors.iter().map(ToString::to_string);
        BackendsError::Refused(errors.collect())
    })
}

/// An address as backends have it; as it is if it can't be one.
fn normalised(address: &str, pool: &Pool) -> String {
    let one = list_of_one(address, "").map(|text| parse_backends(BODY, &text, pool));
    match one {
        Ok(Ok((backends, _))) if backends.len() == 1 => backends[0].address.clone(),
        // The pool may want another scheme.
        _ => parse_backend(address).unwrap_or_else(|_| address.to_owned()),
    }
}

fn say(overlay: &mut Overlay, address: &str, said: Said) {
    let mut others = overlay.edits.iter();
    // What was said of a name holds for its addresses.
    let is_covered = others.any(|(other, edit)| other != address && edit.state.is_some());
    let edit = overlay.edits.entry(address.to_owned()).or_default();
    match said {
        Said::Drain => edit.state = Some(AdminState::Draining),
        Said::Down => edit.state = Some(AdminState::Down),
        Said::Up => {
            edit.state = is_covered.then_some(AdminState::Up);
            // A weight of 0 drains it as well.
            edit.weight = edit.weight.filter(|weight| *weight > 0);
        }
        Said::Weight(weight) => edit.weight = weight,
    }
    if *edit == Default::default() {
        overlay.edits.remove(address);
    }
}

fn unknown_backend(pool: &Pool, address: &str, all: &[String]) -> BackendsError {
    let name = &pool.name;
    let named = all
        .iter()
        .take(NAMED)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    let more = match all.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    BackendsError::Unknown(match all.is_empty() {
        true => format!("pool {name:?} has no backend {address:?}; it has none"),
        false => format!("pool {name:?} has no backend {address:?}; it has {named}{more}"),
    })
}

/// That no backend gets new requests, whatever its health.
fn none_is_left(pool: &PoolStatus) -> Option<String> {
    let gets_requests = |e: &EndpointStatus| e.admin == AdminState::Up.as_str() && e.weight > 0;
    let is_left = pool.endpoints.iter().any(gets_requests);
    (!is_left).then(|| {
        format!(
            "no backend of pool {:?} gets new requests now: they are answered with 503",
            pool.name
        )
    })
}

fn endpoint_status(endpoint: &Endpoint) -> EndpointStatus {
    EndpointStatus {
        address: endpoint.address.to_string(),
        label: endpoint.label.to_string(),
        source: endpoint.origin.as_str(),
        weight: endpoint.full_weight,
        admin: endpoint.state.as_str(),
        request_limit: endpoint.requests.as_ref().map(|limit| limit.count()),
        labels: endpoint.labels.iter().cloned().collect(),
    }
}
