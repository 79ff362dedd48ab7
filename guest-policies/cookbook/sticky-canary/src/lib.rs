//! Divides new clients between stable and canary, and keeps each on its backend by a cookie.
//!
//! Use it for a release that takes some of the clients, where a client must not change versions
//! from one request to the next, and backends hold sessions. A client without the cookie becomes a
//! client of the canary with the chance `share`; the cookie says that and stands for its backend.
//! If the backend goes, the client gets another one of the same version, and one of the other
//! version only if there is none. With `share = 0` the canary is withdrawn: its clients go back.
//!
//! ```toml
//! [policies.release.settings]
//! share = 5                 # percent of the new clients
//! label = "track"           # the label that says which version a backend is
//! canary = "canary"         # its value for the new version; all other backends are stable
//! cookie = "release"
//! max-age = 86400           # seconds; left out: until the browser is closed
//! ```

use serde::Deserialize;
use waypost_policy::{cookie, hash, prelude::*, random};

struct StickyCanary {
    options: Options,
    pools: Pools<Members>,
    canary: Counter,
    stable: Counter,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    share: u32,
    #[serde(default = "label")]
    label: String,
    #[serde(default = "canary")]
    canary: String,
    #[serde(default = "cookie_name")]
    cookie: String,
    max_age: Option<u32>,
}

fn label() -> String {
    "track".to_owned()
}

fn canary() -> String {
    "canary".to_owned()
}

fn cookie_name() -> String {
    "release".to_owned()
}

/// The backends of a pool.
struct Members {
    /// What a cookie says of each: its version, and the hash of its address.
    tokens: Vec<String>,
    /// Those of the stable version and of the canary.
    tracks: [Vec<u32>; 2],
}

const STABLE: usize = 0;
const CANARY: usize = 1;
/// How the tokens of each begin.
const MARKS: [&str; 2] = ["s-", "c-"];

impl Configure for StickyCanary {
    fn configure(settings: Settings) -> Result<Self, String> {
        let options: Options = settings.parse()?;
        if options.share > 100 {
            return Err("share: has to be from 0 to 100 percent".to_owned());
        }
        if !cookie::is_name(&options.cookie) {
            return Err(format!(
                "cookie: \"{}\" is not a cookie's name",
                options.cookie
            ));
        }
        let (canary, stable) = (Counter::define("canary")?, Counter::define("stable")?);
        Ok(StickyCanary {
            options,
            pools: Pools::default(),
            canary,
            stable,
        })
    }
}

impl Topology for StickyCanary {
    fn backends_changed(&mut self, pool: &Pool, backends: &[Backend]) {
        let Options { label, canary, .. } = &self.options;
        let mut members = Members {
            tokens: Vec::new(),
            tracks: Default::default(),
        };
        for (index, backend) in (0..).zip(backends) {
            let track = usize::from(backend.label(label) == Some(canary.as_str()));
            let hash = hash::of(0, backend.address.as_bytes());
            members.tokens.push(format!("{}{hash:016x}", MARKS[track]));
            members.tracks[track].push(index);
        }
        self.pools.keep(pool.id, members);
    }
}

impl Select for StickyCanary {
    fn select(&mut self, request: &Request, attempt: &Attempt) -> Decision {
        let Some(members) = self.pools.at(attempt.pool) else {
            return Decision::Pass;
        };
        let cookie = request.cookie(&self.options.cookie);
        let track = self.track(cookie.as_deref());
        let is_own = |index: &u32| {
            cookie.as_deref() == Some(members.tokens[*index as usize].as_bytes())
                && attempt.is_usable(*index)
        };
        let own = members.tracks[track].iter().copied().find(is_own);
        let chosen = own
            .or_else(|| any(&members.tracks[track], attempt))
            .or_else(|| any(&members.tracks[1 - track], attempt));
        if let Some(index) = chosen {
            let is_canary = members.tracks[CANARY].contains(&index);
            if is_canary { self.canary } else { self.stable }.count();
        }
        chosen.into()
    }
}

impl StickyCanary {
    /// The version that a client with this cookie has, or gets.
    fn track(&self, cookie: Option<&[u8]>) -> usize {
        let share = self.options.share;
        let has = |track: usize| cookie.is_some_and(|at| at.starts_with(MARKS[track].as_bytes()));
        if share == 0 || has(STABLE) {
            STABLE
        } else if has(CANARY) {
            CANARY
        } else {
            usize::from(random::below(100) < share)
        }
    }
}

