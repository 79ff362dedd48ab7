use serde_json::json;

use super::*;

fn redactor(client: bool) -> Redactor {
    Redactor {
        key: [7; 32],
        fields: vec!["x-key".to_owned(), "cookie".to_owned()],
        query: true,
        client,
    }
}

/// A request whose policy kept, said and wrote this text, and failed with it.
fn request(fields: &[(&str, &str)], query: &str, text: &str) -> Request {
    let list = |fields: &[(&str, &str)]| json!(fields);
    let call = |answer: serde_json::Value| {
        json!({
            "policy": "p", "generation": 1, "role": "active",
            "hook": "request-headers", "answer": answer,
            "tape": {
                "seed": "0000000000000001", "monotonic_nanoseconds": 1, "unix_milliseconds": 1,
                "store": [{"call": {"set": [text, text, 0]}, "told": "done"}],
            },
            "edited": list(&[("x-made", text)]), "nanoseconds": 1,
        })
    };
    let reply =
        json!({"reply": {"status": 429, "fields": list(&[("x-made", text)]), "body": text}});
    let fault = json!({"fault": {"kind": "trap", "message": text}});
    serde_json::from_value(json!({
        "lineup": 1, "time": 1, "worker": 0, "method": "GET", "scheme": "http",
            "host": "a", "path": "/", "query": query,
        "client": "192.0.2.7", "pool": 0, "fields": list(fields),
            "calls": [call(reply), call(fault)], "status": 429,
    }))
    .unwrap()
}

fn written(redactor: &Redactor, mut request: Request) -> String {
    redactor.apply(&mut request);
    serde_json::to_string(&request).unwrap()
}

#[test]
fn a_client_s_address_is_redacted_everywhere_and_within_longer_texts() {
    let redactor = redactor(true);
    let other = |text: &str| redactor.address(text.parse().unwrap()).to_string();
    let (four, six) = (other("192.0.2.7"), other("2001:db9::1"));
    assert!(
        four.starts_with("198.18.") || four.starts_with("198.19."),
        "{four}"
    );
    assert!(six.starts_with("2001:db8:"), "{six}");
    assert_eq!(
        other("::ffff:192.0.2.7"),
        four,
        "the same address, however it is written"
    );
    for text in [
        "client:192.0.2.7",
        "rate:192.0.2.7",
        "over the limit: 192.0.2.7.",
        "192.0.2.7:80",
        "c:192.0.2.7",
    ] {
        let told = written(
            &redactor,
            request(
                &[("x-forwarded-for", "192.0.2.7"), ("x-other", text)],
                "",
                text,
            ),
        );
        assert!(!told.contains("192.0.2.7"), "{told}");
        // The client, two fields, and in each of two calls a key, a value and a field; a
        // reply's field and body; a fault.
        assert_eq!(told.matches(&four).count(), 3 + 6 + 3, "{told}");
    }
    for text in [
        "ip:2001:db9::1",
        "2001:db9::1: limit",
        "for=\"[2001:db9::1]:80\"",
    ] {
        for client in ["192.0.2.7", "2001:db9::1"] {
            let mut request = request(&[("forwarded", text)], "", text);
            request.client = client.parse().unwrap();
            redactor.apply(&mut request);
            let Answer::Reply(reply) = &request.calls[0].answer else {
                panic!("{request:?}")
            };
            let made = [&request.fields[0].1, &reply.body]
                .map(|told| String::from_utf8_lossy(&told.0).into_owned());
            assert_eq!(
                made,
                [
                    text.replace("2001:db9::1", &six),
                    text.replace("2001:db9::1", &six)
                ]
            );
        }
    }
}

#[test]
fn what_a_policy_decoded_is_hidden_too() {
    let redactor = Redactor {
        fields: vec!["cookie".to_owned(), "authorization".to_owned()],
        ..redactor(false)
    };
    let basic = "Basic YWxpY2UtYW5kLWJvYjpvcGVuIHNlc2FtZQ==";
    let fields = [
        ("authorization", basic),
        ("cookie", "id=top%2Fsecret%2Fvalue"),
    ];
    let text =
        "alice-and-bob:open sesame; alice-and-bob, open sesame; top/secret/value; a token/of mine";
    let told = written(&redactor, request(&fields, "t=token%2Fof+mine", text));
    for secret in ["alice", "sesame", "top", "mine", "YWxpY2"] {
        assert!(!told.contains(secret), "{secret}: {told}");
    }
    // So that a replay, which decodes a hash, finds what was stored.
    let cookie = told
        .split("id=")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap();
    assert!(told.matches(cookie).count() > 5, "{cookie}: {told}");
}

