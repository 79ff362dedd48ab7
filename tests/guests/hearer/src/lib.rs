//! Keeps in the store what it hears of requests with a field `x-id`, and tells it when it is asked.

#![cfg(target_arch = "wasm32")]

use std::arch::wasm32::unreachable;

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package tests:hearer;

        world hearer {
            include waypost:policy/imports@0.1.0;
            export waypost:policy/request-headers@0.1.0;
            export waypost:policy/selection@0.1.0;
            export waypost:policy/response-headers@0.1.0;
            export waypost:policy/completion@0.1.0;
        }
    ",
    generate_all,
});

use exports::waypost::policy::{
    completion::{self, Failure, Outcome},
    request_headers::{self, Headers, Request, Response},
    response_headers, selection,
};
use waypost::policy::{attempts, clock, counters, log, store};

struct Hearer;

fn text(request: &Request, name: &str) -> Option<String> {
    let value = request.header(name)?;
    Some(String::from_utf8_lossy(&value).into_owned())
}

fn answer(status: u16, body: String) -> Response {
    Response {
        status,
        headers: Vec::new(),
        body: body.into_bytes(),
    }
}

/// Does what this field says: `trap`, `loop`, `spin=MICROSECONDS` or `refuse=STATUS`.
fn act(request: &Request, name: &str) -> Result<(), Response> {
    let Some(action) = text(request, name) else {
        return Ok(());
    };
    let (action, argument) = action.split_once('=').unwrap_or((&action, ""));
    let number: u64 = argument.parse().unwrap_or(0);
    match action {
        "trap" => unreachable(),
        "loop" => loop {
            clock::monotonic_nanoseconds();
        },
        "spin" => {
            let end = clock::monotonic_nanoseconds() + number * 1000;
            while clock::monotonic_nanoseconds() < end {}
            Ok(())
        }
        "refuse" => Err(answer(number as u16, "refused".to_owned())),
        _ => Ok(()),
    }
}

impl request_headers::Guest for Hearer {
    fn edit_request(request: &Request, headers: &Headers) -> Result<(), Response> {
        if let Some(id) = text(request, "x-read") {
            let count = store::counter(&id).unwrap_or(0);
            let heard = store::get(&id).unwrap_or_default();
            let heard = String::from_utf8_lossy(&heard);
            return Err(answer(200, format!("{count} {heard}")));
        }
        // A refused edit would show as a missing field.
        let _ = headers.set("x-edited", b"yes");
        act(request, "x-request")
    }
}

impl selection::Guest for Hearer {
    fn select(request: &Request, _pool: u32, attempt: u32) -> Result<Option<u32>, Response> {
        act(request, "x-select")?;
        let picks = text(request, "x-picks").unwrap_or_default();
        let pick = picks.split(',').nth(attempt as usize - 1);
        Ok(pick.and_then(|pick| pick.parse().ok()))
    }
}

impl response_headers::Guest for Hearer {
    fn edit_response(
        request: &Request,
        _status: u16,
        _backend: u32,
        _headers: &Headers,
    ) -> Result<(), Response> {
        act(request, "x-response")
    }
}

impl completion::Guest for Hearer {
    fn completed(request: &Request, outcome: Outcome) {
        if let Ok(counter) = counters::define("heard") {
            counters::add(counter, 1);
        }
        let _ = act(request, "x-completed");
        if let Some(id) = text(request, "x-id") {
            let _ = store::set(&id, heard(request, &outcome).as_bytes(), 0);
            let _ = store::increment(&id, 1, 0);
            log::write(log::Level::Info, &format!("heard of {id}"));
        }
    }
}

/// `KEY=VALUE` of all that it was told, separated by spaces.
fn heard(request: &Request, outcome: &Outcome) -> String {
    let number = |value: Option<u64>| value.map_or("none".to_owned(), |n| n.to_string());
    let failure = outcome.failure.map_or("none", |failure| match failure {
        Failure::Client => "client",
        Failure::Policy => "policy",
        Failure::Refused => "refused",
        Failure::Backend => "backend",
        Failure::Timeout => "timeout",
        Failure::Cancelled => "cancelled",
    });
    let failed: Vec<String> = attempts::failed()
        .iter()
        .map(|past| past.backend.to_string())
        .collect();
    format!(
        "pool={} backend={} status={} failure={failure} attempts={} first-byte={} latency={} duration={} \
         request-bytes={} response-bytes={} failed={} edited={} path={}",
        outcome.pool,
        number(outcome.backend.map(u64::from)),
        number(outcome.status.map(u64::from)),
        outcome.attempts,
        number(outcome.first_byte_microseconds),
        number(outcome.latency_microseconds),
        outcome.duration_microseconds,
        outcome.request_bytes,
        outcome.response_bytes,
        failed.join(","),
        text(request, "x-edited").unwrap_or_default(),
        request.path(),
    )
}

export!(Hearer);
