//! Recordings.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::mutation::{Dice, assert_readable, mutated, survive};
use crate::recording::{Next, Reader};
use crate::rehearsal::{Manner, Outcome, Playback, RehearsalError, Replay, replay};

/// The seed of everything here.
const SEED: u64 = 0x5ce7_a212;
const READ: usize = 1_500;
const PLAYED: usize = 24;
const POLICIES: [&str; 6] = [
    "header-router",
    "random",
    "range",
    "sticky",
    "rate-limit",
    "least-loaded",
];

/// As a proxy writes it.
const LINES: &str = concat!(
    r#"{"lineup":{"format":1,"waypost":"0.1.0","lineup":1,"time":1767225600000,"workers":1,"sample":1.0,"redact":["authorization","cookie"],"redact_query":false,"redact_client":false,"pools":[{"id":0,"name":"web","backends":[{"address":"10.0.0.1:80","weight":1,"labels":[["zone","a"]]},{"address":"10.0.0.2:80","weight":3}]},{"id":1,"name":"api","backends":[{"address":"10.0.1.1:80","weight":1}]}],"policies":[{"name":"p","settings":{"header":"x-tenant","routes":{"one":"a"}},"pools":[0,1],"deadline_microseconds":50000,"memory_bytes":16777216,"isolation":"worker","store_entries":1000,"store_bytes":1048576,"active":{"generation":1,"digest":"sha256:00"}}]}}"#,
    "\n",
    r#"{"request":{"lineup":1,"time":1767225600100,"worker":0,"method":"GET","scheme":"http","host":"a.test","path":"/x","query":"range=2-5","client":"192.0.2.1","pool":0,"fields":[["x-tenant","one"],["authorization","Bearer redacted:0123456789abcdef"],["x-raw",{"hex":"ff00"}]],"calls":[{"policy":"p","generation":1,"role":"active","hook":"range","tape":{"seed":"00000000000000ff","monotonic_nanoseconds":5000000000,"unix_milliseconds":1767225600100},"answer":{"ranges":["2-5"]},"edited":[["x-tenant","one"],["range","bytes=2-5"]],"nanoseconds":1200},{"policy":"p","generation":1,"role":"active","hook":"request-headers","tape":{"seed":"0000000000000001","monotonic_nanoseconds":5000000010,"unix_milliseconds":1767225600100,"readings":{"monotonic":[5000000011,5000000012],"unix":[1767225600100],"wasi_monotonic":[1],"wasi_wall":[1767225600100000]},"store":[{"call":{"increment":["n",1,60000]},"told":{"count":7}},{"call":{"get":"k"},"told":{"value":null}},{"call":{"set":["k","v",0]},"told":"done"},{"call":{"compare-and-set":["k",null,"v",18446744073709551615]},"told":{"flag":true}},{"call":{"counter":"n"},"told":{"error":"no-room"}}]},"answer":"done","nanoseconds":800},{"policy":"p","generation":1,"role":"active","hook":"selection","attempt":2,"failed":[{"backend":1,"failure":"connect"}],"facts":[[0,1000,true,0],[3,0,false,2]],"tape":{"seed":"ffffffffffffffff","monotonic_nanoseconds":5000000020,"unix_milliseconds":1767225600101},"answer":{"backend":0},"nanoseconds":300},{"policy":"p","generation":1,"role":"shadow","hook":"selection","attempt":2,"answer":{"backend":1},"nanoseconds":300},{"policy":"p","generation":1,"role":"canary","hook":"response-headers","response":{"status":206,"backend":0,"fields":[["content-type","text/plain"]]},"sees":[["x-tenant","two"]],"tape":{"seed":"0000000000000003","monotonic_nanoseconds":5000000030,"unix_milliseconds":1767225600102},"answer":{"reply":{"status":503,"fields":[["retry-after","1"]],"body":"no"}},"edited":[["content-type","text/html"]],"nanoseconds":900}],"status":206}}"#,
    "\n",
    r#"{"request":{"lineup":1,"time":1767225600200,"worker":1,"method":"POST","scheme":"https","host":"b.test","path":"/","client":"2001:db8::1","pool":1,"fields":[],"calls":[{"policy":"p","generation":1,"role":"active","hook":"request-headers","tape":{"seed":"0000000000000004","monotonic_nanoseconds":5100000000,"unix_milliseconds":1767225600200},"answer":{"fault":{"kind":"trap","message":"unreachable"}},"nanoseconds":100},{"policy":"p","generation":1,"role":"active","hook":"selection","attempt":1,"facts":[[0,0,true,0]],"answer":"no-choice","nanoseconds":100}],"status":0}}"#,
    "\n",
    r#"{"lineup":{"format":1,"waypost":"0.1.0","lineup":2,"time":1767225700000,"workers":1,"sample":1.0,"redact":[],"redact_query":true,"redact_client":true,"pools":[{"id":0,"name":"web","backends":[]}],"policies":[{"name":"p","settings":{"header":"x-tenant","routes":{"one":"a"}},"pools":[0],"deadline_microseconds":50000,"memory_bytes":16777216,"isolation":"worker","store_entries":1000,"store_bytes":1048576,"active":{"generation":2,"digest":"sha256:01"},"trial":{"role":"shadow","generation":3,"digest":"sha256:02"}}]}}"#,
    "\n",
    r#"{"request":{"lineup":2,"time":1767225700001,"worker":1,"method":"GET","scheme":"http","host":"a.test","path":"/","client":"192.0.2.1","pool":0,"fields":[],"calls":[{"policy":"p","generation":2,"role":"active","hook":"selection","attempt":1,"tape":{"seed":"0000000000000007","monotonic_nanoseconds":6000000000,"unix_milliseconds":1767225700001},"answer":"no-choice","nanoseconds":100},{"policy":"p","generation":2,"role":"active","hook":"selection","attempt":2,"answer":{"fault":{"kind":"rebuilding","message":""}},"nanoseconds":0}],"status":503}}"#,
    "\n",
);

