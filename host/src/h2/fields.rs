//! Fields from the engine's maps into ours, and back.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::message::{Fields, may_trail};

/// Reads the trailers that may be passed on.
pub fn read_trailers(map: &HeaderMap, trailers: &mut Fields) {
    trailers.clear();
    for (name, value) in map {
        if may_trail(name.as_str().as_bytes()) {
            trailers.append(name.as_str().as_bytes(), value.as_bytes());
        }
    }
}

/// Trailers as the engine takes them.
pub fn trailers(trailers: &Fields) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(trailers.len());
    append_all(&mut map, trailers);
    map
}

/// Appends all fields. Their values share one piece of memory.
pub(super) fn append_all(map: &mut HeaderMap, fields: &Fields) {
    append_some(map, fields, |_| true);
}

/// Appends the fields whose names fit.
pub(super) fn append_some(map: &mut HeaderMap, fields: &Fields, fits: impl Fn(&[u8]) -> bool) {
    let length = fields.iter().map(|(_, value)| value.len()).sum();
    let mut values = BytesMut::with_capacity(length);
    fields.iter().for_each(|(_, v)| values.extend_from_slice(v));
    let mut values = values.freeze();
    for (name, value) in fields.iter() {
        let value = values.split_to(value.len());
        if fits(name) {
            append(map, name, value);
        }
    }
}

/// Appends a field. One that the engine's map does not take is left out: every field was validated
/// where it came in.
pub(super) fn append(map: &mut HeaderMap, name: &[u8], value: Bytes) {
    if let (Ok(name), Ok(value)) = (
        HeaderName::from_bytes(name),
        HeaderValue::from_maybe_shared(value),
    ) {
        // It fails beyond 24,576 names.
        let _ = map.try_append(name, value);
    }
}
