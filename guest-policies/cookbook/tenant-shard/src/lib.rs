//! Sends each tenant to the same few backends, and the tenants that need it to backends of their
//! own.
//!
//! Use it where backends keep a tenant's data warm, or where one tenant's trouble should reach few
//! others. Tenants are spread by rendezvous hashing: when a backend goes, only its own tenants
//! move. Of its `backends` a tenant gets the least busy. If none of those that it may use is
//! usable, it gets 503 in a pool where some are reserved: who chose instead could send it to
//! another tenant's. In other pools the next policy or the proxy chooses.
//!
//! ```toml
//! [policies.tenants.settings]
//! tenant = "header:x-tenant"        # or "path": the first part of the path, as in /acme/orders
//! backends = 2                      # how many a tenant is spread over
//! required = true                   # answer 400 if there is no tenant; left out, the next policy or the
//!                                   # proxy chooses, of all backends, reserved or not
//!
//! [policies.tenants.settings.exceptions]    # tenant = address of a backend, or its label `name`
//! acme = "acme-only"
//! ```

use std::{cmp::Reverse, collections::BTreeMap};

use serde::Deserialize;
use waypost_policy::{hash, prelude::*};

struct TenantShard {
    /// None: by the path.
    header: Option<String>,
    options: Options,
    pools: Pools<Members>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    tenant: String,
    #[serde(default = "one")]
    backends: usize,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    exceptions: BTreeMap<String, String>,
}

fn one() -> usize {
    1
}

#[derive(Default)]
struct Members {
    /// For everybody: index and hash of the address.
    shared: Vec<(u32, u64)>,
    reserved: BTreeMap<String, Vec<u32>>,
}

impl Configure for TenantShard {
    fn configure(settings: Settings) -> Result<Self, String> {
        let options: Options = settings.parse()?;
        let header = match options.tenant.split_once(':') {
            Some(("header", name)) if !name.is_empty() => {
                Headers::check_name("tenant", name)?;
                Some(name.to_owned())
            }
            None if options.tenant == "path" => None,
            _ => {
                return Err(
                    "tenant: has to be \"path\", or \"header:\" and the name of a field".to_owned(),
                );
            }
        };
        match options.backends {
            0 => Err("backends: a tenant needs 1 at least".to_owned()),
            _ => Ok(TenantShard {
                header,
                options,
                pools: Pools::default(),
            }),
        }
    }
}

impl Topology for TenantShard {
    fn backends_changed(&mut self, pool: &Pool, backends: &[Backend]) {
        let mut members = Members::default();
        for (at, backend) in (0..).zip(backends) {
            let names = |target: &String| {
                *target == backend.address || backend.label("name") == Some(target)
            };
            let owners = self
                .options
                .exceptions
                .iter()
                .filter(|(_, target)| names(target));
            let owners: Vec<&String> = owners.map(|(tenant, _)| tenant).collect();
            if owners.is_empty() {
                members
                    .shared
                    .push((at, hash::of(0, backend.address.as_bytes())));
            }
            for tenant in owners {
                members.reserved.entry(tenant.clone()).or_default().push(at);
            }
        }
        for (tenant, target) in &self.options.exceptions {
            if !members.reserved.contains_key(tenant) {
                log::warn(format!(
                    "exceptions.{tenant}: pool {} has no backend {target}",
                    pool.name
                ));
            }
        }
        self.pools.keep(pool.id, members);
    }
}

impl Select for TenantShard {
    fn select(&mut self, request: &Request, attempt: &Attempt) -> Decision {
        let tenant = match &self.header {
            Some(name) => request.header_text(name),
            None => request.path().split('/').nth(1).map(str::to_owned),
        };
        let Some(tenant) = tenant.filter(|tenant| !tenant.is_empty()) else {
            let refusal = Response::new(400)
                .text(format!("The tenant is missing: {}.\n", self.options.tenant));
            return if self.options.required {
                refusal.into()
            } else {
                Decision::Pass
            };
        };
        let Some(members) = self.pools.at(attempt.pool) else {
            return Decision::Pass;
        };
        let choice = match members.reserved.get(&tenant) {
            Some(reserved) => attempt.least_busy(reserved),
            None => self.shared(members, &tenant, attempt),
        };
        if choice.is_none() && !members.reserved.is_empty() {
            return Response::new(503)
                .text("No backend can take this tenant's requests now.\n")
                .into();
        }
        choice.into()
    }
}

