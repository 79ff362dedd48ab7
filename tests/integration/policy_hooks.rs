//! What policies see and what they may change.

use crate::fixtures::{Received, Request, Response, TestProxy, TestUpstream, get, guest, response};

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
fn request_fields_are_set_appended_and_removed() {
    let p = probed();
    let (_, received) = p.ask(&[
        ("X-Probe-Request", "set=X-New:one"),
        ("X-Probe-Request", "append=x-new:two"),
        ("X-Probe-Request", "set=X-Old:changed"),
        ("X-Probe-Request", "remove=X-Gone"),
        ("X-Probe-Request", "remove=X-Never-There"),
        ("X-Probe-Request", "set=X-Bytes:%ff%80"),
        ("X-Old", "1"),
        ("X-Old", "2"),
        ("X-Gone", "1"),
        ("X-Gone", "2"),
    ]);
    let received = received.unwrap();
    assert_eq!(received.head.values("x-new"), ["one", "two"]);
    assert_eq!(received.head.values("x-old"), ["changed"]);
    assert!(!received.head.has("x-gone"));
    assert_eq!(
        received.value("x-probe-did").as_deref(),
        Some("ok, ok, ok, ok, ok, ok")
    );
    let bytes = received
        .head
        .fields
        .iter()
        .find(|(n, _)| n == "x-bytes")
        .map(|(_, v)| v.clone());
    assert_eq!(
        bytes.as_deref(),
        Some(b"\xff\x80".as_slice()),
        "values need not be text"
    );
}

