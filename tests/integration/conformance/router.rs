//! What `header-router` does in every language.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::Case;
use super::subject::{Alone, Subject, values};
use crate::fixtures::TestUpstream;

pub const CASES: &[Case] = &[
    ("router: a route names a backend by its address", by_address),
    (
        "router: a route names several backends by their label",
        by_label,
    ),
    (
        "router: a value counts byte for byte, and the first of several",
        byte_for_byte,
    ),
    ("router: what no route has is left to the host", unmatched),
    (
        "router: a route that names nobody is told and counted",
        nobody,
    ),
    (
        "router: a backend that failed this request is skipped",
        failed_is_skipped,
    ),
    (
        "router: an ejected backend is skipped",
        unhealthy_is_skipped,
    ),
    (
        "router: the hash of a value is the same in every language",
        hashed,
    ),
    (
        "router: with another list only the values of lost backends move",
        another_list,
    ),
    (
        "router: request fields are removed, set and appended",
        request_edits,
    ),
    (
        "router: response fields are removed, set and appended",
        response_edits,
    ),
    (
        "router: an edit that is refused is told, and the others are made",
        refused_edit,
    ),
    ("router: wrong settings are refused by their key", refusals),
];

/// Policies whose settings the router refuses, by name: the settings, and how the reason begins.
pub const REFUSED: &[(&str, &str, &str)] = &[
    ("r-missing", "routes = {}", "header: missing"),
    ("r-type", "header = 1", "header: has to be a string"),
    (
        "r-name",
        "header = \"a b\"",
        "header: \"a b\" is not a field name",
    ),
    (
        "r-empty-name",
        "header = \"\"",
        "header: \"\" is not a field name",
    ),
    (
        "r-unknown",
        "header = \"x\"\nheder = \"y\"",
        "heder: unknown key; there are header, routes, fallback, request, response",
    ),
    (
        "r-routes",
        "header = \"x\"\nroutes = [\"a\"]",
        "routes: has to be a table",
    ),
    (
        "r-route-type",
        "header = \"x\"\nroutes = { blue = 1 }",
        "routes.blue: has to be a string",
    ),
    (
        "r-route-empty",
        "header = \"x\"\nroutes = { blue = \"\" }",
        "routes.blue: is empty",
    ),
    (
        "r-fallback",
        "header = \"x\"\nfallback = \"random\"",
        "fallback: \"random\" is neither \"none\" nor \"hash\"",
    ),
    (
        "r-edit",
        "header = \"x\"\nrequest = { st = {} }",
        "request.st: unknown key; there are set, append, remove",
    ),
    (
        "r-host",
        "header = \"x\"\nrequest = { set = { Host = \"a\" } }",
        "request.set: \"host\" belongs to the proxy",
    ),
    (
        "r-value",
        "header = \"x\"\nrequest = { set = { a = \"b\\r\\nc: d\" } }",
        "request.set.a: a field value has no control",
    ),
    (
        "r-c1",
        "header = \"x\"\nrequest = { append = { a = \"\\u0085\" } }",
        "request.append.a: a field value has no control",
    ),
    (
        "r-list",
        "header = \"x\"\nresponse = { remove = { a = \"b\" } }",
        "response.remove: has to be a list of field names",
    ),
    (
        "r-list-type",
        "header = \"x\"\nresponse = { remove = [1] }",
        "response.remove: has to be a string",
    ),
    (
        "r-remove",
        "header = \"x\"\nresponse = { remove = [\"a:\"] }",
        "response.remove: \"a:\" is not a field name",
    ),
];

fn tenant(value: &[u8]) -> [(&str, &[u8]); 1] {
    [("X-Tenant", value)]
}

fn counted(subject: &Subject, policy: &str) -> [u64; 4] {
    ["routed", "hashed", "unmatched", "unusable"]
        .map(|name| subject.stat(policy, &format!("counters/{name}")))
}

