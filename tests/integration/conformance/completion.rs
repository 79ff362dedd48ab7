//! What `conformance` hears of requests that are over, and the facts of queues, in every language.

use super::Case;
use super::subject::Subject;

pub const CASES: &[Case] = &[
    ("completion: what became of a request", hears),
    ("completion: a fault hurts no request", fails),
    ("facts: state, queues and the time that is left", facts),
];

/// The line that begins like this: what stands in it after the times.
#[track_caller]
fn heard(subject: &Subject, begins: &str) -> (Vec<String>, String) {
    let begins = format!("heard {begins} ");
    let found = subject.proxy.stderr.find(|line| {
        let rest = line.split_once(&begins)?.1;
        let mut words = rest.splitn(4, ' ').map(str::to_owned);
        let times: Vec<String> = words.by_ref().take(3).collect();
        // Behind it stands whose line it is.
        let rest = words.next()?;
        let rest = rest.split(" policy=").next()?.to_owned();
        Some((times, rest))
    });
    found.unwrap_or_else(|| panic!("no {begins:?} in {}", subject.proxy.stderr.text()))
}

fn hears(subject: &Subject) {
    let answer = subject.told(&[b"completed tell", b"select picks 2,0"]).0;
    assert_eq!(answer.text(), "alpha");
    // Pool, backend, status, failure and attempts.
    let (times, rest) = heard(subject, "0 0 200 none 2");
    assert_eq!(rest, "0 5 2:connect");
    let times: Vec<u64> = times.iter().map(|time| time.parse().unwrap()).collect();
    assert!(times[1] <= times[0] && times[0] <= times[2], "{times:?}");
    let answer = subject.told(&[b"completed tell", b"request refuse 418"]).0;
    assert_eq!(answer.status, 418);
    let (times, rest) = heard(subject, "0 none 418 policy 0");
    assert_eq!((&*times[0], &*times[1]), ("none", "none"));
    assert_eq!(rest, "0 18");
}

fn fails(subject: &Subject) {
    let before = subject.stat("conformance", "traps");
    let (answer, _) = subject.told(&[b"completed trap"]);
    assert_eq!(answer.status, 200);
    let pointer = "/policies/conformance/traps";
    subject.proxy.wait_for_stat(pointer, before + 1);
    subject.recover();
}

fn facts(subject: &Subject) {
    let did = subject.did(&["state 0", "queues 0", "time-left"]);
    assert_eq!(
        did[0].split_once(' ').map(|(state, _)| state),
        Some("healthy")
    );
    assert_eq!(&did[1..], ["0 0", "none"]);
}
