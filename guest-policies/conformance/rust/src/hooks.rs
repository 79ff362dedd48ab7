//! Every hook of the contract.

use std::{cell::RefCell, collections::BTreeMap};

use crate::{
    command::{any, commands, count, number},
    report,
    settings::Settings,
    ways,
};

wit_bindgen::generate!({ path: "../../../wit", world: "every-hook" });

use exports::waypost::policy::{
    completion::{self, Outcome},
    configuration, destination, local_response,
    range::{self, ByteRange},
    request_headers, request_target, response_headers, routing, selection,
    topology::{self, Backend, Pool},
};
pub use waypost::policy::types::{Headers, Request, Response, Target};
use waypost::policy::{
    attempts::{self, FailedAttempt, Failure},
    log,
};

/// What the instance remembers.
#[derive(Default)]
pub struct State {
    pub settings: Settings,
    pub calls: u64,
    pub pools: BTreeMap<u32, Told>,
}

/// What `backends-changed` told about a pool.
pub struct Told {
    pub name: String,
    pub generation: u64,
    pub backends: Vec<Backend>,
}

thread_local! {
    pub static STATE: RefCell<State> = RefCell::default();
}

struct Conformance;

impl configuration::Guest for Conformance {
    fn configure(settings: String) -> Result<(), String> {
        let settings = Settings::parse(&settings)?;
        count("configured", 1);
        STATE.with_borrow_mut(|state| state.settings = settings);
        Ok(())
    }
}

impl topology::Guest for Conformance {
    fn backends_changed(pool: Pool, generation: u64, backends: Vec<Backend>) {
        let told = Told {
            name: pool.name,
            generation,
            backends,
        };
        STATE.with_borrow_mut(|state| state.pools.insert(pool.id, told));
    }
}

impl range::Guest for Conformance {
    fn check(request: &Request) -> Result<Option<Vec<ByteRange>>, Response> {
        called();
        let (mut answer, mut refused) = (None, None);
        for command in commands(request, "range") {
            match command.verb.as_str() {
                "ignore" => answer = Some(Vec::new()),
                "ranges" => answer = Some(command.text().split(',').map(byte_range).collect()),
                _ => any(&command, "range", &mut refused),
            }
        }
        refused.map_or(Ok(answer), Err)
    }
}

fn byte_range(text: &str) -> ByteRange {
    let (first, last) = text.split_once('-').expect("a range is A-B, A- or -B");
    let end = |text: &str| (!text.is_empty()).then(|| number(text.as_bytes()));
    ByteRange {
        first: end(first),
        last: end(last),
    }
}

impl selection::Guest for Conformance {
    fn select(request: &Request, _pool: u32, attempt: u32) -> Result<Option<u32>, Response> {
        called();
        let (mut choice, mut refused) = (STATE.with_borrow(|state| state.settings.pick), None);
        for command in commands(request, "select") {
            match command.verb.as_str() {
                "pick" => choice = Some(number(command.text().as_bytes())),
                "none" => choice = None,
                "picks" => {
                    let pick = command.text().split(',').nth(attempt as usize - 1);
                    choice = pick.map(|pick| number(pick.as_bytes()));
                }
                "tell" if number::<u32>(command.text().as_bytes()) == attempt => {
                    refused = Some(told(attempt))
                }
                "tell" => {}
                _ => any(&command, "select", &mut refused),
            }
        }
        refused.map_or(Ok(choice), Err)
    }
}

fn told(attempt: u32) -> Response {
    Response {
        status: 200,
        headers: Vec::new(),
        body: format!("{attempt}{}", failed()).into_bytes(),
    }
}

/// The attempts that failed, each after a space.
fn failed() -> String {
    let failed = |past: &FailedAttempt| format!(" {}:{}", past.backend, failure(past.failure));
    attempts::failed().iter().map(failed).collect()
}

fn failure(failure: Failure) -> &'static str {
    match failure {
        Failure::Connect => "connect",
        Failure::ConnectTimeout => "connect-timeout",
        Failure::Closed => "closed",
        Failure::Other => "other",
    }
}

impl request_headers::Guest for Conformance {
    fn edit_request(request: &Request, headers: &Headers) -> Result<(), Response> {
        edit(request, headers, "request", "")
    }
}

impl response_headers::Guest for Conformance {
    fn edit_response(
        request: &Request,
        status: u16,
        backend: u32,
        headers: &Headers,
    ) -> Result<(), Response> {
        edit(request, headers, "response", &format!("{status} {backend}"))
    }
}

fn edit(request: &Request, headers: &Headers, hook: &str, answer: &str) -> Result<(), Response> {
    called();
    let mut refused = None;
    for command in commands(request, hook) {
        match report::outcome(&command, request, headers, answer) {
            // A refused edit would show as a field that is missing.
            Some(outcome) => drop(headers.append("x-did", outcome.as_bytes())),
            None if command.verb == "many" => {
                report::many(number(command.text().as_bytes()), headers)
            }
            None => any(&command, hook, &mut refused),
        }
    }
    refused.map_or(Ok(()), Err)
}

impl local_response::Guest for Conformance {
    fn edit_local_response(
        request: &Request,
        status: u16,
        source: local_response::Source,
        headers: &Headers,
    ) {
        let source = match source {
            local_response::Source::Proxy => "proxy",
            local_response::Source::Policy => "policy",
        };
        // There is nothing to refuse.
        let _ = edit(request, headers, "local", &format!("{status} {source}"));
    }
}

impl routing::Guest for Conformance {
    fn route(request: &Request) -> Result<Option<u32>, Response> {
        ways::pool(request, "route", "")
    }
}

impl destination::Guest for Conformance {
    fn decide(request: &Request, port: u16, user: Option<String>) -> Result<Option<u32>, Response> {
        let user = user.unwrap_or("none".to_owned());
        ways::pool(
            request,
            "decide",
            &format!("{} {port} {user} ", request.host()),
        )
    }
}

impl request_target::Guest for Conformance {
    fn edit_target(request: &Request, target: &Target) -> Result<(), Response> {
        ways::edit(request, target)
    }
}

impl completion::Guest for Conformance {
    fn completed(request: &Request, outcome: Outcome) {
        for command in commands(request, "completed") {
            match command.verb.as_str() {
                "tell" => log::write(log::Level::Info, &heard(&outcome)),
                // There is nothing to refuse any more.
                _ => any(&command, "completed", &mut None),
            }
        }
    }
}

fn heard(outcome: &Outcome) -> String {
    let number = |value: Option<u64>| value.map_or("none".to_owned(), |n| n.to_string());
    let failure = match outcome.failure {
        None => "none",
        Some(completion::Failure::Client) => "client",
        Some(completion::Failure::Policy) => "policy",
        Some(completion::Failure::Refused) => "refused",
        Some(completion::Failure::Backend) => "backend",
        Some(completion::Failure::Timeout) => "timeout",
        Some(completion::Failure::Cancelled) => "cancelled",
    };
    format!(
        "heard {} {} {} {failure} {} {} {} {} {} {}{}",
        outcome.pool,
        number(outcome.backend.map(u64::from)),
        number(outcome.status.map(u64::from)),
        outcome.attempts,
        number(outcome.first_byte_microseconds),
        number(outcome.latency_microseconds),
        outcome.duration_microseconds,
        outcome.request_bytes,
        outcome.response_bytes,
        failed(),
    )
}

pub fn called() {
    STATE.with_borrow_mut(|state| state.calls += 1);
}

export!(Conformance);
