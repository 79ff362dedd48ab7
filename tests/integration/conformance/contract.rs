//! What `conformance` shows of the contract in every language; `guest-policies/conformance/SPEC.md` has its commands.

use std::time::{SystemTime, UNIX_EPOCH};

use super::Case;
use super::subject::{Alone, GREETING, Subject, request, values};
use crate::fixtures::{Response, TestUpstream};

pub const CASES: &[Case] = &[
    ("select: an index, by command and by settings", picks),
    ("select: none leaves the choice to the host", picks_none),
    ("select: asked again, and told what failed", retries),
    ("request: what is read", reads),
    ("request: repeated fields and bytes that are no text", request_edits),
    ("response: repeated fields and bytes that are no text", response_edits),
    ("headers: every error of an edit", edit_errors),
    ("headers: no more edits than allowed", edit_limit),
    ("refusal: every hook answers the client", refusals),
    ("range: every verdict", range_verdicts),
    ("range: numbers of 64 bits", range_numbers),
    ("settings: text of every kind, and what is refused", settings),
    ("topology: several pools, weights and labels", topology),
    ("topology: another list", another_list),
    ("counters: 64 bits, and names that are refused", counters),
    ("store: values", store_values),
    ("store: counters of 64 bits", store_counters),
    (NEGATIVE, store_counters_down),
    ("store: compare and set", store_swap),
    ("store: every error", store_errors),
    ("facts: in flight, latency, health and failures", facts),
    (UPPER_HALF, upper_half),
    ("random and time come from the host", random_and_time),
    ("log: every level", log),
];

/// Cases that tools are known to fail.
pub const NEGATIVE: &str = "store: negative numbers of 64 bits";
pub const UPPER_HALF: &str = "arguments of 32 bits in the upper half";

