//! Sends requests where their fields say, and marks responses that no backend has made.

#![cfg(target_arch = "wasm32")]

use std::arch::wasm32::unreachable;
use std::cell::RefCell;

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package tests:pathfinder;

        world pathfinder {
            include waypost:policy/imports@0.1.0;
            export waypost:policy/configuration@0.1.0;
            export waypost:policy/topology@0.1.0;
            export waypost:policy/destination@0.1.0;
            export waypost:policy/request-headers@0.1.0;
            export waypost:policy/request-target@0.1.0;
            export waypost:policy/routing@0.1.0;
            export waypost:policy/selection@0.1.0;
            export waypost:policy/local-response@0.1.0;
        }
    ",
    generate_all,
});

use exports::waypost::policy::{
    configuration, destination, local_response, request_headers, request_target, routing,
    selection,
    topology::{self, Backend, Pool},
};
use waypost::policy::types::{Headers, Request, Response, Target, TargetError};
use waypost::policy::{clock, connection};

thread_local! {
    static SETTINGS: RefCell<String> = const { RefCell::new(String::new()) };
    static POOLS: RefCell<Vec<Pool>> = const { RefCell::new(Vec::new()) };
    /// What edits of the target came to, for the response.
    static EDITED: RefCell<String> = const { RefCell::new(String::new()) };
}

struct Pathfinder;

fn text(request: &Request, name: &str) -> Option<String> {
    let value = request.header(name)?;
    Some(String::from_utf8_lossy(&value).into_owned())
}

fn answer(status: u16, body: &str) -> Response {
    Response {
        status,
        headers: vec![("x-of".to_owned(), b"policy".to_vec())],
        body: body.as_bytes().to_vec(),
    }
}

/// The name of the pool with this id.
fn name(id: u32) -> String {
    POOLS.with_borrow(|pools| {
        let pool = pools.iter().find(|pool| pool.id == id);
        pool.map_or_else(|| id.to_string(), |pool| pool.name.clone())
    })
}

fn names(request: &Request) -> String {
    let names: Vec<String> = request.pools().into_iter().map(name).collect();
    names.join(",")
}

/// `trap`, `loop`, `refuse=STATUS`, `none`, `pool=NAME` or `index=N`.
fn act(request: &Request, action: &str) -> Result<Option<u32>, Response> {
    let (action, argument) = action.split_once('=').unwrap_or((action, ""));
    match action {
        "trap" => unreachable(),
        "loop" => loop {
            clock::monotonic_nanoseconds();
        },
        "refuse" => Err(answer(argument.parse().unwrap_or(0), "refused")),
        "index" => Ok(argument.parse().ok()),
        "pool" => {
            let pools = request.pools();
            let found = pools.iter().position(|id| name(*id) == argument);
            Ok(found.map(|at| at as u32))
        }
        _ => Ok(None),
    }
}

/// Does what a field says, if it is there.
fn by_field(request: &Request, field: &str) -> Result<Option<u32>, Response> {
    match text(request, field) {
        Some(action) => act(request, &action),
        None => Ok(None),
    }
}

impl configuration::Guest for Pathfinder {
    fn configure(settings: String) -> Result<(), String> {
        SETTINGS.set(settings);
        Ok(())
    }
}

impl topology::Guest for Pathfinder {
    fn backends_changed(pool: Pool, _generation: u64, _backends: Vec<Backend>) {
        POOLS.with_borrow_mut(|pools| {
            pools.retain(|known| known.id != pool.id);
            pools.push(pool);
        });
    }
}

