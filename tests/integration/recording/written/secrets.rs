//! Secrets are hashes.

use serde_json::Value;

use super::super::{requests, stop};
use super::{ALL, call, field, probed};
use crate::fixtures::{Request, TestUpstream, response};

#[test]
fn a_secret_is_a_hash_and_equal_secrets_have_equal_hashes() {
    let backend = TestUpstream::answering(response(
        "200 OK",
        &[("Set-Cookie", "id=topsecretcookie; Path=/")],
        "",
    ));
    let record = "redact = [\"authorization\", \"cookie\", \"set-cookie\", \"x-key\"]\nredact-query = true\nredact-client = true";
    let mut proxy = probed(&[ALL, record].concat(), &[&backend]);
    let ask = |key: &str| {
        Request::new("GET", "/?token=sesame-open&empty=")
            .host("a.test")
            .field("Authorization", "Bearer abcdefghijkl")
            .field("Cookie", "id=topsecretcookie; ab=B")
            .field("X-Key", key)
            .field("X-Probe-Request", "set=x-copied:abcdefghijkl")
            .bytes()
    };
    let mut client = proxy.client();
    for key in ["key-number-one", "key-number-two", "key-number-one"] {
        assert_eq!(client.ask(ask(key)).status, 200);
    }
    stop(&mut proxy);
    let text = std::fs::read_to_string(proxy.scratch.path().join("requests.jsonl")).unwrap();
    let requests_text = text.split_once('\n').unwrap().1;
    for secret in [
        "topsecret",
        "abcdefghijkl",
        "key-number",
        "sesame",
        "127.0.0.1\"",
        "ab=B",
    ] {
        assert!(!requests_text.contains(secret), "{secret}: {requests_text}");
    }
    let all = requests(&proxy.scratch, "requests.jsonl");
    let keys: Vec<Value> = all
        .iter()
        .flat_map(|r| field(&r["fields"], "x-key"))
        .collect();
    assert!(keys[0] == keys[2] && keys[0] != keys[1], "{keys:?}");
    assert!(
        keys[0].as_str().unwrap().starts_with("redacted:"),
        "{keys:?}"
    );
    let authorization = field(&all[0]["fields"], "authorization");
    assert!(
        authorization[0]
            .as_str()
            .unwrap()
            .starts_with("Bearer redacted:"),
        "{authorization:?}"
    );
    let copied = field(&call(&all[0], "request-headers")["edited"], "x-copied");
    assert!(
        authorization[0]
            .as_str()
            .unwrap()
            .ends_with(copied[0].as_str().unwrap()),
        "{copied:?}"
    );
    let cookie = field(&all[0]["fields"], "cookie")[0]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        cookie.starts_with("id=redacted:") && cookie.contains("; ab=redacted:"),
        "{cookie}"
    );
    let set = field(
        &call(&all[0], "response-headers")["response"]["fields"],
        "set-cookie",
    );
    let id = cookie.split(';').next().unwrap();
    assert_eq!(
        set,
        [format!("{id}; Path=/")],
        "the same secret, wherever it stands"
    );
    let query = all[0]["query"].as_str().unwrap();
    assert!(
        query.starts_with("token=redacted:") && query.contains("&empty=redacted:"),
        "{query}"
    );
    let client = all[0]["client"].as_str().unwrap();
    assert!(client.starts_with("198.1"), "{client}");
    assert_eq!(field(&all[0]["fields"], "x-forwarded-for"), [client]);
}
