//! Calls of the host without end: only the deadline stops them.

use std::hint::black_box;

use crate::{
    action::Action,
    hooks::{
        Headers, Request,
        waypost::policy::{
            attempts, backend_facts, client_certificate, clock, connection, counters, log, random,
        },
    },
};

/// `flood=WHAT` for what every hook can ask the host for; `None` if it is something else.
pub fn any(action: &Action) -> Option<String> {
    if action.name != "flood" {
        return None;
    }
    match action.argument.as_str() {
        "random" => endless(|_| random::bits() ^ u64::from(random::below(7))),
        "clock" => endless(|_| clock::monotonic_nanoseconds() ^ clock::unix_milliseconds()),
        "facts" => endless(facts),
        "attempts" => endless(|_| attempts::failed().len() as u64),
        "connection" => endless(|_| connection()),
        "counters" => endless(|_| count()),
        // Beyond the most that there can be, each with a name of its own.
        "names" => endless(|turn| u64::from(counters::define(&format!("flooded_{turn}")).is_ok())),
        "log" => endless(|turn| write(&format!("flood {turn}"))),
        // As long as one call may carry, and cut by the host.
        "long-log" => {
            let line = "x".repeat(900 * 1024);
            endless(|_| write(&line))
        }
        _ => None,
    }
}

/// `flood=reads`: everything that there is to read of the request.
pub fn reads(action: &Action, request: &Request) -> Option<String> {
    if action.name != "flood" || action.argument != "reads" {
        return None;
    }
    endless(|_| {
        let names = request.header_names();
        let values: usize = names
            .iter()
            .map(|name| request.header_values(name).len())
            .sum();
        let texts = [
            request.method(),
            request.scheme(),
            request.host(),
            request.path(),
            request.client_address(),
        ];
        let first = request.header("host").map_or(0, |value| value.len());
        (values + first + texts.iter().map(String::len).sum::<usize>()) as u64
    })
}

/// `flood=edits`: fields set, appended and removed, long after the last that is allowed.
pub fn edits(action: &Action, headers: &Headers) -> Option<String> {
    if action.name != "flood" || action.argument != "edits" {
        return None;
    }
    let value = vec![b'x'; 8 * 1024];
    endless(|turn| {
        let name = format!("x-flood-{turn}");
        let outcomes = [
            headers.append(&name, &value),
            headers.set("x-flood", &value),
            headers.remove(&name),
        ];
        outcomes.iter().filter(|outcome| outcome.is_ok()).count() as u64
    })
}

fn connection() -> u64 {
    let texts = [
        connection::cipher_suite(),
        connection::server_name(),
        connection::application_protocol(),
        client_certificate::subject(),
        client_certificate::serial_number(),
        client_certificate::fingerprint(),
    ];
    let texts = texts.iter().flatten().map(String::len).sum::<usize>();
    (texts + client_certificate::names().len()) as u64
        + connection::protocol() as u64
        + u64::from(connection::tls().is_some())
        + client_certificate::expires_milliseconds().unwrap_or(0)
}

fn count() -> u64 {
    counters::define("flooded").map_or(0, |counter| {
        counters::add(counter, 1);
        1
    })
}

fn write(line: &str) -> u64 {
    log::write(log::Level::Info, line);
    1
}

fn facts(turn: u64) -> u64 {
    let backend = turn as u32;
    u64::from(backend_facts::in_flight(backend))
        ^ backend_facts::latency_microseconds(backend)
        ^ u64::from(backend_facts::healthy(backend))
        ^ u64::from(backend_facts::consecutive_failures(backend))
        ^ backend_facts::state(backend) as u64
        ^ u64::from(backend_facts::in_flight_of_all(backend))
}

#[inline(never)]
fn endless(call: impl Fn(u64) -> u64) -> ! {
    let mut turn = 0_u64;
    loop {
        black_box(call(turn));
        turn = turn.wrapping_add(1);
    }
}
