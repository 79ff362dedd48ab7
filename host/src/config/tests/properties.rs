//! Normal forms, units, and properties of any input.

use super::*;
use crate::units::{parse_duration, parse_size};

#[test]
fn hosts_are_compared_without_case_port_dot_and_white_space() {
    for written in [
        "www.example.com",
        " WWW.Example.COM ",
        "www.example.com.",
        "www.example.com:8080",
        "\tWww.example.com.:",
    ] {
        assert_eq!(
            normalise_host(written).as_deref(),
            Some("www.example.com"),
            "{written:?}"
        );
    }
    assert_eq!(normalise_host("[::0001]:80").as_deref(), Some("[::1]"));
    assert_eq!(normalise_host("10.0.0.1:80").as_deref(), Some("10.0.0.1"));
    assert_eq!(
        normalise_host("under_score.example").as_deref(),
        Some("under_score.example")
    );
    let too_long = "a.".repeat(127) + "a";
    for wrong in [
        "", ".", "a..b", "a b", "a@b", "a/b", "a,b", "a:b", "a:70000", "a:1:2", "-a", "a-", "[::1",
        "[::1]x", "[v1.a]", "ä", "*", "\na", &too_long,
    ] {
        assert_eq!(normalise_host(wrong), None, "{wrong:?}");
    }
}

#[test]
fn sizes_and_durations_read_as_people_write_them() {
    for (written, bytes) in [
        ("65536", 65_536),
        ("64KiB", 65_536),
        ("16 MiB", 16 << 20),
        ("1g", 1 << 30),
        ("1kB", 1_000),
        ("1_000B", 1_000),
    ] {
        assert_eq!(parse_size(written), Ok(bytes), "{written}");
    }
    for wrong in [
        "",
        "MiB",
        "1.5MiB",
        "-1",
        "1 mile",
        "99999999999999999999",
        "99999999999GiB",
    ] {
        assert!(parse_size(wrong).is_err(), "{wrong}");
    }
    assert_eq!(parse_duration(" 1m 30s"), Ok(Duration::from_secs(90)));
    for wrong in [
        "",
        "s",
        "1 fortnight",
        "-1s",
        "99999999999999999999999s",
        "18446744073709551615years",
    ] {
        assert!(parse_duration(wrong).is_err(), "{wrong}");
    }
}

fn host_name() -> impl Strategy<Value = String> {
    "[a-z0-9_]([a-z0-9_-]{0,8}[a-z0-9_])?(\\.[a-z]([a-z0-9-]{0,8}[a-z0-9])?){0,3}"
}

fn pattern() -> impl Strategy<Value = String> {
    prop_oneof![3 => host_name(), 1 => host_name().prop_map(|h| format!("*.{h}")), 1 => Just("*".to_owned())]
}

fn address() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<std::net::SocketAddrV4>().prop_map(|a| a.to_string()),
        any::<([u16; 8], u16)>()
            .prop_map(|(a, p)| format!("[{}]:{p}", std::net::Ipv6Addr::from(a))),
        (
            "[a-z]([a-z0-9-]{0,8}[a-z0-9])?(\\.[a-z]{1,5}){0,2}",
            1..=u16::MAX
        )
            .prop_map(|(h, p)| format!("{h}:{p}")),
    ]
    .prop_filter("no backend is there", |a| {
        let at = a.parse::<std::net::SocketAddr>();
        !a.ends_with(":0") && at.map_or(true, |at| can_be_reached(at.ip()))
    })
}

/// Any mixture of case, white space, trailing dot and port that means the same host.
fn disguised(host: String, upper: bool, dot: bool, port: Option<u16>, space: bool) -> String {
    let host = if upper { host.to_uppercase() } else { host };
    let port = port.map(|p| format!(":{p}")).unwrap_or_default();
    let space = if space { " " } else { "" };
    format!("{space}{host}{}{port}{space}", if dot { "." } else { "" })
}

