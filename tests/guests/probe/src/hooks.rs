//! Every hook of the contract that decides something.

use std::cell::RefCell;

use crate::{
    act,
    action::{Action, actions},
    report,
};

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package tests:probe;

        world probe {
            include waypost:policy/imports@0.1.0;
            export waypost:policy/configuration@0.1.0;
            export waypost:policy/topology@0.1.0;
            export waypost:policy/selection@0.1.0;
            export waypost:policy/request-headers@0.1.0;
            export waypost:policy/response-headers@0.1.0;
            export waypost:policy/range@0.1.0;
        }
    ",
    generate_all,
});

use exports::waypost::policy::{
    configuration,
    range::{self, ByteRange},
    request_headers, response_headers, selection,
    topology::{self, Backend, Pool},
};
use waypost::policy::attempts::{self, FailedAttempt, Failure};
pub use waypost::policy::types::{Headers, Request, Response};

/// What the instance remembers.
#[derive(Default)]
pub struct State {
    pub settings: String,
    pub calls: u64,
    pub attempt: String,
    pub remembered: Vec<(u32, u64, u64, u64)>,
    always: [Vec<String>; 4],
    on_topology: String,
    pools: Vec<(Pool, u64, Vec<Backend>)>,
}

impl State {
    /// `ID NAME GENERATION ADDRESS/WEIGHT/KEY=VALUE ...`, pools separated by `; `.
    pub fn topology(&self) -> String {
        let pools = self.pools.iter().map(|(pool, generation, backends)| {
            let backends = backends.iter().map(|backend| {
                let labels = backend
                    .labels
                    .iter()
                    .map(|(key, value)| format!("/{key}={value}"))
                    .collect::<String>();
                format!(" {}/{}{labels}", backend.address, backend.weight)
            });
            format!(
                "{} {} {generation}{}",
                pool.id,
                pool.name,
                backends.collect::<String>()
            )
        });
        pools.collect::<Vec<_>>().join("; ")
    }
}

thread_local! {
    pub static STATE: RefCell<State> = RefCell::default();
}

struct Probe;

impl configuration::Guest for Probe {
    fn configure(settings: String) -> Result<(), String> {
        let parsed: serde_json::Value =
            serde_json::from_str(&settings).map_err(|error| error.to_string())?;
        let text = |key: &str| parsed[key].as_str().unwrap_or("").to_owned();
        let list = |key: &str| {
            let actions = parsed[key].as_array().into_iter().flatten();
            actions
                .filter_map(|action| action.as_str().map(str::to_owned))
                .collect()
        };
        STATE.with_borrow_mut(|state| {
            state.always = ["select", "request", "response", "range"].map(list);
            state.on_topology = text("on_topology");
            state.settings = settings.clone();
        });
        let on_configure = text("on_configure");
        match on_configure.strip_prefix("error:") {
            Some(message) => Err(message.to_owned()),
            None => {
                act::any(&Action::parse(&on_configure));
                Ok(())
            }
        }
    }
}

impl topology::Guest for Probe {
    fn backends_changed(pool: Pool, generation: u64, backends: Vec<Backend>) {
        let on_topology = STATE.with_borrow_mut(|state| {
            state.pools.retain(|(known, ..)| known.id != pool.id);
            state.pools.push((pool, generation, backends));
            state.on_topology.clone()
        });
        act::any(&Action::parse(&on_topology));
    }
}

impl selection::Guest for Probe {
    fn select(request: &Request, pool: u32, attempt: u32) -> Result<Option<u32>, Response> {
        let failed = if attempt > 1 {
            failed_attempts()
        } else {
            String::new()
        };
        let tried = format!("{pool} {attempt}{failed}");
        STATE.with_borrow_mut(|state| state.attempt = tried);
        let actions = begin(request, "select", 0);
        let mut choice = request
            .header("x-pick")
            .and_then(|value| String::from_utf8_lossy(&value).parse().ok());
        for action in &actions {
            match action.name.as_str() {
                "pick" => choice = Some(action.number() as u32),
                "none" => choice = None,
                "pick-remembered" => {
                    let drawn = STATE
                        .with_borrow(|state| state.remembered.first().map_or(0, |first| first.1));
                    choice = Some((drawn % action.number().max(1)) as u32);
                }
                // By attempt: the first number on the first attempt, and so on.
                "picks" => {
                    choice = action
                        .argument
                        .split(',')
                        .nth(attempt as usize - 1)
                        .and_then(|n| n.parse().ok())
                }
                _ => {
                    act::asked(action, request);
                }
            }
        }
        act::refusal(&actions).map_or(Ok(choice), Err)
    }
}

/// ` INDEX:FAILURE` for each that the host tells now.
pub fn failed_attempts() -> String {
    let text = |past: &FailedAttempt| format!(" {}:{}", past.backend, failure(past.failure));
    attempts::failed().iter().map(text).collect()
}

fn failure(failure: Failure) -> &'static str {
    match failure {
        Failure::Connect => "connect",
        Failure::ConnectTimeout => "connect-timeout",
        Failure::Closed => "closed",
        Failure::Other => "other",
    }
}

impl request_headers::Guest for Probe {
    fn edit_request(request: &Request, headers: &Headers) -> Result<(), Response> {
        let actions = begin(request, "request", 1);
        report::perform(&actions, request, headers);
        act::refusal(&actions).map_or(Ok(()), Err)
    }
}

impl response_headers::Guest for Probe {
    fn edit_response(
        request: &Request,
        status: u16,
        backend: u32,
        headers: &Headers,
    ) -> Result<(), Response> {
        let actions = begin(request, "response", 2);
        if actions.iter().any(|action| action.name == "answer") {
            let _ = headers.set("x-probe-answer", format!("{status} {backend}").as_bytes());
        }
        report::perform(&actions, request, headers);
        act::refusal(&actions).map_or(Ok(()), Err)
    }
}

impl range::Guest for Probe {
    fn check(request: &Request) -> Result<Option<Vec<ByteRange>>, Response> {
        let actions = begin(request, "range", 3);
        let mut answer = None;
        for action in &actions {
            match action.name.as_str() {
                "ignore" => answer = Some(Vec::new()),
                "ranges" => answer = Some(action.argument.split(',').map(byte_range).collect()),
                "many" => {
                    let one = |at| ByteRange {
                        first: Some(2 * at),
                        last: Some(2 * at),
                    };
                    answer = Some((0..action.number()).map(one).collect());
                }
                _ => {
                    act::asked(action, request);
                }
            }
        }
        act::refusal(&actions).map_or(Ok(answer), Err)
    }
}

/// Unchecked, so that invalid ones can be given too.
fn byte_range(text: &str) -> ByteRange {
    let (first, last) = text.split_once('-').unwrap_or((text, ""));
    ByteRange {
        first: first.parse().ok(),
        last: last.parse().ok(),
    }
}

fn begin(request: &Request, hook: &str, at: usize) -> Vec<Action> {
    let always = STATE.with_borrow_mut(|state| {
        state.calls += 1;
        state.always[at].clone()
    });
    actions(request, hook, &always)
}

export!(Probe);
