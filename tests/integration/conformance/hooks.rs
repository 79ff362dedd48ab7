//! What `conformance` shows of the hooks in every language; `guest-policies/conformance/SPEC.md`
//! has its commands.

use std::collections::BTreeSet;

use super::Case;
use super::subject::{GREETING, Subject, request, values};
use crate::fixtures::Response;

pub const CASES: &[Case] = &[
    ("select: an index, by command and by settings", picks),
    ("select: none leaves the choice to the host", picks_none),
    ("select: asked again, and told what failed", retries),
    ("request: what is read", reads),
    (
        "request: repeated fields and bytes that are no text",
        request_edits,
    ),
    (
        "response: repeated fields and bytes that are no text",
        response_edits,
    ),
    ("headers: every error of an edit", edit_errors),
    ("headers: no more edits than allowed", edit_limit),
    ("refusal: every hook answers the client", refusals),
    ("range: every verdict", range_verdicts),
    ("range: numbers of 64 bits", range_numbers),
    (
        "settings: text of every kind, and what is refused",
        settings,
    ),
];

/// Policies whose settings `conformance` refuses, by name: the settings, and the reason.
pub const REFUSED: &[(&str, &str, &str)] = &[
    (
        "c-refuse",
        "refuse = \"not with me: Grüße\"",
        "not with me: Grüße",
    ),
    ("c-unknown", "gretting = \"a\"", "gretting: unknown key"),
    ("c-string", "greeting = 1", "greeting: has to be a string"),
    ("c-fraction", "pick = 1.5", "pick: has to be a whole number"),
    ("c-negative", "pick = -1", "pick: has to be a whole number"),
    (
        "c-large",
        "pick = 4294967296",
        "pick: has to be a whole number",
    ),
    ("c-bool", "pick = true", "pick: has to be a whole number"),
];

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[track_caller]
pub fn served(answer: &Response, name: &str) {
    assert_eq!((answer.status, answer.text().as_str()), (200, name));
}

fn picks(subject: &Subject) {
    served(&subject.told(&[]).0, "bravo");
    served(&subject.told(&[b"select pick 0"]).0, "alpha");
    served(
        &subject.told(&[b"select pick 0", b"select pick 1"]).0,
        "bravo",
    );
}

fn picks_none(subject: &Subject) {
    // Of five backends three are no good; the host goes on until it finds one that answers, or says
    // so. `pick` is always the same one.
    let answers = (0..40)
        .map(|_| subject.told(&[b"select none"]).0)
        .filter(|answer| answer.status == 200);
    let names: BTreeSet<String> = answers.map(|answer| answer.text()).collect();
    assert_eq!(
        names.iter().map(String::as_str).collect::<Vec<_>>(),
        ["alpha", "bravo"]
    );
    assert_eq!(subject.stat("conformance", "invalid"), 0);
}

fn retries(subject: &Subject) {
    let (answer, _) = subject.told(&[b"select picks 2,4,3,0", b"select tell 4"]);
    served(&answer, "4 2:connect 4:closed 3:connect");
    let (answer, received) = subject.told(&[
        b"select picks 2,0",
        b"request append x-edit once",
        b"select tell 9",
    ]);
    served(&answer, "alpha");
    assert_eq!(
        received.unwrap().head.values("x-edit"),
        ["once"],
        "edits hold for every attempt"
    );
    let (answer, _) = subject.told(&[b"select tell 1"]);
    served(&answer, "1");
}

