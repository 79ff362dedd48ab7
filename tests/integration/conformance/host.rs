//! What `conformance` shows of the host's interfaces and of what the host tells, in every language.

use std::time::{SystemTime, UNIX_EPOCH};

use super::Case;
use super::hooks::{hex, served};
use super::subject::{Alone, Subject, request};
use crate::fixtures::TestUpstream;

pub const CASES: &[Case] = &[
    ("topology: several pools, weights and labels", topology),
    ("topology: another list", another_list),
    ("counters: 64 bits, and names that are refused", counters),
    ("store: values", store_values),
    ("store: counters of 64 bits", store_counters),
    ("store: counters below 0", store_counters_down),
    (NEGATIVE, negative),
    ("store: compare and set", store_swap),
    ("store: every error", store_errors),
    ("facts: in flight, latency, health and failures", facts),
    (UPPER_HALF, upper_half),
    ("random and time come from the host", random_and_time),
    ("log: every level", log),
];

/// Cases that tools are known to fail.
pub const NEGATIVE: &str = "arguments of 64 bits below 0";
pub const UPPER_HALF: &str = "arguments of 32 bits in the upper half";

fn topology(subject: &Subject) {
    let [alpha, bravo, _] = subject.backends.each_ref().map(TestUpstream::address);
    let told = subject.did(&["topology"]).remove(0);
    let parts: Vec<&str> = told.split(' ').collect();
    assert_eq!(parts[0], "main");
    assert!(parts[1].parse::<u64>().is_ok(), "{told}");
    let first = parts[2]
        .strip_prefix(&format!("{alpha}/3/"))
        .expect("the first backend, its weight and labels");
    let mut labels: Vec<&str> = first.split('/').collect();
    labels.sort_unstable();
    assert_eq!(labels, ["name=one", "zone=a"]);
    assert_eq!(parts[3], format!("{bravo}/1"));
    assert_eq!(parts.len(), 7);
    let answer = subject.ask(
        "other.test",
        &[("x-do", b"select pick 0"), ("x-do", b"response topology")],
    );
    served(&answer, "bravo");
    let told = answer.value("x-did").unwrap();
    assert!(
        told.starts_with("other ") && told.ends_with(&format!(" {bravo}/7")),
        "{told}"
    );
}

fn another_list(subject: &Subject) {
    let gamma = subject.backends[2].address();
    let dead = subject.dead();
    let pool =
        format!("\"{dead}\", {{ address = \"{gamma}\", weight = 9, labels = {{ zone = \"ö\" }} }}");
    let proxy = subject.alone(&Alone {
        policy: "conformance",
        pool,
        settings: "pick = 0",
    });
    let ask = |command: &[u8]| {
        proxy.ask(request(
            "GET",
            "a.test",
            &[("x-do", command), ("x-do", b"response topology")],
        ))
    };
    let answer = ask(b"select picks 0,1");
    served(&answer, "gamma");
    let told = answer.value("x-did").unwrap();
    assert!(
        told.starts_with("main ") && told.ends_with(&format!(" {dead}/1 {gamma}/9/zone=ö")),
        "{told}"
    );
}

fn counters(subject: &Subject) {
    let count = |name: &str| subject.stat("conformance", &format!("counters/{name}"));
    for hook in ["range", "request", "select", "response"] {
        let before = count("every_hook");
        let command = format!("{hook} count every_hook 1");
        subject.told_with(&[("Range", b"bytes=0-1")], &[command.as_bytes()]);
        assert_eq!(count("every_hook"), before + 1, "{hook}");
    }
    subject.told(&[
        b"request count large 9007199254740993",
        b"response count large 4294967296",
    ]);
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
    assert_eq!(
        did[1..],
        [
            "none", "ok", "6120ff80", "ok", "79", "true", "false", "none", "ok"
        ]
    );
    assert_eq!(
        subject.did(&["store-get v:kept"]),
        ["78"],
        "another request finds what was stored"
    );
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
    assert_eq!(
        did,
        [
            "none",
            "9007199254740993",
            "9007199254740993",
            &high,
            &high,
            &high
        ]
    );
}

