//! Mistakes in pools, backends and `[hosts]`.

use super::*;

#[test]
fn wrong_pools_and_backends_are_errors() {
    let cases = [
        ("[pools.a]", 1, "pools.a", "has no `backends`"),
        (
            "[pools.a]\nbackends = []",
            2,
            "pools.a.backends",
            "has no backend",
        ),
        (
            "[pools.a]\nbackends = [{ weight = 1 }]",
            2,
            "pools.a.backends",
            "has no `address`",
        ),
        (
            "[pools.a]\nbackends = [{ address = \"b\", weight = 65536 }]",
            2,
            "pools.a.backends.weight",
            "0 to 65535",
        ),
        (
            "[pools.a]\nbackends = [{ address = \"b\", labels = { z = 1 } }]",
            2,
            "pools.a.backends.labels.z",
            "string",
        ),
        (
            "[pools.a]\nbackends = \"b\"\nattempts = 0",
            3,
            "pools.a.attempts",
            "1 to 100",
        ),
        (
            "[pools.a]\nbackends = \"b\"\nfail-timeout = \"0s\"",
            3,
            "pools.a.fail-timeout",
            "out of range",
        ),
        ("[hosts]\n\"*\" = []", 2, "hosts.\"*\"", "has no backend"),
        (
            "[hosts]\n\"*\" = \"http://10.0.0.1:80/a\"",
            2,
            "hosts.\"*\"",
            "only the address: \"10.0.0.1:80\"",
        ),
        (
            "[hosts]\n\"*\" = \"ftp://a\"",
            2,
            "hosts.\"*\"",
            "HOST:PORT",
        ),
        ("[hosts]\n\"*\" = \"a:0\"", 2, "hosts.\"*\"", "1 to 65535"),
        (
            "[hosts]\n\"*\" = \"a:http\"",
            2,
            "hosts.\"*\"",
            "1 to 65535",
        ),
        ("[hosts]\n\"*\" = \"[::1\"", 2, "hosts.\"*\"", "IPv6"),
        ("[hosts]\n\"*\" = \"[::g]:80\"", 2, "hosts.\"*\"", "IPv6"),
        ("[hosts]\n\"*\" = \"10.0.0.256\"", 2, "hosts.\"*\"", "IPv4"),
        (
            "[hosts]\n\"*\" = \"a/b\"",
            2,
            "hosts.\"*\"",
            "remove the path",
        ),
        ("[hosts]\n\"*\" = \"a b\"", 2, "hosts.\"*\"", "HOST:PORT"),
        ("[hosts]\n\"*\" = \"\"", 2, "hosts.\"*\"", "HOST:PORT"),
    ];
    for (text, line, key, words) in cases {
        assert_error(text, line, key, words);
    }
}

#[test]
fn hosts_have_settings_beside_their_names() {
    let range = |config: &Config| {
        config
            .policies
            .iter()
            .find(|p| p.name == "range")
            .unwrap()
            .settings
            .clone()
    };
    let plain = load("[hosts]\n\"*\" = \"b\"");
    assert_eq!(
        (range(&plain), plain.routes[0].preserve_header_case),
        (serde_json::json!({}), false)
    );
    let set = load("[hosts]\nrange-parameter = false\npreserve-header-case = true\n\"*\" = \"b\"");
    assert_eq!(
        (range(&set), set.routes.len()),
        (serde_json::json!({ "parameter": false }), 1)
    );
    assert!(set.routes[0].preserve_header_case);
    let same = load(
        "[hosts]\nrange-parameter = false\n\"*\" = \"b\"\n[policies.range]\n\
            settings = { parameter = false }",
    );
    assert_eq!(range(&same), serde_json::json!({ "parameter": false }));
    // A host may have such a name.
    let hosts = load("[hosts]\nrange-parameter = \"b\"\npreserve-header-case = [\"c\"]");
    assert_eq!(addresses(&hosts, "range-parameter"), ["b:80"]);
    assert_eq!(addresses(&hosts, "preserve-header-case"), ["c:80"]);
    let route = load(
        "[pools.p]\nbackends = \"b\"\n[[routes]]\npool = \"p\"\npreserve-header-case = true\n\
            policies = []",
    );
    assert!(route.routes[0].preserve_header_case);
    for (text, line, key, words) in [
        (
            "[hosts]\nrange-parameter = 1\n\"*\" = \"b\"",
            2,
            "hosts.range-parameter",
            "an integer",
        ),
        (
            "[hosts]\nrange-parameter = false\n\"*\" = \"b\"\n[policies.range]\n\
                settings = { parameter = true }",
            2,
            "hosts.range-parameter",
            "contradicts",
        ),
        (
            "[hosts]\nrange-parameter = false\n\"*\" = \"b\"\n[policies.range]\n\
                component = \"a.wasm\"",
            2,
            "hosts.range-parameter",
            "another policy",
        ),
        (
            "[pools.p]\nbackends = \"b\"\n[[routes]]\npool = \"p\"\npreserve-header-case = 1",
            5,
            "routes.preserve-header-case",
            "true or false",
        ),
    ] {
        assert_error(text, line, key, words);
    }
}

