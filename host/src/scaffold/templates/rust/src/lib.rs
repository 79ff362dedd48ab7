//! Requests with a field such as `x-canary: yes` go to the backends with the label `track` =
//! `canary`, all others to the rest.

use serde::Deserialize;
use waypost_policy::{prelude::*, random};

struct Canary {
    options: Options,
    pools: Pools<Tracks>,
    taken: Counter,
}

/// The policy's settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    header: String,
}

/// The backends of a pool, by index.
#[derive(Default)]
struct Tracks {
    canary: Vec<u32>,
    stable: Vec<u32>,
}

impl Configure for Canary {
    fn configure(settings: Settings) -> Result<Self, String> {
        Ok(Canary { options: settings.parse()?, pools: Pools::default(), taken: Counter::define("canary")? })
    }
}

impl Topology for Canary {
    fn backends_changed(&mut self, pool: &Pool, backends: &[Backend]) {
        let mut tracks = Tracks::default();
        for (index, backend) in (0..).zip(backends) {
            let canary = backend.label("track") == Some("canary");
            if canary { &mut tracks.canary } else { &mut tracks.stable }.push(index);
        }
        self.pools.keep(pool.id, tracks);
    }
}

impl Select for Canary {
    fn select(&mut self, request: &Request, attempt: &Attempt) -> Decision {
        let Some(tracks) = self.pools.at(attempt.pool) else { return Decision::Pass };
        let canary = request.header_text(&self.options.header).as_deref() == Some("yes");
        let track = if canary { &tracks.canary } else { &tracks.stable };
        let usable: Vec<u32> = track.iter().copied().filter(|backend| attempt.is_usable(*backend)).collect();
        if usable.is_empty() {
            return Decision::Pass;
        }
        if canary {
            self.taken.count();
        }
        usable[random::below(usable.len() as u32) as usize].into()
    }
}

waypost_policy::export!(Canary: Configure, Topology, Select);

#[cfg(test)]
mod tests {
    use waypost_policy::testing::{self, Host};

    use super::*;

    #[test]
    fn the_field_names_the_track() {
        let host = Host::new();
        let backend = |address: &str, track: &str| Backend::new(address).with_label("track", track);
        let pool = host.pool("web", [backend("10.0.0.1:80", "stable"), backend("10.0.0.2:80", "canary")]);
        let mut policy = host.load::<Canary>(r#"{"header": "x-canary"}"#).unwrap();

        let canary = testing::get("/").field("x-canary", "yes");
        assert_eq!(policy.select(&canary), Decision::Backend(1));
        assert_eq!(policy.select(&testing::get("/")), Decision::Backend(0));
        assert_eq!(host.counted("canary"), 1);
        pool.set_healthy(1, false);
        assert_eq!(policy.select(&canary), Decision::Pass);

        let error = host.load::<Canary>(r#"{"headr": "x-canary"}"#).unwrap_err();
        assert!(error.contains("headr"), "{error}");
    }
}
