//! The actions of the two header hooks: edits, and reports of what the policy sees.

use crate::{
    act,
    action::Action,
    flood,
    hooks::{
        Headers, Request, STATE, failed_attempts,
        waypost::policy::{
            attempts, backend_facts, client_certificate, clock, connection, random,
            types::HeaderError,
        },
    },
};

/// Does the actions in order. `x-probe-did` then tells what came of each that has no field of its
/// own.
pub fn perform(actions: &[Action], request: &Request, headers: &Headers) {
    let mut outcomes = Vec::new();
    for action in actions {
        if let Some(outcome) = done(action, request, headers) {
            outcomes.push(outcome);
        } else if let Some(report) = report(action, request, headers) {
            // A refused report would show as a missing field.
            let _ = headers.set(&format!("x-probe-{}", action.name), report.as_bytes());
        }
    }
    if !outcomes.is_empty() {
        let _ = headers.set("x-probe-did", outcomes.join(", ").as_bytes());
    }
}

fn done(action: &Action, request: &Request, headers: &Headers) -> Option<String> {
    act::asked(action, request)
        .or_else(|| flood::edits(action, headers))
        .or_else(|| edit(action, headers))
}

fn edit(action: &Action, headers: &Headers) -> Option<String> {
    let (name, value) = action.field();
    let size = action.number() as usize;
    let result = match action.name.as_str() {
        "set" => headers.set(&name, &value),
        "append" => headers.append(&name, &value),
        "remove" => headers.remove(&name),
        "set-bytes" => headers.set("x-probe-big", &vec![b'x'; size]),
        "name-bytes" => headers.set(&"x".repeat(size), b"y"),
        "edits" => {
            (0..size).try_for_each(|at| headers.append("x-probe-many", at.to_string().as_bytes()))
        }
        _ => return None,
    };
    let outcome = match result {
        Ok(()) => "ok",
        Err(HeaderError::InvalidName) => "invalid-name",
        Err(HeaderError::InvalidValue) => "invalid-value",
        Err(HeaderError::Forbidden) => "forbidden",
        Err(HeaderError::TooMany) => "too-many",
    };
    Some(outcome.to_owned())
}

fn report(action: &Action, request: &Request, headers: &Headers) -> Option<String> {
    let text = match action.name.as_str() {
        "echo" => {
            let query = request
                .query()
                .map_or("none".to_owned(), |query| format!("?{query}"));
            let parts = [
                request.method(),
                request.scheme(),
                request.host(),
                request.path(),
                query,
                request.client_address(),
            ];
            parts.join(" ")
        }
        "raw-path" => request.raw_path(),
        "names" => headers.names().join(","),
        "values" => values(headers.values(&action.argument)),
        "first" => headers
            .first(&action.argument)
            .map_or("none".to_owned(), |value| hex(&value)),
        "request-names" => request.header_names().join(","),
        "request-values" => values(request.header_values(&action.argument)),
        "facts" => (0..action.number() as u32)
            .map(facts)
            .collect::<Vec<_>>()
            .join(","),
        "health" => (0..action.number() as u32)
            .map(health)
            .collect::<Vec<_>>()
            .join(","),
        "queues" => (0..action.number() as u32)
            .map(|backend| backend_facts::queued(backend).to_string())
            .chain([format!("pool {}", backend_facts::queued_in_pool())])
            .collect::<Vec<_>>()
            .join(","),
        "time-left" => {
            attempts::milliseconds_left().map_or("none".to_owned(), |left| left.to_string())
        }
        "connection" => connection_told(),
        "random" => format!(
            "{}/{}",
            random::below(action.number() as u32),
            random::bits()
        ),
        "clock" => format!(
            "{}/{}",
            clock::monotonic_nanoseconds(),
            clock::unix_milliseconds()
        ),
        "remembered" => STATE.with_borrow(|state| {
            let times = state.remembered.iter();
            times
                .map(|(below, bits, since, unix)| format!("{below}/{bits}/{since}/{unix}"))
                .collect::<Vec<_>>()
                .join(" ")
        }),
        "settings" => STATE.with_borrow(|state| state.settings.clone()),
        "topology" => STATE.with_borrow(|state| state.topology()),
        "calls" => STATE.with_borrow(|state| state.calls.to_string()),
        "attempt" => STATE.with_borrow(|state| state.attempt.clone()),
        "failed" => format!("told{}", failed_attempts()),
        _ => return None,
    };
    Some(text)
}

fn connection_told() -> String {
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        connection::protocol(),
        connection::tls(),
        connection::cipher_suite(),
        connection::server_name(),
        connection::application_protocol(),
        client_certificate::subject(),
        client_certificate::names(),
    )
}

fn facts(backend: u32) -> String {
    format!(
        "{}/{}/{}/{}",
        backend_facts::in_flight(backend),
        backend_facts::latency_microseconds(backend),
        backend_facts::healthy(backend),
        backend_facts::consecutive_failures(backend),
    )
}

fn health(backend: u32) -> String {
    use backend_facts::HealthState;
    let state = match backend_facts::state(backend) {
        HealthState::Healthy => "healthy",
        HealthState::Degraded => "degraded",
        HealthState::Ejected => "ejected",
        HealthState::Draining => "draining",
        HealthState::Down => "down",
    };
    format!("{state}/{}", backend_facts::in_flight_of_all(backend))
}

fn values(values: Vec<Vec<u8>>) -> String {
    values
        .iter()
        .map(|value| hex(value))
        .collect::<Vec<_>>()
        .join(",")
}

/// Bytes as they would not survive in a field.
fn hex(value: &[u8]) -> String {
    value.iter().map(|byte| format!("{byte:02x}")).collect()
}
