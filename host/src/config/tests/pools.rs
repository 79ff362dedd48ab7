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
            "[hosts]\n\"*\" = \"https://a\"",
            2,
            "hosts.\"*\"",
            "plain HTTP",
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
