//! The component: the contract on one side, `settings` and `router` on the other.

use waypost_policy::{HeaderError, prelude::*, random};

use crate::{
    router::{self, Facts, Outcome},
    settings::{self, Edits},
};

/// Routes by the field, and edits.
#[derive(Debug)]
pub struct HeaderRouter {
    settings: settings::Settings,
    pools: Pools<router::Pool>,
    routed: Counter,
    hashed: Counter,
    unmatched: Counter,
    unusable: Counter,
}

impl Configure for HeaderRouter {
    fn configure(settings: Settings) -> Result<Self, String> {
        Ok(HeaderRouter {
            settings: settings::Settings::parse(settings.json())?,
            pools: Pools::default(),
            routed: Counter::define("routed")?,
            hashed: Counter::define("hashed")?,
            unmatched: Counter::define("unmatched")?,
            unusable: Counter::define("unusable")?,
        })
    }
}

impl Topology for HeaderRouter {
    fn backends_changed(&mut self, pool: &Pool, backends: &[Backend]) {
        let told = backends.iter().map(|b| router::Backend {
            address: &b.address,
            name: b.label("name"),
        });
        let ready = router::Pool::new(&self.settings, &told.collect::<Vec<_>>());
        for route in ready
            .dangling()
            .filter_map(|at| self.settings.routes.get(at))
        {
            log::warn(format!(
                "routes.{}: pool {} has no backend with the address or the name {}",
                route.value, pool.name, route.target
            ));
        }
        self.pools.keep(pool.id, ready);
    }
}

impl Select for HeaderRouter {
    fn select(&mut self, request: &Request, mut attempt: &Attempt) -> Decision {
        let value = request.header(&self.settings.header);
        let outcome = match (value, self.pools.at(attempt.pool)) {
            (Some(value), Some(pool)) => pool.route(&self.settings, &value, &mut attempt),
            _ => Outcome::Unmatched,
        };
        let (counter, choice) = match outcome {
            Outcome::Routed(backend) => (self.routed, Some(backend)),
            Outcome::Hashed(backend) => (self.hashed, Some(backend)),
            Outcome::Unmatched => (self.unmatched, None),
            Outcome::Unusable => (self.unusable, None),
        };
        counter.count();
        choice.into()
    }
}

impl EditRequest for HeaderRouter {
    fn edit_request(&mut self, _request: &Request, headers: &mut Headers) -> Result<(), Response> {
        edit(&self.settings.request, headers);
        Ok(())
    }
}

impl EditResponse for HeaderRouter {
    fn edit_response(
        &mut self,
        _: &Request,
        _: u16,
        _: u32,
        headers: &mut Headers,
    ) -> Result<(), Response> {
        edit(&self.settings.response, headers);
        Ok(())
    }
}

fn edit(edits: &Edits, headers: &mut Headers) {
    for name in &edits.remove {
        told(name, headers.remove(name));
    }
    for (name, value) in &edits.set {
        told(name, headers.set(name, value));
    }
    for (name, value) in &edits.append {
        told(name, headers.append(name, value));
    }
}

/// The settings were checked, so this is about the message: it names the field in `connection`, or
/// there is too much.
fn told(name: &str, result: Result<(), HeaderError>) {
    if let Err(error) = result {
        log::warn(format!("{name} was not written: {error}"));
    }
}

impl Facts for &Attempt<'_> {
    fn below(&mut self, bound: u32) -> u32 {
        random::below(bound)
    }
    fn usable(&self, backend: u32) -> bool {
        self.is_usable(backend)
    }
}

waypost_policy::export!(HeaderRouter: Configure, Topology, Select, EditRequest, EditResponse);

#[cfg(test)]
mod tests {
    use waypost_policy::testing::{self, Host, Level};

    use super::*;

    const SETTINGS: &str = r#"{
        "header": "x-tenant",
        "routes": {"blue": "10.0.0.1:80", "green": "green", "lost": "10.9.9.9:80"},
        "request": {"remove": ["x-debug"], "set": {"x-hop": "1", "x-by": "waypost"}},
        "response": {"append": {"x-by": "waypost"}}
    }"#;

    #[test]
    fn it_routes_counts_and_edits() {
        let host = Host::new();
        let green = Backend::new("10.0.0.2:80").with_label("name", "green");
        let pool = host.pool("web", [Backend::new("10.0.0.1:80"), green]);
        let mut policy = host.load::<HeaderRouter>(SETTINGS).unwrap();
        let lost = "routes.lost: pool web has no backend with the address or the name 10.9.9.9:80";
        assert_eq!(host.log(), [(Level::Warn, lost.to_owned())]);

        let mut request = testing::get("/")
            .field("X-Tenant", "green")
            .field("x-debug", "1")
            .field("connection", "x-hop");
        policy.edit_request(&mut request).unwrap();
        assert_eq!(
            (request.text("x-by"), request.text("x-debug")),
            (Some("waypost"), None)
        );
        assert_eq!(host.log()[1].1, "x-hop was not written: forbidden");

        assert_eq!(policy.select(&request), Decision::Backend(1));
        assert_eq!(policy.retry(&request, [1]), Decision::Pass);
        pool.set_healthy(1, false);
        assert_eq!(policy.select(&request), Decision::Pass);
        assert_eq!(policy.select(&testing::get("/")), Decision::Pass);
        let counted = ["routed", "hashed", "unmatched", "unusable"].map(|name| host.counted(name));
        assert_eq!(counted, [1, 0, 1, 2]);

        let mut response = testing::response(200).field("x-by", "origin");
        policy.edit_response(&request, &mut response).unwrap();
        assert_eq!(response.values("x-by"), [&b"origin"[..], b"waypost"]);
    }
}
