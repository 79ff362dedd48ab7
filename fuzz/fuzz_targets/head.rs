//! A request's head as a client sends it: refused, or read the same again after it was written for
//! a backend.

#![no_main]

use libfuzzer_sys::fuzz_target;
use waypost::h1::{HeadLimits, parse_request, write_request_head};
use waypost::message::RequestHead;

const LIMITS: HeadLimits = HeadLimits {
    first_line: 8 * 1024,
    bytes: 64 * 1024,
    fields: 100,
};
/// A head that is written may be longer than the one that was read: it says again what was left
/// out.
const ROOMY: HeadLimits = HeadLimits {
    first_line: 64 * 1024,
    bytes: 512 * 1024,
    fields: 200,
};

fuzz_target!(|bytes: &[u8]| {
    let (mut read, mut again) = (RequestHead::default(), RequestHead::default());
    let Ok(Some(meta)) = parse_request(&mut read, bytes, LIMITS) else {
        return;
    };
    assert!(meta.head_len <= bytes.len());
    let mut written = Vec::new();
    // HTTP/1.0 may do without a host, and a backend is never asked without one.
    let host = if read.authority.is_empty() {
        "stands-in.test"
    } else {
        &read.host
    };
    write_request_head(&read, meta.framing, "stands-in.test", &mut written);
    let meta_again = parse_request(&mut again, &written, ROOMY)
        .expect("what is written is well-formed")
        .expect("and complete");
    assert_eq!(meta_again.head_len, written.len());
    assert_eq!(meta_again.framing, meta.framing);
    assert_eq!(
        (&again.method, &again.target, again.host.as_str()),
        (&read.method, &read.target, host)
    );
    assert!(
        again.fields.iter().eq(read.fields.iter()),
        "{:?} became {:?}",
        read.fields,
        again.fields
    );
});
