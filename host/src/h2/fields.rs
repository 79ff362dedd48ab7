//! Fields from the engine's maps into ours, and back.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::message::{Fields, HeadLimits, Malformed, may_trail, syntax};

/// What a field costs in HTTP/1.1 beside its name and value: `: ` and CR LF.
pub(super) const FRAMING: usize = 4;
/// The same in the engine's terms (RFC 9113 section 6.5.2).
const OVERHEAD: usize = 32;

/// Reads the trailers that may be passed on. The engine may have left some out without a word if
/// it took `whole_below` bytes of them or more.
///
/// # Errors
///
/// They are more than the limits allow, or not all there.
pub fn read_trailers(
    map: &HeaderMap,
    trailers: &mut Fields,
    limits: HeadLimits,
    whole_below: usize,
) -> Result<(), Malformed> {
    trailers.clear();
    let (mut bytes, mut listed) = (0, 0);
    for (at, (name, value)) in map.iter().enumerate() {
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        let length = name.len() + value.len();
        (bytes, listed) = (bytes + length + FRAMING, listed + length + OVERHEAD);
        if bytes > limits.bytes || listed >= whole_below {
            return Err(Malformed::HeadTooLarge);
        }
        if at >= limits.fields {
            return Err(Malformed::TooManyFields);
        }
        if name.len() > syntax::MAX_NAME {
            return Err(Malformed::FieldName);
        }
        if may_trail(name) {
            trailers.append(name, syntax::trim(value));
        }
    }
    match listed >= whole_below {
        true => Err(Malformed::HeadTooLarge),
        false => Ok(()),
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

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits {
        first_line: 0,
        bytes: 100,
        fields: 3,
    };

    fn read(fields: &[(&'static str, &str)], whole_below: usize) -> Result<Fields, Malformed> {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, value.parse().unwrap());
        }
        let mut trailers = Fields::new();
        read_trailers(&map, &mut trailers, LIMITS, whole_below).map(|()| trailers)
    }

    #[test]
    fn trailers_within_the_limits_are_read_and_others_are_refused() {
        let read_whole = read(&[("x-a", "1"), ("host", "a"), ("x-b", "2")], 1_000).unwrap();
        let names: Vec<_> = read_whole.iter().map(|(name, _)| name).collect();
        assert_eq!(names, [b"x-a", b"x-b"]);
        let long = "x".repeat(94);
        for (fields, whole_below, reason) in [
            (&[("x-a", "1"); 4][..], 1_000, Malformed::TooManyFields),
            (&[("x-a", &long)], 1_000, Malformed::HeadTooLarge),
            (&[("x-a", "1")], 36, Malformed::HeadTooLarge),
            (&[], 0, Malformed::HeadTooLarge),
        ] {
            assert_eq!(read(fields, whole_below).err(), Some(reason), "{fields:?}");
        }
        assert!(read(&[("x-a", &long[1..])], 1_000).is_ok());
        assert!(read(&[("x-a", "1")], 37).is_ok());
    }
}
