//! What policies see and what they may change.

mod answers;
mod edits;

use crate::fixtures::{Received, Request, Response, TestProxy, TestUpstream, guest, response};

struct Probed {
    proxy: TestProxy,
    backend: TestUpstream,
}

fn probed() -> Probed {
    let backend = TestUpstream::answering(response(
        "200 OK",
        &[("X-From", "backend"), ("Set-Cookie", "a=1")],
        "body",
    ));
    let proxy = TestProxy::builder()
        .file("probe.wasm", guest("probe"))
        .pool_for_all(&[backend.address()], &["probe"])
        .tables("[policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"1s\"")
        .start();
    Probed { proxy, backend }
}

impl Probed {
    /// A request with these fields; what came back and what the backend got.
    #[track_caller]
    fn ask(&self, fields: &[(&str, &str)]) -> (Response, Option<Received>) {
        let request = Request::new("GET", "/path?query").host("A.test:80");
        let before = self.backend.received().len();
        let answer = self.proxy.ask(
            fields
                .iter()
                .fold(request, |r, (n, v)| r.field(n, v))
                .bytes(),
        );
        (answer, self.backend.received().into_iter().nth(before))
    }
}

#[test]
fn a_policy_sees_the_request_as_the_proxy_understood_it() {
    let p = probed();
    let (_, received) = p.ask(&[
        ("X-Probe-Request", "echo"),
        ("Connection", "X-Hop"),
        ("X-Hop", "1"),
    ]);
    let echo = received.unwrap().value("x-probe-echo").unwrap();
    assert_eq!(echo, "GET http a.test /path ?query 127.0.0.1");
    let request = Request::new("GET", "//x/%2E%2e/%70ath%2fa?%71")
        .host("a.test")
        .field("X-Probe-Request", "echo");
    p.proxy
        .ask(request.field("X-Probe-Request", "raw-path").bytes());
    let received = p.backend.received().pop().unwrap();
    assert_eq!(
        received.value("x-probe-echo").as_deref(),
        Some("GET http a.test /path%2Fa ?%71 127.0.0.1")
    );
    assert_eq!(
        received.value("x-probe-raw-path").as_deref(),
        Some("//x/%2E%2e/%70ath%2fa")
    );
    let (_, received) = p.ask(&[
        ("X-Probe-Request", "request-names"),
        ("Keep-Alive", "1"),
        ("TE", "x"),
        ("X-A", "1"),
        ("x-a", "2"),
    ]);
    let names = received.unwrap().value("x-probe-request-names").unwrap();
    let names: Vec<&str> = names.split(',').collect();
    assert_eq!(
        names.iter().filter(|n| **n == "x-a").count(),
        2,
        "{names:?}"
    );
    assert!(names.contains(&"x-forwarded-for"), "{names:?}");
    for hop in [
        "keep-alive",
        "te",
        "connection",
        "content-length",
        "transfer-encoding",
    ] {
        assert!(!names.contains(&hop), "{hop} in {names:?}");
    }
}

#[test]
fn a_policy_sees_the_client_that_a_trusted_proxy_in_front_names() {
    let backend = TestUpstream::named("b");
    let proxy = TestProxy::builder()
        .file("probe.wasm", guest("probe"))
        .pool_for_all(&[backend.address()], &["probe"])
        .tables(
            "[policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"1s\"\n[forwarded]\ntrusted = [\"127.0.0.0/8\"]",
        )
        .start();
    let request = Request::new("GET", "/")
        .host("a.test")
        .field("X-Probe-Request", "echo");
    proxy.ask(
        request
            .field("X-Forwarded-For", "10.1.2.3, 192.0.2.7")
            .field("X-Forwarded-Proto", "https")
            .bytes(),
    );
    let echo = backend.only_request().value("x-probe-echo").unwrap();
    // The nearest address that is not a trusted proxy: whatever stands before it may be made up by
    // that client.
    assert_eq!(echo, "GET https a.test / none 192.0.2.7");
}

#[test]
fn edits_of_the_request_hold_for_every_attempt() {
    let (_held, dead) = crate::fixtures::refusing_address();
    let backend = TestUpstream::named("alive");
    let proxy = TestProxy::builder()
        .file("probe.wasm", guest("probe"))
        .pool_for_all(&[dead, backend.address()], &["probe"])
        .tables("[policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"1s\"")
        .start();
    let request = Request::new("GET", "/")
        .host("a.test")
        .field("X-Probe-Request", "append=x-edit:once");
    let answer = proxy.ask(request.field("X-Probe-Select", "picks=0,0,1").bytes());
    assert_eq!(answer.text(), "alive");
    assert_eq!(
        backend.only_request().head.values("x-edit"),
        ["once"],
        "edited once, not once for each attempt"
    );
}

