//! `/` and what is below `/page/`: the page for people, with its login, its news and its buttons.

mod acts;
mod chart;
mod deployments;
mod document;
mod events;
mod login;
mod overview;
mod parts;
mod policies;
mod pools;
mod requests;
mod routes;
mod sections;
mod trial;
mod view;

use std::sync::Arc;

use http::header::{ACCEPT, LOCATION, RETRY_AFTER, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use hyper::body::Incoming;
use maud::Markup;

use self::parts::Shown;
use self::view::{Fields, View};
use super::accept::prefers;
use super::body;
use super::crowd::{Caller, Doing};
use super::reply::{self, Reply};
use super::results::Outcome;
use super::sessions::is_same;
use super::shared::Shared;

/// Bytes of a form.
const FORM: usize = 8 * 1024;

/// Why a request may see the page.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Access {
    /// No token is set, or the request has shown it.
    Open,
    /// Its browser is logged in. What its forms must bring.
    Session(String),
}

impl Access {
    fn csrf<'a>(&'a self, shared: &'a Shared) -> &'a str {
        match self {
            Self::Open => shared.sessions.csrf(),
            Self::Session(csrf) => csrf,
        }
    }

    /// Whether it has not ended since.
    fn goes_on(&self, shared: &Shared) -> bool {
        match self {
            Self::Open => true,
            Self::Session(csrf) => shared.sessions.goes_on(csrf),
        }
    }
}

/// The methods of a path; `None` if it is none of the page's.
fn allowed(path: &str) -> Option<&'static str> {
    match path {
        "/" => Some("GET, HEAD"),
        "/page/events" => Some("GET"),
        "/page/login" => Some("GET, HEAD, POST"),
        "/page/logout" | "/page/act" => Some("POST"),
        _ => None,
    }
}

/// Whether the page answers for this path.
pub(super) fn owns(path: &str) -> bool {
    allowed(path).is_some()
}

/// The answer to a request for one of the page's paths.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    caller: &Arc<Caller>,
    request: Request<Incoming>,
) -> Reply {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    if let Some(refusal) = shared.guard.strange(&request) {
        return refusal;
    }
    let methods = allowed(&path).unwrap_or_default();
    if !methods.split(", ").any(|m| m == method.as_str()) {
        return reply::wrong_method(method.as_str(), &path, methods);
    }
    let access = access(shared, &request);
    if path == "/page/login" {
        return match (method, access) {
            (Method::POST, _) => login::post(shared, caller, request).await,
            (_, Ok(_)) => see_other("/"),
            (_, Err(_)) => document::answer(StatusCode::OK, document::login(None)),
        };
    }
    let access = match access {
        Ok(access) => access,
        Err(_) if path == "/" && is_for_a_browser(request.headers()) => {
            return see_other("/page/login");
        }
        Err(_) if method == Method::POST && is_for_a_browser(request.headers()) => {
            let sentence = "the login has ended, and nothing was changed; log in again";
            return document::answer(StatusCode::FORBIDDEN, document::login(Some(sentence)));
        }
        Err(refusal) => return *refusal,
    };
    match path.as_str() {
        "/" => page(shared, &access, request.uri().query()),
        "/page/events" => match shared.guard.elsewhere(&request) {
            Some(refusal) => refusal,
            None => events::begin(shared, caller, access, request.uri().query()),
        },
        path => submitted(shared, caller, (&access, path), request).await,
    }
}

/// Why the request may see the page, or why it may not.
fn access<B>(shared: &Shared, request: &Request<B>) -> Result<Access, Box<Reply>> {
    if let Some(csrf) = shared.sessions.csrf_of(request.headers()) {
        return Ok(Access::Session(csrf));
    }
    match shared.guard.refusal(request) {
        Some(refusal) => Err(Box::new(refusal)),
        None => Ok(Access::Open),
    }
}

fn is_for_a_browser(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).map(HeaderValue::as_bytes);
    prefers(accept, "text/html", "application/json")
}

fn page(shared: &Shared, access: &Access, query: Option<&str>) -> Reply {
    let view = View::of_query(query);
    let outcome = shared.results.find(&view.result);
    document::answer(
        StatusCode::OK,
        rendered(shared, access, &view, outcome.as_ref()),
    )
}

fn rendered(shared: &Shared, access: &Access, view: &View, outcome: Option<&Outcome>) -> Markup {
    let logout = matches!(access, Access::Session(_));
    shared.live.look(&*shared.control, |moment| {
        let csrf = access.csrf(shared);
        document::page(&Shown { moment, view, csrf }, outcome, logout)
    })
}

/// A form of the page.
async fn submitted(
    shared: &Shared,
    caller: &Caller,
    (access, path): (&Access, &str),
    request: Request<Incoming>,
) -> Reply {
    let headers = request.headers().clone();
    let fields = match form(shared, caller, request).await {
        Ok(fields) => fields,
        Err(refusal) => return refusal,
    };
    if !is_same(fields.get("csrf"), access.csrf(shared)) {
        return strange_form(shared, access, &headers);
    }
    if path == "/page/logout" {
        let mut reply = see_other("/page/login");
        login::set_cookie(&mut reply, &shared.sessions.end(&headers));
        return reply;
    }
    caller.is(Doing::Working);
    let outcome = acts::act(shared, &fields).await;
    shared.live.renew();
    let id = shared.results.keep(outcome);
    see_other(&View::of(&fields).location(Some(&id)))
}

/// The answer to a form of another session, which an old tab may still show, or of no page at all.
fn strange_form(shared: &Shared, access: &Access, headers: &HeaderMap) -> Reply {
    let sentence = "the form is not one of this page as it is now, and changed nothing; use the \
                    page as it is below";
    if !is_for_a_browser(headers) {
        return reply::error(StatusCode::FORBIDDEN, sentence);
    }
    let outcome = Outcome {
        done: false,
        sentence: sentence.to_owned(),
    };
    let page = rendered(shared, access, &View::of_query(None), Some(&outcome));
    document::answer(StatusCode::FORBIDDEN, page)
}

/// The fields of a form that was sent.
async fn form(
    shared: &Shared,
    caller: &Caller,
    request: Request<Incoming>,
) -> Result<Fields, Reply> {
    let read = body::read(shared, caller, request.into_body(), ("form", FORM)).await;
    let (bytes, room) = read.map_err(|unread| unread.reply())?;
    room.is_whole();
    Ok(Fields::read(&String::from_utf8_lossy(&bytes)))
}

/// 303: the browser gets that page instead, and reloading it sends no form again.
fn see_other(location: &str) -> Reply {
    let mut reply = reply::body(StatusCode::SEE_OTHER, "text/plain", Vec::new());
    if let Ok(location) = HeaderValue::from_str(location) {
        reply.headers_mut().insert(LOCATION, location);
    }
    reply
}