#[test]
fn any_number_of_secrets_is_redacted() {
    let redactor = redactor(false);
    let value = |n: usize| format!("cookie-{n:04}-{}", "x".repeat(n % 7));
    for count in [100, 2_000] {
        let cookies: Vec<String> = (0..count).map(|n| format!("c{n}={}", value(n))).collect();
        let (first, last, cookies) = (value(0), value(count - 1), cookies.join("; "));
        let fields = [
            ("cookie", cookies.as_str()),
            ("x-copy", first.as_str()),
            ("x-last", last.as_str()),
        ];
        let told = written(&redactor, request(&fields, "", &format!("{first} {last}")));
        assert!(
            !told.contains("cookie-0") && !told.contains(&last),
            "{count}: {told}"
        );
        assert!(told.contains("c0=redacted:"), "{told}");
    }
}

#[test]
fn cookies_and_parameters_keep_their_names() {
    let redactor = redactor(false);
    let mut secrets = Secrets::default();
    let mut field = Field("cookie".to_owned(), Octets(b"a=1; b=\xff; c=; d".to_vec()));
    redactor.field(&mut field, &mut secrets);
    let text = String::from_utf8(field.1.0).unwrap();
    let parts: Vec<&str> = text.split(';').collect();
    assert!(
        parts[0].starts_with("a=redacted:") && parts[1].starts_with(" b=redacted:"),
        "{text}"
    );
    assert!(
        parts[2] == " c=" && parts[3].starts_with("redacted:"),
        "{text}"
    );
    let query = redactor.query("a=1&&b=&c", &mut secrets);
    let parts: Vec<&str> = query.split('&').collect();
    assert!(
        parts[0].starts_with("a=redacted:") && parts[1].is_empty(),
        "{query}"
    );
    assert!(
        parts[2].starts_with("b=redacted:") && parts[3].starts_with("redacted:"),
        "{query}"
    );
}

#[test]
fn a_client_s_certificate_is_redacted_part_by_part_and_wherever_a_policy_wrote_a_part() {
    let uri = "spiffe://a.test/web";
    let mut with = request(&[("x-other", "CN=client 7")], "", uri);
    let certificate = json!({
        "subject": "CN=client 7", "names": ["DNS:long.a.test", "URI:spiffe://a.test/web", "IP:192.0.2.9"],
        "serial_number": "8001", "fingerprint": "ab".repeat(32), "expires": 7,
    });
    with.tls = serde_json::from_value(json!({
        "version": "TLSv1.3", "cipher_suite": "A", "client_certificate": certificate,
    }))
    .unwrap();
    let plain = written(&redactor(false), with.clone());
    for part in ["\"CN=client 7\"", "\"IP:192.0.2.9\"", "\"8001\""] {
        assert!(plain.contains(part), "{part}: {plain}");
    }

    let redactor = redactor(true);
    let told = written(&redactor, with.clone());
    for part in [
        "client 7",
        uri,
        "long.a.test",
        "192.0.2.9",
        "8001\"",
        "abab",
    ] {
        assert!(!told.contains(part), "{part}: {told}");
    }
    let hash = redactor.hash_text(uri);
    // A name, and in each of two calls a key, a value and a field; a reply's field and body; a
    // fault.
    assert_eq!(told.matches(&hash).count(), 1 + 6 + 3, "{told}");
    assert_eq!(told.matches(&redactor.hash_text("CN=client 7")).count(), 2);

    redactor.apply(&mut with);
    let session = with.tls.unwrap().session().unwrap();
    let names: Vec<String> = session
        .client
        .unwrap()
        .names
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(names[0].starts_with("DNS:redacted:"), "{names:?}");
    assert!(names[1].starts_with("URI:redacted:"), "{names:?}");
    assert!(names[2].starts_with("IP:198.1"), "{names:?}");
}
