//! Sends each tenant to a pool of its own, and asks the backend for a path without the tenant.
//!
//! Use it on a route with several `pools`, of which each serves some tenants. The tenant is what a
//! field says, the first part of the path, or a name in the client's certificate, which nobody can
//! claim who does not have its key. A pool that tenants reach only by this policy has the weight 0
//! in the route; the others share who is no tenant.
//!
//! ```toml
//! [policies.tenants.settings]
//! tenant = "path"                   # the first part, as in /acme/orders; or "header:x-tenant", or "certificate":
//!                                   # the first DNS name or URI that has a pool
//! strip = true                      # without that part in what the backend is asked for; needs `tenant = "path"`,
//!                                   # and `policies-may-edit = "path"` in the route
//! required = false                  # true answers 404 to who is no tenant; false leaves them to the weights
//!
//! [policies.tenants.settings.pools] # tenant = pool
//! acme = "acme-pool"
//! globex = "shared-2"
//! ```

use std::collections::BTreeMap;

use serde::Deserialize;
use waypost_policy::{SubjectName, client_certificate, prelude::*};

struct TenantPool {
    by: By,
    options: Options,
    names: Pools<String>,
    unknown: Counter,
}

enum By {
    Path,
    Header(String),
    Certificate,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    tenant: String,
    #[serde(default)]
    strip: bool,
    #[serde(default)]
    required: bool,
    pools: BTreeMap<String, String>,
}

impl Configure for TenantPool {
    fn configure(settings: Settings) -> Result<Self, String> {
        let options: Options = settings.parse()?;
        let by = match options.tenant.split_once(':') {
            Some(("header", name)) if !name.is_empty() => {
                Headers::check_name("tenant", name)?;
                By::Header(name.to_owned())
            }
            None if options.tenant == "path" => By::Path,
            None if options.tenant == "certificate" => By::Certificate,
            _ => {
                return Err(
                    "tenant: has to be \"path\", \"certificate\", or \"header:\" and the \
                            name of a field"
                        .to_owned(),
                );
            }
        };
        if options.strip && !matches!(by, By::Path) {
            return Err("strip: there is nothing to strip unless tenant = \"path\"".to_owned());
        }
        Ok(TenantPool {
            by,
            options,
            names: Pools::default(),
            unknown: Counter::define("unknown")?,
        })
    }
}

impl Topology for TenantPool {
    fn backends_changed(&mut self, pool: &Pool, _backends: &[Backend]) {
        self.names.keep(pool.id, pool.name.clone());
    }
}

impl Route for TenantPool {
    fn route(&mut self, request: &Request) -> PoolDecision {
        let Some((tenant, pool)) = self.tenant(request) else {
            self.unknown.count();
            return match self.options.required {
                true => Response::new(404).text("There is no such tenant.\n").into(),
                false => PoolDecision::Pass,
            };
        };
        let is_named = |id| self.names.at(id) == Some(pool);
        match request.pool_index(is_named) {
            Some(index) => PoolDecision::Pool(index),
            // Any other pool may be another tenant's.
            None => {
                log::error(format!("pools.{tenant}: the route has no pool {pool}"));
                Response::new(503)
                    .text("The pool of this tenant is missing.\n")
                    .into()
            }
        }
    }
}

impl EditTarget for TenantPool {
    fn edit_target(&mut self, request: &Request, target: &mut Target) -> Result<(), Response> {
        if !self.options.strip || self.tenant(request).is_none() {
            return Ok(());
        }
        let path = request.path();
        let rest = path
            .trim_start_matches('/')
            .find('/')
            .map(|at| &path[at + 1..]);
        target.set_path(rest.unwrap_or("/")).map_err(|why| {
            // What is left may hold what servers read in two ways, or the route allows no edit.
            Response::new(400).text(format!("The path can't be passed on: {why}.\n"))
        })
    }
}

impl TenantPool {
    /// The tenant that has made this request, and its pool.
    fn tenant(&self, request: &Request) -> Option<(&String, &String)> {
        let known = |name: &str| self.options.pools.get_key_value(name);
        match &self.by {
            By::Path => known(request.path().split('/').nth(1)?),
            By::Header(name) => known(&request.header_text(name)?),
            By::Certificate => client_certificate::names()
                .iter()
                .find_map(|name| match name {
                    SubjectName::Dns(name) | SubjectName::Uri(name) => known(name),
                    SubjectName::Email(_) | SubjectName::Address(_) => None,
                }),
        }
    }
}

