//! A request's head as the engine of HTTP/2 hands it over: refused, or read the same again after it
//! was written for a backend of HTTP/1.1.
//!
//! The input is lines: method, scheme, authority, path, and then fields as `name: value`.

#![no_main]

use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, uri};
use libfuzzer_sys::fuzz_target;
use waypost::h1::{Framing, HeadLimits, parse_request, write_request_head};
use waypost::h2::{Arrived, read_request};
use waypost::message::{RequestHead, Scheme};

const LIMITS: HeadLimits = HeadLimits {
    first_line: 8 * 1024,
    bytes: 64 * 1024,
    fields: 100,
};
/// What is written may be longer: `host` comes from a pseudo-field.
const ROOMY: HeadLimits = HeadLimits {
    first_line: 64 * 1024,
    bytes: 512 * 1024,
    fields: 200,
};

/// What the engine would make of these lines, if it took them.
fn parts(bytes: &[u8]) -> Option<Parts> {
    let mut lines = bytes.split(|b| *b == b'\n');
    let (method, scheme) = (lines.next()?, lines.next()?);
    let (authority, path) = (lines.next()?, lines.next()?);
    let mut target = uri::Parts::default();
    if !authority.is_empty() {
        target.authority = Some(authority.try_into().ok()?);
        target.scheme = Some(scheme.try_into().ok()?);
    }
    if !path.is_empty() {
        target.path_and_query = Some(path.try_into().ok()?);
    }
    let target = uri::Uri::from_parts(target).ok()?;
    let request = Request::builder().method(method).uri(target);
    let (mut parts, ()) = request.body(()).ok()?.into_parts();
    for line in lines {
        let Some(colon) = line.iter().position(|b| *b == b':') else {
            continue;
        };
        let name = HeaderName::from_lowercase(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(&line[colon + 1..]).ok()?;
        parts.headers.try_append(name, value).ok()?;
    }
    Some(parts)
}

fuzz_target!(|bytes: &[u8]| {
    let Some(parts) = parts(bytes) else { return };
    let (mut read, mut again) = (RequestHead::default(), RequestHead::default());
    let arrived = Arrived {
        scheme: Some(Scheme::Http),
        is_end: bytes.len().is_multiple_of(2),
    };
    let Ok(facts) = read_request(&mut read, &parts, arrived, LIMITS) else {
        return;
    };
    if read.method == http::Method::CONNECT {
        // `proxy` refuses it before it is written.
        return;
    }
    let framing = Framing::from(facts.body);
    let mut written = Vec::new();
    write_request_head(&read, framing, "stands-in.test", &mut written);
    let meta = parse_request(&mut again, &written, ROOMY)
        .expect("what is written is well-formed")
        .expect("and complete");
    assert_eq!((meta.head_len, meta.framing), (written.len(), framing));
    assert_eq!(
        (&again.method, &again.target, &again.host),
        (&read.method, &read.target, &read.host)
    );
    assert!(
        again.fields.iter().eq(read.fields.iter()),
        "{:?} became {:?}",
        read.fields,
        again.fields
    );
});