/// One of those that can be used, all equally likely.
fn any(backends: &[u32], attempt: &Attempt) -> Option<u32> {
    let mut drawn = None;
    let usable = backends
        .iter()
        .filter(|backend| attempt.is_usable(**backend));
    for (seen, backend) in (1..).zip(usable) {
        if random::below(seen) == 0 {
            drawn = Some(*backend);
        }
    }
    drawn
}

impl EditResponse for StickyCanary {
    fn edit_response(
        &mut self,
        request: &Request,
        _: u16,
        backend: u32,
        headers: &mut Headers,
    ) -> Result<(), Response> {
        let members = self.pools.at(request.pool());
        let Some(token) = members.and_then(|members| members.tokens.get(backend as usize)) else {
            return Ok(());
        };
        let Options {
            cookie, max_age, ..
        } = &self.options;
        if request.cookie(cookie).as_deref() != Some(token.as_bytes()) {
            let age = max_age
                .map(|seconds| format!("; Max-Age={seconds}"))
                .unwrap_or_default();
            let value = format!("{cookie}={token}; Path=/; HttpOnly; SameSite=Lax{age}");
            if let Err(error) = headers.append("set-cookie", value) {
                log::warn(format!("the cookie was not written: {error}"));
            }
        }
        Ok(())
    }
}

waypost_policy::export!(StickyCanary: Configure, Topology, Select, EditResponse);

#[cfg(test)]
mod tests {
    use waypost_policy::testing::{self, Host};

    use super::*;

    fn backends() -> Vec<Backend> {
        let track = |n: u32| if n < 3 { "stable" } else { "canary" };
        (0..5)
            .map(|n| Backend::new(&format!("10.0.0.{n}:80")).with_label("track", track(n)))
            .collect()
    }

    /// The cookie that the response of this backend brings.
    fn cookie(policy: &mut testing::TestPolicy<StickyCanary>, backend: u32) -> String {
        let mut response = testing::response(200).from_backend(backend);
        policy
            .edit_response(&testing::get("/"), &mut response)
            .unwrap();
        let set = response.text("set-cookie").unwrap();
        set.split_once("; ").unwrap().0.to_owned()
    }

    #[test]
    fn a_client_keeps_its_version_and_its_backend() {
        let host = Host::new();
        let pool = host.pool("web", backends());
        let mut policy = host.load::<StickyCanary>(r#"{"share": 30}"#).unwrap();
        let mut canaries = 0;
        for _ in 0..1000 {
            let Decision::Backend(first) = policy.select(&testing::get("/")) else {
                panic!("one is chosen")
            };
            canaries += u32::from(first >= 3);
            let again = testing::get("/").field("cookie", cookie(&mut policy, first));
            assert_eq!(policy.select(&again), Decision::Backend(first));
        }
        assert!((200..400).contains(&canaries), "{canaries}");

        let on_canary = testing::get("/").field("cookie", cookie(&mut policy, 3));
        pool.set_healthy(3, false);
        assert_eq!(policy.select(&on_canary), Decision::Backend(4));
        pool.set_healthy(4, false);
        assert!(matches!(policy.select(&on_canary), Decision::Backend(0..3)));
        (0..3).for_each(|stable| pool.set_healthy(stable, false));
        assert_eq!(policy.select(&on_canary), Decision::Pass);
    }

    #[test]
    fn a_withdrawn_canary_gives_its_clients_back() {
        let host = Host::new();
        host.pool("web", backends());
        let mut policy = host.load::<StickyCanary>(r#"{"share": 0}"#).unwrap();
        let on_canary = testing::get("/").field("cookie", cookie(&mut policy, 3));
        for _ in 0..100 {
            assert!(matches!(policy.select(&on_canary), Decision::Backend(0..3)));
        }
    }

    #[test]
    fn mistakes_name_their_key() {
        for (settings, expected) in [
            (r#"{"share": 101}"#, "share: "),
            (r#"{"share": 1, "cookie": "a b"}"#, "cookie: "),
            ("{}", "settings: missing field `share`"),
        ] {
            let error = Host::new().load::<StickyCanary>(settings).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
