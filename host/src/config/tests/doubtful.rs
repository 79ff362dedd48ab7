//! Values that are allowed and hardly meant.

use super::*;

/// The text is valid, and has exactly one warning at this line and key, with these words.
#[track_caller]
fn warns(text: &str, line: usize, key: &str, words: &str) {
    let text = format!("{text}\n[[routes]]\npool = \"a\"\n");
    let warnings = load(&text).warnings;
    let place = format!("waypost.toml, line {line}, column ");
    let [warning] = warnings.as_slice() else {
        panic!("{text}: {warnings:#?}");
    };
    let at = format!("`{key}`: ");
    let fits = [place.as_str(), &at, words];
    assert!(fits.iter().all(|part| warning.contains(part)), "{warning}");
}

#[track_caller]
fn is_well(text: &str) {
    let text = format!("{text}\n[[routes]]\npool = \"a\"\n");
    assert_eq!(load(&text).warnings, [""; 0], "{text}");
}

const POOL: &str = "[pools.a]\nbackends = \"b\"\n";

#[test]
fn what_no_request_can_have_is_said_with_its_line() {
    for pattern in ["^/u/\u{e9}$", "^/a b$"] {
        let path = format!("[[routes]]\npath = {{ regex = '{pattern}' }}\npool = \"a\"\n");
        let words = "as `%20` and their like";
        warns(&format!("{POOL}{path}"), 4, "routes.path.regex", words);
    }
    let well = "[[routes]]\npath = { regex = '^/u/%C3%A9/%20' }\npool = \"a\"\n";
    is_well(&format!("{POOL}{well}"));
    let forward = |allow: &str| {
        format!("{POOL}[forward]\nlisten = \"127.0.0.1:1\"\nallow = [{{ {allow} }}]\n")
    };
    for host in [
        "127.0.0.1",
        "10.1.2.3",
        "[::1]",
        "[fd00::1]",
        "169.254.169.254",
    ] {
        let text = forward(&format!("host = \"{host}\""));
        let plain = host.trim_matches(['[', ']']);
        let words = format!("write network = \"{plain}\"");
        warns(&text, 5, "forward.allow.host", &words);
        is_well(&forward(&format!("host = \"{host}\", network = \"::/0\"")));
    }
    is_well(&forward("host = \"1.1.1.1\""));
    for host in ["127.1", "0x7f.1", "2130706433", "a.0x"] {
        let text = forward(&format!("host = \"{host}\""));
        let words = "write all four parts";
        assert_error(&text, 5, "forward.allow.host", words);
    }
    for host in ["1.example", "0xg", "a1"] {
        is_well(&forward(&format!("host = \"{host}\"")));
    }
}

#[test]
fn a_port_of_a_routes_host_is_said_to_be_ignored() {
    for host in ["a.test:8080", "[::1]:80", "*.a.test:443"] {
        let text = format!("{POOL}[[routes]]\nhost = \"{host}\"\npool = \"a\"\n");
        warns(&text, 4, "routes.host", "no route looks at");
    }
    for host in ["a.test", "a.test:", "[::1]", "*"] {
        is_well(&format!(
            "{POOL}[[routes]]\nhost = \"{host}\"\npath = \"/x\"\npool = \"a\"\n"
        ));
    }
}

#[test]
fn a_star_in_a_field_to_remove_is_refused() {
    let text = format!("{POOL}[[routes]]\npool = \"a\"\nresponse-headers.remove = [\"x-*\"]\n");
    let words = "no name here stands for several";
    assert_error(&text, 5, "routes.response-headers.remove", words);
}

#[test]
fn what_is_useless_in_a_pool_is_said_with_its_line() {
    for (keys, key, words) in [
        ("queue = 7", "queue", "nothing waits"),
        ("queue-timeout = \"1s\"", "queue-timeout", "nothing waits"),
        ("body-wait = \"0s\"", "body-wait", "`max-connections`"),
        ("slow-client = \"9s\"", "slow-client", "`max-connections`"),
        (
            "slow-client-rate = \"1KiB\"",
            "slow-client-rate",
            "`max-con",
        ),
        ("ping-interval = \"1s\"", "ping-interval", "HTTP/2"),
        ("slow-start = \"2h\"", "slow-start", "more than an hour"),
        ("fail-timeout = \"1ms\"", "fail-timeout", "hardly longer"),
        (
            "max-requests = 9\nmax-pool-requests = 8",
            "max-requests",
            "max-pool-requests",
        ),
        (
            "ejection = { max-time = \"5s\" }",
            "ejection.max-time",
            "each ejection lasts 10s all the same",
        ),
        (
            "ejection = { interval = \"1ms\" }",
            "ejection.interval",
            "min-requests",
        ),
        (
            "ejection = { stalled-after = \"1ms\" }",
            "ejection.stalled-after",
            "hardly one",
        ),
        (
            "health = { interval = \"2ms\", timeout = \"1ms\" }",
            "health.interval",
            "500 times a second",
        ),
        (
            "health = { interval = \"1s\", timeout = \"1m\" }",
            "health.timeout",
            "longer (1m) than",
        ),
    ] {
        warns(
            &format!("{POOL}{keys}"),
            3,
            &format!("pools.a.{key}"),
            words,
        );
    }
    for keys in [
        "queue = 7\nmax-requests = 1",
        "queue = 7\nadaptive-requests = true",
        "queue = 1000\nbody-wait = \"1s\"\nping-interval = \"30s\"",
        "queue-timeout = \"1s\"\nslow-client = \"1s\"\nmax-connections = 5",
        "queue = 7\nping-interval = \"1s\"\nprotocol = \"h2c\"",
        "health = { kind = \"tcp\", interval = \"1s\" }",
        "fail-timeout = \"1s\"\nejection = { max-time = \"1s\", stalled-after = \"0s\" }",
    ] {
        is_well(&format!("{POOL}{keys}"));
    }
}

