//! The head of a response to a client.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, DATE, VIA};
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version};

use super::fields;
use crate::message::{Fields, ResponseHead};

/// What the proxy adds to the head of a response.
#[derive(Debug, Clone, Copy)]
pub struct ResponseExtras<'a> {
    /// The length that the head says, if it does.
    pub length: Option<u64>,
    /// The value of `via`.
    pub via: &'a [u8],
    /// The value of `date`, if the response has none.
    pub date: Option<&'a [u8]>,
}

/// The head of a response as the engine takes it.
pub fn response(head: &ResponseHead, extras: ResponseExtras<'_>) -> Response<()> {
    let mut response = empty(head.status);
    let map = response.headers_mut();
    map.reserve(head.fields.len() + 3);
    fields::append_all(map, &head.fields);
    append_value(map, VIA, extras.via);
    if let Some(date) = extras.date {
        append_value(map, DATE, date);
    }
    if let Some(length) = extras.length {
        map.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

/// The head of an answer that is not a backend's, with the length that it says.
pub fn answer(status: u16, fields: &Fields, length: Option<u64>) -> Response<()> {
    let mut response = empty(status);
    let map = response.headers_mut();
    fields::append_all(map, fields);
    if let Some(length) = length {
        map.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

/// An interim response, with what `head` says beside the status, if it is a backend's.
pub fn interim(status: u16, head: Option<&ResponseHead>) -> Response<()> {
    let mut response = empty(status);
    if let Some(head) = head {
        fields::append_all(response.headers_mut(), &head.fields);
    }
    response
}

/// A head without fields. Statuses are checked where they come in.
fn empty(status: u16) -> Response<()> {
    let mut response = Response::new(());
    *response.version_mut() = Version::HTTP_2;
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    response
}

fn append_value(map: &mut HeaderMap, name: http::HeaderName, value: &[u8]) {
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::copy_from_slice(value)) {
        map.append(name, value);
    }
}
