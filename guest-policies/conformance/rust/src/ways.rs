//! The hooks that say where a request goes.

use crate::{
    command::{any, commands, number},
    hooks::{Request, Response, STATE, Target, called, waypost::policy::types::TargetError},
};

/// The answer of `route` and `decide`. `before` is what is told before the pools.
pub fn pool(request: &Request, hook: &str, before: &str) -> Result<Option<u32>, Response> {
    called();
    let (mut choice, mut refused) = (None, None);
    for command in commands(request, hook) {
        match command.verb.as_str() {
            "pool" => {
                let pools = request.pools();
                let found = pools.iter().position(|id| name(*id) == command.text());
                choice = found.map(|at| at as u32);
            }
            "index" => choice = Some(number(command.text().as_bytes())),
            "none" => choice = None,
            "tell" => refused = Some(told(403, format!("{before}{}", pools(request)))),
            _ => any(&command, hook, &mut refused),
        }
    }
    refused.map_or(Ok(choice), Err)
}

/// What the operator calls a pool.
fn name(id: u32) -> String {
    STATE.with_borrow(|state| match state.pools.get(&id) {
        Some(told) => told.name.clone(),
        None => id.to_string(),
    })
}

fn pools(request: &Request) -> String {
    let names: Vec<String> = request.pools().into_iter().map(name).collect();
    let names = match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(","),
    };
    format!("{} {names}", name(request.pool()))
}

pub fn edit(request: &Request, target: &Target) -> Result<(), Response> {
    called();
    let (mut outcomes, mut refused) = (String::new(), None);
    for command in commands(request, "target") {
        let edited = match command.verb.as_str() {
            "path" => target.set_path(command.text()),
            "query" => target.set_query(Some(command.text())),
            "no-query" => target.set_query(None),
            "host" => target.set_host(command.text()),
            "tell" => {
                refused = Some(told(200, format!("{}{outcomes}", read(target))));
                continue;
            }
            _ => {
                any(&command, "target", &mut refused);
                continue;
            }
        };
        outcomes.push(' ');
        outcomes.push_str(outcome(edited));
    }
    refused.map_or(Ok(()), Err)
}

fn read(target: &Target) -> String {
    let query = target.query().map(|query| format!("?{query}"));
    let query = query.as_deref().unwrap_or("none");
    format!("{} {query} {}", target.path(), target.host())
}

fn outcome(edited: Result<(), TargetError>) -> &'static str {
    match edited {
        Ok(()) => "ok",
        Err(TargetError::NotAllowed) => "not-allowed",
        Err(TargetError::Invalid) => "invalid",
        Err(TargetError::TooMany) => "too-many",
    }
}

fn told(status: u16, body: String) -> Response {
    Response {
        status,
        headers: Vec::new(),
        body: body.into_bytes(),
    }
}