#[test]
fn retries_and_hedges_that_never_happen_are_said_with_their_line() {
    let hedge = "hedge = { after = \"1s\" }";
    for (keys, key, words) in [
        (
            &*format!("{hedge}\nattempts = 1"),
            "hedge",
            "`attempts` is 1",
        ),
        (
            "retry = { attempts = 1, on = [503] }",
            "retry.on",
            "no effect",
        ),
        (
            "retry = { budget = { share = 0, least = 0 } }",
            "retry.budget",
            "repeats work",
        ),
        (
            "retry = { try-timeout = \"1m\" }",
            "retry.try-timeout",
            "after 1m",
        ),
        ("hedge = { after = \"1m\" }", "hedge", "has 1m to answer"),
        (
            "hedge = { after = \"2s\" }\nretry = { try-timeout = \"1s\" }",
            "hedge",
            "has 1s to answer",
        ),
    ] {
        warns(
            &format!("{POOL}{keys}"),
            3,
            &format!("pools.a.{key}"),
            words,
        );
    }
    is_well(&format!("{POOL}retry = {{ attempts = 1, on = [] }}"));
    is_well(&format!("{POOL}retry = {{ budget = {{ share = 0 }} }}"));
    // By what a pool and its route say together.
    let text = format!("{POOL}attempts = 1\n[[routes]]\npath = \"/x\"\npool = \"a\"\n{hedge}");
    warns(&text, 7, "routes.hedge", "`attempts` is 1");
    // What one route changes has an effect there, and none of the pool's is said to have none.
    let text = format!("{POOL}attempts = 1\nretry = {{ on = [\"connect\"] }}\n");
    warns(&text, 4, "pools.a.retry.on", "no effect");
    let route = "[[routes]]\npath = \"/x\"\npool = \"a\"";
    is_well(&format!("{text}{route}\nretry = {{ attempts = 3 }}"));
    warns(
        &format!("{text}{route}"),
        4,
        "pools.a.retry.on",
        "no effect",
    );
    // Whichever section comes first.
    let text = format!("{POOL}retry = {{ try-timeout = \"1s\" }}\ntimeouts.response = \"1s\"");
    let text = text.replace("\ntimeouts", "\n[timeouts]\n#");
    is_well(&text);
    let text = text.replace("#.response", "response");
    warns(&text, 3, "pools.a.retry.try-timeout", "`timeouts.response`");
}

#[test]
fn other_sections_have_some_too() {
    let well = POOL;
    for (section, key, words) in [
        (
            "[timeouts]\ndrain-idle = \"31s\"",
            "timeouts.drain-idle",
            "`drain`",
        ),
        ("[timeouts]\nupgrade = \"1ms\"", "timeouts.upgrade", "start"),
        (
            "[resolver]\ntimeout = \"1ms\"",
            "resolver.timeout",
            "name servers",
        ),
    ] {
        warns(&format!("{well}{section}"), 4, key, words);
    }
}

#[test]
fn what_can_only_be_a_mistake_is_an_error() {
    for (keys, key, words) in [
        ("health = { expect = [] }", "health.expect", "no probe"),
        (
            "ejection = { latency-factor = 1 }",
            "ejection.latency-factor",
            "more than 1",
        ),
        (
            "ejection = { interval = \"8765h\" }",
            "ejection.interval",
            "8765h is out of range; write 1ms to 1day",
        ),
    ] {
        assert_error(
            &format!("{POOL}{keys}"),
            3,
            &format!("pools.a.{key}"),
            words,
        );
    }
    let nowhere = [
        "0.0.0.0",
        "[::]:80",
        "::",
        "224.0.0.1:80",
        "255.255.255.255",
        "[ff02::1]",
    ];
    for address in nowhere {
        let text = format!("[pools.a]\nbackends = [\"{address}\"]");
        assert_error(&text, 2, "pools.a.backends", "something can listen");
        if !address.contains(":80") {
            let text = format!("[resolver]\nservers = [\"{address}\"]");
            assert_error(&text, 2, "resolver.servers", "name server");
        }
    }
    let same = errors("listen = \"[::ffff:127.0.0.1]:9090\"");
    assert!(same.len() == 1 && same[0].message.contains("where clients connect"));
}

#[test]
fn a_url_is_answered_with_what_can_be_written() {
    for (written, words) in [
        ("http://a?b", "write only the address: \"a\""),
        ("http://a:81#b", "write only the address: \"a:81\""),
        ("http://u@a", "write HOST:PORT"),
        ("http://", "write HOST:PORT"),
    ] {
        let error = crate::config::parse_backend(written).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn patterns_of_others_are_said_to_be_none() {
    let route = |keys: &str| format!("{POOL}[[routes]]\npool = \"a\"\n{keys}");
    for (keys, key, words) in [
        ("path = \"/a/*\"", "routes.path", "like any other"),
        (
            "path = { exact = \"/*\" }",
            "routes.path.exact",
            "regex = '…'",
        ),
        (
            "rewrite = \"/a/$1\"\nhost = \"h\"",
            "routes.rewrite",
            "write {1}",
        ),
    ] {
        warns(&route(keys), 5, key, words);
    }
    is_well(&route("path = { regex = 'a*$' }"));
    for (key, words) in [("read", "`response`"), ("server", "HAProxy")] {
        let of_route = route(&format!("timeouts = {{ {key} = \"1s\" }}"));
        assert_error(&of_route, 5, &format!("routes.timeouts.{key}"), words);
        let of_all = format!("[timeouts]\n{key} = \"1s\"");
        assert_error(&of_all, 2, &format!("timeouts.{key}"), words);
    }
}
