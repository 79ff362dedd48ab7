//! A request's target and host: one normal form, which is its own, and readings that are normal
//! forms too.

#![no_main]

use libfuzzer_sys::fuzz_target;
use waypost::config::{Conditions, HostPattern, PathMatch, Route, Traffic};
use waypost::message::RequestHead;
use waypost::message::path::{literal, normal, normalise, readings};
use waypost::message::syntax::host_of_authority;
use waypost::route::RouteTable;
use waypost::upstream::Registry;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let (path, authority) = text.split_once(' ').unwrap_or((text, "a.example"));
    if let Some(host) = host_of_authority(authority) {
        assert!(!host.is_empty() && host.len() <= 255);
    }
    if !path.starts_with('/') || !path.bytes().all(|b| b.is_ascii_graphic() && b != b'?') {
        return;
    }
    let once = normal(path);
    assert_eq!(normal(&once), once);
    assert!(once.starts_with('/') && !once.contains("//") && once.len() <= 3 * path.len() + 1);
    assert!(!once.split('/').any(|segment| matches!(segment, "." | "..")));
    assert_eq!(literal(&literal(path)), literal(path));
    let notes = normalise(path, &mut String::new());
    if let Some(readings) = readings(path, notes) {
        for reading in readings.flatten() {
            let path = &reading.path;
            assert!(path.starts_with('/') && !path.contains("//"), "{path}");
            // A server may look for a rule before it resolves anything.
            let resolved = !path.split('/').any(|segment| matches!(segment, "." | ".."));
            assert!(resolved || reading.unusual, "{path}");
        }
    }
    let route = |path: &str, pool| Route {
        host: HostPattern::Any,
        path: PathMatch::Prefix(path.to_owned()),
        conditions: Conditions::default(),
        traffic: Traffic::to(pool, Default::default()),
        answer: None,
        edits: Default::default(),
        policies: Vec::new(),
        rights: Default::default(),
        preserve_header_case: false,
        layer4: None,
        compress: None,
        upgrade: Vec::new(),
    };
    let pools = Registry::new(1).pools(["all", "admin"]);
    let routes = RouteTable::new(
        &[route("/", 0), route("/admin", 1)],
        &pools,
        &[],
        Vec::new(),
    );
    let mut head = RequestHead {
        host: authority.to_owned(),
        ..RequestHead::default()
    };
    head.set_target(path);
    let action = routes.find(&head);
    assert!(action.is_some());
    if let Some(action) = action.filter(|_| notes.is_ambiguous()) {
        routes.sureness(action, &head, path, notes);
    }
});
