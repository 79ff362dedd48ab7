//! Connections that are passed on as they are.

use super::*;

const LISTENER: &str =
    "[[listeners]]\naddress = \"127.0.0.1:8443\"\ntls = { passthrough = true }\n";
const POOL: &str = "[pools.a]\nbackends = [\"127.0.0.1:1\"]\n";

/// With a listener, a pool and a route of these lines; the route begins in line 6.
fn with(route: &str) -> String {
    format!("{LISTENER}{POOL}[[routes]]\n{route}\n")
}

#[test]
fn a_route_means_what_it_says() {
    let config = load(&with(
        "passthrough = true\nsni = [\"A.test.\", \"*.b.test\", \"*\"]\npool = \"a\"\n\
         proxy-protocol = \"v2\"",
    ));
    let shown: Vec<_> = config.routes.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "passthrough a.test",
            "passthrough *.b.test",
            "passthrough *"
        ]
    );
    for route in &config.routes {
        let layer4 = Layer4 {
            takes: Layer4Match::ServerName,
            proxy_protocol: Some(ProxyHeader::V2),
        };
        assert_eq!(route.layer4, Some(layer4));
        let targets = &route.traffic.targets;
        assert_eq!(targets.iter().map(|to| to.pool).collect::<Vec<_>>(), [0]);
        assert!(targets[0].retry.on.connect && targets[0].retry.hedge.is_none());
    }
    let policies: Vec<_> = config.policies.iter().map(|p| &*p.name).collect();
    assert_eq!(policies, ["random"]);
    let tls = config.listeners[0].tls.as_ref().unwrap();
    assert_eq!(tls.certificates, Certificates::None);
}

#[test]
fn a_listener_means_what_it_says() {
    let listener = |port: u16| {
        format!(
            "[[listeners]]\naddress = \"127.0.0.1:{port}\"\n\
             tcp = {{ pool = \"a\", policies = [], proxy-protocol = \"v1\" }}\n"
        )
    };
    let config = load(&format!("{}{}{POOL}", listener(1), listener(2)));
    let [one, two] = &config.listeners[..] else {
        panic!("{:?}", config.listeners)
    };
    assert_eq!(one.tcp, two.tcp);
    assert_eq!(one.protocols, Protocols::NONE);
    let [route] = &config.routes[..] else {
        panic!("{:?}", config.routes)
    };
    let layer4 = Layer4 {
        takes: Layer4Match::Listener(one.tcp.clone().unwrap()),
        proxy_protocol: Some(ProxyHeader::V1),
    };
    assert_eq!(route.layer4, Some(layer4));
    assert_eq!(
        (route.to_string(), route.policies.len()),
        ("tcp a".to_owned(), 0)
    );
}

#[test]
fn the_names_of_requests_and_of_connections_are_apart() {
    let text = with("passthrough = true\nsni = \"a.test\"\npool = \"a\"");
    let config = load(&format!(
        "{text}[[routes]]\nhost = \"a.test\"\npool = \"a\"\n"
    ));
    assert_eq!(config.routes.len(), 2);
    assert_eq!(config.warnings, [""; 0]);
}

#[test]
fn keys_of_requests_are_none_of_connections() {
    for (line, key) in [
        ("path = \"/a\"", "path"),
        ("host = \"a.test\"", "host"),
        ("methods = [\"GET\"]", "methods"),
        ("retry = { attempts = 2 }", "retry"),
        ("upgrade = []", "upgrade"),
        ("redirect = \"/b\"", "redirect"),
    ] {
        let route = format!("passthrough = true\nsni = \"a.test\"\npool = \"a\"\n{line}");
        let key = format!("routes.{key}");
        assert_error(
            &with(&route),
            10,
            &key,
            "a route with `passthrough` sees none",
        );
    }
    let misspelled = "passthrough = true\nsni = \"a.test\"\npool = \"a\"\nproxy_protocol = \"v2\"";
    let words = "did you mean `proxy-protocol`?";
    assert_error(&with(misspelled), 10, "routes.proxy_protocol", words);
    for line in ["protocols = [\"http/1.1\"]", "redirect-to-https = true"] {
        let text = format!(
            "[[listeners]]\naddress = \"127.0.0.1:1\"\ntcp = {{ pool = \"a\" }}\n{line}\n{POOL}"
        );
        let key = format!("listeners.{}", line.split(' ').next().unwrap());
        assert_error(&text, 4, &key, "a listener with `tcp` reads none");
    }
}