impl TenantShard {
    /// Of the tenant's few among those for everybody.
    fn shared(&self, members: &Members, tenant: &str, attempt: &Attempt) -> Option<u32> {
        let usable = members
            .shared
            .iter()
            .filter(|(backend, _)| attempt.is_usable(*backend));
        let mut ranked: Vec<_> = usable
            .map(|(backend, seed)| (Reverse(hash::of(*seed, tenant.as_bytes())), *backend))
            .collect();
        ranked.sort_unstable();
        let own: Vec<u32> = ranked
            .iter()
            .take(self.options.backends)
            .map(|(_, backend)| *backend)
            .collect();
        attempt.least_busy(&own)
    }
}

waypost_policy::export!(TenantShard: Configure, Topology, Select);

#[cfg(test)]
mod tests {
    use waypost_policy::testing::{self, Host};

    use super::*;

    fn settings(backends: u32) -> String {
        let exceptions = r#"{"acme": "big"}"#;
        format!(
            r#"{{"tenant": "path", "backends": {backends}, "required": true, "exceptions": {exceptions}}}"#
        )
    }

    #[test]
    fn tenants_stay_on_their_own_and_move_only_when_they_must() {
        let host = Host::new();
        let small = (1..=6).map(|n| Backend::new(&format!("10.0.0.{n}:80")));
        let pool = host.pool(
            "web",
            small.chain([Backend::new("10.0.0.9:80").with_label("name", "big")]),
        );
        let mut policy = host.load::<TenantShard>(settings(1)).unwrap();
        let mut homes = || -> Vec<Decision> {
            (0..60)
                .map(|tenant| policy.select(&testing::get(&format!("/t{tenant}/orders"))))
                .collect()
        };
        let before = homes();
        let on = |index: u32| {
            before
                .iter()
                .filter(|home| **home == Decision::Backend(index))
                .count()
        };
        assert!(
            (0..6).all(|index| on(index) > 3) && on(6) == 0,
            "all but the one that is reserved"
        );
        pool.set_healthy(0, false);
        for (before, after) in before.iter().zip(homes()) {
            assert_eq!(*before != after, *before == Decision::Backend(0));
        }
    }

    #[test]
    fn a_tenant_may_have_several_or_its_own() {
        let host = Host::new();
        let small = (1..=6).map(|n| Backend::new(&format!("10.0.0.{n}:80")));
        let pool = host.pool(
            "web",
            small.chain([Backend::new("10.0.0.9:80").with_label("name", "big")]),
        );
        let mut policy = host.load::<TenantShard>(settings(2)).unwrap();
        let mut seen: Vec<u32> = Vec::new();
        for _ in 0..40 {
            let Decision::Backend(backend) = policy.select(&testing::get("/t1")) else {
                panic!("no backend")
            };
            seen.push(backend);
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 2);
        assert_eq!(policy.select(&testing::get("/acme")), Decision::Backend(6));
        let mut status =
            |request, failed: &[u32]| match policy.retry(&request, failed.iter().copied()) {
                Decision::Answer(refusal) => refusal.status,
                other => panic!("{other:?}"),
            };
        assert_eq!(status(testing::get("/"), &[]), 400, "no tenant");
        assert_eq!(status(testing::get("/acme"), &[6]), 503);
        (0..6).for_each(|shared| pool.set_healthy(shared, false));
        assert_eq!(
            status(testing::get("/t1"), &[]),
            503,
            "never to what is reserved"
        );
        let mut open = host.load::<TenantShard>(r#"{"tenant": "path"}"#).unwrap();
        assert_eq!(
            open.retry(&testing::get("/t1"), [6]),
            Decision::Pass,
            "nothing is reserved"
        );
    }

    #[test]
    fn mistakes_are_told() {
        let host = Host::new();
        let error = |settings: &str| host.load::<TenantShard>(settings).unwrap_err();
        assert!(error(r#"{"tenant": "header:"}"#).starts_with("tenant: has to be"));
        assert_eq!(
            error(r#"{"tenant": "header:a b"}"#),
            "tenant: \"a b\" is not a field name"
        );
        assert!(error(r#"{"tenant": "path", "backends": 0}"#).starts_with("backends: "));
        host.pool("web", [Backend::new("10.0.0.1:80")]);
        host.load::<TenantShard>(settings(1)).unwrap();
        assert_eq!(
            host.log()[0].1,
            "exceptions.acme: pool web has no backend big"
        );
    }
}