/// Policies whose settings `conformance` refuses, by name: the settings, and the reason.
pub const REFUSED: &[(&str, &str, &str)] = &[
    ("c-refuse", "refuse = \"not with me: Grüße\"", "not with me: Grüße"),
    ("c-unknown", "gretting = \"a\"", "gretting: unknown key"),
    ("c-string", "greeting = 1", "greeting: has to be a string"),
    ("c-fraction", "pick = 1.5", "pick: has to be a whole number"),
    ("c-negative", "pick = -1", "pick: has to be a whole number"),
    ("c-large", "pick = 4294967296", "pick: has to be a whole number"),
    ("c-bool", "pick = true", "pick: has to be a whole number"),
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[track_caller]
fn served(answer: &Response, name: &str) {
    assert_eq!((answer.status, answer.text().as_str()), (200, name));
}

fn picks(subject: &Subject) {
    served(&subject.told(&[]).0, "bravo");
    served(&subject.told(&[b"select pick 0"]).0, "alpha");
    served(&subject.told(&[b"select pick 0", b"select pick 1"]).0, "bravo");
}

fn picks_none(subject: &Subject) {
    // Of five backends three are no good; the host goes on until it finds one that answers, or says so.
    let statuses: Vec<u16> = (0..8).map(|_| subject.told(&[b"select none"]).0.status).collect();
    assert!(statuses.iter().any(|status| *status == 200), "{statuses:?}");
    assert_eq!(subject.stat("conformance", "invalid"), 0);
}

fn retries(subject: &Subject) {
    let (answer, _) = subject.told(&[b"select picks 2,4,3,0", b"select tell 4"]);
    served(&answer, "4 2:connect 4:closed 3:connect");
    let (answer, received) = subject.told(&[b"select picks 2,0", b"request append x-edit once", b"select tell 9"]);
    served(&answer, "alpha");
    assert_eq!(received.unwrap().head.values("x-edit"), ["once"], "edits hold for every attempt");
    let (answer, _) = subject.told(&[b"select tell 1"]);
    served(&answer, "1");
}

fn reads(subject: &Subject) {
    let fields: [(&str, &[u8]); 4] = [("X-A", b"1"), ("Connection", b"x-hop"), ("X-Hop", b"1"), ("x-a", b"\xff\xfe")];
    let (answer, received) = subject.told_with(
        &fields,
        &[b"request echo", b"request request-values x-a", b"request request-first X-A", b"request request-names"],
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    let did = received.unwrap().head.values("x-did");
    assert_eq!(did[0], "GET http contract.test /path ?query 127.0.0.1");
    assert_eq!(did[1], "31,fffe");
    assert_eq!(did[2], "31");
    let names: Vec<&str> = did[3].split(',').collect();
    assert_eq!(names.iter().filter(|name| **name == "x-a").count(), 2, "{names:?}");
    assert!(names.contains(&"x-forwarded-for") && !names.contains(&"x-hop"), "{names:?}");
    let none = [b"request request-values x-none".as_slice(), b"request request-first x-none", b"request echo"];
    let plain = request("POST", "contract.test", &none.map(|command| ("x-do", command)));
    let plain = String::from_utf8(plain).unwrap().replace("/path?query", "/%41").into_bytes();
    let before = subject.backends[1].received().len();
    subject.proxy.ask(plain);
    let did = subject.backends[1].received().remove(before).head.values("x-did");
    assert_eq!(did, ["none", "none", "POST http contract.test /%41 none 127.0.0.1"]);
}

fn request_edits(subject: &Subject) {
    let fields: [(&str, &[u8]); 4] = [("X-Old", b"1"), ("x-old", b"2"), ("X-Gone", b"1"), ("x-gone", b"2")];
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
    assert_eq!(did[5..], ["6f6e6520ff80,74776f", "80", "80"], "the request shows the edits as they are made");
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
    assert_eq!(values(&answer.head, "set-cookie"), [b"a=1".as_slice(), b"b=\xff\x80", b"c=\xfe"]);
    assert_eq!(answer.head.values("x-from"), ["policy"]);
    assert!(!answer.head.has("server"));
    let did = answer.head.values("x-did");
    assert_eq!(did[0], format!("{},{}", hex(b"a=1"), hex(b"b=\xff\x80")));
    assert_eq!((did[1].as_str(), did[2].clone()), ("ok", hex(b"a=1")));
    let names: Vec<&str> = did[5].split(',').collect();
    assert_eq!(names.iter().filter(|name| **name == "set-cookie").count(), 3, "{names:?}");
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
    let expected = ["invalid-name", "invalid-name", "invalid-name", "ok", "invalid-value", "forbidden", "forbidden"];
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
    for (hook, status) in [("range", 416), ("request", 403), ("select", 200), ("response", 599)] {
        let command = format!("{hook} refuse {status}");
        let (answer, received) = subject.told_with(&[("Range", b"bytes=0-1")], &[command.as_bytes()]);
        assert_eq!((answer.status, answer.text()), (status, format!("refused by {hook}")));
        assert_eq!(received.is_some(), hook == "response", "{hook}");
        assert_eq!(answer.head.values("x-refused"), [hook]);
        assert_eq!(answer.head.values("set-cookie"), ["a=1", "b=2"]);
        assert_eq!(values(&answer.head, "x-bytes"), [b"\xff\x80"]);
        assert!(!answer.head.has("x-from"), "nothing of a backend's response is left");
    }
    assert_eq!(subject.stat("conformance", "refusals"), before + 4);
    served(&subject.told(&[]).0, "bravo");
}

fn range_verdicts(subject: &Subject) {
    let ask = |verdict: &[u8]| subject.told_with(&[("Range", b"bytes=0-1")], &[verdict]);
    let forwarded = |verdict: &[u8]| ask(verdict).1.unwrap().value("range");
    assert_eq!(forwarded(b"select pick 1").as_deref(), Some("bytes=0-1"), "none: as it is");
    assert_eq!(forwarded(b"range ignore"), None);
    assert_eq!(forwarded(b"range ranges 1-3,5-,-2").as_deref(), Some("bytes=1-3, 5-, -2"));
    for (verdict, status, body) in
        [("1-3", 206, "rav"), ("3-", 206, "vo"), ("-2", 206, "vo"), ("0-0", 206, "b"), ("5-", 416, "")]
    {
        let (answer, _) = ask(format!("range ranges {verdict}").as_bytes());
        assert_eq!(answer.status, status, "{verdict}");
        assert!(status == 416 || answer.text() == body, "{verdict}: {}", answer.text());
    }
}

fn range_numbers(subject: &Subject) {
    for numbers in ["9007199254740993-18446744073709551614", "-9007199254740993", "9223372036854775809-"] {
        let command = format!("range ranges {numbers}");
        let (_, received) = subject.told_with(&[("Range", b"bytes=0-1")], &[command.as_bytes()]);
        assert_eq!(received.unwrap().value("range"), Some(format!("bytes={numbers}")));
    }
}

fn settings(subject: &Subject) {
    assert_eq!(subject.did(&["greeting"]), [hex(GREETING.as_bytes())]);
    let built = subject.stat("conformance", "instances_built");
    assert_eq!(subject.stat("conformance", "counters/configured"), built, "each instance is configured once");
    for (policy, settings, reason) in REFUSED {
        let told = subject.refusal(policy, 1);
        assert!(told.contains(reason), "{settings}: no {reason:?} in {told}");
    }
}

fn topology(subject: &Subject) {
    let [alpha, bravo, _] = subject.backends.each_ref().map(TestUpstream::address);
    let told = subject.did(&["topology"]).remove(0);
    let parts: Vec<&str> = told.split(' ').collect();
    assert_eq!(parts[0], "main");
    assert!(parts[1].parse::<u64>().is_ok(), "{told}");
    let first = parts[2].strip_prefix(&format!("{alpha}/3/")).expect("the first backend, its weight and labels");
    let mut labels: Vec<&str> = first.split('/').collect();
    labels.sort_unstable();
    assert_eq!(labels, ["name=one", "zone=a"]);
    assert_eq!(parts[3], format!("{bravo}/1"));
    assert_eq!(parts.len(), 7);
    let answer = subject.ask("other.test", &[("x-do", b"select pick 0"), ("x-do", b"response topology")]);
    served(&answer, "bravo");
    let told = answer.value("x-did").unwrap();
    assert!(told.starts_with("other ") && told.ends_with(&format!(" {bravo}/7")), "{told}");
}

fn another_list(subject: &Subject) {
    let gamma = subject.backends[2].address();
    let dead = subject.dead();
    let pool = format!("\"{dead}\", {{ address = \"{gamma}\", weight = 9, labels = {{ zone = \"ö\" }} }}");
    let proxy = subject.alone(&Alone { policy: "conformance", pool, settings: "pick = 0" });
    let ask =
        |command: &[u8]| proxy.ask(request("GET", "a.test", &[("x-do", command), ("x-do", b"response topology")]));
    let answer = ask(b"select picks 0,1");
    served(&answer, "gamma");
    let told = answer.value("x-did").unwrap();
    assert!(told.starts_with("main ") && told.ends_with(&format!(" {dead}/1 {gamma}/9/zone=ö")), "{told}");
}

fn counters(subject: &Subject) {
    let count = |name: &str| subject.stat("conformance", &format!("counters/{name}"));
    for hook in ["range", "request", "select", "response"] {
        let before = count("every_hook");
        let command = format!("{hook} count every_hook 1");
        subject.told_with(&[("Range", b"bytes=0-1")], &[command.as_bytes()]);
        assert_eq!(count("every_hook"), before + 1, "{hook}");
    }
    subject.told(&[b"request count large 9007199254740993", b"response count large 4294967296"]);
    assert_eq!(count("large"), 9_007_199_254_740_993 + 4_294_967_296);
    let did = subject.did(&["define fine", "define Not A Name", "define fine"]);
    assert_eq!((did[0].as_str(), did[2].as_str()), ("ok", "ok"));
    assert!(did[1].len() > 5 && did[1] != "ok", "{did:?}");
}

fn store_values(subject: &Subject) {
    let (answer, _) = subject.told(&[
        b"response store-remove v:bytes",
        b"response store-get v:bytes",
        b"response store-set v:bytes 0 a \xff\x80",
        b"response store-get v:bytes",
        b"response store-set v:bytes 3600000 y",
        b"response store-get v:bytes",
        b"response store-remove v:bytes",
        b"response store-remove v:bytes",
        b"response store-get v:bytes",
        b"response store-set v:kept 18446744073709551615 x",
    ]);
    let did = answer.head.values("x-did");
    assert_eq!(did[1..], ["none", "ok", "6120ff80", "ok", "79", "true", "false", "none", "ok"]);
    assert_eq!(subject.did(&["store-get v:kept"]), ["78"], "another request finds what was stored");
}

fn store_counters(subject: &Subject) {
    let did = subject.did(&[
        "store-counter n:none",
        "store-add n:a 0 9007199254740993",
        "store-counter n:a",
        "store-add n:high 0 9223372036854775807",
        "store-add n:high 3600000 1",
        "store-counter n:high",
    ]);
    let high = i64::MAX.to_string();
    assert_eq!(did, ["0", "9007199254740993", "9007199254740993", &high, &high, &high]);
}

fn store_counters_down(subject: &Subject) {
    let did = subject.did(&[
        "store-add n:down 0 2",
        "store-add n:down 0 -9007199254740995",
        "store-add n:low 0 -9223372036854775808",
        "store-add n:low 0 -1",
        "store-counter n:low",
    ]);
    let low = i64::MIN.to_string();
    assert_eq!(did, ["2", "-9007199254740993", &low, &low, &low]);
}

fn store_swap(subject: &Subject) {
    let did = subject.did(&[
        "store-remove s:key",
        "store-swap s:key 0 old new",
        "store-swap s:key 0 - first",
        "store-swap s:key 0 - second",
        "store-swap s:key 0 first second",
        "store-get s:key",
    ]);
    assert_eq!(did[1..], ["false", "true", "false", "true", &hex(b"second")]);
}

fn store_errors(subject: &Subject) {
    let (key, value) = ("k".repeat(257), "v".repeat(4097));
    let did = subject.did(&[
        &format!("store-set {key} 0 v"),
        &format!("store-set e:key 0 {value}"),
        &format!("store-swap {key} 0 - v"),
        &format!("store-add {key} 0 1"),
        &format!("store-get {key}"),
        &format!("store-remove {key}"),
        &format!("store-counter {key}"),
        &format!("store-set {} 0 v", &key[1..]),
    ]);
    let expected = ["key-too-long", "value-too-long", "key-too-long", "key-too-long", "none", "false", "0", "ok"];
    assert_eq!(did, expected);
}

fn facts(subject: &Subject) {
    subject.told(&[b"select pick 0"]);
    let (answer, _) =
        subject.told(&[b"select picks 2,0", b"response facts 0", b"response facts 2", b"response facts 5"]);
    let did = answer.head.values("x-did");
    let alive: Vec<&str> = did[0].split(' ').collect();
    assert_eq!((alive[0], alive[2], alive[3]), ("1", "true", "0"), "{did:?}");
    assert_ne!(alive[1], "0", "its latency is known: {did:?}");
    let dead: Vec<&str> = did[1].split(' ').collect();
    assert_eq!((dead[0], dead[2]), ("0", "true"), "never set aside: {did:?}");
    assert_ne!(dead[3], "0", "{did:?}");
    assert_eq!(did[2], "0 0 false 0", "out of range");
}

fn upper_half(subject: &Subject) {
    assert_eq!(subject.did(&["facts 4000000000"]), ["0 0 false 0"], "no such backend");
    let drawn = (0..8).any(|_| !subject.did(&["random 4000000000"])[0].starts_with("0 "));
    assert!(drawn, "a draw below 4000000000 is 0 every time");
}

fn random_and_time(subject: &Subject) {
    let did = subject.did(&["random 1", "random 4294967295", "random 0", "clock", "clock"]);
    assert!(did[0].starts_with("0 ") && did[2].starts_with("0 "), "{did:?}");
    let numbers = |text: &str| text.split(' ').map(|n| n.parse::<u64>().unwrap()).collect::<Vec<_>>();
    let bits: Vec<u64> = did[..3].iter().map(|text| numbers(text)[1]).collect();
    assert!(bits[0] != bits[1] && bits[1] != bits[2], "{did:?}");
    let high = (0..8).any(|_| numbers(&subject.did(&["random 4294967295"])[0])[0] > u64::from(u32::MAX / 2));
    assert!(high, "all 32 bits of a draw come through");
    let (one, other) = (numbers(&did[3]), numbers(&did[4]));
    assert!(one[0] <= other[0]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    assert!(other[1].abs_diff(now) < 60_000, "{} and {now}", other[1]);
}

fn log(subject: &Subject) {
    for level in ["debug", "info", "warn", "error"] {
        let text = format!("a line at {level}: Grüße");
        subject.told(&[format!("select log {level} {text}").as_bytes()]);
        let line = subject.proxy.stderr.find(|line| line.contains(&text).then(|| line.to_owned()));
        let line = line.expect("a line in the log");
        assert!(line.to_ascii_lowercase().contains(&format!(" {level}")), "{line}");
    }
}