#[test]
fn every_mistake_has_its_line() {
    let route = |lines: &str| with(&format!("passthrough = true\n{lines}"));
    for (text, line, key, words) in [
        (route("pool = \"a\""), 6, "routes", "has no `sni`"),
        (route("sni = \"a.test\""), 6, "routes", "has no `pool`"),
        (route("sni = []\npool = \"a\""), 8, "routes.sni", "is empty"),
        (
            route("sni = \"1.2.3.4\"\npool = \"a\""),
            8,
            "routes.sni",
            "RFC 6066",
        ),
        (
            route("sni = \"a.test:443\"\npool = \"a\""),
            8,
            "routes.sni",
            "has a port",
        ),
        (
            route("sni = \"a*.test\"\npool = \"a\""),
            8,
            "routes.sni",
            "is not a host pattern",
        ),
        (
            route("sni = \"a.test\"\npool = \"b\""),
            9,
            "routes.pool",
            "there is no pool",
        ),
        (
            route("sni = \"a.test\"\npool = \"a\"\nproxy-protocol = \"v3\""),
            10,
            "routes.proxy-protocol",
            "write \"v1\" or \"v2\"",
        ),
        (
            with("sni = \"a.test\"\npool = \"a\""),
            7,
            "routes.sni",
            "write `passthrough = true` beside it",
        ),
        (
            with("passthrough = false\nsni = \"a.test\"\npool = \"a\""),
            7,
            "routes.passthrough",
            "remove it",
        ),
    ] {
        let found = errors(&text);
        let place = format!("{} {}", found[0].place, found[0].message);
        assert!(place.contains(words), "{found:#?}");
        assert_error(&text, line, key, words);
    }
}

#[test]
fn names_and_listeners_and_pools_must_fit() {
    let one = "passthrough = true\nsni = \"a.test\"\npool = \"a\"\n";
    let twice = with(&format!(
        "{one}[[routes]]\n{}",
        one.replace("a.test", "A.test.")
    ));
    assert_error(&twice, 12, "routes.sni", "passed on already");

    let plain = format!("listen = \"127.0.0.1:1\"\n{POOL}[[routes]]\n{one}");
    assert_error(&plain, 6, "routes.sni", "no listener has `tls`");

    let unused = format!("{LISTENER}{POOL}[[routes]]\npool = \"a\"\n");
    assert_error(
        &unused,
        2,
        "listeners.address",
        "every connection is refused",
    );

    for (lines, words) in [
        ("backends = [\"https://a.test\"]", "reached by TLS"),
        ("backends = [\"127.0.0.1:1\"]\ntls = true", "reached by TLS"),
        (
            "backends = [\"127.0.0.1:1\"]\nprotocol = \"h2c\"",
            "reached by HTTP/2",
        ),
    ] {
        let text = format!("{LISTENER}[[routes]]\n{one}[pools.a]\n{lines}\n");
        assert_error(&text, 7, "routes.pool", words);
    }

    let more = LISTENER.replace(
        "passthrough = true",
        "passthrough = true, min-version = \"1.3\"",
    );
    let text = format!("{more}{POOL}[[routes]]\n{one}");
    assert_error(&text, 3, "listeners.tls.min-version", "answers none");
}

#[test]
fn certificates_that_nobody_sees_are_worth_a_warning() {
    let text = with("passthrough = true\nsni = \"*\"\npool = \"a\"");
    assert_eq!(load(&text).warnings, [""; 0]);
    let served = text.replace("passthrough = true }", "certificates = [\"a.pem\"] }");
    let warnings = load(&served).warnings;
    assert!(
        warnings[0].contains("certificates that no client sees"),
        "{warnings:?}"
    );
}
