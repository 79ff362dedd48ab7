//! Policies that answer in the place of a backend.

use super::probed;
use crate::fixtures::{Request, get};

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
