//! Routes each request to its endpoint.

use std::sync::Arc;
use std::time::Duration;

use http::header::ACCEPT;
use http::{HeaderMap, Method, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::json;

use super::backends;
use super::control::Readiness;
use super::crowd::Caller;
use super::dashboard;
use super::metrics::metrics_page;
use super::page::stats_page;
use super::policies;
use super::readiness::unready;
use super::reload::ReloadError;
use super::reply::{self, Reply};
use super::report::StatsView;
use super::shared::Shared;
use super::tap;
use super::upgrading::upgrade;
use crate::decision::{EXPLAIN, TRACE};

const ENDPOINTS: [&str; 27] = [
    "GET /",
    "GET /stats",
    "GET /metrics",
    "GET /policies",
    "GET /policies/NAME",
    "PUT /policies/NAME",
    "POST /policies/NAME/promote",
    "POST /policies/NAME/rollback",
    "POST /policies/NAME/canary",
    "DELETE /policies/NAME/canary",
    "DELETE /policies/NAME/shadow",
    "GET /pools",
    "GET /pools/NAME",
    "PUT /pools/NAME/backends",
    "DELETE /pools/NAME/backends",
    "PUT /pools/NAME/backends/ADDRESS",
    "DELETE /pools/NAME/backends/ADDRESS",
    "POST /pools/NAME/backends/ADDRESS/{drain,up,down}",
    "POST /pools/NAME/backends/ADDRESS/weight?value=N",
    "POST /explain",
    "GET /tap?route=R",
    "GET /config",
    "POST /reload",
    "POST /upgrade",
    "POST /reopen",
    "GET /healthz",
    "GET /readyz",
];
const READ: &str = "GET, HEAD";
/// How long an explain token is valid.
const EXPLAIN_FOR: Duration = Duration::from_secs(15 * 60);

/// The answer to one request.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    caller: &Arc<Caller>,
    request: Request<Incoming>,
) -> Reply {
    let path = request.uri().path().to_owned();
    if dashboard::owns(&path) {
        return dashboard::answer(shared, caller, request).await;
    }
    if path == "/tap" {
        return tap::answer(shared, caller, &request);
    }
    if !matches!(path.as_str(), "/healthz" | "/readyz")
        && let Some(refusal) = shared.guard.refusal(&request)
        && !reads_in_a_session(shared, &request)
    {
        return refusal;
    }
    if let Some(name) = path.strip_prefix("/policies/") {
        let answer = policies::answer(shared, caller, name, &path, request).await;
        return answer.unwrap_or_else(|| reply::nothing_here(&path, &ENDPOINTS));
    }
    if let Some(rest) = path.strip_prefix("/pools/") {
        let answer = backends::calls::answer(shared, caller, rest, &path, request).await;
        return answer.unwrap_or_else(|| reply::nothing_here(&path, &ENDPOINTS));
    }
    let page: fn(&Shared, &HeaderMap) -> Reply = match path.as_str() {
        "/healthz" => |_, _| reply::json(StatusCode::OK, &json!({ "status": "ok" })),
        "/readyz" => |shared, _| ready(shared),
        "/stats" => stats,
        "/metrics" => |shared, headers| {
            let ready = shared.control.readiness() == Readiness::Ready;
            with_view(shared, |view| {
                reply::negotiated(metrics_page(view, ready, accept(headers).as_deref()))
            })
        },
        "/policies" => |shared, _| all_policies(shared),
        "/pools" => |shared, _| backends::calls::all(shared),
        "/config" => |shared, _| reply::json(StatusCode::OK, &shared.control.config()),
        "/reload" if *request.method() == Method::POST => {
            return reload(shared, request.uri().query()).await;
        }
        "/upgrade" if *request.method() == Method::POST => {
            return upgrade(shared, request.uri().query()).await;
        }
        "/reopen" if *request.method() == Method::POST => return reopen(shared).await,
        "/explain" if *request.method() == Method::POST => return explain(shared),
        "/reload" | "/upgrade" | "/reopen" | "/explain" => {
            return reply::wrong_method(request.method().as_str(), &path, "POST");
        }
        _ => return reply::nothing_here(&path, &ENDPOINTS),
    };
    match *request.method() {
        Method::GET | Method::HEAD => page(shared, request.headers()),
        _ => reply::wrong_method(request.method().as_str(), &path, READ),
    }
}