#[test]
fn backends_are_reached_with_tls_where_the_pool_or_their_own_scheme_says_so() {
    let pool = |text: &str| {
        let config = load(&format!("[pools.a]\n{text}\n[[routes]]\npool = \"a\""));
        config.pools[0].clone()
    };
    let addresses = |pool: &Pool| -> Vec<(String, bool)> {
        let backends = pool.backends.iter();
        let pair = |b: &Backend| (b.address.clone(), b.tls.is_some());
        backends.map(pair).collect()
    };
    let mixed = pool("backends = [\"a\", \"https://b\", \"HTTPS://c:8443/\"]");
    let expected = [("a:80", false), ("b:443", true), ("c:8443", true)];
    let expected = expected.map(|(address, tls)| (address.to_owned(), tls));
    assert_eq!(addresses(&mixed), expected);
    assert_eq!(mixed.protocol, PoolProtocol::Http11);
    let all = pool("tls = true\nbackends = [\"a\", { address = \"[::1]:9\" }]");
    let expected = [("a:443", true), ("[::1]:9", true)];
    assert_eq!(
        addresses(&all),
        expected.map(|(a, tls)| (a.to_owned(), tls))
    );
    assert_eq!(pool("tls = false\nbackends = \"a\"").backends[0].tls, None);
    for (written, protocol) in [
        ("\"h2c\"", PoolProtocol::H2c),
        ("\"http/1.1\"", PoolProtocol::Http11),
    ] {
        let pool = pool(&format!("protocol = {written}\nbackends = \"a\""));
        assert_eq!(pool.protocol, protocol);
    }
    for (written, protocol) in [
        ("\"h2\"", PoolProtocol::H2),
        ("\"auto\"", PoolProtocol::Auto),
        ("\"http/1.1\"", PoolProtocol::Http11),
    ] {
        let pool = pool(&format!(
            "protocol = {written}\nbackends = \"https://a\"\nping-interval = 0"
        ));
        assert_eq!(
            (pool.protocol, pool.ping_interval),
            (protocol, Duration::ZERO)
        );
    }
    let host = load("[hosts]\n\"*\" = \"https://b\"");
    assert_eq!(
        host.pools[0].backends[0].tls,
        Some(PoolTls::default()),
        "also in the short form"
    );
}

#[test]
fn tls_of_a_pool_names_files_beside_the_configuration() {
    let config = load(
        "[pools.a]\nbackends = [\"a\", \"https://b\"]\ntls = { server-name = \"API.example.\", \
         ca = \"ca.pem\", client-certificate = { certificate = \"c.pem\", key = \"/k.pem\" } }\n\
         [[routes]]\npool = \"a\"",
    );
    let expected = PoolTls {
        server_name: Some("api.example".to_owned()),
        ca: Some("/etc/waypost/ca.pem".into()),
        client_certificate: Some(KeyPairFiles {
            certificate: "/etc/waypost/c.pem".into(),
            key: "/k.pem".into(),
        }),
        insecure: false,
    };
    for backend in &config.pools[0].backends {
        assert_eq!(backend.tls.as_ref(), Some(&expected));
    }
    let config = load(
        "[pools.a]\nbackends = \"a\"\ntls = { server-name = \"[::1]\", insecure = true, \
         client-certificate = \"both.pem\" }\n[[routes]]\npool = \"a\"",
    );
    let tls = config.pools[0].backends[0].tls.as_ref().unwrap();
    assert_eq!(tls.server_name.as_deref(), Some("::1"));
    let pair = tls.client_certificate.as_ref().unwrap();
    assert_eq!(pair.certificate, pair.key);
    let warning = config.warnings[0].to_string();
    assert!(
        warning.contains("any certificate is taken") && warning.contains("insecure"),
        "{warning}"
    );
}

