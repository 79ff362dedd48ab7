//! Always picks the last backend that did not fail yet, and says so: `x-policy: last` in each
//! response.

#![cfg(target_arch = "wasm32")]

use std::{cell::RefCell, collections::BTreeMap};

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package tests:pick-last;

        world pick-last {
            include waypost:policy/imports@0.1.0;
            export waypost:policy/topology@0.1.0;
            export waypost:policy/selection@0.1.0;
            export waypost:policy/response-headers@0.1.0;
        }
    ",
    generate_all,
});

use exports::waypost::policy::{
    response_headers::{self, Headers},
    selection::{self, Request, Response},
    topology::{self, Backend, Pool},
};
use waypost::policy::attempts;

thread_local! {
    static COUNTS: RefCell<BTreeMap<u32, u32>> = const { RefCell::new(BTreeMap::new()) };
}

struct Pick;

impl topology::Guest for Pick {
    fn backends_changed(pool: Pool, _generation: u64, backends: Vec<Backend>) {
        COUNTS.with_borrow_mut(|counts| counts.insert(pool.id, backends.len() as u32));
    }
}

impl selection::Guest for Pick {
    fn select(_request: &Request, pool: u32, attempt: u32) -> Result<Option<u32>, Response> {
        let count = COUNTS.with_borrow(|counts| counts.get(&pool).copied().unwrap_or(0));
        let failed = if attempt > 1 {
            attempts::failed()
        } else {
            Vec::new()
        };
        let untried = |backend: &u32| failed.iter().all(|failed| failed.backend != *backend);
        Ok((0..count).rev().find(untried))
    }
}

impl response_headers::Guest for Pick {
    fn edit_response(
        _request: &Request,
        _status: u16,
        _backend: u32,
        headers: &Headers,
    ) -> Result<(), Response> {
        // A refused edit would show as a missing field.
        let _ = headers.set("x-policy", b"last");
        Ok(())
    }
}

export!(Pick);
