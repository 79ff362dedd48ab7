//! `POST /page/login`.

use http::header::ORIGIN;

use super::{
    Caller, HeaderValue, Incoming, RETRY_AFTER, Reply, Request, SET_COOKIE, Shared, StatusCode,
    document, form, see_other,
};

/// Begins a session for the token.
pub(super) async fn post(shared: &Shared, caller: &Caller, request: Request<Incoming>) -> Reply {
    let origin = request.headers().get(ORIGIN);
    // The listener itself speaks no TLS; what stands before it may.
    let secure = origin.is_some_and(|o| o.as_bytes().starts_with(b"https://"));
    let fields = match form(shared, caller, request).await {
        Ok(fields) => fields,
        Err(refusal) => return refusal,
    };
    if !shared.guard.has_token() {
        return see_other("/");
    }
    if !shared.sessions.may_try(caller.network()) {
        let sentence = "too many wrong tokens came from your address; wait a minute";
        let page = document::login(Some(sentence));
        let mut reply = document::answer(StatusCode::TOO_MANY_REQUESTS, page);
        let headers = reply.headers_mut();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("60"));
        return reply;
    }
    if !shared.guard.is_token(fields.get("token").trim().as_bytes()) {
        shared.sessions.was_wrong(caller.network());
        tracing::warn!(client = %caller.network(), "a wrong token in the login form of the page");
        let page = document::login(Some("this is not the admin token"));
        return document::answer(StatusCode::FORBIDDEN, page);
    }
    let mut reply = see_other("/");
    set_cookie(&mut reply, &shared.sessions.begin(secure));
    reply
}

pub(super) fn set_cookie(reply: &mut Reply, cookie: &str) {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        reply.headers_mut().insert(SET_COOKIE, cookie);
    }
}
