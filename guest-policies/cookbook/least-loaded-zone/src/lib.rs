//! Picks the least loaded backend of the own zone, and one of another zone only when the own zone
//! is full or gone.
//!
//! Use it where traffic between zones costs money or time. A proxy in each zone runs it with its
//! own `zone`. `spill` decides how much queueing at home is worth: while the best backend at home
//! has fewer requests in flight than that, nobody leaves.
//!
//! ```toml
//! [policies.near.settings]
//! zone = "a"          # required: where this proxy is
//! label = "zone"      # the label that says where a backend is
//! spill = 16          # requests in flight at the best backend at home, from which on the other zones are compared as well
//! ```

use serde::Deserialize;
use waypost_policy::prelude::*;

struct LeastLoadedZone {
    options: Options,
    pools: Pools<Members>,
    home: Counter,
    away: Counter,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    zone: String,
    #[serde(default = "label")]
    label: String,
    #[serde(default = "spill")]
    spill: u32,
}

fn label() -> String {
    "zone".to_owned()
}

fn spill() -> u32 {
    16
}

struct Members {
    home: Vec<u32>,
    all: Vec<u32>,
}

impl Configure for LeastLoadedZone {
    fn configure(settings: Settings) -> Result<Self, String> {
        let options: Options = settings.parse()?;
        if options.spill == 0 {
            return Err(
                "spill: has to be 1 at least; with less the own zone would never be preferred"
                    .to_owned(),
            );
        }
        let (home, away) = (Counter::define("home")?, Counter::define("away")?);
        Ok(LeastLoadedZone {
            options,
            pools: Pools::default(),
            home,
            away,
        })
    }
}

impl Topology for LeastLoadedZone {
    fn backends_changed(&mut self, pool: &Pool, backends: &[Backend]) {
        let Options { zone, label, .. } = &self.options;
        let home = Groups::by_label(backends, label).named(zone).to_vec();
        if home.is_empty() {
            log::warn(format!(
                "zone: pool {} has no backend whose label {label} is {zone}",
                pool.name
            ));
        }
        self.pools.keep(
            pool.id,
            Members {
                home,
                all: (0..backends.len() as u32).collect(),
            },
        );
    }
}

impl Select for LeastLoadedZone {
    fn select(&mut self, _request: &Request, attempt: &Attempt) -> Decision {
        let Some(members) = self.pools.at(attempt.pool) else {
            return Decision::Pass;
        };
        let best = attempt.least_busy(&members.home);
        if let Some(backend) =
            best.filter(|backend| facts::in_flight(*backend) < self.options.spill)
        {
            self.home.count();
            return backend.into();
        }
        // Home is among all, so a full home still wins against zones that are fuller.
        let choice = attempt.least_busy(&members.all);
        match choice {
            Some(backend) if members.home.contains(&backend) => self.home.count(),
            Some(_) => self.away.count(),
            None => {}
        }
        choice.into()
    }
}

waypost_policy::export!(LeastLoadedZone: Configure, Topology, Select);

#[cfg(test)]
mod tests {
    use waypost_policy::testing::{self, Host, TestPool};

    use super::*;

    fn zones(host: &Host) -> TestPool {
        host.pool(
            "web",
            ["a", "a", "b"].map(|zone| Backend::new("10.0.0.1:80").with_label("zone", zone)),
        )
    }

    #[test]
    fn home_is_preferred_until_it_is_full() {
        let host = Host::new();
        let pool = zones(&host);
        let mut policy = host
            .load::<LeastLoadedZone>(r#"{"zone": "a", "spill": 4}"#)
            .unwrap();
        let get = testing::get("/");
        pool.set_in_flight(0, 3);
        assert_eq!(policy.select(&get), Decision::Backend(1));
        pool.set_in_flight(1, 5);
        assert_eq!(policy.select(&get), Decision::Backend(0));
        pool.set_in_flight(0, 4);
        assert_eq!(policy.select(&get), Decision::Backend(2));
        pool.set_in_flight(2, 9);
        assert_eq!(policy.select(&get), Decision::Backend(0));
        assert_eq!((host.counted("home"), host.counted("away")), (3, 1));
        assert_eq!(policy.retry(&get, [0, 1]), Decision::Backend(2));
        assert_eq!(policy.retry(&get, [0, 1, 2]), Decision::Pass);
    }

    #[test]
    fn mistakes_are_told() {
        let host = Host::new();
        zones(&host);
        let error = |settings: &str| host.load::<LeastLoadedZone>(settings).unwrap_err();
        assert_eq!(error("{}"), "settings: missing field `zone`");
        assert!(error(r#"{"zone": "a", "spill": 0}"#).starts_with("spill: has to be 1"));
        host.load::<LeastLoadedZone>(r#"{"zone": "c"}"#).unwrap();
        assert_eq!(
            host.log()[0].1,
            "zone: pool web has no backend whose label zone is c"
        );
    }
}
