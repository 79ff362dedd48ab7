//! The commands of the hooks that edit header fields.

use crate::{
    command::{Command, count, number, text},
    hooks::{
        Headers, Request, STATE, Told,
        waypost::policy::{
            attempts,
            backend_facts::{self, HealthState},
            client_certificate::{self, SubjectName},
            clock,
            connection::{self, HttpVersion, TlsVersion},
            counters, random,
            store::{self, StoreError},
            types::HeaderError,
        },
    },
};

/// What came of a command; nothing if it is none of a header hook.
pub fn outcome(
    command: &Command,
    request: &Request,
    headers: &Headers,
    answer: &str,
) -> Option<String> {
    Some(match command.verb.as_str() {
        "set" => edited(command.arguments(), |name, value| headers.set(name, value)),
        "append" => edited(command.arguments(), |name, value| {
            headers.append(name, value)
        }),
        "remove" => told(headers.remove(command.text())),
        "first" => optional(headers.first(command.text())),
        "values" => all(&headers.values(command.text())),
        "names" => headers.names().join(","),
        "request-first" => optional(request.header(command.text())),
        "request-values" => all(&request.header_values(command.text())),
        "request-names" => request.header_names().join(","),
        "echo" => echo(request),
        "answer" => answer.to_owned(),
        "greeting" => STATE.with_borrow(|state| hex(state.settings.greeting.as_bytes())),
        "topology" => STATE.with_borrow(|state| topology(&state.pools[&request.pool()])),
        "facts" => facts(number(command.text().as_bytes())),
        "state" => state(number(command.text().as_bytes())),
        "queues" => format!(
            "{} {}",
            backend_facts::queued(number(command.text().as_bytes())),
            backend_facts::queued_in_pool()
        ),
        "time-left" => {
            attempts::milliseconds_left().map_or("none".to_owned(), |left| left.to_string())
        }
        "connection" => connection_told(),
        "certificate" => certificate(),
        "random" => format!(
            "{} {}",
            random::below(number(command.text().as_bytes())),
            random::bits()
        ),
        "clock" => format!(
            "{} {}",
            clock::monotonic_nanoseconds(),
            clock::unix_milliseconds()
        ),
        "calls" => STATE.with_borrow(|state| state.calls.to_string()),
        "define" => {
            counters::define(command.text()).map_or_else(|reason| reason, |_| "ok".to_owned())
        }
        _ => return stored(command),
    })
}

/// Appends fields until one is refused.
pub fn many(wanted: u32, headers: &Headers) {
    for at in 0..wanted {
        if let Err(error) = headers.append("x-many", at.to_string().as_bytes()) {
            count(&name(error).replace('-', "_"), 1);
            return;
        }
    }
}

fn stored(command: &Command) -> Option<String> {
    Some(match command.verb.as_str() {
        "store-get" => optional(store::get(command.text())),
        "store-set" => {
            let [key, ttl, value] = command.arguments();
            kept(store::set(text(key), value, number(ttl)).map(|()| "ok".to_owned()))
        }
        "store-remove" => store::remove(command.text()).to_string(),
        "store-swap" => {
            let [key, ttl, expected, value] = command.arguments();
            let expected = (expected != b"-").then_some(expected);
            kept(
                store::compare_and_set(text(key), expected, value, number(ttl))
                    .map(|swapped| swapped.to_string()),
            )
        }
        "store-add" => {
            let [key, ttl, by] = command.arguments();
            kept(
                store::increment(text(key), number(by), number(ttl)).map(|count| count.to_string()),
            )
        }
        "store-sub" => {
            let [key, ttl, by] = command.arguments();
            kept(
                store::decrement(text(key), number(by), number(ttl)).map(|count| count.to_string()),
            )
        }
        "store-counter" => {
            store::counter(command.text()).map_or("none".to_owned(), |count| count.to_string())
        }
        _ => return None,
    })
}

