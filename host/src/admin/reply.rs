//! The answers of the admin listener.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, VARY, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{Either, Full};
use serde::Serialize;
use serde_json::json;

use super::news::Events;
use crate::proxy::PAGE_FIELDS;

/// The body of an answer: complete in memory, or news that go on.
pub(super) type ReplyBody = Either<Full<Bytes>, Events>;

/// An answer.
pub(super) type Reply = Response<ReplyBody>;

/// An answer with this body.
pub(super) fn body(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Reply {
    of(
        status,
        content_type,
        Either::Left(Full::new(Bytes::from(body))),
    )
}

/// An answer that goes on.
pub(super) fn events(events: Events) -> Reply {
    of(StatusCode::OK, "text/event-stream", Either::Right(events))
}

/// The same in lines of JSON.
pub(super) fn lines(events: Events) -> Reply {
    of(
        StatusCode::OK,
        "application/x-ndjson",
        Either::Right(events),
    )
}

fn of(status: StatusCode, content_type: &'static str, body: ReplyBody) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    for (name, value) in PAGE_FIELDS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    reply
}

/// A body whose type depends on the `Accept` field.
pub(super) fn negotiated((content_type, bytes): (&'static str, Vec<u8>)) -> Reply {
    let mut reply = body(StatusCode::OK, content_type, bytes);
    reply
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("accept"));
    reply
}

/// An answer with this value as JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Reply {
    match serde_json::to_vec_pretty(value) {
        Ok(mut bytes) => {
            bytes.push(b'\n');
            body(status, "application/json", bytes)
        }
        Err(e) => error(
            StatusCode::INTERNAL_SERVER_ERROR,
            &format!("the answer can't be written as JSON: {e}"),
        ),
    }
}

/// `{"error": "..."}`
pub(super) fn error(status: StatusCode, sentence: &str) -> Reply {
    let mut bytes = json!({ "error": sentence }).to_string().into_bytes();
    bytes.push(b'\n');
    body(status, "application/json", bytes)
}

/// 404, with a list of the endpoints.
pub(super) fn nothing_here(path: &str, endpoints: &[&str]) -> Reply {
    json(
        StatusCode::NOT_FOUND,
        &json!({
            "error": format!("there is nothing at {path}; see \"endpoints\""),
            "endpoints": endpoints,
        }),
    )
}

/// 405, with the allowed methods.
pub(super) fn wrong_method(method: &str, path: &str, allow: &'static str) -> Reply {
    let sentence = format!("{path} does not allow {method}, only {allow}");
    let mut reply = error(StatusCode::METHOD_NOT_ALLOWED, &sentence);
    reply
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allow));
    reply
}

/// 401, with the scheme to use.
pub(super) fn unauthorised(sentence: &str) -> Reply {
    let mut reply = error(StatusCode::UNAUTHORIZED, sentence);
    reply.headers_mut().insert(
        WWW_AUTHENTICATE,
        HeaderValue::from_static("Bearer realm=\"waypost admin\""),
    );
    reply
}
