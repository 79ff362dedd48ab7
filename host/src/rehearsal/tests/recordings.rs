//! Recordings.

use super::mutation::{Dice, assert_readable, mutated};
use crate::cli::{Format, Playing, Rehearsed, Replay};
use crate::rehearsal::replay;
use crate::rehearsal::{Manner, RehearsalError, Outcome};

fn cases(default: usize) -> usize {
    std::env::var("CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}
fn seed(default: u64) -> u64 {
    std::env::var("SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// As a proxy writes it.
const LINES: &str = concat!(
    r#"{"lineup":{"format":1,"waypost":"0.1.0","lineup":1,"time":1767225600000,"workers":2,"sample":1.0,"redact":["authorization","cookie"],"redact_query":false,"redact_client":false,"pools":[{"id":0,"name":"web","backends":[{"address":"10.0.0.1:80","weight":1,"labels":[["zone","a"]]},{"address":"10.0.0.2:80","weight":3}]},{"id":1,"name":"api","backends":[{"address":"10.0.1.1:80","weight":1}]}],"policies":[{"name":"p","settings":{"header":"x-tenant","routes":{"one":"a"}},"pools":[0,1],"deadline_microseconds":50000,"memory_bytes":16777216,"isolation":"worker","store_entries":1000,"store_bytes":1048576,"active":{"generation":1,"digest":"sha256:00"}}]}}"#, "\n",
    r#"{"request":{"lineup":1,"time":1767225600100,"worker":0,"method":"GET","scheme":"http","host":"a.test","path":"/x","query":"range=2-5","client":"192.0.2.1","pool":0,"fields":[["x-tenant","one"],["authorization","Bearer redacted:0123456789abcdef"],["x-raw",{"hex":"ff00"}]],"calls":[{"policy":"p","generation":1,"role":"active","hook":"range","tape":{"seed":"00000000000000ff","monotonic_nanoseconds":5000000000,"unix_milliseconds":1767225600100},"answer":{"ranges":["2-5"]},"edited":[["x-tenant","one"],["range","bytes=2-5"]],"nanoseconds":1200},{"policy":"p","generation":1,"role":"active","hook":"request-headers","tape":{"seed":"0000000000000001","monotonic_nanoseconds":5000000010,"unix_milliseconds":1767225600100,"readings":{"monotonic":[5000000011,5000000012],"unix":[1767225600100],"wasi_monotonic":[1],"wasi_wall":[1767225600100000]},"store":[{"call":{"increment":["n",1,60000]},"told":{"count":7}},{"call":{"get":"k"},"told":{"value":null}},{"call":{"set":["k","v",0]},"told":"done"},{"call":{"compare-and-set":["k",null,"v",18446744073709551615]},"told":{"flag":true}},{"call":{"counter":"n"},"told":{"error":"no-room"}}]},"answer":"done","nanoseconds":800},{"policy":"p","generation":1,"role":"active","hook":"selection","attempt":2,"failed":[{"backend":1,"failure":"connect"}],"facts":[[0,1000,true,0],[3,0,false,2]],"tape":{"seed":"ffffffffffffffff","monotonic_nanoseconds":5000000020,"unix_milliseconds":1767225600101},"answer":{"backend":0},"nanoseconds":300},{"policy":"p","generation":1,"role":"shadow","hook":"selection","attempt":2,"answer":{"backend":1},"nanoseconds":300},{"policy":"p","generation":1,"role":"canary","hook":"response-headers","response":{"status":206,"backend":0,"fields":[["content-type","text/plain"]]},"sees":[["x-tenant","two"]],"tape":{"seed":"0000000000000003","monotonic_nanoseconds":5000000030,"unix_milliseconds":1767225600102},"answer":{"reply":{"status":503,"fields":[["retry-after","1"]],"body":"no"}},"edited":[["content-type","text/html"]],"nanoseconds":900}],"status":206}}"#, "\n",
    r#"{"request":{"lineup":1,"time":1767225600200,"worker":1,"method":"POST","scheme":"https","host":"b.test","path":"/","client":"2001:db8::1","pool":1,"fields":[],"calls":[{"policy":"p","generation":1,"role":"active","hook":"request-headers","tape":{"seed":"0000000000000004","monotonic_nanoseconds":5100000000,"unix_milliseconds":1767225600200},"answer":{"fault":{"kind":"trap","message":"unreachable"}},"nanoseconds":100},{"policy":"p","generation":1,"role":"active","hook":"selection","attempt":1,"facts":[[0,0,true,0]],"answer":"no-choice","nanoseconds":100}],"status":0}}"#, "\n",
    r#"{"lineup":{"format":1,"waypost":"0.1.0","lineup":2,"time":1767225700000,"workers":2,"sample":1.0,"redact":[],"redact_query":true,"redact_client":true,"pools":[{"id":0,"name":"web","backends":[]}],"policies":[{"name":"p","settings":{"header":"x-tenant","routes":{"one":"a"}},"pools":[0],"deadline_microseconds":50000,"memory_bytes":16777216,"isolation":"worker","store_entries":1000,"store_bytes":1048576,"active":{"generation":2,"digest":"sha256:01"},"trial":{"role":"shadow","generation":3,"digest":"sha256:02"}}]}}"#, "\n",
    r#"{"request":{"lineup":2,"time":1767225700001,"worker":1,"method":"GET","scheme":"http","host":"a.test","path":"/","client":"192.0.2.1","pool":0,"fields":[],"calls":[{"policy":"p","generation":2,"role":"active","hook":"selection","attempt":1,"tape":{"seed":"0000000000000007","monotonic_nanoseconds":6000000000,"unix_milliseconds":1767225700001},"answer":"no-choice","nanoseconds":100},{"policy":"p","generation":2,"role":"active","hook":"selection","attempt":2,"answer":{"fault":{"kind":"rebuilding","message":""}},"nanoseconds":0}],"status":503}}"#, "\n",
);

fn played(policy: &str, file: &std::path::Path, lenient: bool) -> Result<Outcome, RehearsalError> {
    let common = Playing {
        policy: None,
        settings: None,
        deadline: Some(std::time::Duration::from_millis(50)),
        memory: None,
        samples: 3,
        fuel: false,
        lenient,
        format: Format::Text,
    };
    let rehearsed = Rehearsed { recording: file.to_owned(), common };
    let flags = Replay { file: format!("builtin:{policy}").into(), rehearsed, expect_same: false };
    replay::replay(&flags, Manner { json: false, terminal: false })
}

#[test]
fn a_mutated_recording_is_read_or_told_why_not() {
    let mut dice = Dice(seed(0x5ce7_a212));
    let file = std::env::temp_dir().join(format!("waypost-mutated-{}.jsonl", std::process::id()));
    let (mut lines, mut refused) = (0, 0);
    for _ in 0..cases(2_000) {
        let bytes = mutated(LINES.as_bytes(), LINES.as_bytes(), &mut dice);
        std::fs::write(&file, &bytes).unwrap();
        let mut reader = crate::recording::Reader::open(&file, dice.below(2) == 0).unwrap();
        loop {
            match reader.next() {
                Ok(crate::recording::Next::End) => break,
                Ok(crate::recording::Next::Line(_)) => lines += 1,
                Ok(crate::recording::Next::PassedOver { reason, .. }) => assert_readable(&reason),
                Err(error) => { refused += 1; assert_readable(&error.to_string()); break; }
            }
        }
    }
    assert!(lines > 100 && refused > 100, "{lines} {refused}");
}

#[test]
fn a_mutated_recording_is_gone_through_or_told_why_not() {
    let mut dice = Dice(seed(0x5ce7_a213));
    let file = std::env::temp_dir().join(format!("waypost-mutated-play-{}.jsonl", std::process::id()));
    let (mut fine, mut refused) = (0, 0);
    for case in 0..cases(60) {
        let bytes = mutated(LINES.as_bytes(), LINES.as_bytes(), &mut dice);
        std::fs::write(&file, &bytes).unwrap();
        let policy = ["header-router", "random", "range", "sticky", "rate-limit", "least-loaded"][case % 6];
        let began = std::time::Instant::now();
        match played(policy, &file, dice.below(2) == 0) {
            Ok(_) => fine += 1,
            Err(error) => { refused += 1; assert_readable(&error.to_string()); }
        }
        if began.elapsed().as_secs() >= 2 { eprintln!("SLOW {:?}", began.elapsed()); std::fs::copy(&file, "/tmp/mutate-slow.jsonl").unwrap(); }
    }
    assert!(fine > 0 && refused > 0, "{fine} {refused}");
}
