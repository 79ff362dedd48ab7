//! The component: the contract on one side, `settings` and `router` on the other.

#![allow(unsafe_code, missing_docs, reason = "the generated bindings")]

use std::{cell::RefCell, collections::BTreeMap};

use crate::{
    router::{self, Facts, Outcome, Pool},
    settings::{Edits, Settings},
};

wit_bindgen::generate!({
    path: "../../wit",
    inline: "
        package waypost:header-router-policy;

        world header-router-policy {
            include waypost:policy/imports@0.1.0;
            export waypost:policy/configuration@0.1.0;
            export waypost:policy/topology@0.1.0;
            export waypost:policy/selection@0.1.0;
            export waypost:policy/request-headers@0.1.0;
            export waypost:policy/response-headers@0.1.0;
        }
    ",
    generate_all,
});

use exports::waypost::policy::{
    configuration, request_headers,
    response_headers::{self, Headers},
    selection::{self, Request, Response},
    topology::{self, Backend},
};
use waypost::policy::{
    attempts::{self, FailedAttempt},
    backend_facts, counters, log, random,
};

#[derive(Default)]
struct State {
    settings: Settings,
    pools: BTreeMap<u32, Pool>,
    counters: Counters,
}

#[derive(Default)]
struct Counters {
    routed: u32,
    hashed: u32,
    unmatched: u32,
    unusable: u32,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

struct HeaderRouter;

impl configuration::Guest for HeaderRouter {
    fn configure(settings: String) -> Result<(), String> {
        let settings = Settings::parse(&settings)?;
        let counters = Counters {
            routed: counters::define("routed")?,
            hashed: counters::define("hashed")?,
            unmatched: counters::define("unmatched")?,
            unusable: counters::define("unusable")?,
        };
        STATE.with_borrow_mut(|state| *state = State { settings, counters, ..State::default() });
        Ok(())
    }
}

impl topology::Guest for HeaderRouter {
    fn backends_changed(pool: topology::Pool, _generation: u64, backends: Vec<Backend>) {
        let name = |backend: &Backend| backend.labels.iter().position(|(key, _)| key == "name");
        let told = backends.iter().map(|backend| router::Backend {
            address: &backend.address,
            name: name(backend).map(|at| backend.labels[at].1.as_str()),
        });
        STATE.with_borrow_mut(|state| {
            let ready = Pool::new(&state.settings, &told.collect::<Vec<_>>());
            for route in ready.dangling().filter_map(|at| state.settings.routes.get(at)) {
                let sentence = format!(
                    "routes.{}: pool {} has no backend with the address or the name {}",
                    route.value, pool.name, route.target
                );
                log::write(log::Level::Warn, &sentence);
            }
            state.pools.insert(pool.id, ready);
        });
    }
}

impl selection::Guest for HeaderRouter {
    fn select(request: &Request, pool: u32, attempt: u32) -> Result<Option<u32>, Response> {
        STATE.with_borrow(|state| {
            let counted = &state.counters;
            let value = request.header(&state.settings.header);
            let outcome = match (value, state.pools.get(&pool)) {
                (Some(value), Some(pool)) => pool.route(&state.settings, &value, &mut Host::at(attempt)),
                _ => Outcome::Unmatched,
            };
            let (counter, choice) = match outcome {
                Outcome::Routed(backend) => (counted.routed, Some(backend)),
                Outcome::Hashed(backend) => (counted.hashed, Some(backend)),
                Outcome::Unmatched => (counted.unmatched, None),
                Outcome::Unusable => (counted.unusable, None),
            };
            counters::add(counter, 1);
            Ok(choice)
        })
    }
}

impl request_headers::Guest for HeaderRouter {
    fn edit_request(_request: &Request, headers: &Headers) -> Result<(), Response> {
        STATE.with_borrow(|state| edit(&state.settings.request, headers));
        Ok(())
    }
}

impl response_headers::Guest for HeaderRouter {
    fn edit_response(_request: &Request, _status: u16, _backend: u32, headers: &Headers) -> Result<(), Response> {
        STATE.with_borrow(|state| edit(&state.settings.response, headers));
        Ok(())
    }
}

fn edit(edits: &Edits, headers: &Headers) {
    let removed = edits.remove.iter().map(|name| (name, headers.remove(name)));
    let set = edits.set.iter().map(|(name, value)| (name, headers.set(name, value.as_bytes())));
    let appended = edits.append.iter().map(|(name, value)| (name, headers.append(name, value.as_bytes())));
    for (name, result) in removed.chain(set).chain(appended) {
        // The settings were checked, so this is about the message: it names the field in `connection`, or there is too much.
        if let Err(error) = result {
            log::write(log::Level::Warn, &format!("{name} was not written: {}", error.name()));
        }
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
    fn below(&mut self, bound: u32) -> u32 {
        random::below(bound)
    }
    fn usable(&self, backend: u32) -> bool {
        self.failed.iter().all(|attempt| attempt.backend != backend) && backend_facts::healthy(backend)
    }
}

export!(HeaderRouter);