/// A file that is gone when it is done with.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let name = format!(
            "waypost-mutated-{}-{:016x}.jsonl",
            std::process::id(),
            rand::random::<u64>()
        );
        Self(std::env::temp_dir().join(name))
    }

    fn replay(
        &self,
        bytes: &[u8],
        policy: &str,
        lenient: bool,
    ) -> Result<(String, Outcome), RehearsalError> {
        fs::write(&self.0, bytes).unwrap();
        let playback = Playback {
            recording: self.0.clone(),
            compiling: Default::default(),
            cache: None,
            policy: None,
            // The recorded ones are this policy's.
            settings: (policy != "header-router").then(|| "{}".to_owned()),
            deadline: Some(Duration::from_millis(50)),
            memory: None,
            fuel: false,
            samples: 3,
            lenient,
        };
        let asked = Replay {
            file: format!("builtin:{policy}").into(),
            playback,
            expect_same: false,
        };
        replay::replayed(
            &asked,
            Manner {
                json: false,
                terminal: false,
            },
        )
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_mutated_recording_is_read_or_refused_with_a_reason() {
    let (mut dice, scratch) = (Dice(SEED), Scratch::new());
    let (mut lines, mut refused) = (0, 0);
    for case in 0..READ {
        let bytes = mutated(LINES.as_bytes(), LINES.as_bytes(), &mut dice);
        fs::write(&scratch.0, &bytes).unwrap();
        let mut reader = Reader::open(&scratch.0, dice.below(2) == 0).unwrap();
        loop {
            match survive(case, &bytes, || reader.next()) {
                Ok(Next::End) => break,
                Ok(Next::Line(_)) => lines += 1,
                Ok(Next::PassedOver { reason, .. }) => assert_readable(&reason),
                Err(error) => {
                    assert_readable(&error.to_string());
                    refused += 1;
                    break;
                }
            }
        }
    }
    // Else the mutations have become so coarse, or so fine, that they prove nothing.
    assert!(lines > READ && refused > READ / 10, "{lines} {refused}");
}

#[test]
fn a_mutated_recording_is_replayed_or_refused_with_a_reason() {
    let (mut dice, scratch) = (Dice(SEED + 1), Scratch::new());
    let (mut fine, mut refused) = (0, 0);
    for case in 0..PLAYED {
        let bytes = mutated(LINES.as_bytes(), LINES.as_bytes(), &mut dice);
        let (policy, lenient) = (POLICIES[case % POLICIES.len()], dice.below(2) == 0);
        match survive(case, &bytes, || scratch.replay(&bytes, policy, lenient)) {
            Ok((shown, _)) => {
                assert_readable(&shown);
                fine += 1;
            }
            Err(error) => {
                assert_readable(&error.told());
                refused += 1;
            }
        }
    }
    assert!(
        fine > PLAYED / 10 && refused > PLAYED / 10,
        "{fine} {refused}"
    );
}

#[test]
fn a_record_that_no_proxy_writes_is_an_error_with_its_line() {
    let scratch = Scratch::new();
    for (is, becomes, told) in [
        (
            r#""method":"GET""#,
            r#""method":"G T""#.to_owned(),
            "line 2: \"G T\" is not a method",
        ),
        (
            r#"["x-tenant","one"]"#,
            r#"["x tenant\r\n","one"]"#.to_owned(),
            "line 2: \"x tenant\\r\\n\" is not a field's name",
        ),
        (
            r#"["x-tenant","one"]"#,
            format!(r#"["{}","one"]"#, "x".repeat(65_536)),
            "is not a field's name; no proxy records that",
        ),
        (
            r#""format":1"#,
            r#""format":2"#.to_owned(),
            "line 1: this recording has format 2",
        ),
        (
            r#""lineup":1,"time":1767225600100"#,
            r#""lineup":7,"time":1767225600100"#.to_owned(),
            "line 2: no line before it defines lineup 7",
        ),
        (
            r#"{"id":0,"#,
            r#"{"id":9,"#.to_owned(),
            "line 1: the ids of the pools are not 0, 1, 2 and so on",
        ),
        (
            r#""memory_bytes":16777216"#,
            r#""memory_bytes":0"#.to_owned(),
            "raise `memory`",
        ),
        (
            r#"{"request":"#,
            format!("{{\"{}\":", "\\u001b[2J".repeat(100_000)),
            "line 2: this is not a line of a recording",
        ),
        // Nothing in a recording is to look like a line of the program's own.
        (
            r#"{"request":"#,
            r#"{"a\nerror: b":"#.to_owned(),
            "line 2: this is not a line of a recording: unknown variant `a\u{fffd}error: b`, expected",
        ),
    ] {
        assert!(LINES.contains(is), "{is}");
        let error = scratch
            .replay(
                LINES.replacen(is, &becomes, 1).as_bytes(),
                "header-router",
                false,
            )
            .unwrap_err();
        assert_readable(&error.told());
        assert!(error.told().contains(told), "{told}: {}", error.told());
    }
}

#[test]
fn extremes_are_gone_through() {
    let scratch = Scratch::new();
    let most = u64::MAX.to_string();
    let (latest, worker, pool) = (
        format!(r#""time":{most}"#),
        format!(r#""worker":{most}"#),
        r#""pool":4294967295"#,
    );
    let extremes = [
        (r#""time":1767225600100"#, latest.as_str()),
        (
            r#""monotonic_nanoseconds":5000000010"#,
            &format!(r#""monotonic_nanoseconds":{most}"#),
        ),
        (
            r#""unix_milliseconds":1767225600100"#,
            &format!(r#""unix_milliseconds":{most}"#),
        ),
        (r#""worker":0"#, &worker),
        (r#""workers":1"#, &format!(r#""workers":{most}"#)),
        (r#""workers":1"#, r#""workers":0"#),
        (r#""pool":0"#, pool),
        (r#""attempt":2"#, r#""attempt":0"#),
        (r#""attempt":2"#, r#""attempt":4294967295"#),
        (
            r#"{"backend":1,"failure":"connect"}"#,
            r#"{"backend":4294967295,"failure":"?"}"#,
        ),
        (
            r#""status":206,"backend":0"#,
            r#""status":65535,"backend":4294967295"#,
        ),
        (
            r#""deadline_microseconds":50000"#,
            r#""deadline_microseconds":0"#,
        ),
        (
            r#""store_entries":1000,"store_bytes":1048576"#,
            r#""store_entries":0,"store_bytes":0"#,
        ),
        (
            r#""facts":[[0,1000,true,0],[3,0,false,2]]"#,
            r#""facts":[[1,1,true,1],[1,1,true,1],[1,1,true,1]]"#,
        ),
        (r#""told":{"count":7}"#, r#""told":"done""#),
        (r#""path":"/x""#, r#""path":"""#),
    ];
    // Several at once, because each replay compiles the component; those that exclude each other
    // stand apart.
    for group in 0..4 {
        let mut lines = LINES.to_owned();
        for (is, becomes) in extremes.iter().skip(group).step_by(4) {
            assert!(lines.contains(is), "{is}");
            lines = lines.replacen(is, becomes, 1);
        }
        let (shown, _) = scratch
            .replay(lines.as_bytes(), "header-router", false)
            .unwrap();
        assert_readable(&shown);
    }
}
