//! Which endpoint answers which request.

use http::header::ACCEPT;
use http::{HeaderMap, Method, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::json;

use super::reply::{self, Reply};
use super::serve::Shared;
use super::{Readiness, ReplaceError, StatsView, metrics_page, replace, stats_page};

const ENDPOINTS: [&str; 7] = [
    "GET /stats",
    "GET /metrics",
    "GET /policies",
    "GET /policies/NAME",
    "PUT /policies/NAME",
    "GET /healthz",
    "GET /readyz",
];
const READ: &str = "GET, HEAD";
const READ_AND_REPLACE: &str = "GET, HEAD, PUT";

/// The answer to one request.
pub(super) async fn answer(shared: &Shared, request: Request<Incoming>) -> Reply {
    let path = request.uri().path().to_owned();
    if !matches!(path.as_str(), "/healthz" | "/readyz")
        && let Some(refusal) = shared.guard.refusal(&request)
    {
        return refusal;
    }
    if let Some(name) = path.strip_prefix("/policies/") {
        return match policy_name(name) {
            Some(name) => policy(shared, &name, &path, request).await,
            None => reply::nothing_here(&path, &ENDPOINTS),
        };
    }
    let page: fn(&Shared, &HeaderMap) -> Reply = match path.as_str() {
        "/healthz" => |_, _| reply::json(StatusCode::OK, &json!({ "status": "ok" })),
        "/readyz" => |shared, _| ready(shared),
        "/stats" => {
            |shared, headers| with_view(shared, |view| reply::negotiated(stats_page(view, accept(headers).as_deref())))
        }
        "/metrics" => |shared, headers| {
            with_view(shared, |view| reply::negotiated(metrics_page(view, accept(headers).as_deref())))
        },
        "/policies" => |shared, _| policies(shared),
        _ => return reply::nothing_here(&path, &ENDPOINTS),
    };
    match *request.method() {
        Method::GET | Method::HEAD => page(shared, request.headers()),
        _ => reply::wrong_method(request.method().as_str(), &path, READ),
    }
}

fn ready(shared: &Shared) -> Reply {
    let unavailable = |sentence| reply::error(StatusCode::SERVICE_UNAVAILABLE, sentence);
    match shared.control.readiness() {
        Readiness::Ready => reply::json(StatusCode::OK, &json!({ "status": "ready" })),
        Readiness::Starting => unavailable("starting: the listeners are not open yet"),
        Readiness::Draining => unavailable("draining: the listeners are closed, what is in flight is being finished"),
    }
}

fn with_view(shared: &Shared, page: impl FnOnce(&StatsView<'_>) -> Reply) -> Reply {
    page(&StatsView { stats: shared.control.stats(), policies: &shared.control.policies() })
}

fn policies(shared: &Shared) -> Reply {
    let mut policies = shared.control.policies();
    policies.sort_by(|a, b| a.name.cmp(&b.name));
    reply::json(StatusCode::OK, &json!({ "policies": policies }))
}

async fn policy(shared: &Shared, name: &str, path: &str, request: Request<Incoming>) -> Reply {
    let found = shared.control.policies().into_iter().find(|p| p.name == name);
    match (request.method(), found) {
        (&Method::GET | &Method::HEAD | &Method::PUT, None) => {
            reply::error(StatusCode::NOT_FOUND, &ReplaceError::Unknown(name.to_owned()).to_string())
        }
        (&Method::GET | &Method::HEAD, Some(status)) => reply::json(StatusCode::OK, &status),
        (&Method::PUT, Some(_)) => replace::replace(shared, name, request.into_body()).await,
        (method, _) => reply::wrong_method(method.as_str(), path, READ_AND_REPLACE),
    }
}

/// The fields of one name, as one list (RFC 9110 section 5.3).
fn accept(headers: &HeaderMap) -> Option<Vec<u8>> {
    let values: Vec<&[u8]> = headers.get_all(ACCEPT).iter().map(|v| v.as_bytes()).collect();
    (!values.is_empty()).then(|| values.join(&b","[..]))
}

/// A path segment with its percent-encoding undone; `None` if it is empty, has more segments or is not UTF-8.
fn policy_name(segment: &str) -> Option<String> {
    let mut name = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'/' => return None,
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                name.push(u8::try_from(high * 16 + low).ok()?);
            }
            _ => name.push(byte),
        }
    }
    String::from_utf8(name).ok().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_names_are_decoded() {
        assert_eq!(policy_name("random").as_deref(), Some("random"));
        assert_eq!(policy_name("my%20policy%C3%a9").as_deref(), Some("my policyé"));
        assert_eq!(policy_name("a%2Fb").as_deref(), Some("a/b"));
        for not_a_name in ["", "a/b", "random/", "%", "%2", "%zz", "%ff"] {
            assert_eq!(policy_name(not_a_name), None, "{not_a_name}");
        }
    }
}