impl destination::Guest for Pathfinder {
    /// By the settings, which are lines of `HOST:PORT ACTION`, or by the field `x-decide`.
    fn decide(request: &Request, port: u16, user: Option<String>) -> Result<Option<u32>, Response> {
        let host = request.host();
        let place = format!("{host}:{port}");
        let rule = SETTINGS.with_borrow(|settings| {
            let quoted = settings.split('"');
            let mut rules = quoted.filter_map(|rule| rule.split_once(' '));
            rules.find_map(|(of, action)| (of == place).then(|| action.to_owned()))
        });
        if let Some("tell") = rule.as_deref() {
            let protocol = match connection::protocol() {
                connection::HttpVersion::Http10 => "1.0",
                connection::HttpVersion::Http11 => "1.1",
                connection::HttpVersion::Http2 => "2",
            };
            let told = format!(
                "{} {place} user={} client={} protocol={protocol} tls={} pool={} pools={}",
                request.method(),
                user.unwrap_or_else(|| "none".to_owned()),
                request.client_address(),
                connection::tls().is_some(),
                request.pool(),
                names(request),
            );
            return Err(answer(403, &told));
        }
        match rule {
            Some(action) => act(request, &action),
            None => by_field(request, "x-decide"),
        }
    }
}

impl request_headers::Guest for Pathfinder {
    fn edit_request(request: &Request, headers: &Headers) -> Result<(), Response> {
        EDITED.set(String::new());
        let _ = headers.set("x-first-pool", name(request.pool()).as_bytes());
        by_field(request, "x-request").map(drop)
    }
}

impl request_target::Guest for Pathfinder {
    /// `x-path`, `x-query` (`none` for none) and `x-authority` are what they are to be. What came
    /// of that, and what there was, is told by `select`.
    fn edit_target(request: &Request, target: &Target) -> Result<(), Response> {
        let before = format!(
            "{} {} {}",
            target.host(),
            target.path(),
            target.query().unwrap_or_else(|| "none".to_owned())
        );
        let mut told = vec![before];
        let mut note = |edited: Result<(), TargetError>| {
            told.push(match edited {
                Ok(()) => "ok".to_owned(),
                Err(TargetError::NotAllowed) => "not-allowed".to_owned(),
                Err(TargetError::Invalid) => "invalid".to_owned(),
                Err(TargetError::TooMany) => "too-many".to_owned(),
            });
        };
        for path in request.header_values("x-path") {
            note(target.set_path(&String::from_utf8_lossy(&path)));
        }
        if let Some(query) = text(request, "x-query") {
            let query = Some(query).filter(|query| query != "none");
            note(target.set_query(query.as_deref()));
        }
        if let Some(host) = text(request, "x-authority") {
            note(target.set_host(&host));
        }
        if let Some(count) = text(request, "x-many") {
            let count: u32 = count.parse().unwrap_or(0);
            (0..count).for_each(|n| note(target.set_query(Some(&n.to_string()))));
        }
        EDITED.set(told.join("|"));
        by_field(request, "x-target").map(drop)
    }
}

impl routing::Guest for Pathfinder {
    fn route(request: &Request) -> Result<Option<u32>, Response> {
        by_field(request, "x-route")
    }
}

impl selection::Guest for Pathfinder {
    /// Answers the request if it is to tell what it knows.
    fn select(request: &Request, pool: u32, _attempt: u32) -> Result<Option<u32>, Response> {
        if request.header("x-tell").is_some() {
            let edited = EDITED.with_borrow(Clone::clone);
            let told = format!(
                "pool={} of={} pools={} path={} edited={edited}",
                name(pool),
                name(request.pool()),
                names(request),
                request.path(),
            );
            return Err(answer(200, &told));
        }
        by_field(request, "x-select")
    }
}

impl local_response::Guest for Pathfinder {
    /// Adds `x-local: STATUS SOURCE` and what the field `x-local` says.
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
        let _ = headers.append("x-local", format!("{status} {source}").as_bytes());
        let _ = headers.set(
            "x-first-type",
            &headers.first("content-type").unwrap_or_default(),
        );
        let length = headers.set("content-length", b"1");
        let _ = headers.set("x-forbidden", format!("{}", length.is_err()).as_bytes());
        let _ = by_field(request, "x-local");
    }
}

export!(Pathfinder);