#[test]
fn response_fields_are_set_appended_and_removed() {
    let p = probed();
    let (answer, _) = p.ask(&[
        ("X-Probe-Response", "answer"),
        ("X-Probe-Response", "set=X-From:policy"),
        ("X-Probe-Response", "append=Set-Cookie:b=2"),
        ("X-Probe-Response", "remove=Date"),
        ("X-Probe-Response", "first=set-cookie"),
    ]);
    assert_eq!(answer.text(), "body");
    assert_eq!(answer.value("x-from").as_deref(), Some("policy"));
    assert_eq!(answer.head.values("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(answer.value("x-probe-answer").as_deref(), Some("200 0"));
    assert_eq!(answer.value("x-probe-first").as_deref(), Some("613d31"));
}

#[test]
fn the_hosts_fields_can_not_be_written() {
    let p = probed();
    for name in [
        "transfer_encoding",
        "content_length",
        "Content.Length",
        "x_forwarded_for",
        "X-Forwarded-For",
        "X-Forwarded-Prefix",
        "Forwarded",
        "X-Real-IP",
        "proxy-authenticate",
        "proxy_connection",
        "Proxy",
        "Via",
        "CDN-Loop",
        "X-Waypost-Trace",
        "x_waypost_trace",
        "connection",
        "Content-Length",
        "expect",
        "Host",
        "keep-alive",
        "Proxy-Connection",
        "TE",
        "trailer",
        "Transfer-Encoding",
        "upgrade",
    ] {
        for hook in ["X-Probe-Request", "X-Probe-Response"] {
            let (answer, received) = p.ask(&[
                (hook, &format!("set={name}:5")),
                (hook, &format!("append={name}:5")),
            ]);
            assert_eq!(
                (answer.status, answer.text().as_str()),
                (200, "body"),
                "{name}"
            );
            let received = received.unwrap();
            let did = received
                .head
                .values("x-probe-did")
                .into_iter()
                .chain(answer.head.values("x-probe-did"));
            assert_eq!(
                did.collect::<Vec<_>>(),
                ["forbidden, forbidden"],
                "{hook} {name}"
            );
        }
    }
}

#[test]
fn a_response_has_one_date_after_any_edit() {
    let ours = "Sun, 06 Nov 1994 08:49:37 GMT";
    for (date, edits) in [
        (None, vec!["set=Date"]),
        (None, vec!["append=date", "append=date"]),
        (Some("Mon, 07 Nov 1994 08:49:37 GMT"), vec!["append=Date"]),
        (Some("Mon, 07 Nov 1994 08:49:37 GMT"), vec!["set=DATE"]),
    ] {
        let fields: Vec<(&str, &str)> = date.map(|date| ("Date", date)).into_iter().collect();
        let backend = TestUpstream::answering(response("200 OK", &fields, "body"));
        let proxy = TestProxy::builder()
            .file("probe.wasm", guest("probe"))
            .pool_for_all(&[backend.address()], &["probe"])
            .tables("[policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"1s\"")
            .start();
        let ask = |edits: &[String]| {
            let request = Request::new("GET", "/").host("a.test");
            proxy.ask(
                edits
                    .iter()
                    .fold(request, |r, edit| r.field("X-Probe-Response", edit))
                    .bytes(),
            )
        };
        let edits: Vec<String> = edits.iter().map(|edit| format!("{edit}:{ours}")).collect();
        assert_eq!(ask(&edits).head.values("date"), [ours], "{edits:?}");
        let made = ask(&["remove=Date".to_owned()])
            .value("date")
            .expect("a date is added");
        assert!(made.ends_with(" GMT") && !made.contains("1994"), "{made}");
    }
}

#[test]
fn no_line_end_gets_into_a_head() {
    let p = probed();
    for (edit, outcome) in [
        ("set=x:a%0d%0aEvil: 1", "invalid-value"),
        ("set=x:a%0aEvil: 1", "invalid-value"),
        ("set=x:a%0d", "invalid-value"),
        ("set=x:a%00", "invalid-value"),
        ("append=x:%7f", "invalid-value"),
        ("set=x%0d%0aevil:1", "invalid-name"),
        ("set=x y:1", "invalid-name"),
        ("set=x%3a:1", "invalid-name"),
        ("set=:1", "invalid-name"),
        ("set=caf%c3%a9:1", "invalid-name"),
        ("name-bytes=257", "invalid-name"),
        ("set-bytes=8193", "invalid-value"),
    ] {
        for hook in ["X-Probe-Request", "X-Probe-Response"] {
            let (answer, received) = p.ask(&[(hook, edit)]);
            let received = received.unwrap();
            let did = received
                .head
                .values("x-probe-did")
                .into_iter()
                .chain(answer.head.values("x-probe-did"));
            assert_eq!(did.collect::<Vec<_>>(), [outcome], "{hook} {edit}");
            assert!(
                !received.head.has("evil") && !answer.head.has("evil"),
                "{hook} {edit}"
            );
        }
    }
}

#[test]
fn edits_of_one_hook_are_bounded_in_number_and_size() {
    let p = probed();
    let (answer, received) = p.ask(&[
        ("X-Probe-Request", "edits=100"),
        ("X-Probe-Response", "edits=100"),
    ]);
    assert_eq!(received.unwrap().head.values("x-probe-many").len(), 64);
    assert_eq!(answer.head.values("x-probe-many").len(), 64);
    let eight: Vec<(&str, &str)> = (0..8)
        .map(|_| ("X-Probe-Request", "set-bytes=8000"))
        .collect();
    let (answer, received) = p.ask(&eight);
    assert_eq!(answer.status, 200);
    assert!(received.unwrap().head.raw.len() < 48 * 1024);
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
fn a_policy_can_answer_in_the_place_of_a_backend() {
    let p = probed();
    for hook in ["X-Probe-Select", "X-Probe-Request"] {
        let (answer, received) = p.ask(&[
            (hook, "refuse=403"),
            (hook, "refuse-body=10"),
            (hook, "refuse-field=X-Why:because"),
            (hook, "refuse-field=Set-Cookie:a=1"),
            (hook, "refuse-field=Set-Cookie:b=2"),
        ]);
        assert!(received.is_none(), "nobody was asked");
        assert_eq!((answer.status, answer.text().as_str()), (403, "xxxxxxxxxx"));
        assert_eq!(answer.value("x-why").as_deref(), Some("because"));
        assert_eq!(answer.head.values("set-cookie"), ["a=1", "b=2"]);
        assert!(answer.head.has("date"));
    }
    let (answer, received) = p.ask(&[
        ("X-Probe-Response", "refuse=451"),
        ("X-Probe-Response", "refuse-body=3"),
    ]);
    assert!(received.is_some());
    assert_eq!((answer.status, answer.text().as_str()), (451, "xxx"));
    assert!(
        !answer.head.has("x-from"),
        "nothing of the backend's response is left"
    );
    assert_eq!(p.proxy.stat("/policies/probe/refusals"), 3);
    assert_eq!(
        p.proxy.get("a.test", "/").text(),
        "body",
        "the backend's connection is still good"
    );
}

#[test]
fn an_answer_of_a_policy_to_head_has_no_body() {
    let p = probed();
    let mut client = p.proxy.client();
    let head = Request::new("HEAD", "/")
        .host("a.test")
        .field("X-Probe-Select", "refuse=403");
    assert_eq!(
        client
            .ask(head.field("X-Probe-Select", "refuse-body=10").bytes())
            .status,
        403
    );
    assert_eq!(client.ask(get("a.test", "/")).text(), "body");
}

#[test]
fn an_answer_of_a_policy_to_an_upload_leaves_the_connection_in_order() {
    let p = probed();
    let mut client = p.proxy.client();
    let upload = Request::new("POST", "/")
        .host("a.test")
        .field("X-Probe-Select", "refuse=403")
        .body(vec![b'x'; 100_000]);
    assert_eq!(client.ask(upload.bytes()).status, 403);
    client.send_what_is_taken(get("a.test", "/"));
    // Either the rest of the upload was read and dropped, or the connection was closed; never taken
    // for a request.
    if let Ok(answer) = client.try_response_to("GET") {
        assert_eq!(answer.text(), "body");
    }
    assert!(p.backend.received().len() <= 1);
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