#[test]
fn forwarding_and_paths_are_read() {
    let read =
        |text: &str| Config::from_toml(&format!("{text}\n[hosts]\n\"*\" = \"a:1\""), Path::new(""));
    let config = read("").unwrap();
    assert_eq!(
        (&config.forwarded.via, config.paths),
        (&Via::Off, Paths::default())
    );
    let config = read(
        "[forwarded]\nallow = [\"X-Real-IP\"]\nsource = \"forwarded\"\nvia = \"edge-1\"\n\
            [paths]\nstrict = true\nforward = \"normalised\"",
    )
    .unwrap();
    assert_eq!(config.forwarded.allow, ["x-real-ip"]);
    assert_eq!(
        (config.forwarded.source, config.forwarded.via),
        (ForwardedSource::Forwarded, Via::Name("edge-1".into()))
    );
    assert_eq!(
        config.paths,
        Paths {
            strict: true,
            forward_normalised: true
        }
    );
    assert_eq!(
        read("[forwarded]\nvia = true").unwrap().forwarded.via,
        Via::On
    );
    for (text, told) in [
        (
            "[forwarded]\nallow = \"x-forwarded-for\"",
            "written by the proxy itself",
        ),
        ("[forwarded]\nallow = \"x_real_ip\"", "write that"),
        ("[forwarded]\nallow = \"connection\"", "never crosses"),
        (
            "[forwarded]\nallow = \"x-tenant\"",
            "passes without being listed",
        ),
        ("[forwarded]\nvia = \"a b\"", "not a name"),
        ("[forwarded]\nvia = 1", "an integer"),
        ("[forwarded]\nsource = \"both\"", "not known"),
        ("[paths]\nforward = \"decoded\"", "not known"),
        ("[paths]\nstrict = \"yes\"", "true or false"),
        ("[paths]\nmerge = true", "merge"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(told), "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        let _ = Config::from_toml(&text, Path::new(""));
    }

    #[test]
    fn any_mixture_of_our_words_is_read_or_refused(words in proptest::collection::vec(prop_oneof![
        Just("listen"), Just("workers"), Just("[admin]"), Just("[hosts]"), Just("[[routes]]"), Just("[pools.a]"), Just("[policies.a]"),
        Just("[limits]"), Just("="), Just("\n"), Just("["), Just("]"), Just("{"), Just("}"), Just(","), Just("."), Just("\"*\""), Just("'::1'"),
        Just("pool"), Just("host"), Just("backends"), Just("component"), Just("settings"), Just("1"), Just("-1e9"), Just("1979-05-27"), Just("\"ß\""),
    ], 0..60)) {
        let _ = Config::from_toml(&words.join(" "), Path::new(""));
    }

    #[test]
    fn any_single_value_is_read_or_refused(text in "\\PC{0,60}|[0-9a-zA-Z:.\\[\\]/*=;, -]{0,40}") {
        let _ = (parse_listen(&text), parse_backend(&text), parse_size(&text), parse_duration(&text), values::network(&text));
        let _ = (values::name(&text), values::route_path(&text), values::on_failure(&text), host::parse_pattern(&text));
        let overrides = Overrides { hosts: vec![text.clone()], listen: vec![text.clone()], workers: Some(text.clone()), admin_listen: Some(text.clone()), tls_self_signed: Some(text), admin_token: None };
        let _ = Config::load(Sources { flags: overrides, ..Sources::default() });
    }

    #[test]
    fn a_normalised_host_is_its_own_normal_form(text in "\\PC{0,30}|[ \ta-zA-Z0-9._:\\[\\]-]{0,30}") {
        if let Some(once) = normalise_host(&text) {
            prop_assert_eq!(normalise_host(&once), Some(once.clone()));
            prop_assert!(!once.contains(|c: char| c.is_ascii_uppercase() || c.is_whitespace()) && !once.ends_with('.'));
        }
    }

    #[test]
    fn disguises_of_a_host_are_the_same_host(host in host_name(), upper: bool, dot: bool, port: Option<u16>, space: bool) {
        let written = disguised(host.clone(), upper, dot, port, space);
        let normal = normalise_host(&written);
        prop_assert_eq!(normal.as_deref(), Some(host.as_str()));
    }

    #[test]
    fn what_is_written_is_what_is_meant(
        workers in 1usize..=1024,
        hosts in proptest::collection::btree_map(pattern(), proptest::collection::btree_set(address(), 1..4), 0..5),
        idle in 1u64..86_400_000,
        header_count in 1usize..=10_000,
        memory in (64u64 << 10)..=(4 << 30),
        weight in 0u32..=65_535,
        path in "(/[a-z0-9._~%-]{1,8}x){1,3}",
    ) {
        let mut text = format!(
            "workers = {workers}\n[timeouts]\nidle = \"{idle}ms\"\n[limits]\n\
                header-count = {header_count}\n[policies.p]\nbuiltin = \"random\"\nmemory = {memory}\n[pools.q]\nbackends = [{{ address = \"a\", weight = {weight} }}]\n[[routes]]\nhost = \"route.invalid\"\npath = \"{path}\"\npool = \"q\"\npolicies = [\"p\"]\n[hosts]\n"
        );
        for (host, backends) in &hosts {
            text.push_str(&format!("{host:?} = {:?}\n", backends.iter().collect::<Vec<_>>()));
        }
        let config = Config::from_toml(&text, Path::new("")).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        prop_assert_eq!(config.workers, workers);
        prop_assert_eq!(config.timeouts.idle, Duration::from_millis(idle));
        prop_assert_eq!(config.limits.header_count, header_count);
        prop_assert_eq!(config.policies[0].memory, memory);
        prop_assert_eq!(config.pools[0].backends[0].weight, weight);
        prop_assert_eq!(config.routes.len(), hosts.len() + 1);
        let path = PathMatch::Prefix(crate::message::path::literal(&path));
        prop_assert!(config.routes.iter().any(|r| r.path == path && r.traffic.pools().eq([0]) && r.policies == [0]));
        for (host, backends) in &hosts {
            prop_assert_eq!(addresses(&config, host), backends.iter().cloned().collect::<Vec<_>>());
        }
    }
}