fn edited(
    [name, value]: [&[u8]; 2],
    edit: impl Fn(&str, &[u8]) -> Result<(), HeaderError>,
) -> String {
    told(edit(text(name), value))
}

fn told(result: Result<(), HeaderError>) -> String {
    result.map_or_else(name, |()| "ok").to_owned()
}

fn name(error: HeaderError) -> &'static str {
    match error {
        HeaderError::InvalidName => "invalid-name",
        HeaderError::InvalidValue => "invalid-value",
        HeaderError::Forbidden => "forbidden",
        HeaderError::TooMany => "too-many",
    }
}

fn kept(result: Result<String, StoreError>) -> String {
    result.unwrap_or_else(|error| {
        let name = match error {
            StoreError::KeyTooLong => "key-too-long",
            StoreError::ValueTooLong => "value-too-long",
            StoreError::NoRoom => "no-room",
        };
        name.to_owned()
    })
}

fn state(backend: u32) -> String {
    let state = match backend_facts::state(backend) {
        HealthState::Healthy => "healthy",
        HealthState::Degraded => "degraded",
        HealthState::Ejected => "ejected",
        HealthState::Draining => "draining",
        HealthState::Down => "down",
    };
    format!("{state} {}", backend_facts::in_flight_of_all(backend))
}

fn echo(request: &Request) -> String {
    let query = request
        .query()
        .map_or("none".to_owned(), |query| format!("?{query}"));
    [
        request.method(),
        request.scheme(),
        request.host(),
        request.path(),
        query,
        request.client_address(),
    ]
    .join(" ")
}

fn topology(told: &Told) -> String {
    let mut text = format!("{} {}", told.name, told.generation);
    for backend in &told.backends {
        text += &format!(" {}/{}", backend.address, backend.weight);
        for (label, value) in &backend.labels {
            text += &format!("/{label}={value}");
        }
    }
    text
}

fn facts(backend: u32) -> String {
    format!(
        "{} {} {} {}",
        backend_facts::in_flight(backend),
        backend_facts::latency_microseconds(backend),
        backend_facts::healthy(backend),
        backend_facts::consecutive_failures(backend),
    )
}

fn connection_told() -> String {
    let protocol = match connection::protocol() {
        HttpVersion::Http10 => "http10",
        HttpVersion::Http11 => "http11",
        HttpVersion::Http2 => "http2",
    };
    let tls = connection::tls().map(|version| match version {
        TlsVersion::Tls12 => "tls12".to_owned(),
        TlsVersion::Tls13 => "tls13".to_owned(),
    });
    [
        protocol.to_owned(),
        there(tls),
        there(connection::cipher_suite()),
        there(connection::server_name()),
        there(connection::application_protocol()),
    ]
    .join(" ")
}

fn certificate() -> String {
    let names: Vec<String> = client_certificate::names()
        .into_iter()
        .map(|name| match name {
            SubjectName::Dns(text) => format!("dns:{text}"),
            SubjectName::Uri(text) => format!("uri:{text}"),
            SubjectName::Email(text) => format!("email:{text}"),
            SubjectName::Address(text) => format!("address:{text}"),
        })
        .collect();
    let expires = client_certificate::expires_milliseconds();
    [
        there(client_certificate::serial_number()),
        there(client_certificate::fingerprint()),
        there(expires.map(|time| time.to_string())),
        there((!names.is_empty()).then(|| names.join(","))),
        there(client_certificate::subject()),
    ]
    .join(" ")
}

fn there(text: Option<String>) -> String {
    text.unwrap_or("none".to_owned())
}

fn optional(value: Option<Vec<u8>>) -> String {
    value.map_or("none".to_owned(), |value| hex(&value))
}

fn all(values: &[Vec<u8>]) -> String {
    if values.is_empty() {
        "none".to_owned()
    } else {
        values
            .iter()
            .map(|value| hex(value))
            .collect::<Vec<_>>()
            .join(",")
    }
}

fn hex(value: &[u8]) -> String {
    value.iter().map(|byte| format!("{byte:02x}")).collect()
}
