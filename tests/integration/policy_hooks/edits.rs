//! What a policy may write into a head, and what it can't.

use super::probed;
use crate::fixtures::{Request, TestProxy, TestUpstream, guest, response};

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
