//! Says where clients of the forward proxy may go, for each user, and by which way.
//!
//! Use it where the rules of `[forward]` are the same for all users and these are not, or where
//! some destinations are to be reached by a pool, such as the proxies of another network. It is
//! named by `policies` of `[forward]`. A pattern is a host, `*.` and the end of hosts, or `*`, each
//! with a port after `:` if it is to be that one. What no line is about is left to the rules, which
//! a policy can't overrule.
//!
//! ```toml
//! [policies.egress.settings]
//! deny = ["*.ads.example.com", "*:25"]
//!
//! [policies.egress.settings.users]            # who is named here goes nowhere else
//! ann = ["*.example.com:443", "example.org"]
//!
//! [policies.egress.settings.pools]            # by a pool of `[forward]`; the first pattern that fits
//! "*.internal.example.com" = "inner"
//! ```

use std::collections::BTreeMap;

use serde::Deserialize;
use waypost_policy::prelude::*;

struct Egress {
    deny: Vec<Pattern>,
    users: BTreeMap<String, Vec<Pattern>>,
    pools: Vec<(Pattern, String)>,
    names: Pools<String>,
    denied: Counter,
    rerouted: Counter,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Options {
    deny: Vec<String>,
    users: BTreeMap<String, Vec<String>>,
    pools: BTreeMap<String, String>,
}

struct Pattern {
    /// With its dot, if it is the end of hosts; empty for all.
    host: String,
    is_end: bool,
    port: Option<u16>,
}

impl Pattern {
    fn read(key: &str, text: &str) -> Result<Self, String> {
        let wrong = || format!("{key}: \"{text}\" is no host, *.END or *, with or without a port");
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, Some(port.parse().map_err(|_| wrong())?))
            }
            _ => (text, None),
        };
        let is_end = host.starts_with('*');
        let rest = host.strip_prefix('*').unwrap_or(host);
        let is_whole = !is_end || rest.is_empty() || rest.starts_with('.') && rest.len() > 1;
        if host.is_empty() || !is_whole || rest.contains(['*', '/', ' ']) {
            return Err(wrong());
        }
        let host = rest.to_ascii_lowercase();
        Ok(Pattern { host, is_end, port })
    }

    fn read_all(key: &str, texts: &[String]) -> Result<Vec<Self>, String> {
        texts.iter().map(|text| Pattern::read(key, text)).collect()
    }

    fn fits(&self, host: &str, port: u16) -> bool {
        let is_host = match self.is_end {
            true => host.len() > self.host.len() && host.ends_with(&self.host),
            false => host == self.host,
        };
        is_host && self.port.is_none_or(|own| own == port)
    }
}

impl Configure for Egress {
    fn configure(settings: Settings) -> Result<Self, String> {
        let options: Options = settings.parse()?;
        let users = options.users.iter().map(|(user, texts)| {
            let patterns = Pattern::read_all(&format!("users.{user}"), texts)?;
            Ok((user.clone(), patterns))
        });
        let pools = options.pools.iter().map(|(text, pool)| {
            let pattern = Pattern::read("pools", text)?;
            Ok((pattern, pool.clone()))
        });
        Ok(Egress {
            deny: Pattern::read_all("deny", &options.deny)?,
            users: users.collect::<Result<_, String>>()?,
            pools: pools.collect::<Result<_, String>>()?,
            names: Pools::default(),
            denied: Counter::define("denied")?,
            rerouted: Counter::define("rerouted")?,
        })
    }
}

impl Topology for Egress {
    fn backends_changed(&mut self, pool: &Pool, _backends: &[Backend]) {
        self.names.keep(pool.id, pool.name.clone());
    }
}

impl DecideDestination for Egress {
    fn decide_destination(&mut self, request: &Request, destination: &Destination) -> PoolDecision {
        let host = request.host();
        let fits = |pattern: &Pattern| pattern.fits(&host, destination.port);
        let user = destination.user.as_ref();
        let own = user.and_then(|user| self.users.get(user));
        if self.deny.iter().any(fits) || own.is_some_and(|own| !own.iter().any(fits)) {
            self.denied.count();
            let port = destination.port;
            let refusal = format!("{host}:{port} is none of the destinations you may reach.\n");
            return Response::new(403).text(refusal).into();
        }
        let Some((_, pool)) = self.pools.iter().find(|(pattern, _)| fits(pattern)) else {
            return PoolDecision::Pass;
        };
        let is_named = |id| self.names.at(id) == Some(pool);
        match request.pool_index(is_named) {
            Some(index) => {
                self.rerouted.count();
                PoolDecision::Pool(index)
            }
            // To go straight there in its place is what the operator does not want.
            None => Response::new(502)
                .text("The way to this destination is missing.\n")
                .into(),
        }
    }
}

waypost_policy::export!(Egress: Configure, Topology, DecideDestination);

#[cfg(test)]
mod tests {
    use waypost_policy::testing::{self, Host};

    use super::*;

    const SETTINGS: &str = r#"{"deny": ["*.ads.test", "*:25"],
        "users": {"ann": ["*.example.test:443", "[::1]:80"]},
        "pools": {"*.inner.test": "inner", "lost.test": "nowhere"}}"#;

    fn status(decision: PoolDecision) -> u16 {
        match decision {
            PoolDecision::Answer(response) => response.status,
            PoolDecision::Pool(index) => index as u16,
            PoolDecision::Pass => 999,
        }
    }

    #[test]
    fn destinations_are_denied_left_or_rerouted() {
        let host = Host::new();
        let [_, inner] = ["other", "inner"].map(|name| host.pool(name, []));
        let mut policy = host.load::<Egress>(SETTINGS).unwrap();
        let mut decide = |name: &str, port: u16, user: Option<&str>| {
            let user = user.map(str::to_owned);
            let request = testing::request("CONNECT", "").host(name).pools([&inner]);
            status(policy.decide_destination(&request, Destination { port, user }))
        };
        for (name, port, user, expected) in [
            ("a.ads.test", 443, None, 403),
            ("ads.test", 443, None, 999),
            ("mail.test", 25, None, 403),
            ("mail.test", 26, None, 999),
            ("a.inner.test", 80, None, 0),
            ("lost.test", 80, None, 502),
            ("a.example.test", 443, Some("ann"), 999),
            ("a.example.test", 80, Some("ann"), 403),
            ("a.inner.test", 80, Some("ann"), 403),
            ("[::1]", 80, Some("ann"), 999),
            ("a.inner.test", 80, Some("bob"), 0),
        ] {
            assert_eq!(decide(name, port, user), expected, "{name}:{port} {user:?}");
        }
        assert_eq!((host.counted("denied"), host.counted("rerouted")), (4, 2));
    }

    #[test]
    fn mistakes_are_told() {
        for (settings, key) in [
            (r#"{"deny": ["a:b"]}"#, "deny: \"a:b\""),
            (r#"{"deny": ["*a.test"]}"#, "deny: \"*a.test\""),
            (r#"{"deny": [""]}"#, "deny: \"\""),
            (
                r#"{"users": {"ann": ["http://a.test"]}}"#,
                "users.ann: \"http://a.test\"",
            ),
            (r#"{"pools": {"*.": "x"}}"#, "pools: \"*.\""),
        ] {
            let error = Host::new().load::<Egress>(settings).unwrap_err();
            assert!(error.starts_with(key), "{error}");
        }
    }
}
