//! Heads and bodies as bytes, right and wrong.

use proptest::prelude::*;

use super::*;
use crate::message::{Fields, Malformed, RequestHead, ResponseHead};

mod chunks;
mod requests;
mod responses;

const LIMITS: HeadLimits = HeadLimits {
    first_line: 256,
    bytes: 1024,
    fields: 8,
};

proptest! {
    #[test]
    fn no_bytes_make_the_parsers_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_request(&mut RequestHead::default(), &bytes, LIMITS);
        let _ = parse_response(&mut ResponseHead::default(), &bytes, &http::Method::GET, LIMITS);
        let _ = chunks::decode(&bytes, 7);
        let mut text = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
        text.extend_from_slice(&bytes);
        let _ = parse_request(&mut RequestHead::default(), &text, LIMITS);
    }
}
