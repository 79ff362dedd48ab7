//! The component: the contract on one side, `choice` on the other.

#![allow(unsafe_code, missing_docs, reason = "the generated bindings")]

use std::{cell::RefCell, collections::BTreeMap};

use crate::choice::{Facts, Pool};

wit_bindgen::generate!({
    path: "../../wit",
    inline: "
        package waypost:random-policy;

        world random-policy {
            include waypost:policy/imports@0.1.0;
            export waypost:policy/topology@0.1.0;
            export waypost:policy/selection@0.1.0;
        }
    ",
    generate_all,
});

use exports::waypost::policy::{
    selection::{self, Request, Response},
    topology::{self, Backend},
};
use waypost::policy::{
    attempts::{self, FailedAttempt},
    backend_facts, random,
};

thread_local! {
    static POOLS: RefCell<BTreeMap<u32, Pool>> = const { RefCell::new(BTreeMap::new()) };
}

struct Random;

impl topology::Guest for Random {
    fn backends_changed(pool: topology::Pool, _generation: u64, backends: Vec<Backend>) {
        let weights: Vec<u32> = backends.iter().map(|backend| backend.weight).collect();
        POOLS.with_borrow_mut(|pools| pools.insert(pool.id, Pool::new(&weights)));
    }
}

impl selection::Guest for Random {
    fn select(_request: &Request, pool: u32, attempt: u32) -> Result<Option<u32>, Response> {
        let mut facts = Host::at(attempt);
        POOLS.with_borrow_mut(|pools| Ok(pools.get_mut(&pool).and_then(|pool| pool.draw(&mut facts))))
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
    fn healthy(&self, backend: u32) -> bool {
        backend_facts::healthy(backend)
    }
    fn failed(&self, backend: u32) -> bool {
        self.failed.iter().any(|attempt| attempt.backend == backend)
    }
}

export!(Random);
