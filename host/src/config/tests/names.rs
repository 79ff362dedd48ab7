//! Names of backends, and how they are looked up.

use super::*;

fn backends(text: &str) -> Vec<Backend> {
    let config = load(&format!("[pools.a]\n{text}\n[[routes]]\npool = \"a\""));
    config.pools[0].backends.clone()
}

#[test]
fn a_service_has_its_scheme_and_no_port() {
    let written = "backends = [\"srv+http://_http._tcp.A.test.\", \"SRV+https://_x._tcp.b.test/\", \
                   \"srv+h2c://c.test\"]";
    let found = backends(written);
    let found = found.iter().map(|b| {
        assert_eq!(b.kind, BackendKind::Srv);
        (b.address.as_str(), b.host(), b.tls.is_some(), b.protocol)
    });
    let expected = [
        ("_http._tcp.a.test", "a.test", false, None),
        ("_x._tcp.b.test", "b.test", true, None),
        ("c.test", "c.test", false, Some(PoolProtocol::H2c)),
    ];
    assert_eq!(found.collect::<Vec<_>>(), expected);
}

#[test]
fn the_host_and_the_port_of_an_address_are_those_that_were_written() {
    for (address, host, port) in [
        ("api.example:444", "api.example", 444),
        ("192.0.2.1", "192.0.2.1", 80),
        ("[2001:db8::1]:81", "2001:db8::1", 81),
    ] {
        let found = &backends(&format!("backends = \"{address}\""))[0];
        assert_eq!((found.host(), found.port()), (host, port));
    }
}

#[test]
fn wrong_services_are_errors() {
    for (written, words) in [
        ("srv+http://_http._tcp.test:80", "has a port"),
        ("srv+ftp://_http._tcp.test", "srv+h2c://"),
        ("srv+http://", "not the name of a service"),
        ("srv+http://a b", "not the name of a service"),
    ] {
        let text = format!("[pools.a]\nbackends = \"{written}\"");
        assert_error(&text, 2, "pools.a.backends", words);
    }
    let text = "[pools.a]\ntls = true\nbackends = \"srv+http://_http._tcp.test\"";
    assert_error(text, 3, "pools.a.backends", "but its pool has `tls`");
}

#[test]
fn a_resolver_is_the_systems_unless_the_operator_says_otherwise() {
    assert_eq!(load("").resolver, ResolverConfig::default());
    let text = "[resolver]\nservers = [\"10.0.0.2\", \"[::1]:5353\"]\nfamily = \"ipv6\"\n\
                min-ttl = \"20ms\"\nmax-ttl = \"1m\"\ntimeout = \"2s\"\nattempts = 3\nstrict = true";
    let expected = ResolverConfig {
        servers: vec![
            "10.0.0.2:53".parse().unwrap(),
            "[::1]:5353".parse().unwrap(),
        ],
        family: AddressFamily::Ipv6,
        min_ttl: Duration::from_millis(20),
        max_ttl: Duration::from_secs(60),
        timeout: Some(Duration::from_secs(2)),
        attempts: Some(3),
        strict: true,
    };
    assert_eq!(load(text).resolver, expected);
}

#[test]
fn wrong_resolvers_are_errors() {
    for (line, key, words) in [
        ("servers = []", "servers", "is empty"),
        (
            "servers = [\"ns.test\"]",
            "servers",
            "not the address of a name server",
        ),
        (
            "servers = \"10.0.0.2:0\"",
            "servers",
            "not the address of a name server",
        ),
        ("family = \"ipv5\"", "family", "\"both\""),
        ("min-ttl = \"1ms\"", "min-ttl", "10ms"),
        ("min-ttl = \"10m\"", "min-ttl", "not less"),
        ("attempts = 0", "attempts", "1 to 10"),
    ] {
        assert_error(
            &format!("[resolver]\n{line}"),
            2,
            &format!("resolver.{key}"),
            words,
        );
    }
}