#[test]
fn protocols_and_tls_that_contradict_each_other_are_errors() {
    for (keys, key, words) in [
        ("backends = \"b\"\nprotocol = \"h3\"", "protocol", "\"h2c\""),
        ("backends = \"b\"\nprotocol = \"h2\"", "protocol", "b:80"),
        (
            "backends = [\"https://a\", \"b\"]\nprotocol = \"h2\"",
            "protocol",
            "b:80",
        ),
        (
            "backends = \"b\"\nprotocol = \"auto\"",
            "protocol",
            "tls = true",
        ),
        (
            "backends = \"https://b\"\nprotocol = \"h2c\"",
            "protocol",
            "b:443",
        ),
    ] {
        let text = format!("[pools.a]\n{keys}\n[[routes]]\npool = \"a\"");
        assert_error(&text, 3, &format!("pools.a.{key}"), words);
    }
    for (keys, key, words) in [
        ("tls = 1", "tls", "tls = true"),
        (
            "tls = { server-name = \"a:1\" }",
            "tls.server-name",
            "without a port",
        ),
        (
            "tls = { server-name = \"\" }",
            "tls.server-name",
            "host name",
        ),
        ("tls = { ca = \"\" }", "tls.ca", "not a path"),
        ("tls = { cert = \"a\" }", "tls.cert", "unknown key"),
        (
            "tls = { ca = \"a\", insecure = true }",
            "tls.ca",
            "any certificate",
        ),
        (
            "tls = { client-certificate = { key = \"k\" } }",
            "tls.client-certificate",
            "has no `certificate`",
        ),
        (
            "protocol = \"auto\"\ntls = true\nmax-connections = 2",
            "protocol",
            "max-connections",
        ),
    ] {
        let text = format!("[pools.a]\n{keys}\nbackends = \"b\"\n[[routes]]\npool = \"a\"");
        assert_error(&text, 2, &format!("pools.a.{key}"), words);
    }
    for url in ["https://a/b", "https://a?b", "https://u@a"] {
        assert_error(
            &format!("[hosts]\n\"*\" = \"{url}\""),
            2,
            "hosts.\"*\"",
            "more than an address",
        );
    }
}

#[test]
fn a_limit_that_adapts_is_switched_on_or_described() {
    let adaptive = |value: &str| {
        let text = format!("[pools.a]\nbackends = \"b\"\nadaptive-requests = {value}");
        load(&text).pools[0].adaptive
    };
    let default = AdaptiveRequests::default();
    assert_eq!([adaptive("false"), adaptive("true")], [None, Some(default)]);
    assert_eq!(adaptive("{}"), Some(default));
    let expected = AdaptiveRequests {
        least: 2_000,
        most: 2_000,
        interval: Duration::from_secs(1),
        tolerance: 2.0,
    };
    let read = adaptive("{ least = 2000, interval = \"1s\", tolerance = 2 }");
    assert_eq!(read, Some(expected));
    for (value, key, words) in [
        ("3", "", "a table"),
        ("{ least = 0 }", ".least", "1 to 1000000"),
        ("{ least = 5, most = 4 }", ".most", "less than `least`"),
        ("{ interval = \"1ms\" }", ".interval", "out of range"),
        ("{ tolerance = 0.9 }", ".tolerance", "1 to 100"),
    ] {
        let text = format!("[pools.a]\nbackends = \"b\"\nadaptive-requests = {value}");
        let key = format!("pools.a.adaptive-requests{key}");
        assert_error(&text, 3, &key, words);
    }
}
