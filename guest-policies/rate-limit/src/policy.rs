//! The component: the contract on one side, `bucket` on the other.

#![allow(unsafe_code, missing_docs, reason = "the generated bindings")]

use std::cell::RefCell;

use crate::{
    bucket::{Outcome, Shelf},
    key,
    settings::{Key, Settings},
};

wit_bindgen::generate!({
    path: "../../wit",
    inline: "
        package waypost:rate-limit-policy;

        world rate-limit-policy {
            include waypost:policy/imports@0.1.0;
            export waypost:policy/configuration@0.1.0;
            export waypost:policy/request-headers@0.1.0;
        }
    ",
    generate_all,
});

use exports::waypost::policy::{
    configuration,
    request_headers::{self, Headers, Request, Response},
};
use waypost::policy::{clock, counters, store};

#[derive(Default)]
struct State {
    settings: Settings,
    allowed: u32,
    limited: u32,
    unsure: u32,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

struct RateLimit;

impl configuration::Guest for RateLimit {
    fn configure(settings: String) -> Result<(), String> {
        let state = State {
            settings: Settings::parse(&settings)?,
            allowed: counters::define("allowed")?,
            limited: counters::define("limited")?,
            unsure: counters::define("unsure")?,
        };
        STATE.set(state);
        Ok(())
    }
}

impl request_headers::Guest for RateLimit {
    fn edit_request(request: &Request, _headers: &Headers) -> Result<(), Response> {
        STATE.with_borrow(|state| {
            let settings = &state.settings;
            let (counter, answer) = match settings.limit.take(&key_of(settings, request), &mut Host) {
                Outcome::Allowed => (state.allowed, Ok(())),
                Outcome::Unsure => (state.unsure, Ok(())),
                Outcome::Limited(seconds) => (state.limited, Err(too_many(seconds))),
            };
            counters::add(counter, 1);
            answer
        })
    }
}

fn key_of(settings: &Settings, request: &Request) -> String {
    let value = match &settings.key {
        Key::Client => None,
        Key::Header(name) => request.header(name),
    };
    match value {
        Some(value) => key::of_value(&value),
        None => key::of_client(&request.client_address(), settings.prefix_v6),
    }
}

fn too_many(seconds: u64) -> Response {
    let field = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    Response {
        status: 429,
        headers: vec![field("retry-after", &seconds.to_string()), field("content-type", "text/plain; charset=utf-8")],
        body: format!("Too many requests; try again in {seconds} s.\n").into_bytes(),
    }
}

struct Host;

impl Shelf for Host {
    fn now(&self) -> u64 {
        clock::monotonic_nanoseconds()
    }
    fn bucket(&self, key: &str) -> Option<Vec<u8>> {
        store::get(key)
    }
    fn replace(&mut self, key: &str, expected: Option<&[u8]>, bucket: &[u8], ttl_milliseconds: u64) -> Option<bool> {
        store::compare_and_set(key, expected, bucket, ttl_milliseconds).ok()
    }
}

export!(RateLimit);