async fn reopen(shared: &Shared) -> Reply {
    let failures = shared.control.reopen().await;
    match failures.is_empty() {
        true => reply::json(StatusCode::OK, &json!({ "status": "reopened" })),
        false => {
            let error = failures.join("; ");
            reply::json(
                StatusCode::INTERNAL_SERVER_ERROR,
                &json!({ "error": error, "errors": failures }),
            )
        }
    }
}

fn stats(shared: &Shared, headers: &HeaderMap) -> Reply {
    let accept = accept(headers);
    with_view(shared, |view| {
        reply::negotiated(stats_page(view, accept.as_deref()))
    })
}

/// What the page links to can be read by a browser that is logged in. It can't change anything so:
/// a change needs the token, or a form of the page.
fn reads_in_a_session(shared: &Shared, request: &Request<Incoming>) -> bool {
    request.method().is_safe() && shared.sessions.csrf_of(request.headers()).is_some()
}

fn ready(shared: &Shared) -> Reply {
    if let Some(sentence) = unready(&shared.control.readiness()) {
        return reply::error(StatusCode::SERVICE_UNAVAILABLE, &sentence);
    }
    match shared.control.notes() {
        notes if notes.is_empty() => reply::json(StatusCode::OK, &json!({ "status": "ready" })),
        notes => reply::json(
            StatusCode::OK,
            &json!({ "status": "ready", "notes": notes }),
        ),
    }
}

fn with_view(shared: &Shared, page: impl FnOnce(&StatsView<'_>) -> Reply) -> Reply {
    page(&StatsView {
        stats: shared.control.stats(),
        policies: &shared.control.policies(),
        certificates: &shared.control.certificates(),
        names: &shared.control.names(),
        reload: &shared.control.reload_status(),
        pools: &shared.control.pools(),
    })
}

/// Issues a token, with the names of the fields that use it.
fn explain(shared: &Shared) -> Reply {
    let token = shared.control.issue_explain_token(EXPLAIN_FOR);
    let answer = json!({
        "token": token,
        "request_field": EXPLAIN,
        "response_field": TRACE,
        "valid_seconds": EXPLAIN_FOR.as_secs(),
    });
    reply::json(StatusCode::OK, &answer)
}

/// Reloads the configuration; a client that leaves does not interrupt it.
async fn reload(shared: &Shared, query: Option<&str>) -> Reply {
    let check = match query.unwrap_or_default() {
        "" => false,
        "check" | "check=" => true,
        _ => {
            let sentence = "the only parameter of /reload is `check`, without a value";
            return reply::error(StatusCode::BAD_REQUEST, sentence);
        }
    };
    match shared.control.reload(check).await {
        Ok(reloaded) => reply::json(StatusCode::OK, &reloaded),
        Err(ReloadError::Refused(errors)) => {
            let sentence = errors.join("\n");
            let answer = json!({ "error": sentence, "errors": errors });
            reply::json(StatusCode::UNPROCESSABLE_ENTITY, &answer)
        }
        Err(ReloadError::Unavailable(sentence)) => {
            reply::error(StatusCode::SERVICE_UNAVAILABLE, &sentence)
        }
    }
}

fn all_policies(shared: &Shared) -> Reply {
    let mut policies = shared.control.policies();
    policies.sort_by(|a, b| a.name.cmp(&b.name));
    reply::json(StatusCode::OK, &json!({ "policies": policies }))
}

/// The fields of one name, as one list (RFC 9110 section 5.3).
fn accept(headers: &HeaderMap) -> Option<Vec<u8>> {
    let values: Vec<&[u8]> = headers
        .get_all(ACCEPT)
        .iter()
        .map(|v| v.as_bytes())
        .collect();
    (!values.is_empty()).then(|| values.join(&b","[..]))
}