waypost_policy::export!(TenantPool: Configure, Topology, Route, EditTarget);

#[cfg(test)]
mod tests {
    use waypost_policy::testing::{self, Host, TestPolicy, TestRequest};

    use super::*;

    const BY_PATH: &str = r#"{"tenant": "path", "strip": true,
        "pools": {"acme": "acme-pool", "globex": "gone"}}"#;

    fn policy(settings: &str) -> (TestPolicy<TenantPool>, impl Fn(TestRequest) -> TestRequest) {
        let host = Host::new();
        let pools = ["shared", "acme-pool"].map(|name| host.pool(name, []));
        let policy = host.load::<TenantPool>(settings).unwrap();
        (policy, move |request: TestRequest| request.pools(&pools))
    }

    #[test]
    fn a_tenant_is_found_and_sent_to_its_pool() {
        let (mut tenants, routed) = policy(BY_PATH);
        let mut route = |path: &str| tenants.route(&routed(testing::get(path)));
        assert_eq!(route("/acme/orders"), PoolDecision::Pool(1));
        assert_eq!(route("/acme"), PoolDecision::Pool(1));
        assert_eq!(route("/acmes/orders"), PoolDecision::Pass);
        assert_eq!(route("/"), PoolDecision::Pass);
        let missing =
            |decision| matches!(decision, PoolDecision::Answer(refusal) if refusal.status == 503);
        assert!(
            missing(route("/globex/orders")),
            "never to another tenant's"
        );

        let settings =
            r#"{"tenant": "header:x-tenant", "required": true, "pools": {"acme": "acme-pool"}}"#;
        let (mut tenants, routed) = policy(settings);
        let acme = routed(testing::get("/").field("X-Tenant", "acme"));
        assert_eq!(tenants.route(&acme), PoolDecision::Pool(1));
        let unknown = Response::new(404).text("There is no such tenant.\n");
        let nobody = tenants.route(&routed(testing::get("/")));
        assert_eq!(nobody, PoolDecision::Answer(unknown));
    }

    #[test]
    fn a_certificate_names_a_tenant_that_nobody_else_can_claim() {
        let settings =
            r#"{"tenant": "certificate", "pools": {"spiffe://a.test/acme": "acme-pool"}}"#;
        let (mut tenants, routed) = policy(settings);
        let with = |name: SubjectName| {
            let certificate =
                testing::certificate("CN=x").name(SubjectName::Dns("a.test".to_owned()));
            routed(testing::get("/").certificate(certificate.name(name)))
        };
        let uri = SubjectName::Uri("spiffe://a.test/acme".to_owned());
        assert_eq!(tenants.route(&with(uri)), PoolDecision::Pool(1));
        let mail = SubjectName::Email("spiffe://a.test/acme".to_owned());
        assert_eq!(tenants.route(&with(mail)), PoolDecision::Pass);
        assert_eq!(
            tenants.route(&routed(testing::get("/"))),
            PoolDecision::Pass
        );
    }

    #[test]
    fn the_backend_is_asked_for_the_rest_of_the_path() {
        let (mut tenants, _) = policy(BY_PATH);
        let mut sent = |path: &str| {
            let mut target = testing::target(path);
            let edited = tenants.edit_target(&testing::get(path), &mut target);
            edited
                .map(|()| target.path)
                .map_err(|refusal| refusal.status)
        };
        assert_eq!(sent("/acme/orders/1").as_deref(), Ok("/orders/1"));
        assert_eq!(sent("/acme/").as_deref(), Ok("/"));
        assert_eq!(sent("/acme").as_deref(), Ok("/"));
        assert_eq!(sent("/other/orders").as_deref(), Ok("/other/orders"));
        assert_eq!(sent("/acme/a%2Fb"), Err(400));
    }

    #[test]
    fn mistakes_are_told() {
        for (settings, expected) in [
            (r#"{"tenant": "cookie", "pools": {}}"#, "tenant: has to be"),
            (r#"{"tenant": "header:", "pools": {}}"#, "tenant: has to be"),
            (
                r#"{"tenant": "header:a b", "pools": {}}"#,
                "tenant: \"a b\" is not a field name",
            ),
            (
                r#"{"tenant": "certificate", "strip": true, "pools": {}}"#,
                "strip: there is nothing",
            ),
        ] {
            let error = Host::new().load::<TenantPool>(settings).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
