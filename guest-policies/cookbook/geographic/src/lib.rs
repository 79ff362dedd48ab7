//! Sends clients to the region that their network belongs to.
//!
//! Use it where you know which networks are near which backends: offices, data centres, or an
//! export of a database of your own. The longest network that holds the client's address decides.
//! Within a region the least busy backend serves; if none is usable, the regions of `fallback` are
//! tried in this order, and after them any.
//!
//! ```toml
//! [policies.near.settings]
//! default = "us"                # the region of everybody else
//! fallback = ["us", "eu"]
//! label = "region"              # the label that says where a backend is
//!
//! [policies.near.settings.networks]
//! "192.0.2.0/24" = "eu"
//! "2001:db8:a::/48" = "asia"
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use waypost_policy::{Network, Networks, prelude::*};

struct Geographic {
    options: Options,
    networks: Networks<String>,
    pools: Pools<Members>,
    near: Counter,
    far: Counter,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    default: String,
    #[serde(default)]
    fallback: Vec<String>,
    #[serde(default = "label")]
    label: String,
    networks: BTreeMap<String, String>,
}

fn label() -> String {
    "region".to_owned()
}

struct Members {
    regions: Groups,
    all: Vec<u32>,
}

impl Configure for Geographic {
    fn configure(settings: Settings) -> Result<Self, String> {
        let mut options: Options = settings.parse()?;
        let told = std::mem::take(&mut options.networks);
        let mut networks = Networks::default();
        for (text, region) in told {
            let network: Network = text.parse().map_err(|why| format!("networks: {why}"))?;
            if networks.insert(network, region).is_some() {
                return Err(format!(
                    "networks: \"{text}\" is there twice, written in two ways"
                ));
            }
        }
        let (near, far) = (Counter::define("near")?, Counter::define("far")?);
        Ok(Geographic {
            options,
            networks,
            pools: Pools::default(),
            near,
            far,
        })
    }
}

impl Topology for Geographic {
    fn backends_changed(&mut self, pool: &Pool, backends: &[Backend]) {
        let regions = Groups::by_label(backends, &self.options.label);
        let named: BTreeSet<&String> = self
            .networks
            .values()
            .chain([&self.options.default])
            .collect();
        for region in named
            .into_iter()
            .filter(|region| regions.named(region).is_empty())
        {
            log::warn(format!(
                "pool {} has no backend whose {} is {region}",
                pool.name, self.options.label
            ));
        }
        self.pools.keep(
            pool.id,
            Members {
                regions,
                all: (0..backends.len() as u32).collect(),
            },
        );
    }
}

impl Select for Geographic {
    fn select(&mut self, request: &Request, attempt: &Attempt) -> Decision {
        let Some(members) = self.pools.at(attempt.pool) else {
            return Decision::Pass;
        };
        let client = request.client_address().parse().ok();
        let own = client
            .and_then(|client| self.networks.longest(client))
            .unwrap_or(&self.options.default);
        if let Some(backend) = attempt.least_busy(members.regions.named(own)) {
            self.near.count();
            return backend.into();
        }
        let fallback = self.options.fallback.iter();
        let other = fallback
            .filter_map(|region| attempt.least_busy(members.regions.named(region)))
            .next();
        let choice = other.or_else(|| attempt.least_busy(&members.all));
        if choice.is_some() {
            self.far.count();
        }
        choice.into()
    }
}

waypost_policy::export!(Geographic: Configure, Topology, Select);

#[cfg(test)]
mod tests {
    use waypost_policy::testing::{self, Host};

    use super::*;

    const SETTINGS: &str = r#"{"default": "us", "fallback": ["eu"], "networks":
        {"192.0.2.0/24": "eu", "192.0.2.128/25": "asia", "2001:db8:a::/48": "asia"}}"#;

    #[test]
    fn the_longest_network_decides_and_then_the_fallback() {
        let host = Host::new();
        let pool = host.pool(
            "web",
            ["us", "eu", "asia"]
                .map(|region| Backend::new("10.0.0.1:80").with_label("region", region)),
        );
        let mut policy = host.load::<Geographic>(SETTINGS).unwrap();
        let mut from = |client: &str| policy.select(&testing::get("/").client(client));
        assert_eq!(from("192.0.2.1"), Decision::Backend(1));
        assert_eq!(from("192.0.2.129"), Decision::Backend(2));
        assert_eq!(from("2001:db8:a::1"), Decision::Backend(2));
        assert_eq!(from("2001:db8:b::1"), Decision::Backend(0));
        pool.set_healthy(2, false);
        assert_eq!(from("192.0.2.129"), Decision::Backend(1));
        pool.set_healthy(1, false);
        assert_eq!(from("192.0.2.129"), Decision::Backend(0));
        pool.set_healthy(0, false);
        assert_eq!(from("192.0.2.129"), Decision::Pass);
        assert_eq!((host.counted("near"), host.counted("far")), (4, 2));
    }

    #[test]
    fn mistakes_are_told() {
        let host = Host::new();
        let error = host
            .load::<Geographic>(r#"{"default": "us", "networks": {"192.0.2.1/24": "eu"}}"#)
            .unwrap_err();
        assert!(
            error.starts_with("networks: \"192.0.2.1/24\" is no network"),
            "{error}"
        );
        host.pool(
            "web",
            [Backend::new("10.0.0.1:80").with_label("region", "us")],
        );
        let twice =
            r#"{"default": "us", "networks": {"2001:db8::/32": "eu", "2001:0db8::/32": "us"}}"#;
        assert!(
            host.load::<Geographic>(twice)
                .unwrap_err()
                .contains("is there twice")
        );
        let settings =
            r#"{"default": "us", "networks": {"192.0.2.0/24": "eu", "198.51.100.0/24": "eu"}}"#;
        host.load::<Geographic>(settings).unwrap();
        let told: Vec<String> = host.log().into_iter().map(|(_, line)| line).collect();
        assert_eq!(told, ["pool web has no backend whose region is eu"], "once");
    }
}
