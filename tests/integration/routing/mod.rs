//! Which route applies: host first, then path, then its conditions.

mod answers;
mod bounds;
mod conditions;
mod cors;
mod edits;
mod mirrors;
mod pools;
mod values;

use crate::fixtures::{Request, TestProxy, TestUpstream, get};

/// A proxy with one backend for each kind of rule; each backend answers with its own name.
struct Routed {
    proxy: TestProxy,
    _backends: Vec<TestUpstream>,
}

fn routed() -> Routed {
    let names = ["exact", "suffix", "deep-suffix", "any", "api", "api-v2"];
    let backends: Vec<TestUpstream> = names.iter().map(|n| TestUpstream::named(n)).collect();
    let at = |name: &str| backends[names.iter().position(|n| *n == name).unwrap()].address();
    let proxy = TestProxy::builder()
        .host("www.example.com", &[at("exact")])
        .host("*.example.com", &[at("suffix")])
        .host("*.deep.example.com", &[at("deep-suffix")])
        .host("*", &[at("any")])
        .tables(&format!(
            "[pools]\napi = {{ backends = [\"{}\"] }}\nv2 = {{ backends = [\"{}\"] }}\n\
             [[routes]]\nhost = \"www.example.com\"\npath = \"/api\"\npool = \"api\"\n\
             [[routes]]\nhost = \"www.example.com\"\npath = \"/api/v2\"\npool = \"v2\"\n",
            at("api"),
            at("api-v2")
        ))
        .start();
    Routed {
        proxy,
        _backends: backends,
    }
}

#[test]
fn a_host_is_recognised_however_it_is_spelled() {
    let routed = routed();
    let mut client = routed.proxy.client();
    for host in [
        "www.example.com",
        "WWW.Example.COM",
        "www.example.com:8080",
        "www.example.com:",
        "www.example.com.",
        "Www.Example.Com.:80",
        "  www.example.com",
        "www.example.com \t ",
        "\t www.example.com.:1 ",
    ] {
        assert_eq!(client.ask(get(host, "/")).text(), "exact", "{host:?}");
    }
}

#[test]
fn exact_beats_suffix_beats_default_and_a_longer_suffix_a_shorter_one() {
    let routed = routed();
    let mut client = routed.proxy.client();
    for (host, backend) in [
        ("www.example.com", "exact"),
        ("a.example.com", "suffix"),
        ("a.b.example.com", "suffix"),
        ("www.example.com.example.com", "suffix"),
        ("x.deep.example.com", "deep-suffix"),
        ("deep.example.com", "suffix"),
        ("example.com", "any"),
        ("notexample.com", "any"),
        ("www.example.com.evil.test", "any"),
        ("127.0.0.1", "any"),
        ("[::1]:8080", "any"),
    ] {
        assert_eq!(client.ask(get(host, "/")).text(), backend, "{host}");
    }
}

#[test]
fn the_longest_path_prefix_wins_at_segment_borders() {
    let routed = routed();
    let mut client = routed.proxy.client();
    for (target, backend) in [
        ("/", "exact"),
        ("/api", "api"),
        ("/api/", "api"),
        ("/api?x=/api/v2", "api"),
        ("/api/v1", "api"),
        ("/api/v2", "api-v2"),
        ("/api/v2/users?id=1", "api-v2"),
        ("/api/v20", "api"),
        ("/apis", "exact"),
        ("/API", "exact"),
    ] {
        assert_eq!(
            client.ask(get("www.example.com", target)).text(),
            backend,
            "{target}"
        );
    }
}

#[test]
fn an_unknown_host_is_a_404_with_a_plain_sentence_and_reaches_no_backend() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::builder()
        .host("a.test", &[upstream.address()])
        .start();
    let mut client = proxy.client();
    client.ask(get("b.test", "/")).assert_refusal(404);
    assert_eq!(
        client.ask(get("a.test", "/")).text(),
        "a",
        "the connection is still good"
    );
    assert_eq!(upstream.received().len(), 1);
    proxy.logged(&["404", "b.test"]);
}

#[test]
fn a_known_host_without_a_rule_for_the_path_is_a_404() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[pools]\na = {{ backends = [\"{}\"] }}\n[[routes]]\nhost = \"a.test\"\npath = \"/only\"\npool = \"a\"\n",
            upstream.address()
        ))
        .start();
    proxy.get("a.test", "/other").assert_refusal(404);
    assert_eq!(proxy.get("a.test", "/only/this").text(), "a");
}

#[test]
fn the_authority_of_an_absolute_target_beats_the_host_field() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::builder()
        .host("a.test", &[upstream.address()])
        .start();
    let response = proxy.get("b.test", "http://A.test:81/x?y=/z");
    assert_eq!(response.text(), "a");
    let request = upstream.only_request();
    assert_eq!(
        request.target(),
        "/x?y=/z",
        "the backend gets the origin form"
    );
    assert_eq!(
        request.value("host").unwrap().to_ascii_lowercase(),
        "a.test:81"
    );
    proxy.get("a.test", "http://b.test/").assert_refusal(404);
}

#[test]
fn an_http_1_0_request_without_a_host_goes_to_the_default() {
    let upstream = TestUpstream::named("any");
    let proxy = TestProxy::in_front_of(&upstream);
    assert_eq!(
        proxy.ask(Request::new("GET", "/").old().bytes()).text(),
        "any"
    );
}

#[test]
fn the_backend_sees_the_host_that_the_client_asked_for() {
    let upstream = TestUpstream::named("any");
    let proxy = TestProxy::in_front_of(&upstream);
    proxy.get("shop.test:8443", "/");
    assert_eq!(
        upstream.only_request().value("host").unwrap(),
        "shop.test:8443"
    );
}

#[test]
fn weights_and_the_long_form_of_a_pool_are_taken() {
    let (a, b) = (TestUpstream::named("a"), TestUpstream::named("b"));
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[pools.both]\nbackends = [{{ address = \"{}\", weight = 3 }}, {{ address = \"{}\" }}]\n\
             [[routes]]\npool = \"both\"\n",
            a.address(),
            b.address()
        ))
        .start();
    let mut client = proxy.client();
    for _ in 0..64 {
        assert_eq!(client.ask(get("any.test", "/")).status, 200);
    }
    // Each of 64 independent choices among two: the one of a quarter of the weight has none once in
    // 10^8 runs.
    assert!(!a.received().is_empty() && !b.received().is_empty());
    assert_eq!(a.received().len() + b.received().len(), 64);
}
