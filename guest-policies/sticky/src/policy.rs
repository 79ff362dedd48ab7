//! The component: the contract on one side, `choice` and `cookie` on the other.

use std::time::Duration;

use waypost_policy::{cookie::find, prelude::*, store};

use crate::{
    choice::{self, Choice, Facts, Memory, Token},
    cookie, settings,
};

/// Keeps clients on their backends.
#[derive(Debug)]
pub struct Sticky {
    settings: settings::Settings,
    pools: Pools<choice::Pool>,
    kept: Counter,
    remembered: Counter,
    hashed: Counter,
    moved: Counter,
}

impl Configure for Sticky {
    fn configure(settings: Settings) -> Result<Self, String> {
        Ok(Sticky {
            settings: settings::Settings::parse(settings.json())?,
            pools: Pools::default(),
            kept: Counter::define("kept")?,
            remembered: Counter::define("remembered")?,
            hashed: Counter::define("hashed")?,
            moved: Counter::define("moved")?,
        })
    }
}

impl Topology for Sticky {
    fn backends_changed(&mut self, pool: &Pool, backends: &[Backend]) {
        let told = backends
            .iter()
            .map(|backend| (backend.address.as_str(), backend.weight));
        self.pools
            .keep(pool.id, choice::Pool::new(&pool.name, told));
    }
}

impl Select for Sticky {
    fn select(&mut self, request: &Request, attempt: &Attempt) -> Decision {
        let Some(pool) = self.pools.at(attempt.pool) else {
            return Decision::Pass;
        };
        let cookies = request.header("cookie").unwrap_or_default();
        let named = find(&cookies, &self.settings.cookie);
        if let Some(backend) = named.and_then(|named| pool.keep(named, &attempt)) {
            self.kept.count();
            return backend.into();
        }
        let client = request.client_address();
        let mut memory = Shared {
            key: [&String::from_utf8_lossy(&pool.id), " ", &client].concat(),
            milliseconds: self.settings.remember_milliseconds,
        };
        let (counter, backend) = match pool.choose(&client, &attempt, &mut memory) {
            Choice::Remembered(backend) => (self.remembered, backend),
            Choice::Hashed(backend) => (self.hashed, backend),
            Choice::Nobody => return Decision::Pass,
        };
        if named.is_some() { self.moved } else { counter }.count();
        backend.into()
    }
}

impl EditResponse for Sticky {
    fn edit_response(
        &mut self,
        request: &Request,
        _: u16,
        backend: u32,
        headers: &mut Headers,
    ) -> Result<(), Response> {
        let pool = self.pools.at(request.pool());
        let Some(token) = pool.and_then(|pool| pool.token(backend)) else {
            return Ok(());
        };
        let cookies = request.header("cookie").unwrap_or_default();
        let name = &self.settings.cookie;
        if find(&cookies, name) == Some(token) {
            return Ok(());
        }
        if let Err(error) = headers.append(
            "set-cookie",
            cookie::write(name, token, &self.settings.attributes),
        ) {
            log::warn(format!("the cookie was not written: {error}"));
        }
        Ok(())
    }
}

impl Facts for &Attempt<'_> {
    fn healthy(&self, backend: u32) -> bool {
        facts::healthy(backend)
    }
    fn failed(&self, backend: u32) -> bool {
        self.has_failed(backend)
    }
}

/// A client's place in the store.
struct Shared {
    key: String,
    milliseconds: u64,
}

impl Memory for Shared {
    fn recall(&self) -> Option<Token> {
        if self.milliseconds == 0 {
            return None;
        }
        store::value(&self.key)?.try_into().ok()
    }
    fn remember(&mut self, expected: Option<Token>, token: Token) -> bool {
        let (expected, time) = (
            expected.as_ref().map(<[u8; 16]>::as_slice),
            Duration::from_millis(self.milliseconds),
        );
        // Without a store that takes it, the hash alone decides.
        self.milliseconds == 0
            || store::compare_and_set(&self.key, expected, token, Some(time)).unwrap_or(true)
    }
}

waypost_policy::export!(Sticky: Configure, Topology, Select, EditResponse);

#[cfg(test)]
mod tests {
    use waypost_policy::testing::{self, Host};

    use super::*;

    #[test]
    fn a_client_stays_and_moves_only_when_it_must() {
        let host = Host::new();
        let pool = host.pool(
            "web",
            (1..=4).map(|n| Backend::new(&format!("10.0.0.{n}:80"))),
        );
        let mut policy = host.load::<Sticky>("{}").unwrap();
        let Decision::Backend(home) = policy.select(&testing::get("/")) else {
            panic!("no backend")
        };
        let mut response = testing::response(200).from_backend(home);
        policy
            .edit_response(&testing::get("/"), &mut response)
            .unwrap();
        let written = response.text("set-cookie").unwrap();
        let (cookie, attributes) = written.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax");

        let again = testing::get("/")
            .client("198.51.100.7")
            .field("cookie", cookie);
        assert_eq!(policy.select(&again), Decision::Backend(home));
        let mut response = testing::response(200).from_backend(home);
        policy.edit_response(&again, &mut response).unwrap();
        assert_eq!(response.text("set-cookie"), None, "it has the cookie");

        pool.set_healthy(home, false);
        assert_ne!(policy.select(&again), Decision::Backend(home));
        let mut other = host.load::<Sticky>("{}").unwrap();
        let moved = policy.select(&testing::get("/"));
        assert_eq!(other.select(&testing::get("/")), moved, "workers agree");
        assert_eq!(
            ["kept", "hashed", "moved", "remembered"].map(|name| host.counted(name)),
            [1, 2, 1, 1]
        );
    }
}