fn store_counters_down(subject: &Subject) {
    let did = subject.did(&[
        "store-add n:down 0 2",
        "store-sub n:down 0 3",
        "store-counter n:down",
        "store-sub n:down 0 9007199254740992",
        "store-counter n:down",
        "store-add n:down 0 9007199254740994",
        "store-sub n:low 3600000 9223372036854775808",
        "store-sub n:low 0 1",
        "store-counter n:low",
        "store-add n:wide 0 9223372036854775807",
        "store-sub n:wide 0 18446744073709551615",
    ]);
    let (low, high) = (i64::MIN.to_string(), i64::MAX.to_string());
    assert_eq!(
        did[..6],
        [
            "2",
            "-1",
            "-1",
            "-9007199254740993",
            "-9007199254740993",
            "1"
        ]
    );
    assert_eq!(did[6..], [low.as_str(), &low, &low, &high, &low]);
    assert_eq!(
        subject.did(&["store-counter n:low"]),
        [low],
        "another request reads it back"
    );
    let key = "k".repeat(257);
    assert_eq!(
        subject.did(&[&format!("store-sub {key} 0 1")]),
        ["key-too-long"]
    );
}

fn negative(subject: &Subject) {
    let did = subject.did(&[
        "store-add n:negative 0 2",
        "store-add n:negative 0 -9007199254740995",
        "store-add n:negative-low 0 -9223372036854775808",
        "store-add n:negative-low 0 -1",
        "store-counter n:negative-low",
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
    assert_eq!(
        did[1..],
        ["false", "true", "false", "true", &hex(b"second")]
    );
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
    let expected = [
        "key-too-long",
        "value-too-long",
        "key-too-long",
        "key-too-long",
        "none",
        "false",
        "none",
        "ok",
    ];
    assert_eq!(did, expected);
}

fn facts(subject: &Subject) {
    subject.told(&[b"select pick 0"]);
    let (answer, _) = subject.told(&[
        b"select picks 2,0",
        b"response facts 0",
        b"response facts 2",
        b"response facts 5",
    ]);
    let did = answer.head.values("x-did");
    let alive: Vec<&str> = did[0].split(' ').collect();
    assert_eq!(
        (alive[0], alive[2], alive[3]),
        ("1", "true", "0"),
        "{did:?}"
    );
    assert_ne!(alive[1], "0", "its latency is known: {did:?}");
    let dead: Vec<&str> = did[1].split(' ').collect();
    assert_eq!((dead[0], dead[2]), ("0", "true"), "never ejected: {did:?}");
    assert_ne!(dead[3], "0", "{did:?}");
    assert_eq!(did[2], "0 0 false 0", "out of range");
}

fn upper_half(subject: &Subject) {
    assert_eq!(
        subject.did(&["facts 4000000000"]),
        ["0 0 false 0"],
        "no such backend"
    );
    let drawn = (0..8).any(|_| !subject.did(&["random 4000000000"])[0].starts_with("0 "));
    assert!(drawn, "a draw below 4000000000 is 0 every time");
}

fn random_and_time(subject: &Subject) {
    let did = subject.did(&[
        "random 1",
        "random 4294967295",
        "random 0",
        "clock",
        "clock",
    ]);
    assert!(
        did[0].starts_with("0 ") && did[2].starts_with("0 "),
        "{did:?}"
    );
    let numbers = |text: &str| {
        text.split(' ')
            .map(|n| n.parse::<u64>().unwrap())
            .collect::<Vec<_>>()
    };
    let bits: Vec<u64> = did[..3].iter().map(|text| numbers(text)[1]).collect();
    assert!(bits[0] != bits[1] && bits[1] != bits[2], "{did:?}");
    let high = (0..40)
        .any(|_| numbers(&subject.did(&["random 4294967295"])[0])[0] > u64::from(u32::MAX / 2));
    assert!(high, "all 32 bits of a draw come through");
    let (one, other) = (numbers(&did[3]), numbers(&did[4]));
    assert!(one[0] <= other[0]);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis() as u64;
    assert!(other[1].abs_diff(now) < 60_000, "{} and {now}", other[1]);
}

fn log(subject: &Subject) {
    for level in ["debug", "info", "warn", "error"] {
        let text = format!("a line at {level}: Grüße");
        subject.told(&[format!("select log {level} {text}").as_bytes()]);
        let line = subject
            .proxy
            .stderr
            .find(|line| line.contains(&text).then(|| line.to_owned()));
        let line = line.expect("a line in the log");
        assert!(
            line.to_ascii_lowercase().contains(&format!(" {level}")),
            "{line}"
        );
    }
}