#[test]
fn policies_are_asked_in_order_and_on_the_way_back_in_reverse() {
    let backend = TestUpstream::named("b");
    let table = |name: &str| {
        format!(
            "[policies.{name}]\ncomponent = \"probe.wasm\"\ndeadline = \"1s\"\n\
             settings = {{ request = [\"append=x-order:{name}\"], response = [\"append=x-order:{name}\", \"set=x-last:{name}\"] }}\n"
        )
    };
    let proxy = TestProxy::builder()
        .file("probe.wasm", guest("probe"))
        .pool_for_all(&[backend.address()], &["one", "two"])
        .tables(&(table("one") + &table("two")))
        .start();
    let answer = proxy.get("a.test", "/");
    assert_eq!(
        backend.only_request().head.values("x-order"),
        ["one", "two"]
    );
    assert_eq!(answer.head.values("x-order"), ["two", "one"]);
    assert_eq!(
        answer.value("x-last").as_deref(),
        Some("one"),
        "the first has the last word"
    );
}

#[test]
fn the_first_policy_that_chooses_has_chosen() {
    let backends: Vec<TestUpstream> = ["0", "1"].iter().map(|n| TestUpstream::named(n)).collect();
    let table = |name: &str, pick: &str| {
        format!(
            "[policies.{name}]\ncomponent = \"probe.wasm\"\ndeadline = \"1s\"\nsettings = {{ select = [\"{pick}\"] }}\n"
        )
    };
    let proxy = TestProxy::builder()
        .file("probe.wasm", guest("probe"))
        .pool_for_all(
            &[backends[0].address(), backends[1].address()],
            &["silent", "chooses", "late"],
        )
        .tables(&(table("silent", "none") + &table("chooses", "pick=1") + &table("late", "pick=0")))
        .start();
    for _ in 0..5 {
        assert_eq!(proxy.get("a.test", "/").text(), "1");
    }
}

#[test]
fn a_policy_receives_its_backends_with_weights_and_labels() {
    let backend = TestUpstream::named("b");
    let address = backend.address();
    let proxy = TestProxy::builder()
        .file("probe.wasm", guest("probe"))
        .tables(&format!(
            "[pools.shop]\nbackends = [{{ address = \"{address}\", weight = 3, labels = {{ zone = \"a\" }} }}, \"127.0.0.1:1\"]\n\
             [[routes]]\npool = \"shop\"\npolicies = [\"probe\"]\n[policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"1s\"\n\
             settings = {{ select = [\"pick=0\"], response = [\"topology\", \"settings\"] }}"
        ))
        .start();
    let answer = proxy.get("a.test", "/");
    let topology = answer.value("x-probe-topology").unwrap();
    assert!(topology.contains(" shop "), "{topology}");
    assert!(
        topology.ends_with(&format!(" {address}/3/zone=a 127.0.0.1:1/1")),
        "{topology}"
    );
    let settings: serde_json::Value =
        serde_json::from_str(&answer.value("x-probe-settings").unwrap()).unwrap();
    assert_eq!(settings["select"][0], "pick=0");
}

#[test]
fn live_facts_show_requests_in_flight_and_failures() {
    let (_held, dead) = crate::fixtures::refusing_address();
    let backend = TestUpstream::named("b");
    let proxy = TestProxy::builder()
        .file("probe.wasm", guest("probe"))
        .pool_for_all(&[backend.address(), dead], &["probe"])
        .tables("[policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"1s\"")
        .start();
    let ask = |picks: &str| {
        let request = Request::new("GET", "/")
            .host("a.test")
            .field("X-Probe-Select", &format!("picks={picks}"));
        proxy
            .ask(request.field("X-Probe-Response", "facts=3").bytes())
            .value("x-probe-facts")
            .unwrap()
    };
    ask("0");
    let facts = ask("1,0");
    let backends: Vec<Vec<&str>> = facts.split(',').map(|b| b.split('/').collect()).collect();
    let [alive, dead, nobody] = backends.as_slice() else {
        panic!("{facts}")
    };
    assert_eq!(alive[0], "1", "this request is in flight: {facts}");
    assert_ne!(alive[1], "0", "its latency is known: {facts}");
    assert_eq!((alive[2], alive[3]), ("true", "0"), "{facts}");
    assert_eq!(dead[3], "1", "{facts}");
    assert_eq!(
        nobody.as_slice(),
        ["0", "0", "false", "0"],
        "out of range: {facts}"
    );
}

#[test]
fn counters_of_a_policy_show_up_in_the_statistics() {
    let p = probed();
    for _ in 0..3 {
        p.ask(&[("X-Probe-Response", "count=served_total")]);
    }
    assert_eq!(p.proxy.stat("/policies/probe/counters/served_total"), 3);
    let (answer, _) = p.ask(&[("X-Probe-Response", "count=Not A Name")]);
    assert_ne!(answer.value("x-probe-did").as_deref(), Some("counted"));
}

#[test]
fn random_and_time_come_through_the_host() {
    let p = probed();
    let (answer, _) = p.ask(&[
        ("X-Probe-Response", "random=10"),
        ("X-Probe-Response", "clock"),
    ]);
    let random = answer.value("x-probe-random").unwrap();
    assert!(
        random.split('/').next().unwrap().parse::<u32>().unwrap() < 10,
        "{random}"
    );
    let clock = answer.value("x-probe-clock").unwrap();
    let unix: u64 = clock.split('/').nth(1).unwrap().parse().unwrap();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis() as u64;
    assert!(unix.abs_diff(now) < 60_000, "{unix} and {now}");
}
