use std::collections::BTreeSet;

use super::*;

fn file(text: &str) -> ScenarioFile {
    parse("t.toml", text).unwrap()
}

#[test]
fn clients_of_a_network_take_turns() {
    let network = |text: &str| text.parse::<IpNet>().unwrap();
    assert_eq!(nth(network("192.0.2.7/32"), 5).to_string(), "192.0.2.7");
    assert_eq!(nth(network("10.1.2.0/30"), 6).to_string(), "10.1.2.2");
    assert_eq!(nth(network("10.1.2.3/30"), 0).to_string(), "10.1.2.0");
    assert_eq!(
        nth(network("0.0.0.0/0"), u32::MAX).to_string(),
        "255.255.255.255"
    );
    assert_eq!(
        nth(network("2001:db8::/32"), 65_536).to_string(),
        "2001:db8::1:0"
    );
    let all: BTreeSet<_> = (0..1000).map(|n| nth(network("10.0.0.0/8"), n)).collect();
    assert_eq!(all.len(), 1000);
}

#[test]
fn a_step_begins_with_what_stands_beside_it() {
    let file = file(
        "[[scenario]]\nname = \"s\"\nseed = 7\ntime = { monotonic = \"1s\", unix = 5_000 }\nrequest = { client = \"10.0.0.1\", headers = { a = \"b\" } }\n\
         [[scenario.step]]\ntime = \"2s\"\nrequest = \"PUT http://Other.test:8080/x?y\"\n[[scenario.step]]\nname = \"second\"\nseed = 9\n",
    );
    let [first, second] = file.scenarios[0].steps.as_slice() else {
        panic!("{file:?}")
    };
    assert_eq!(
        (first.name.as_str(), first.seed, first.monotonic, first.unix),
        ("step 1", 7, 3_000_000_000, 7_000)
    );
    assert_eq!(
        (
            second.name.as_str(),
            second.seed,
            second.monotonic,
            second.unix
        ),
        ("second", 9, 1_000_000_000, 5_000)
    );
    let head = first.question(0).head;
    assert_eq!(
        (
            head.method.as_str(),
            head.host.as_str(),
            head.authority.as_str()
        ),
        ("PUT", "other.test", "Other.test:8080")
    );
    assert_eq!(
        (head.path(), head.query(), head.client.to_string().as_str()),
        ("/x", Some("y"), "10.0.0.1")
    );
    assert_eq!(head.fields.first("a"), Some(&b"b"[..]));
    assert_eq!(
        (second.head.path(), second.head.host.as_str()),
        ("/", "example.com")
    );
}

#[test]
fn attempts_follow_from_what_failed() {
    let step = |text: &str| {
        file(&format!("[[scenario]]\nname = \"s\"\n{text}\n"))
            .scenarios
            .remove(0)
            .steps
            .remove(0)
    };
    assert_eq!(step("").attempt, 1);
    assert_eq!(step("failed = [0, \"10.0.0.2:80\"]").attempt, 3);
    assert_eq!(step("failed = 1\nattempt = 5").attempt, 5);
}

#[test]
fn the_example_of_every_key_is_one() {
    let text = include_str!("../../../../examples/scenarios.toml");
    let file = parse("examples/scenarios.toml", text).unwrap();
    assert!(file.scenarios.len() >= 5);
}
