//! Sends those who ask for it by a header field, and a share of all others, to the new version.
//!
//! Use it to try a release on yourself, then on a few. Backends carry a label, such as `track` =
//! `canary`; all others are stable. The share goes by a hash of the client's address: the same
//! clients stay in it while it grows, and see one version. If no backend of a client's version is
//! usable, the other version serves it. The response tells which one did.
//!
//! ```toml
//! [policies.release.settings]
//! header = "x-canary"       # "always" in this field asks for the new version, "never" for the old one
//! percent = 5.0             # of all others; 0 if left out
//! label = "track"
//! value = "canary"
//! ```

use serde::Deserialize;
use waypost_policy::{hash, prelude::*};

/// So fine is a share: hundredths of a percent.
const PARTS: u32 = 10_000;

struct CanaryByHeader {
    options: Options,
    pools: Pools<Members>,
    canary: Counter,
    stable: Counter,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    header: String,
    #[serde(default)]
    percent: f64,
    label: String,
    value: String,
}

struct Members {
    canary: Vec<u32>,
    stable: Vec<u32>,
}

impl Configure for CanaryByHeader {
    fn configure(settings: Settings) -> Result<Self, String> {
        let options: Options = settings.parse()?;
        Headers::check_name("header", &options.header)?;
        if !(0.0..=100.0).contains(&options.percent) {
            return Err(format!("percent: {} is not from 0 to 100", options.percent));
        }
        let (canary, stable) = (Counter::define("canary")?, Counter::define("stable")?);
        Ok(CanaryByHeader {
            options,
            pools: Pools::default(),
            canary,
            stable,
        })
    }
}

impl Topology for CanaryByHeader {
    fn backends_changed(&mut self, pool: &Pool, backends: &[Backend]) {
        let Options { label, value, .. } = &self.options;
        let is_canary = |index: &u32| backends[*index as usize].label(label) == Some(value);
        let (canary, stable) = (0..backends.len() as u32).partition(is_canary);
        self.pools.keep(pool.id, Members { canary, stable });
    }
}

impl Select for CanaryByHeader {
    fn select(&mut self, request: &Request, attempt: &Attempt) -> Decision {
        let Some(members) = self.pools.at(attempt.pool) else {
            return Decision::Pass;
        };
        let wants = match request.header(&self.options.header).as_deref() {
            Some(b"always") => true,
            Some(b"never") => false,
            _ => {
                let part = hash::part(0, request.client_address().as_bytes(), PARTS);
                f64::from(part) < self.options.percent * f64::from(PARTS / 100)
            }
        };
        let (own, other) = if wants {
            (&members.canary, &members.stable)
        } else {
            (&members.stable, &members.canary)
        };
        let choice = attempt
            .least_busy(own)
            .or_else(|| attempt.least_busy(other));
        if let Some(backend) = choice {
            if members.canary.contains(&backend) {
                self.canary
            } else {
                self.stable
            }
            .count();
        }
        choice.into()
    }
}

impl EditResponse for CanaryByHeader {
    fn edit_response(
        &mut self,
        request: &Request,
        _: u16,
        backend: u32,
        headers: &mut Headers,
    ) -> Result<(), Response> {
        let canary = self
            .pools
            .at(request.pool())
            .is_some_and(|members| members.canary.contains(&backend));
        // A field that can't be written is the response's own affair.
        let _ = headers.set("x-version", if canary { "canary" } else { "stable" });
        Ok(())
    }
}

waypost_policy::export!(CanaryByHeader: Configure, Topology, Select, EditResponse);

#[cfg(test)]
mod tests {
    use waypost_policy::testing::{self, Host};

    use super::*;

    fn settings(percent: f64) -> String {
        format!(
            r#"{{"header": "x-canary", "percent": {percent}, "label": "track", "value": "canary"}}"#
        )
    }

    #[test]
    fn the_field_decides_and_then_the_share() {
        let host = Host::new();
        let pool = host.pool(
            "web",
            [
                Backend::new("10.0.0.1:80"),
                Backend::new("10.0.0.2:80").with_label("track", "canary"),
            ],
        );
        let asked = |value: &str| testing::get("/").field("x-canary", value);
        let mut none = host.load::<CanaryByHeader>(settings(0.0)).unwrap();
        let mut all = host.load::<CanaryByHeader>(settings(100.0)).unwrap();
        assert_eq!(none.select(&asked("always")), Decision::Backend(1));
        assert_eq!(none.select(&asked("perhaps")), Decision::Backend(0));
        assert_eq!(all.select(&asked("never")), Decision::Backend(0));
        assert_eq!(all.select(&testing::get("/")), Decision::Backend(1));
        pool.set_healthy(1, false);
        assert_eq!(all.select(&testing::get("/")), Decision::Backend(0));
        assert_eq!((host.counted("canary"), host.counted("stable")), (2, 3));
        let mut response = testing::response(200).from_backend(1);
        all.edit_response(&testing::get("/"), &mut response)
            .unwrap();
        assert_eq!(response.text("x-version"), Some("canary"));
    }

    #[test]
    fn a_share_grows_by_new_clients_only() {
        let host = Host::new();
        host.pool(
            "web",
            [
                Backend::new("10.0.0.1:80"),
                Backend::new("10.0.0.2:80").with_label("track", "canary"),
            ],
        );
        let chosen = |percent: f64| -> Vec<u32> {
            let mut policy = host.load::<CanaryByHeader>(settings(percent)).unwrap();
            let mut in_canary = |n: u32| {
                let client = format!("192.0.{}.{}", n / 256, n % 256);
                policy.select(&testing::get("/").client(&client)) == Decision::Backend(1)
            };
            (0..2000).filter(|n| in_canary(*n)).collect()
        };
        let (few, more) = (chosen(5.0), chosen(20.0));
        assert!(
            (70..130).contains(&few.len()) && (340..460).contains(&more.len()),
            "{} {}",
            few.len(),
            more.len()
        );
        assert!(few.iter().all(|client| more.contains(client)));
        assert!(
            host.load::<CanaryByHeader>(settings(101.0))
                .unwrap_err()
                .starts_with("percent: ")
        );
        let unnamed = settings(1.0).replace("x-canary", "x canary");
        assert_eq!(
            host.load::<CanaryByHeader>(unnamed).unwrap_err(),
            "header: \"x canary\" is not a field name"
        );
    }
}