fn reads(subject: &Subject) {
    let fields: [(&str, &[u8]); 4] = [
        ("X-A", b"1"),
        ("Connection", b"x-hop"),
        ("X-Hop", b"1"),
        ("x-a", b"\xff\xfe"),
    ];
    let (answer, received) = subject.told_with(
        &fields,
        &[
            b"request echo",
            b"request request-values x-a",
            b"request request-first X-A",
            b"request request-names",
        ],
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    let did = received.unwrap().head.values("x-did");
    assert_eq!(did[0], "GET http contract.test /path ?query 127.0.0.1");
    assert_eq!(did[1], "31,fffe");
    assert_eq!(did[2], "31");
    let names: Vec<&str> = did[3].split(',').collect();
    assert_eq!(
        names.iter().filter(|name| **name == "x-a").count(),
        2,
        "{names:?}"
    );
    assert!(
        names.contains(&"x-forwarded-for") && !names.contains(&"x-hop"),
        "{names:?}"
    );
    let none = [
        b"request request-values x-none".as_slice(),
        b"request request-first x-none",
        b"request echo",
    ];
    let plain = request(
        "POST",
        "contract.test",
        &none.map(|command| ("x-do", command)),
    );
    let plain = String::from_utf8(plain)
        .unwrap()
        .replace("/path?query", "/x//../%41%2fb")
        .into_bytes();
    let before = subject.backends[1].received().len();
    subject.proxy.ask(plain);
    let did = subject.backends[1]
        .received()
        .remove(before)
        .head
        .values("x-did");
    assert_eq!(
        did,
        [
            "none",
            "none",
            "POST http contract.test /A%2Fb none 127.0.0.1"
        ]
    );
}

fn request_edits(subject: &Subject) {
    let fields: [(&str, &[u8]); 4] = [
        ("X-Old", b"1"),
        ("x-old", b"2"),
        ("X-Gone", b"1"),
        ("x-gone", b"2"),
    ];
    let (_, received) = subject.told_with(
        &fields,
        &[
            b"request set X-New one \xff\x80",
            b"request append x-new two",
            b"request set x-old \x80",
            b"request remove X-GONE",
            b"request remove x-never-there",
            b"request values x-new",
            b"request first x-old",
            b"request request-values x-old",
        ],
    );
    let head = received.unwrap().head;
    assert_eq!(values(&head, "x-new"), [b"one \xff\x80".as_slice(), b"two"]);
    assert_eq!(values(&head, "x-old"), [b"\x80"]);
    assert!(!head.has("x-gone"));
    let did = head.values("x-did");
    assert_eq!(did[..5], ["ok"; 5]);
    assert_eq!(
        did[5..],
        ["6f6e6520ff80,74776f", "80", "80"],
        "the request shows the edits as they are made"
    );
}

fn response_edits(subject: &Subject) {
    let (answer, _) = subject.told(&[
        b"response values set-cookie",
        b"response append Set-Cookie c=\xfe",
        b"response first set-cookie",
        b"response set x-from policy",
        b"response remove Server",
        b"response names",
        b"response answer",
    ]);
    assert_eq!(
        values(&answer.head, "set-cookie"),
        [b"a=1".as_slice(), b"b=\xff\x80", b"c=\xfe"]
    );
    assert_eq!(answer.head.values("x-from"), ["policy"]);
    assert!(!answer.head.has("server"));
    let did = answer.head.values("x-did");
    assert_eq!(did[0], format!("{},{}", hex(b"a=1"), hex(b"b=\xff\x80")));
    assert_eq!((did[1].as_str(), did[2].clone()), ("ok", hex(b"a=1")));
    let names: Vec<&str> = did[5].split(',').collect();
    assert_eq!(
        names.iter().filter(|name| **name == "set-cookie").count(),
        3,
        "{names:?}"
    );
    assert_eq!(did[6], "200 1");
}

fn edit_errors(subject: &Subject) {
    let long = format!("set x-long {}", "v".repeat(8193));
    let long_name = format!("append {} v", "n".repeat(257));
    let did = subject.did(&[
        "set a:b v",
        "append x\u{e9} v",
        &long_name,
        "set x a\tb",
        &long,
        "set Content-Length 5",
        "append connection close",
        "remove Transfer-Encoding",
        "set x-fine v",
    ]);
    let expected = [
        "invalid-name",
        "invalid-name",
        "invalid-name",
        "ok",
        "invalid-value",
        "forbidden",
        "forbidden",
    ];
    assert_eq!(did[..7], expected);
    assert_eq!(did[7..], ["forbidden", "ok"]);
}

fn edit_limit(subject: &Subject) {
    let before = subject.stat("conformance", "counters/too_many");
    let (answer, received) = subject.told(&[b"request many 100", b"response many 64"]);
    assert_eq!(received.unwrap().head.values("x-many").len(), 64);
    let many: Vec<String> = (0..64).map(|n| n.to_string()).collect();
    assert_eq!(answer.head.values("x-many"), many);
    assert_eq!(subject.stat("conformance", "counters/too_many"), before + 1);
}

fn refusals(subject: &Subject) {
    let before = subject.stat("conformance", "refusals");
    for (hook, status) in [
        ("range", 416),
        ("request", 403),
        ("select", 200),
        ("response", 599),
    ] {
        let command = format!("{hook} refuse {status}");
        let (answer, received) =
            subject.told_with(&[("Range", b"bytes=0-1")], &[command.as_bytes()]);
        assert_eq!(
            (answer.status, answer.text()),
            (status, format!("refused by {hook}"))
        );
        assert_eq!(received.is_some(), hook == "response", "{hook}");
        assert_eq!(answer.head.values("x-refused"), [hook]);
        assert_eq!(answer.head.values("set-cookie"), ["a=1", "b=2"]);
        assert_eq!(values(&answer.head, "x-bytes"), [b"\xff\x80"]);
        assert!(
            !answer.head.has("x-from"),
            "nothing of a backend's response is left"
        );
    }
    assert_eq!(subject.stat("conformance", "refusals"), before + 4);
    served(&subject.told(&[]).0, "bravo");
}

fn range_verdicts(subject: &Subject) {
    let ask = |verdict: &[u8]| subject.told_with(&[("Range", b"bytes=0-1")], &[verdict]);
    let forwarded = |verdict: &[u8]| ask(verdict).1.unwrap().value("range");
    assert_eq!(
        forwarded(b"select pick 1").as_deref(),
        Some("bytes=0-1"),
        "none: as it is"
    );
    assert_eq!(forwarded(b"range ignore"), None);
    assert_eq!(
        forwarded(b"range ranges 1-3,5-,-2").as_deref(),
        Some("bytes=1-3, 5-, -2")
    );
    for (verdict, status, body) in [
        ("1-3", 206, "rav"),
        ("3-", 206, "vo"),
        ("-2", 206, "vo"),
        ("0-0", 206, "b"),
        ("5-", 416, ""),
    ] {
        let (answer, _) = ask(format!("range ranges {verdict}").as_bytes());
        assert_eq!(answer.status, status, "{verdict}");
        assert!(
            status == 416 || answer.text() == body,
            "{verdict}: {}",
            answer.text()
        );
    }
}

fn range_numbers(subject: &Subject) {
    for numbers in [
        "9007199254740993-18446744073709551614",
        "-9007199254740993",
        "9223372036854775809-",
    ] {
        let command = format!("range ranges {numbers}");
        let (_, received) = subject.told_with(&[("Range", b"bytes=0-1")], &[command.as_bytes()]);
        assert_eq!(
            received.unwrap().value("range"),
            Some(format!("bytes={numbers}"))
        );
    }
}

fn settings(subject: &Subject) {
    assert_eq!(subject.did(&["greeting"]), [hex(GREETING.as_bytes())]);
    let built = subject.stat("conformance", "instances_built");
    assert_eq!(
        subject.stat("conformance", "counters/configured"),
        built,
        "each instance is configured once"
    );
    for (policy, settings, reason) in REFUSED {
        let told = subject.refusal(policy, 1);
        assert!(told.contains(reason), "{settings}: no {reason:?} in {told}");
    }
}
