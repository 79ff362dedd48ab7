//! Extended CONNECTs that become no tunnel.

use h2::Reason;
use http::Request;

use super::{asking, connect, taking};
use crate::fixtures::http2::{
    END_STREAM, Frames, PLAIN, RST_STREAM, SETTINGS, connected, receive_body,
};
use crate::fixtures::{TestProxy, TestUpstream, guest, response};
use crate::upgrades::{SWITCHING, echo};

/// The status with which an extended CONNECT with this field is answered, and the body.
fn answered(proxy: &TestProxy, asked: Request<()>) -> (u16, String) {
    connected(proxy, async |client| {
        let (answer, _up) = client.send(asked, false).await.unwrap();
        let (head, body) = answer.await.unwrap().into_parts();
        let (body, _) = receive_body(body).await.unwrap();
        client.assert_goes_on().await;
        (head.status.as_u16(), String::from_utf8(body).unwrap())
    })
}

#[test]
fn what_is_not_a_websocket_or_not_allowed_is_refused_and_no_backend_is_asked() {
    let upstream = taking(echo);
    let address = upstream.address();
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[pools.a]\nbackends = [\"{address}\"]\n\
             [[routes]]\nhost = \"b.test\"\npool = \"a\"\n\
             [[routes]]\nhost = \"a.test\"\npool = \"a\"\nupgrade = [\"foo\"]"
        ))
        .start();
    for protocol in ["websocket", "foo", "connect-udp", "websocket, foo"] {
        assert_eq!(answered(&proxy, connect(protocol)).0, 501, "{protocol}");
    }
    let mut other = connect("connect-ip");
    *other.uri_mut() = "http://b.test/".parse().unwrap();
    assert_eq!(answered(&proxy, other).0, 501);
    let mut known = connect("websocket");
    known.headers_mut().insert("content-length", 0.into());
    assert_eq!(answered(&proxy, known).0, 400);
    let mut frames = Frames::connect(proxy.address());
    frames.head(1, &[(":method", "CONNECT"), PLAIN[3]], END_STREAM);
    assert!(frames.end_of(1).ends(), "a plain CONNECT is a 405");
    assert_eq!(upstream.received().len(), 0);
    proxy.logged(&[
        "\"status\":501",
        "a protocol that the route's `upgrade` does not have",
    ]);
}

/// Whether SETTINGS say that extended CONNECTs are taken (RFC 8441 section 3).
fn announces(proxy: &TestProxy) -> bool {
    let settings = Frames::connect(proxy.address()).find(SETTINGS);
    let mut all = settings.payload.chunks(6);
    all.any(|setting| setting == [0, 8, 0, 0, 0, 1])
}

#[test]
fn extended_connects_are_announced_where_a_route_may_take_one_and_that_is_switched_on() {
    let upstream = taking(echo);
    assert!(announces(&TestProxy::in_front_of(&upstream)));
    let address = upstream.address();
    let pool = format!("[pools.a]\nbackends = [\"{address}\"]\n[[routes]]\npool = \"a\"");
    for tables in [
        format!("{pool}\nupgrade = []"),
        format!("{pool}\nupgrade = [\"foo\"]"),
        format!("[limits]\nh2-websocket = false\n{pool}"),
    ] {
        let proxy = TestProxy::builder().tables(&tables).start();
        assert!(!announces(&proxy), "{tables}");
        let mut frames = Frames::connect(proxy.address());
        frames.head(1, &asking("websocket"), 0);
        let end = frames.end_of(1);
        let protocol_error = Reason::PROTOCOL_ERROR.into();
        assert_eq!((end.kind, end.error()), (RST_STREAM, protocol_error));
    }
    assert_eq!(upstream.received().len(), 0);
}

/// For a client of HTTP/2, any success is a WebSocket.
#[test]
fn another_answer_passes_unless_it_is_a_success_that_is_no_websocket() {
    let statuses = ["403 Forbidden", "200 OK", "204 No Content", "302 Found"];
    let upstream = TestUpstream::start(move |connection| {
        connection.request();
        let status = statuses[connection.index % statuses.len()];
        let body = if status.starts_with("204") { "" } else { "no" };
        connection.send(response(status, &[("Connection", "close")], body));
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let answers = statuses.map(|_| answered(&proxy, connect("websocket")));
    assert_eq!(answers[0], (403, "no".to_owned()));
    assert_eq!((answers[1].0, answers[2].0), (502, 502));
    assert_eq!(answers[3], (302, "no".to_owned()));
    proxy.logged(&["\"status\":502", "a success that is none"]);
    let failures = format!("/backends/{}/failures", upstream.address());
    assert_eq!(proxy.stat(&failures), 0);
}

#[test]
fn a_101_whose_answer_to_the_key_is_wrong_is_a_502() {
    let upstream = TestUpstream::start(|connection| {
        connection.request();
        let lines = SWITCHING.split_inclusive("\r\n");
        let without = lines.filter(|line| !line.starts_with("Sec-") || connection.index == 0);
        connection.send(without.collect::<String>());
        connection.wait_for_close();
    });
    let proxy = TestProxy::in_front_of(&upstream);
    for _ in 0..2 {
        assert_eq!(answered(&proxy, connect("websocket")).0, 502);
    }
    proxy.logged(&["\"status\":502", "Sec-WebSocket-Accept is not the answer"]);
}

#[test]
fn policies_see_the_upgrade_and_what_they_answer_is_never_taken_for_a_websocket() {
    let upstream = taking(echo);
    let proxy = TestProxy::builder()
        .file("probe.wasm", guest("probe"))
        .pool_for_all(&[upstream.address()], &["probe", "random"])
        .tables("[policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"2s\"")
        .tables("[policies.random]\nbuiltin = \"random\"\ndeadline = \"2s\"")
        .start();
    let with = |name: &'static str, value: &str| {
        let mut asked = connect("websocket");
        asked.headers_mut().insert(name, value.parse().unwrap());
        asked
    };
    assert_eq!(
        answered(&proxy, with("x-probe-select", "refuse=403")).0,
        403
    );
    assert_eq!(
        answered(&proxy, with("x-probe-select", "refuse=200")).0,
        502
    );
    assert_eq!(upstream.received().len(), 0);
    connected(&proxy, async |client| {
        let asked = with("x-probe-response", "answer");
        let (answer, _up) = client.send(asked, false).await.unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["x-probe-answer"], "101 0");
    });
    let decisions = format!("/policies/random/decisions/all/{}", upstream.address());
    assert_eq!(proxy.stat(&decisions), 1);
}
