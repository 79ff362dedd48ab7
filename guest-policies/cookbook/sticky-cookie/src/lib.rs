//! Keeps a client on its backend by a cookie, in the fewest lines.
//!
//! Use it where backends hold sessions in memory and clients keep cookies. The first choice is left
//! to the next policy of the route, or to the host; the response then brings a cookie that stands
//! for the backend. If that backend goes or is set aside, the client gets another one and another
//! cookie. The cookie is a hash of the backend's address: it says nothing to those who don't know
//! the address, but is no secret from those who guess it. (The built-in `sticky` also agrees
//! between workers before a client has a cookie.)
//!
//! ```toml
//! [policies.session.settings]
//! cookie = "backend"        # the cookie's name
//! max-age = 3600            # in seconds; left out: until the browser is closed
//! ```

use serde::Deserialize;
use waypost_policy::{cookie, hash, prelude::*};

struct StickyCookie {
    options: Options,
    tokens: Pools<Vec<String>>,
    kept: Counter,
    lost: Counter,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    #[serde(default = "cookie_name")]
    cookie: String,
    max_age: Option<u32>,
}

fn cookie_name() -> String {
    "backend".to_owned()
}

impl Configure for StickyCookie {
    fn configure(settings: Settings) -> Result<Self, String> {
        let options: Options = settings.parse()?;
        if !cookie::is_name(&options.cookie) {
            return Err(format!(
                "cookie: \"{}\" is not a cookie's name",
                options.cookie
            ));
        }
        let (kept, lost) = (Counter::define("kept")?, Counter::define("lost")?);
        Ok(StickyCookie {
            options,
            tokens: Pools::default(),
            kept,
            lost,
        })
    }
}

impl Topology for StickyCookie {
    fn backends_changed(&mut self, pool: &Pool, backends: &[Backend]) {
        // Made of the address, so that a cookie holds when the list changes.
        let token = |backend: &Backend| format!("{:016x}", hash::of(0, backend.address.as_bytes()));
        self.tokens
            .keep(pool.id, backends.iter().map(token).collect());
    }
}

impl Select for StickyCookie {
    fn select(&mut self, request: &Request, attempt: &Attempt) -> Decision {
        let Some(cookie) = request.cookie(&self.options.cookie) else {
            return Decision::Pass;
        };
        let tokens = self
            .tokens
            .at(attempt.pool)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let backend = tokens
            .iter()
            .position(|token| token.as_bytes() == cookie)
            .map(|at| at as u32);
        let usable = backend.filter(|backend| attempt.is_usable(*backend));
        if usable.is_some() {
            self.kept
        } else {
            self.lost
        }
        .count();
        usable.into()
    }
}

impl EditResponse for StickyCookie {
    fn edit_response(
        &mut self,
        request: &Request,
        _: u16,
        backend: u32,
        headers: &mut Headers,
    ) -> Result<(), Response> {
        let tokens = self.tokens.at(request.pool());
        let Some(token) = tokens.and_then(|tokens| tokens.get(backend as usize)) else {
            return Ok(());
        };
        let Options { cookie, max_age } = &self.options;
        if request.cookie(cookie).as_deref() != Some(token.as_bytes()) {
            let age = max_age
                .map(|seconds| format!("; Max-Age={seconds}"))
                .unwrap_or_default();
            let written = headers.append(
                "set-cookie",
                format!("{cookie}={token}; Path=/; HttpOnly; SameSite=Lax{age}"),
            );
            if let Err(error) = written {
                log::warn(format!("the cookie was not written: {error}"));
            }
        }
        Ok(())
    }
}

waypost_policy::export!(StickyCookie: Configure, Topology, Select, EditResponse);

#[cfg(test)]
mod tests {
    use waypost_policy::testing::{self, Host};

    use super::*;

    #[test]
    fn the_cookie_brings_the_client_back() {
        let host = Host::new();
        let backends =
            |from: u32| (from..from + 3).map(|n| Backend::new(&format!("10.0.0.{n}:80")));
        let pool = host.pool("web", backends(1));
        let mut policy = host
            .load::<StickyCookie>(r#"{"cookie": "at", "max-age": 60}"#)
            .unwrap();
        assert_eq!(policy.select(&testing::get("/")), Decision::Pass);
        let mut response = testing::response(200).from_backend(1);
        policy
            .edit_response(&testing::get("/"), &mut response)
            .unwrap();
        let (cookie, attributes) = response
            .text("set-cookie")
            .unwrap()
            .split_once("; ")
            .unwrap();
        assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax; Max-Age=60");

        let again = testing::get("/").field("cookie", format!("other=1; {cookie}"));
        assert_eq!(policy.select(&again), Decision::Backend(1));
        let mut response = testing::response(200).from_backend(1);
        policy.edit_response(&again, &mut response).unwrap();
        assert_eq!(
            response.value("set-cookie"),
            None,
            "it has the cookie already"
        );

        pool.change(&mut policy, backends(0));
        assert_eq!(
            policy.select(&again),
            Decision::Backend(2),
            "the list moved, the client did not"
        );
        pool.set_healthy(2, false);
        assert_eq!(policy.select(&again), Decision::Pass);
        assert_eq!((host.counted("kept"), host.counted("lost")), (2, 1));
    }

    #[test]
    fn mistakes_are_told() {
        let error = Host::new()
            .load::<StickyCookie>(r#"{"cookie": "a b"}"#)
            .unwrap_err();
        assert_eq!(error, "cookie: \"a b\" is not a cookie's name");
    }
}