/// What the counters grow by.
#[track_caller]
fn counts(subject: &Subject, policy: &str, expected: [u64; 4], requests: impl FnOnce()) {
    let before = counted(subject, policy);
    requests();
    let after = counted(subject, policy);
    let grown: Vec<u64> = after
        .iter()
        .zip(before)
        .map(|(now, then)| now - then)
        .collect();
    assert_eq!(grown, expected, "routed, hashed, unmatched, unusable");
}

fn by_address(subject: &Subject) {
    counts(subject, "router", [5, 0, 0, 0], || {
        for _ in 0..5 {
            assert_eq!(subject.answers("routed.test", &tenant(b"blue")), 0);
        }
    });
}

fn by_label(subject: &Subject) {
    let mut seen = BTreeSet::new();
    counts(subject, "router", [40, 0, 0, 0], || {
        seen.extend((0..40).map(|_| subject.answers("routed.test", &tenant(b"green"))));
    });
    assert_eq!(
        seen,
        BTreeSet::from([1, 2]),
        "each of them, and nobody else"
    );
}

fn byte_for_byte(subject: &Subject) {
    let replacement = "\u{fffd}".as_bytes();
    assert_eq!(subject.answers("routed.test", &tenant(replacement)), 1);
    counts(subject, "router", [1, 0, 4, 0], || {
        for other in [b"Blue".as_slice(), b"blue ext", b"\xff", b"blu"] {
            subject.answers("routed.test", &tenant(other));
        }
        assert_eq!(
            subject.answers(
                "routed.test",
                &[("x-tenant", b"blue"), ("X-Tenant", b"green")]
            ),
            0
        );
    });
}

fn unmatched(subject: &Subject) {
    counts(subject, "router", [0, 0, 3, 0], || {
        subject.answers("routed.test", &[]);
        subject.answers("routed.test", &tenant(b""));
        subject.answers("routed.test", &tenant(b"pink"));
    });
}

fn nobody(subject: &Subject) {
    let line = "routes.lost: pool routed has no backend with the address or the name 10.9.9.9:80";
    subject.proxy.stderr.says(line);
    counts(subject, "router", [0, 0, 0, 1], || {
        subject.answers("routed.test", &tenant(b"lost"));
    });
}

fn failed_is_skipped(subject: &Subject) {
    // Two backends, one of them dead and never ejected: half of the requests are tried twice.
    let before = counted(subject, "router");
    for _ in 0..40 {
        assert_eq!(subject.answers("retried.test", &tenant(b"retried")), 0);
    }
    let after = counted(subject, "router");
    let routed = after[0] - before[0];
    assert!(
        (41..=80).contains(&routed),
        "asked again for a second attempt: {routed}"
    );
    assert_eq!(
        after[3], before[3],
        "there was always one that could be used"
    );
}

fn unhealthy_is_skipped(subject: &Subject) {
    // The first failure sets it aside; the second attempt finds nobody, and so does every request
    // after it.
    counts(subject, "router", [1, 0, 0, 1], || {
        subject.answers("failing.test", &tenant(b"gone"));
    });
    counts(subject, "router", [0, 0, 0, 3], || {
        for _ in 0..3 {
            subject.answers("failing.test", &tenant(b"gone"));
        }
    });
}

