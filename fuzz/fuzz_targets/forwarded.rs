//! What proxies in front say about a request's way: read without a panic, and read the same again
//! after it was written.

#![no_main]

use libfuzzer_sys::fuzz_target;
use waypost::config;
use waypost::h1::{HeadLimits, parse_request};
use waypost::message::RequestHead;
use waypost::message::forwarded::{elements, node};
use waypost::net::ConnectionInfo;
use waypost::proxy::Forwarding;

const LIMITS: HeadLimits = HeadLimits {
    first_line: 8 * 1024,
    bytes: 64 * 1024,
    fields: 100,
};

fuzz_target!(|bytes: &[u8]| {
    if let Some(address) = node(bytes) {
        assert_eq!(node(address.to_string().as_bytes()), Some(address));
    }
    let _ = elements(bytes);
    let mut head = RequestHead::default();
    // The input is a head's fields: those of forwarding are what the mutator should find.
    let mut request = b"GET / HTTP/1.1\r\nHost: a.example\r\n".to_vec();
    request.extend_from_slice(bytes);
    request.extend_from_slice(b"\r\n\r\n");
    let Ok(Some(meta)) = parse_request(&mut head, &request, LIMITS) else {
        return;
    };
    let trusted = config::TrustedPeers {
        networks: vec!["10.0.0.0/8".parse().expect("a network")],
        unix: false,
    };
    let forwarding = Forwarding::new(&config::Forwarded {
        trusted,
        ..Default::default()
    });
    let peer = ConnectionInfo::new(([10, 0, 0, 1], 40_000).into(), ([10, 0, 0, 2], 80).into());
    // Whoever contradicts itself is refused.
    if forwarding.set_fields(&mut head, meta.notes, &peer).is_err() {
        return;
    }
    let only = |name: &str| {
        let mut values = head.fields.values(name);
        let value = values.next().expect("it is written").to_vec();
        assert_eq!(values.next(), None, "{name} once");
        value
    };
    let list = only("x-forwarded-for");
    let first = list.split(|b| *b == b',').next().unwrap_or_default();
    assert_eq!(node(first), Some(head.client));
    let said = elements(&only("forwarded")).expect("what is written is well-formed");
    assert_eq!(
        (said[0].node, said[0].scheme),
        (Some(head.client), Some(head.scheme))
    );
    assert_eq!(only("x-forwarded-proto"), head.scheme.as_str().as_bytes());
});
