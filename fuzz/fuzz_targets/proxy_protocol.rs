//! The PROXY header of a trusted peer: read without a panic, and the same in any pieces.

#![no_main]

use libfuzzer_sys::fuzz_target;
use waypost::net::proxy_protocol::{LONGEST, parse};

fuzz_target!(|bytes: &[u8]| {
    let whole = parse(bytes);
    if let Ok(Some((_, end))) = whole {
        assert!(end <= bytes.len() && end <= LONGEST);
    }
    for n in 0..bytes.len().min(LONGEST + 64) {
        match parse(&bytes[..n]) {
            Ok(None) => {}
            Ok(taken) => assert_eq!(whole, Ok(taken), "what follows changes a header"),
            Err(_) => assert!(whole.is_err(), "what was refused is taken once it goes on"),
        }
    }
});
