//! What happens after a fault in every language: the next request is served by a fresh instance,
//! the others never notice.

use super::Case;
use super::subject::Subject;

pub const CASES: &[Case] = &[
    (
        "an instance serves many requests and keeps its memory",
        lasting,
    ),
    (
        "a trap in every hook costs that request and nothing else",
        traps,
    ),
    ("a call that never ends is ended", endless),
    ("memory that runs out is a trap", exhausted),
    ("an answer that is not valid costs the instance", invalid),
];

/// How many calls the instance that answers has had.
#[track_caller]
fn calls(subject: &Subject) -> u64 {
    subject.did(&["calls"])[0].parse().unwrap()
}

fn lasting(subject: &Subject) {
    subject.recover();
    let built = subject.stat("conformance", "instances_built");
    let before = calls(subject);
    let fields: Vec<(&str, &[u8])> = vec![("x-pad", &[b'x'; 4000]); 4];
    let value = [b"response store-set pad 0 ".as_slice(), &[b'v'; 4000]].concat();
    let mut early = 0;
    for asked in 0..250 {
        if asked == 50 {
            early = subject.stat("conformance", "memory/now_bytes");
        }
        let commands = [
            b"request request-values x-pad".as_slice(),
            b"response store-get pad",
            &value,
        ];
        let (answer, _) = subject.told_with(&fields, &commands);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    // `select`, `edit-request` and `edit-response` of each request.
    assert_eq!(calls(subject), before + 3 * 251);
    assert_eq!(subject.stat("conformance", "instances_built"), built);
    // A collector frees when it likes, and what it has by then says nothing.
    if !subject.collects {
        assert!(early > 0);
        assert_eq!(
            subject.stat("conformance", "memory/now_bytes"),
            early,
            "a leak: every request brings 20 kB"
        );
    }
}

/// A request that fails, what counts it, and that all is well afterwards, with one new instance.
#[track_caller]
fn fails(subject: &Subject, command: &str, counter: &str) {
    fails_at(subject, "contract.test", command, counter);
}

#[track_caller]
pub fn fails_at(subject: &Subject, host: &str, command: &str, counter: &str) {
    subject.recover();
    let before = subject.stat("conformance", counter);
    let built = subject.stat("conformance", "instances_built");
    let (answer, _) = subject.told_at(host, &[("Range", b"bytes=0-")], &[command.as_bytes()]);
    answer.assert_refusal(503);
    assert_eq!(
        subject.stat("conformance", counter),
        before + 1,
        "{command} counts among {counter}"
    );
    let quiet = subject.ask("quiet.test", &[]);
    assert_eq!(
        (quiet.status, quiet.text().as_str()),
        (200, "bravo"),
        "another route"
    );
    subject.recover();
    // Where instances are slow to build, one is kept ready for the next fault, and its own
    // successor is built in the meantime.
    let now = subject.stat("conformance", "instances_built");
    assert!(
        (built..=built + 2).contains(&now),
        "{command}: a fresh instance: {built}, then {now}"
    );
    // `recover` asks at least five times.
    let now = calls(subject);
    assert!(
        (15..2_000).contains(&now),
        "a fresh instance has had few calls: {now}"
    );
}

fn traps(subject: &Subject) {
    for hook in ["range", "request", "select", "response"] {
        fails(subject, &format!("{hook} trap"), "traps");
    }
    fails(subject, "select no-such-command", "traps");
    let greeting = subject.did(&["greeting", "topology"]);
    assert!(
        !greeting[0].is_empty() && greeting[1].starts_with("main "),
        "configured and told anew: {greeting:?}"
    );
}

fn endless(subject: &Subject) {
    fails(subject, "select loop", "deadlines");
}

fn exhausted(subject: &Subject) {
    fails(subject, "request exhaust", "traps");
}

fn invalid(subject: &Subject) {
    fails(subject, "select pick 5", "invalid");
    fails(subject, "select pick 4294967295", "invalid");
    fails(subject, "range ranges 5-2", "invalid");
    fails(subject, "request refuse 199", "invalid");
}