/// The reference: FNV-1a over the bytes, mixed.
fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ seed;
    let mut hash = bytes.iter().fold(start, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

fn home(addresses: &[SocketAddr], value: &[u8]) -> usize {
    let score = |at: &usize| hash(hash(0, addresses[*at].to_string().as_bytes()), value);
    (0..addresses.len()).max_by_key(score).unwrap()
}

/// Values that are words, bytes and nothing.
fn some_values() -> Vec<Vec<u8>> {
    // That one of three backends has none: 3 * (2/3)^67, once in 10^11 runs.
    let words = (0..64).map(|n| format!("tenant-{n}").into_bytes());
    words
        .chain([b"\xff\x80\xfe".to_vec(), "Zürich".into(), vec![b'x'; 200]])
        .collect()
}

fn hashed(subject: &Subject) {
    let addresses: Vec<_> = subject.backends.iter().map(TestUpstream::address).collect();
    let values = some_values();
    let mut seen = BTreeSet::new();
    counts(subject, "hashing", [0, values.len() as u64, 1, 0], || {
        for value in &values {
            let answers = subject.answers("hashed.test", &tenant(value));
            assert_eq!(
                answers,
                home(&addresses, value),
                "{:?}",
                String::from_utf8_lossy(value)
            );
            seen.insert(answers);
        }
        subject.answers("hashed.test", &[]);
    });
    assert_eq!(seen.len(), 3, "every backend has values of its own");
}

fn another_list(subject: &Subject) {
    let [alpha, bravo, gamma] = subject.backends.each_ref().map(TestUpstream::address);
    let dead = subject.dead();
    // One is gone, one is new and dead, and the order is another.
    let alone = Alone {
        policy: "router",
        pool: format!("\"{dead}\", \"{gamma}\", \"{alpha}\""),
        settings: "header = \"x-tenant\"\nfallback = \"hash\"",
    };
    let proxy = subject.alone(&alone);
    let addresses = [dead, gamma, alpha];
    for value in some_values() {
        let answer = proxy.ask(super::subject::request("GET", "a.test", &tenant(&value)));
        assert_eq!(answer.status, 200, "{}", answer.text());
        // The dead one is tried and skipped, so its values go to the second best.
        let expected = match home(&addresses, &value) {
            0 => [gamma, alpha][home(&addresses[1..], &value)],
            at => addresses[at],
        };
        let name = if expected == gamma { "gamma" } else { "alpha" };
        assert_eq!(answer.text(), name, "{:?}", String::from_utf8_lossy(&value));
        let before = [alpha, bravo, gamma][home(&[alpha, bravo, gamma], &value)];
        if before != bravo && home(&addresses, &value) != 0 {
            assert_eq!(before, expected, "a value moved without a reason");
        }
    }
}

fn request_edits(subject: &Subject) {
    let fields: [(&str, &[u8]); 6] = [
        ("X-Tenant", b"blue"),
        ("X-Debug", b"1"),
        ("x-debug", b"2"),
        ("X-Routed-By", b"client"),
        ("X-Trace", b"a\xff"),
        ("x-bytes", b"\xfe\x80"),
    ];
    let before = subject.backends[0].received().len();
    subject.answers("routed.test", &fields);
    let received = subject.backends[0].received().remove(before);
    assert!(!received.head.has("x-debug"));
    assert_eq!(
        values(&received.head, "x-routed-by"),
        ["Zürich €".as_bytes()]
    );
    assert_eq!(
        values(&received.head, "x-trace"),
        [b"a\xff".as_slice(), b"edge"]
    );
    assert_eq!(
        values(&received.head, "x-bytes"),
        [b"\xfe\x80"],
        "what is not edited passes as it is"
    );
}

fn response_edits(subject: &Subject) {
    let answer = subject.ask("routed.test", &tenant(b"blue"));
    assert!(!answer.head.has("server"));
    assert_eq!(answer.head.values("x-from"), ["policy"]);
    assert_eq!(
        values(&answer.head, "set-cookie"),
        [b"a=1".as_slice(), b"b=\xff\x80", b"c=3"]
    );
}

fn refused_edit(subject: &Subject) {
    let before: Vec<_> = subject
        .backends
        .iter()
        .map(|backend| backend.received().len())
        .collect();
    subject.answers("hashed.test", &tenant(b"t"));
    let received = subject
        .backends
        .iter()
        .zip(before)
        .find_map(|(b, n)| b.received().into_iter().nth(n))
        .unwrap();
    let made = (0..66)
        .filter(|n| received.head.values(&format!("x-n{n}")) == [n.to_string()])
        .count();
    assert_eq!(made, 64, "as many as one call may make");
    let told = subject
        .proxy
        .stderr
        .find(|line| line.contains(" was not written: too-many").then_some(()));
    assert!(
        told.is_some(),
        "the log has no line about the edit that was refused"
    );
}

fn refusals(subject: &Subject) {
    for (policy, settings, reason) in REFUSED {
        let told = subject.refusal(policy, 0);
        assert!(told.contains(reason), "{settings}: no {reason:?} in {told}");
    }
}
