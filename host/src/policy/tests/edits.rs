//! Edits of heads, and answers to clients.

use super::*;
use crate::message::Fields;

#[test]
fn edits_hold_and_the_hosts_fields_are_forbidden() {
    let mut handle = TestEngine::new().handle(&probe(Value::Null));
    let mut head = request(&[
        ("x-old", "1"),
        ("x-gone", "1"),
        ("x-probe-request", "set=x-old:2"),
        ("x-probe-request", "remove=X-Gone"),
        ("x-probe-request", "append=x-bytes:a%ffb"),
        ("x-probe-request", "set=content-length:9"),
        ("x-probe-request", "append=Transfer-Encoding:chunked"),
        ("x-probe-request", "remove=host"),
        ("x-probe-request", "set=x-split:a%0d%0ax-smuggled: b"),
        ("x-probe-request", "set=x%20y:a"),
        ("x-probe-request", "name-bytes=300"),
        ("x-probe-request", "set-bytes=9000"),
    ]);
    assert!(matches!(
        handle.edit_request(&mut head, 0),
        Ok(Edited::Done)
    ));
    assert_eq!(
        field(&head, "x-probe-did"),
        "ok, ok, ok, forbidden, forbidden, forbidden, invalid-value, invalid-name, invalid-name, invalid-value"
    );
    assert_eq!(field(&head, "x-old"), "2");
    assert_eq!(head.fields.first("x-bytes"), Some(&b"a\xffb"[..]));
    assert!(!head.fields.contains("x-gone") && !head.fields.contains("x-split"));
}

#[test]
fn edits_are_bounded_in_number() {
    let mut handle = TestEngine::new().handle(&probe(probe_actions("request", &["edits=100"])));
    let mut head = request(&[]);
    handle.edit_request(&mut head, 0).unwrap();
    assert_eq!(head.fields.values("x-probe-many").count(), 64);
}

#[test]
fn a_response_is_edited_while_the_request_stays() {
    let mut handle = TestEngine::new().handle(&probe(probe_actions(
        "response",
        &["answer", "set=x-a:b", "request-names", "remove=server"],
    )));
    let (mut head, mut fields) = (request(&[("x-only-request", "1")]), Fields::new());
    fields.append(b"server", b"s");
    fields.append(b"Connection", b"x-hop");
    fields.append(b"x-hop", b"1");
    assert!(matches!(
        handle.edit_response(&mut head, 0, 418, 2, &mut fields),
        Ok(Edited::Done)
    ));
    assert_eq!(fields.first("x-probe-answer"), Some(&b"418 2"[..]));
    assert_eq!(
        fields.first("x-probe-request-names"),
        Some(&b"x-only-request"[..])
    );
    assert!(fields.contains("x-a") && !fields.contains("server"));
    assert_eq!(head.fields.len(), 1);
    let mut head = request(&[("x-probe-response", "remove=x-hop")]);
    handle
        .edit_response(&mut head, 0, 200, 0, &mut fields)
        .unwrap();
    assert!(fields.contains("x-hop"), "a hop-by-hop field was removed");
}

#[test]
fn a_guest_answers_the_client_from_any_hook() {
    let mut handle = TestEngine::new().handle(&probe(json!({
        "select": ["refuse=503"], "request": ["refuse=403", "refuse-field=X-Why:no", "refuse-body=3"],
        "response": ["refuse=502"], "range": ["refuse=416"],
    })));
    let mut head = request(&[]);
    let Ok(Selected::Answer(reply)) = handle.select(&mut head, 0, first_attempt()) else {
        panic!("no answer")
    };
    assert_eq!(reply.status, 503);
    let Ok(Edited::Answer(reply)) = handle.edit_request(&mut head, 0) else {
        panic!("no answer")
    };
    assert_eq!((reply.status, &reply.body[..]), (403, &b"xxx"[..]));
    assert_eq!(reply.headers, [("x-why".to_owned(), b"no".to_vec())]);
    let Ok(Edited::Answer(reply)) = handle.edit_response(&mut head, 0, 200, 0, &mut Fields::new())
    else {
        panic!("no answer")
    };
    assert_eq!(reply.status, 502);
    let Ok(RangeVerdict::Answer(reply)) = handle.check_range(&mut head, 0) else {
        panic!("no answer")
    };
    assert_eq!(reply.status, 416);
}
