//! The component: the contract on one side, `choice` and `cookie` on the other.

#![allow(unsafe_code, missing_docs, reason = "the generated bindings")]

use std::{cell::RefCell, collections::BTreeMap};

use crate::{
    choice::{Choice, Facts, Memory, Pool, Token},
    cookie,
    settings::Settings,
};

wit_bindgen::generate!({
    path: "../../wit",
    inline: "
        package waypost:sticky-policy;

        world sticky-policy {
            include waypost:policy/imports@0.1.0;
            export waypost:policy/configuration@0.1.0;
            export waypost:policy/topology@0.1.0;
            export waypost:policy/selection@0.1.0;
            export waypost:policy/response-headers@0.1.0;
        }
    ",
    generate_all,
});

use exports::waypost::policy::{
    configuration,
    response_headers::{self, Headers},
    selection::{self, Request, Response},
    topology::{self, Backend},
};
use waypost::policy::{
    attempts::{self, FailedAttempt},
    backend_facts, counters, log, store,
};

#[derive(Default)]
struct State {
    settings: Settings,
    pools: BTreeMap<u32, Pool>,
    counters: Counters,
}

#[derive(Default)]
struct Counters {
    kept: u32,
    remembered: u32,
    hashed: u32,
    moved: u32,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

struct Sticky;

impl configuration::Guest for Sticky {
    fn configure(settings: String) -> Result<(), String> {
        let settings = Settings::parse(&settings)?;
        let counters = Counters {
            kept: counters::define("kept")?,
            remembered: counters::define("remembered")?,
            hashed: counters::define("hashed")?,
            moved: counters::define("moved")?,
        };
        STATE.set(State { settings, counters, pools: BTreeMap::new() });
        Ok(())
    }
}

impl topology::Guest for Sticky {
    fn backends_changed(pool: topology::Pool, _generation: u64, backends: Vec<Backend>) {
        let told = backends.iter().map(|backend| (backend.address.as_str(), backend.weight));
        let ready = Pool::new(&pool.name, told);
        STATE.with_borrow_mut(|state| state.pools.insert(pool.id, ready));
    }
}

impl selection::Guest for Sticky {
    fn select(request: &Request, pool: u32, attempt: u32) -> Result<Option<u32>, Response> {
        STATE.with_borrow(|state| {
            let Some(pool) = state.pools.get(&pool) else { return Ok(None) };
            let (counted, facts) = (&state.counters, Host::at(attempt));
            let cookies = request.header("cookie").unwrap_or_default();
            let named = cookie::find(&cookies, &state.settings.cookie);
            if let Some(backend) = named.and_then(|named| pool.keep(named, &facts)) {
                counters::add(counted.kept, 1);
                return Ok(Some(backend));
            }
            let client = request.client_address();
            let mut memory = Shared {
                key: [&String::from_utf8_lossy(&pool.id), " ", &client].concat(),
                milliseconds: state.settings.remember_milliseconds,
            };
            let (counter, backend) = match pool.choose(&client, &facts, &mut memory) {
                Choice::Remembered(backend) => (counted.remembered, backend),
                Choice::Hashed(backend) => (counted.hashed, backend),
                Choice::Nobody => return Ok(None),
            };
            counters::add(if named.is_some() { counted.moved } else { counter }, 1);
            Ok(Some(backend))
        })
    }
}

impl response_headers::Guest for Sticky {
    fn edit_response(request: &Request, _status: u16, backend: u32, headers: &Headers) -> Result<(), Response> {
        STATE.with_borrow(|state| {
            let pool = state.pools.get(&request.pool());
            let Some(token) = pool.and_then(|pool| pool.token(backend)) else { return };
            let cookies = request.header("cookie").unwrap_or_default();
            let name = &state.settings.cookie;
            if cookie::find(&cookies, name) == Some(token) {
                return;
            }
            if let Err(error) = headers.append("set-cookie", &cookie::write(name, token, &state.settings.attributes)) {
                log::write(log::Level::Warn, &format!("the cookie was not written: {}", error.name()));
            }
        });
        Ok(())
    }
}

struct Host {
    failed: Vec<FailedAttempt>,
}

impl Host {
    fn at(attempt: u32) -> Self {
        // The first attempt is nearly every request: it costs no call and no allocation.
        Host { failed: if attempt > 1 { attempts::failed() } else { Vec::new() } }
    }
}

impl Facts for Host {
    fn healthy(&self, backend: u32) -> bool {
        backend_facts::healthy(backend)
    }
    fn failed(&self, backend: u32) -> bool {
        self.failed.iter().any(|attempt| attempt.backend == backend)
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
        store::get(&self.key)?.try_into().ok()
    }
    fn remember(&mut self, expected: Option<Token>, token: Token) -> bool {
        // Without a store that takes it, the hash alone decides.
        self.milliseconds == 0
            || store::compare_and_set(&self.key, expected.as_ref().map(|old| &old[..]), &token, self.milliseconds)
                .unwrap_or(true)
    }
}

export!(Sticky);
