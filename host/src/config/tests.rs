use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn load(text: &str) -> Config {
    Config::from_toml(text, Path::new("/etc/waypost")).unwrap_or_else(|e| panic!("{e}"))
}

fn errors(text: &str) -> Vec<ConfigError> {
    let errors = Config::from_toml(text, Path::new("/etc/waypost")).err();
    errors
        .map(|e| e.iter().cloned().collect())
        .unwrap_or_default()
}

/// Asserts that the text has exactly one error, at this line and key, and that its message holds
/// these words.
#[track_caller]
fn assert_error(text: &str, at_line: usize, at_key: &str, words: &str) {
    let found = errors(text);
    assert_eq!(found.len(), 1, "{found:#?}");
    match &found[0].place {
        Place::File {
            file, line, key, ..
        } => {
            assert_eq!(
                (&**file, *line, key.as_str()),
                ("waypost.toml", at_line, at_key),
                "{}",
                found[0]
            )
        }
        other => panic!("{other}"),
    }
    assert!(found[0].message.contains(words), "{}", found[0]);
    let shown = found[0].to_string();
    assert!(
        shown.contains(&format!("line {at_line},")) && shown.contains(at_key),
        "{shown}"
    );
}

fn overrides(variables: &[(&str, &str)]) -> Result<Overrides, ConfigErrors> {
    Overrides::from_environment(|name| {
        variables
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, v)| OsString::from(v))
    })
}

fn load_with(
    text: &str,
    variables: &[(&str, &str)],
    flags: Overrides,
) -> Result<Config, ConfigErrors> {
    let file = FileSource::Text {
        name: "waypost.toml".to_owned(),
        text: text.to_owned(),
        base: PathBuf::new(),
    };
    Config::load(Sources {
        file: Some(file),
        environment: overrides(variables)?,
        flags,
    })
}

/// The addresses of the backends of the only route for this host.
fn addresses(config: &Config, host: &str) -> Vec<String> {
    let host = host::parse_pattern(host).unwrap();
    let mut routes = config.routes.iter().filter(|r| r.host == host);
    let route = routes.next().unwrap();
    assert!(routes.next().is_none());
    config.pools[route.pool]
        .backends
        .iter()
        .map(|b| b.address.clone())
        .collect()
}

#[test]
fn nothing_written_is_every_default_and_a_warning() {
    let config = load("");
    assert_eq!(config.listen, ["0.0.0.0:8080".parse().unwrap()]);
    assert!(config.workers >= 1);
    assert_eq!(
        config.admin,
        Some(Admin {
            listen: "127.0.0.1:9090".parse().unwrap(),
            token: None
        })
    );
    assert!(config.policies.is_empty() && config.pools.is_empty() && config.routes.is_empty());
    assert_eq!(
        (config.limits, config.timeouts),
        (Limits::default(), Timeouts::default())
    );
    assert_eq!(
        (config.rollout, config.state_dir),
        (Rollout::default(), None)
    );
    assert_eq!(
        config.access_log,
        AccessLog {
            requests: LoggedRequests::Refused,
            path: None
        }
    );
    assert!(config.warnings[0].contains("404"), "{:?}", config.warnings);
}

#[test]
fn the_short_form_gives_each_host_a_pool_and_the_built_in_policies() {
    let config = load(
        "[hosts]\n\"WWW.Example.com:80\" = [\"10.0.0.1:81\", \"app\"]\n\"*.example.org\" = \"::1\"\n\"*\" = [\"[::2]:9\"]",
    );
    assert_eq!(
        addresses(&config, "www.example.com"),
        ["10.0.0.1:81", "app:80"]
    );
    assert_eq!(addresses(&config, "*.example.org"), ["[::1]:80"]);
    assert_eq!(addresses(&config, "*"), ["[::2]:9"]);
    let names: Vec<_> = config.policies.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["range", "random"]);
    assert!(
        config
            .routes
            .iter()
            .all(|r| r.policies == [0, 1] && r.path == "/")
    );
    assert_eq!(config.pools[0].name, "www.example.com");
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn the_long_form_means_what_it_says() {
    let config = load(
        r#"
        [policies.tenant]
        component = "policies/tenant.wasm"
        deadline = "5ms"
        memory = "32MiB"
        compile-time = "3s"
        compile-memory = "512MiB"
        on-failure = 503
        isolation = "request"
        settings = { header = "x-tenant", map = { a = 1, b = [true, 1.5] } }
        store = { entries = 500, bytes = "64KiB" }

        [policies.range]
        on-failure = "next"

        [pools.web]
        backends = [{ address = "10.0.0.1", weight = 3, labels = { zone = "a", disk = "ssd" } }, "10.0.0.2:81"]
        attempts = 2
        max-idle = 1
        max-connections = 10
        queue = 7
        queue-timeout = "3s"
        body-wait = "0s"
        slow-client = "4s"
        slow-client-rate = "1KiB"
        max-failures = 0
        fail-timeout = "1m 30s"

        [[routes]]
        host = ["www.example.com", "*.example.com"]
        path = "/api/"
        pool = "web"
        policies = ["range", "tenant"]
        "#,
    );
    let tenant = &config.policies[0];
    assert_eq!(
        tenant.source,
        PolicySource::File(PathBuf::from("/etc/waypost/policies/tenant.wasm"))
    );
    assert_eq!(
        tenant.store,
        StoreLimits {
            entries: 500,
            bytes: 64 << 10
        }
    );
    assert_eq!(
        config.policies[1].store,
        StoreLimits {
            entries: 10_000,
            bytes: 4 << 20
        }
    );
    assert_eq!(
        tenant.compiling,
        CompileLimits {
            time: Some(Duration::from_secs(3)),
            memory: Some(512 << 20)
        }
    );
    assert_eq!(config.policies[1].compiling, CompileLimits::default());
    assert_eq!(
        (tenant.deadline, tenant.memory),
        (Duration::from_millis(5), 32 << 20)
    );
    assert_eq!(
        (tenant.on_failure, tenant.isolation),
        (OnFailure::Status(503), Isolation::Request)
    );
    assert_eq!(
        tenant.settings,
        serde_json::json!({ "header": "x-tenant", "map": { "a": 1, "b": [true, 1.5] } })
    );
    assert_eq!(
        config.policies[1].source,
        PolicySource::Builtin("range".to_owned())
    );
    assert_eq!(config.policies[1].on_failure, OnFailure::Next);
    let expected = Pool {
        name: "web".to_owned(),
        backends: vec![
            Backend {
                address: "10.0.0.1:80".to_owned(),
                weight: 3,
                labels: vec![
                    ("zone".to_owned(), "a".to_owned()),
                    ("disk".to_owned(), "ssd".to_owned()),
                ],
            },
            Backend {
                address: "10.0.0.2:81".to_owned(),
                weight: 1,
                labels: vec![],
            },
        ],
        attempts: 2,
        max_idle: 1,
        max_connections: 10,
        queue: 7,
        queue_timeout: Duration::from_secs(3),
        body_wait: Duration::ZERO,
        slow_client: Duration::from_secs(4),
        slow_client_rate: 1024,
        max_failures: 0,
        fail_timeout: Duration::from_secs(90),
    };
    assert_eq!(config.pools, [expected]);
    let route = |host| Route {
        host,
        path: "/api".to_owned(),
        pool: 0,
        policies: vec![1, 0],
        preserve_header_case: false,
    };
    let expected = [
        route(HostPattern::Exact("www.example.com".to_owned())),
        route(HostPattern::Suffix(".example.com".to_owned())),
    ];
    assert_eq!(config.routes, expected);
}

#[test]
fn a_recording_means_what_it_says() {
    assert_eq!(load("").record, None);
    let record = load("[record]\nfile = \"a.jsonl\"\n[hosts]\n\"*\" = \"b\"")
        .record
        .unwrap();
    assert_eq!(record.file, PathBuf::from("/etc/waypost/a.jsonl"));
    assert_eq!(
        (record.sample, record.max_bytes, &record.policies),
        (0.01, 64 << 20, &None)
    );
    assert_eq!(
        (
            record.redact.len(),
            record.redact_query,
            record.redact_client
        ),
        (5, false, false)
    );
    let text = "[record]\nfile = \"/a\"\nsample = \" 12.5 %\"\nredact = \"X-Key\"\nredact-client = true\nmax-bytes = \"1MiB\"\n\
                policies = \"random\"\n[hosts]\n\"*\" = \"b\"";
    let config = load(text);
    let record = config.record.unwrap();
    assert_eq!(
        (record.sample, record.max_bytes, record.redact),
        (0.125, 1 << 20, vec!["x-key".to_owned()])
    );
    let random = config.policies.iter().position(|p| p.name == "random");
    assert_eq!(
        (record.policies, record.redact_client),
        (Some(vec![random.unwrap()]), true)
    );
}

#[test]
fn the_smaller_sections_mean_what_they_say() {
    let config = load(
        r#"
        listen = ["127.0.0.1:0", "[::]:8080", "localhost:8081"]
        workers = 3
        admin = { listen = "off" }
        stats = { path = "/_stats" }
        forwarded = { trusted = ["10.1.2.3/8", "fd00::1"] }
        access-log = { requests = "all", path = "access.log" }
        [limits]
        header-bytes = "4KiB"
        header-count = 7
        connections = 8
        connections-per-client = 0
        body-bytes = "1GiB"
        requests-per-connection = 9
        half-close = "allow"
        [timeouts]
        header-read = "1s"
        idle = "2s"
        body-read = "3s"
        send = "4s"
        linger = "0s"
        connect = "250ms"
        response = "6s"
        upstream-idle = "7s"
        drain = "0s"
        "#,
    );
    assert_eq!(
        config
            .listen
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["127.0.0.1:0", "[::]:8080", "127.0.0.1:8081"]
    );
    assert_eq!(
        (config.workers, config.admin, config.stats_path.as_deref()),
        (3, None, Some("/_stats"))
    );
    assert_eq!(
        config.forwarded.trusted,
        [
            "10.0.0.0/8".parse().unwrap(),
            "fd00::1/128".parse().unwrap()
        ]
    );
    let log = AccessLog {
        requests: LoggedRequests::All,
        path: Some(PathBuf::from("/etc/waypost/access.log")),
    };
    assert_eq!(config.access_log, log);
    let limits = Limits {
        // The head as a whole allows no more.
        request_line: 4096,
        header_bytes: 4096,
        header_count: 7,
        connections: 8,
        connections_per_client: 0,
        body_bytes: 1 << 30,
        requests_per_connection: 9,
        half_close: HalfClose::Allow,
    };
    assert_eq!(config.limits, limits);
    let seconds = Duration::from_secs;
    let timeouts = Timeouts {
        header_read: seconds(1),
        idle: seconds(2),
        body_read: seconds(3),
        send: seconds(4),
        linger: Duration::ZERO,
        connect: Duration::from_millis(250),
        response: seconds(6),
        upstream_idle: seconds(7),
        drain: seconds(0),
    };
    assert_eq!(config.timeouts, timeouts);
}

#[test]
fn what_deploying_goes_by_means_what_it_says() {
    let hex = "0123456789abcdef".repeat(4);
    let config = load(&format!(
        "state-dir = \"state\"\n[rollout]\nmax-faults = 1\nfailure-margin = 2.5\nmin-requests = 1000\nlatency-margin = 100\n\
         [policies.random]\ndigest = \"sha256:{}\"\n[policies.range]",
        hex.to_uppercase()
    ));
    assert_eq!(
        config.state_dir,
        Some(PathBuf::from("/etc/waypost/state")),
        "relative to the file"
    );
    assert_eq!(
        config.rollout,
        Rollout {
            max_faults: 1,
            failure_margin: 0.025,
            min_requests: 1000,
            latency_margin: 1.0
        }
    );
    assert_eq!(
        config.policies[0].digest,
        Some(format!("sha256:{hex}")),
        "in lower case, as digests are shown"
    );
    assert_eq!(config.policies[1].digest, None);
    let whole = load("state-dir = \"/var/lib/waypost\"\n[rollout]\nfailure-margin = 0");
    assert_eq!(whole.state_dir, Some(PathBuf::from("/var/lib/waypost")));
    assert_eq!(
        whole.cache_dir,
        Some(PathBuf::from("/var/lib/waypost/.compiled"))
    );
    assert_eq!(
        load("cache-dir = \"cache\"").cache_dir,
        Some(PathBuf::from("/etc/waypost/cache"))
    );
    assert_eq!(load("").cache_dir, None);
    assert_eq!(
        whole.rollout,
        Rollout {
            failure_margin: 0.0,
            ..Rollout::default()
        }
    );
}

#[test]
fn wrong_values_of_what_deploying_goes_by_are_errors() {
    let digest = |written: &str| format!("[policies.random]\ndigest = {written}");
    let too_short = format!("\"sha256:{}\"", "a".repeat(63));
    let no_hex = format!("\"sha256:{}g\"", "a".repeat(63));
    let no_prefix = format!("\"{}\"", "a".repeat(64));
    for written in [&*too_short, &*no_hex, &*no_prefix, "\"\"", "\"md5:0\""] {
        assert_error(
            &digest(written),
            2,
            "policies.random.digest",
            "64 hexadecimal digits",
        );
    }
    assert_error(&digest("1"), 2, "policies.random.digest", "write a string");
    for (text, line, key, words) in [
        ("state-dir = \"\"", 1, "state-dir", "is not a path"),
        ("cache-dir = \"\"", 1, "cache-dir", "is not a path"),
        ("state-dir = true", 1, "state-dir", "write a string"),
        (
            "[rollout]\nmax-faults = 0",
            2,
            "rollout.max-faults",
            "write 1 to 1000000",
        ),
        (
            "[rollout]\nmax-faults = 1.5",
            2,
            "rollout.max-faults",
            "write an integer",
        ),
        (
            "[rollout]\nmin-requests = 0",
            2,
            "rollout.min-requests",
            "write 1 to 1000000",
        ),
        (
            "[rollout]\nfailure-margin = -1",
            2,
            "rollout.failure-margin",
            "write 0 to 100",
        ),
        (
            "[rollout]\nfailure-margin = 100.5",
            2,
            "rollout.failure-margin",
            "write 0 to 100",
        ),
        (
            "[rollout]\nfailure-margin = nan",
            2,
            "rollout.failure-margin",
            "write a number",
        ),
        (
            "[rollout]\nfailure-margin = \"5%\"",
            2,
            "rollout.failure-margin",
            "write a number",
        ),
        (
            "[rollout]\nlatency-margin = -1",
            2,
            "rollout.latency-margin",
            "write 0 to 1000000",
        ),
        (
            "[rollout]\nmax_faults = 1",
            2,
            "rollout.max_faults",
            "did you mean `max-faults`?",
        ),
        ("rollout = 5", 1, "rollout", "write a table"),
    ] {
        assert_error(text, line, key, words);
    }
}

#[test]
fn the_example_is_valid_and_gives_no_warning() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/waypost.toml");
    let config = Config::load(Sources {
        file: Some(FileSource::Path(path)),
        ..Sources::default()
    });
    let config = config.unwrap_or_else(|e| panic!("{e}"));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert!(!config.routes.is_empty() && !config.pools.is_empty() && !config.policies.is_empty());
}

#[test]
fn the_example_shows_every_default_as_it_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/waypost.toml");
    let config = Config::load(Sources {
        file: Some(FileSource::Path(path)),
        ..Sources::default()
    })
    .unwrap();
    assert!(
        config
            .policies
            .iter()
            .all(|policy| policy.store == StoreLimits::default())
    );
    assert_eq!(
        (config.limits, config.timeouts),
        (Limits::default(), Timeouts::default())
    );
    assert_eq!(
        (config.rollout, config.state_dir),
        (Rollout::default(), None)
    );
    let defaults = load("");
    assert_eq!(
        (config.listen, config.admin),
        (defaults.listen, defaults.admin)
    );
}

#[test]
fn syntax_errors_name_the_line() {
    assert_error(
        "workers = 1\nlisten = [\n  \"a\"\nhosts = 3\n",
        4,
        "",
        "not TOML",
    );
    assert_error("workers = 1\nworkers = 2\n", 2, "", "duplicate key");
}

#[test]
fn unknown_keys_are_errors_that_guess_what_was_meant() {
    assert_error(
        "lisen = \"127.0.0.1:80\"",
        1,
        "lisen",
        "did you mean `listen`?",
    );
    assert_error(
        "[pools.a]\nbackends = \"b\"\nmax_idle = 1",
        3,
        "pools.a.max_idle",
        "did you mean `max-idle`?",
    );
    assert_error("[timeouts]\nzzz = \"1s\"", 2, "timeouts.zzz", "header-read");
    for section in [
        "admin",
        "limits",
        "timeouts",
        "stats",
        "forwarded",
        "access-log",
        "rollout",
    ] {
        assert_error(
            &format!("[{section}]\nsurprise = 1"),
            2,
            &format!("{section}.surprise"),
            "unknown key",
        );
    }
    assert_error(
        "[[routes]]\npool = \"a\"\nsurprise = 1\n[pools.a]\nbackends = \"b\"",
        3,
        "routes.surprise",
        "unknown",
    );
    assert_error(
        "[policies.random]\nsurprise = 1",
        2,
        "policies.random.surprise",
        "unknown key",
    );
    assert_error(
        "[record]\nfile = \"a\"\nsurprise = 1",
        3,
        "record.surprise",
        "unknown key",
    );
    assert_error(
        "[policies.random.store]\nentrys = 1",
        2,
        "policies.random.store.entrys",
        "did you mean `entries`?",
    );
    assert_error(
        "[pools.a]\nbackends = [{ address = \"b\", wait = 1 }]",
        2,
        "pools.a.backends.wait",
        "unknown key",
    );
}

#[test]
fn values_of_the_wrong_kind_are_errors() {
    assert_error(
        "workers = \"two\"",
        1,
        "workers",
        "is a string; write an integer",
    );
    assert_error(
        "listen = 8080",
        1,
        "listen",
        "is an integer; write a string",
    );
    assert_error("hosts = []", 1, "hosts", "is a list; write a table");
    assert_error("[admin]\ntoken = true", 2, "admin.token", "is a boolean");
    assert_error("routes = 1.5", 1, "routes", "is a fraction; write a list");
    assert_error("[routes]\npool = \"a\"", 1, "routes", "[[routes]]");
    assert_error(
        "[policies.random]\nsettings = 1979-05-27",
        2,
        "policies.random.settings",
        "not a table",
    );
    assert_error(
        "[policies.random.settings]\nday = 1979-05-27",
        2,
        "policies.random.settings.day",
        "JSON",
    );
    assert_error(
        "[policies.random.settings]\nn = 9223372036854775808",
        2,
        "policies.random.settings.n",
        "64 bits",
    );
}

#[test]
fn wrong_values_are_errors_that_say_what_to_write() {
    let cases = [
        ("workers = 0", 1, "workers", "write 1 to 1024"),
        ("listen = []", 1, "listen", "is empty"),
        ("listen = \"8080\"", 1, "listen", "\"0.0.0.0:8080\""),
        ("listen = \":8080\"", 1, "listen", "\"0.0.0.0:8080\""),
        ("listen = \"70000\"", 1, "listen", "0 to 65535"),
        ("listen = \"10.0.0.1\"", 1, "listen", "10.0.0.1:8080"),
        ("listen = \"::1\"", 1, "listen", "[::1]:8080"),
        ("listen = \"here:80\"", 1, "listen", "IP:PORT"),
        (
            "listen = [\n\"127.0.0.1:80\",\n\"127.0.0.1:80\"]",
            3,
            "listen",
            "twice",
        ),
        (
            "[admin]\nlisten = \"no\"",
            2,
            "admin.listen",
            "\"off\" switches",
        ),
        (
            "[admin]\nlisten = \"0.0.0.0:9090\"",
            2,
            "admin.listen",
            "WAYPOST_ADMIN_TOKEN",
        ),
        (
            "[admin]\nlisten = \"127.0.0.1:8080\"",
            2,
            "admin.listen",
            "where clients connect",
        ),
        ("[admin]\ntoken = \"\"", 2, "admin.token", "not a token"),
        (
            "[admin]\ntoken = \"two words\"",
            2,
            "admin.token",
            "not a token",
        ),
        (
            "[stats]\npath = \"stats\"",
            2,
            "stats.path",
            "starts with `/`",
        ),
        (
            "[limits]\nheader-bytes = \"2GiB\"",
            2,
            "limits.header-bytes",
            "out of range",
        ),
        (
            "[limits]\nbody-bytes = \"2 cups\"",
            2,
            "limits.body-bytes",
            "not a size",
        ),
        (
            "[limits]\nrequest-line = \"64KiB\"",
            2,
            "limits.request-line",
            "more than `header-bytes`",
        ),
        (
            "[limits]\nhalf-close = \"no\"",
            2,
            "limits.half-close",
            "\"abort\" or \"allow\"",
        ),
        ("[limits]\nhalf-close = true", 2, "limits.half-close", ""),
        (
            "[timeouts]\nlinger = \"-1s\"",
            2,
            "timeouts.linger",
            "not a duration",
        ),
        (
            "[limits]\nheader-count = -1",
            2,
            "limits.header-count",
            "out of range",
        ),
        (
            "[timeouts]\nidle = \"soon\"",
            2,
            "timeouts.idle",
            "not a duration",
        ),
        ("[timeouts]\nidle = 10", 2, "timeouts.idle", "\"10s\""),
        (
            "[timeouts]\nidle = \"0s\"",
            2,
            "timeouts.idle",
            "out of range",
        ),
        (
            "[timeouts]\nidle = \"2days\"",
            2,
            "timeouts.idle",
            "out of range",
        ),
        (
            "[forwarded]\ntrusted = [\"10.0.0.0/33\"]",
            2,
            "forwarded.trusted",
            "not a network",
        ),
        (
            "[access-log]\nrequests = \"some\"",
            2,
            "access-log.requests",
            "\"refused\"",
        ),
        ("[access-log]\npath = \"\"", 2, "access-log.path", "path"),
        ("[record]\nsample = 1", 1, "record", "has no `file`"),
        (
            "[record]\nfile = \"a\"\nsample = \"1\"",
            3,
            "record.sample",
            "\"100%\"",
        ),
        (
            "[record]\nfile = \"a\"\nsample = \"101%\"",
            3,
            "record.sample",
            "not a share",
        ),
        (
            "[record]\nfile = \"a\"\nsample = 1.5",
            3,
            "record.sample",
            "out of range",
        ),
        (
            "[record]\nfile = \"a\"\nsample = true",
            3,
            "record.sample",
            "a number",
        ),
        (
            "[record]\nfile = \"a\"\nredact = [\"a b\"]",
            3,
            "record.redact",
            "name of a header field",
        ),
        (
            "[record]\nfile = \"a\"\nredact-query = 1",
            3,
            "record.redact-query",
            "true or false",
        ),
        (
            "[record]\nfile = \"a\"\nmax-bytes = \"1023KiB\"",
            3,
            "record.max-bytes",
            "out of range",
        ),
        (
            "[record]\nfile = \"a\"\npolicies = []",
            3,
            "record.policies",
            "is empty",
        ),
        (
            "[record]\nfile = \"a\"\npolicies = [\"nobody\"]",
            3,
            "record.policies",
            "no policy \"nobody\"",
        ),
    ];
    for (text, line, key, words) in cases {
        assert_error(text, line, key, words);
    }
}

#[test]
fn wrong_policies_are_errors() {
    let cases = [
        (
            "[policies.a]\ndeadline = \"2ms\"",
            1,
            "policies.a",
            "has no source",
        ),
        (
            "[policies.a]\nbuiltin = \"rand\"",
            2,
            "policies.a.builtin",
            "random, range",
        ),
        (
            "[policies.a]\ncomponent = \"a.wasm\"\nbuiltin = \"random\"",
            3,
            "policies.a.builtin",
            "one source",
        ),
        (
            "[policies.a]\ncomponent = \"\"",
            2,
            "policies.a.component",
            "not a path",
        ),
        (
            "[policies.random]\ndeadline = \"1us\"",
            2,
            "policies.random.deadline",
            "1ms to 10s",
        ),
        (
            "[policies.random]\nmemory = \"1KiB\"",
            2,
            "policies.random.memory",
            "out of range",
        ),
        (
            "[policies.random]\ncompile-time = \"10ms\"",
            2,
            "policies.random.compile-time",
            "1s to 1h",
        ),
        (
            "[policies.random]\ncompile-memory = \"1MiB\"",
            2,
            "policies.random.compile-memory",
            "out of range",
        ),
        (
            "[policies.random.store]\nentries = 0",
            2,
            "policies.random.store.entries",
            "1 to 10000000",
        ),
        (
            "[policies.random.store]\nbytes = 100",
            2,
            "policies.random.store.bytes",
            "out of range",
        ),
        (
            "[policies.random.store]\nbytes = \"17GiB\"",
            2,
            "policies.random.store.bytes",
            "out of range",
        ),
        (
            "[policies.random]\nstore = 5",
            2,
            "policies.random.store",
            "a table",
        ),
        (
            "[policies.random]\non-failure = \"open\"",
            2,
            "policies.random.on-failure",
            "\"next\"",
        ),
        (
            "[policies.random]\non-failure = 200",
            2,
            "policies.random.on-failure",
            "400 to 599",
        ),
        (
            "[policies.random]\nisolation = \"thread\"",
            2,
            "policies.random.isolation",
            "\"request\"",
        ),
        (
            "[policies.\"a/b\"]\nbuiltin = \"random\"",
            1,
            "policies.\"a/b\"",
            "not a name",
        ),
        (
            "[policies]\nrandom = 1",
            2,
            "policies.random",
            "write a table",
        ),
    ];
    for (text, line, key, words) in cases {
        assert_error(text, line, key, words);
    }
}

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
            "leave the path out",
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
        "[hosts]\nrange-parameter = false\n\"*\" = \"b\"\n[policies.range]\nsettings = { parameter = false }",
    );
    assert_eq!(range(&same), serde_json::json!({ "parameter": false }));
    // A host may have such a name.
    let hosts = load("[hosts]\nrange-parameter = \"b\"\npreserve-header-case = [\"c\"]");
    assert_eq!(addresses(&hosts, "range-parameter"), ["b:80"]);
    assert_eq!(addresses(&hosts, "preserve-header-case"), ["c:80"]);
    let route = load(
        "[pools.p]\nbackends = \"b\"\n[[routes]]\npool = \"p\"\npreserve-header-case = true\npolicies = []",
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
            "[hosts]\nrange-parameter = false\n\"*\" = \"b\"\n[policies.range]\nsettings = { parameter = true }",
            2,
            "hosts.range-parameter",
            "contradicts",
        ),
        (
            "[hosts]\nrange-parameter = false\n\"*\" = \"b\"\n[policies.range]\ncomponent = \"a.wasm\"",
            2,
            "hosts.range-parameter",
            "another one",
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
fn a_route_asks_64_policies_at_most() {
    let text = |count: usize| {
        let names: Vec<_> = (0..count).map(|n| format!("\"p{n}\"")).collect();
        let sections: Vec<_> = (0..count)
            .map(|n| format!("[policies.p{n}]\nbuiltin = \"random\""))
            .collect();
        let (names, sections) = (names.join(", "), sections.join("\n"));
        format!(
            "[pools.p]\nbackends = \"b\"\n[[routes]]\npool = \"p\"\npolicies = [{names}]\n{sections}"
        )
    };
    assert_eq!(load(&text(64)).routes[0].policies.len(), 64);
    assert_error(&text(65), 5, "routes.policies", "64 at most");
    assert_eq!(errors(&text(100)).len(), 1, "it is said once");
}

#[test]
fn wrong_hosts_and_routes_are_errors() {
    let route = |rest: &str| format!("[pools.a]\nbackends = \"b\"\n[[routes]]\n{rest}");
    let cases = [
        ("pool = \"b\"", 4, "routes.pool", "or one of: a"),
        ("host = \"x\"", 3, "routes", "has no `pool`"),
        ("pool = \"a\"\nhost = []", 5, "routes.host", "is empty"),
        (
            "pool = \"a\"\nhost = \"a b\"",
            5,
            "routes.host",
            "not a host",
        ),
        (
            "pool = \"a\"\nhost = \"www.*.com\"",
            5,
            "routes.host",
            "a star stands alone",
        ),
        (
            "pool = \"a\"\nhost = \".a.com\"",
            5,
            "routes.host",
            "\"*.a.com\"",
        ),
        ("pool = \"a\"\nhost = \"http://a\"", 5, "routes.host", "URL"),
        (
            "pool = \"a\"\nhost = \"münchen.de\"",
            5,
            "routes.host",
            "xn--",
        ),
        (
            "pool = \"a\"\npath = \"api\"",
            5,
            "routes.path",
            "starts with `/`",
        ),
        ("pool = \"a\"\npath = \"/a?b\"", 5, "routes.path", "query"),
        (
            "pool = \"a\"\npath = \"/a b\"",
            5,
            "routes.path",
            "percent-encoded",
        ),
        ("pool = \"a\"\npath = \"/a/../b\"", 5, "routes.path", "`..`"),
        (
            "pool = \"a\"\npath = \"/a/%2E./b\"",
            5,
            "routes.path",
            "`..`",
        ),
        (
            "pool = \"a\"\npolicies = [\"ghost\"]",
            5,
            "routes.policies",
            "header-router",
        ),
        (
            "pool = \"a\"\npolicies = [\"random\", \"random\"]",
            5,
            "routes.policies",
            "twice",
        ),
        (
            "pool = \"a\"\npolicies = \"random\"",
            5,
            "routes.policies",
            "list",
        ),
    ];
    for (rest, line, key, words) in cases {
        assert_error(&route(rest), line, key, words);
    }
}

#[test]
fn the_same_host_and_path_twice_is_an_error_that_names_both() {
    let text = "[hosts]\n\"a.example\" = \"b\"\n\"A.example.:80\" = \"c\"";
    assert_error(text, 3, "hosts.\"A.example.:80\"", "line 2");
    let text = "[pools.p]\nbackends = \"b\"\n[[routes]]\nhost = \"x\"\npath = \"/a\"\npool = \"p\"\n[[routes]]\nhost = \"X.\"\npath = \"/a/\"\npool = \"p\"";
    assert_error(text, 8, "routes.host", "line 4");
}

#[test]
fn all_errors_are_told_from_top_to_bottom_and_none_twice() {
    let text = "workers = 0\n[[routes]]\npool = \"p\"\npolicies = [\"q\"]\n[pools.p]\n[policies.q]\ndeadline = \"x\"\n";
    let lines: Vec<_> = errors(text)
        .iter()
        .map(|e| match e.place {
            Place::File { line, .. } => line,
            _ => 0,
        })
        .collect();
    assert_eq!(lines, [1, 5, 6, 7]);
}

#[test]
fn a_token_opens_the_admin_listener_and_stays_out_of_debug_output() {
    let config = load("[admin]\nlisten = \"0.0.0.0:9090\"\ntoken = \"a-long-enough-token\"");
    assert!(
        config.warnings.iter().all(|w| !w.contains("token")),
        "{:?}",
        config.warnings
    );
    assert!(!format!("{config:?}").contains("a-long-enough-token"));
    assert!(load("[admin]\ntoken = \"short\"").warnings[0].contains("guessed"));
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let config = load(
        "[hosts]\n\"*\" = [\"b\", \"B:80\"]\n[pools.idle]\nbackends = \"c\"\n[policies.least-loaded]",
    );
    let expected = [
        "listed twice",
        "no route leads to this pool",
        "no route asks this policy",
    ];
    assert_eq!(config.warnings.len(), 3, "{:?}", config.warnings);
    assert!(
        expected
            .iter()
            .zip(&config.warnings)
            .all(|(words, w)| w.contains(words)),
        "{:?}",
        config.warnings
    );
}

#[test]
fn environment_beats_file_and_flags_beat_both() {
    let file = "listen = \"127.0.0.1:1\"\nworkers = 1\n[admin]\nlisten = \"127.0.0.1:2\"\ntoken = \"of-the-file-of-the-file\"\n[hosts]\n\"a\" = \"file\"\n\"b\" = \"file\"\n\"c\" = \"file\"";
    let variables = [
        ("WAYPOST_LISTEN", "127.0.0.1:11, [::1]:11"),
        ("WAYPOST_ADMIN_LISTEN", "0.0.0.0:12"),
        ("WAYPOST_ADMIN_TOKEN", "of-the-environment"),
        ("WAYPOST_WORKERS", "2"),
        (
            "WAYPOST_HOSTS",
            "B=environment,second:81; C.=environment;*=environment;",
        ),
    ];
    let config = load_with(file, &variables, Overrides::default()).unwrap();
    assert_eq!(config.listen.len(), 2);
    assert_eq!(config.workers, 2);
    let admin = Admin {
        listen: "0.0.0.0:12".parse().unwrap(),
        token: Some("of-the-environment".to_owned()),
    };
    assert_eq!(config.admin, Some(admin));
    assert_eq!(addresses(&config, "a"), ["file:80"]);
    assert_eq!(addresses(&config, "b"), ["environment:80", "second:81"]);
    assert_eq!(addresses(&config, "c"), ["environment:80"]);

    let flags = Overrides {
        listen: vec!["127.0.0.1:21".to_owned()],
        admin_listen: Some("off".to_owned()),
        workers: Some("3".to_owned()),
        hosts: vec!["c=flag".to_owned(), "d=flag".to_owned()],
        ..Overrides::default()
    };
    let config = load_with(file, &variables, flags).unwrap();
    assert_eq!(config.listen, ["127.0.0.1:21".parse().unwrap()]);
    assert_eq!((config.workers, config.admin.is_none()), (3, true));
    assert_eq!(addresses(&config, "b"), ["environment:80", "second:81"]);
    assert_eq!(addresses(&config, "c"), ["flag:80"]);
    assert_eq!(addresses(&config, "d"), ["flag:80"]);
}

#[test]
fn a_host_of_the_environment_replaces_a_route_of_the_file_with_a_warning() {
    let file = "[pools.p]\nbackends = \"file\"\n[[routes]]\nhost = [\"a\", \"b\"]\npool = \"p\"";
    let config = load_with(
        file,
        &[("WAYPOST_HOSTS", "a=environment")],
        Overrides::default(),
    )
    .unwrap();
    assert_eq!(addresses(&config, "a"), ["environment:80"]);
    assert_eq!(addresses(&config, "b"), ["file:80"]);
    assert!(
        config.warnings[0].contains("WAYPOST_HOSTS"),
        "{:?}",
        config.warnings
    );
}

#[test]
fn empty_variables_count_as_not_set() {
    let names = [
        "WAYPOST_LISTEN",
        "WAYPOST_ADMIN_LISTEN",
        "WAYPOST_ADMIN_TOKEN",
        "WAYPOST_WORKERS",
        "WAYPOST_HOSTS",
    ];
    let config = load_with(
        "workers = 7",
        &names.map(|n| (n, " ")),
        Overrides::default(),
    )
    .unwrap();
    assert_eq!((config.workers, config.routes.len()), (7, 0));
}

#[test]
fn errors_in_overrides_name_the_variable_or_the_flag() {
    let cases = [
        ("WAYPOST_LISTEN", "8080", "0.0.0.0:8080"),
        ("WAYPOST_ADMIN_LISTEN", "0.0.0.0:1", "WAYPOST_ADMIN_TOKEN"),
        ("WAYPOST_ADMIN_TOKEN", "a b", "not a token"),
        ("WAYPOST_WORKERS", "many", "1 to 1024"),
        ("WAYPOST_HOSTS", "www.example.com", "NAME=ADDRESS"),
        ("WAYPOST_HOSTS", "www.example.com=", "no backend"),
        (
            "WAYPOST_HOSTS",
            "www.example.com=http://a",
            "only the address",
        ),
        ("WAYPOST_HOSTS", "a b=c", "not a host"),
        ("WAYPOST_HOSTS", "a=b;A=c", "a route already"),
    ];
    for (name, value, words) in cases {
        let found = load_with("", &[(name, value)], Overrides::default())
            .unwrap_err()
            .to_string();
        assert!(
            found.starts_with(&format!("environment variable {name}: ")) && found.contains(words),
            "{found}"
        );
        assert_eq!(found.lines().count(), 1, "{found}");
    }
    let flags = Overrides {
        workers: Some("-1".to_owned()),
        ..Overrides::default()
    };
    let found = load_with("", &[], flags).unwrap_err().to_string();
    assert!(found.starts_with("option --workers: "), "{found}");
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_text_is_an_error() {
    use std::os::unix::ffi::OsStringExt;
    let found = Overrides::from_environment(|name| {
        (name == "WAYPOST_HOSTS").then(|| OsString::from_vec(vec![0xff]))
    });
    assert!(
        found
            .err()
            .unwrap()
            .to_string()
            .starts_with("environment variable WAYPOST_HOSTS: is not UTF-8")
    );
}

#[test]
fn a_file_that_can_not_be_read_is_an_error_that_names_it() {
    let load = |path: &Path| {
        let file = FileSource::Path(path.to_owned());
        Config::load(Sources {
            file: Some(file),
            ..Sources::default()
        })
        .unwrap_err()
        .to_string()
    };
    let folder = std::env::temp_dir().join(format!("waypost-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    assert_eq!(
        load(&folder),
        format!("{}: is a directory; name the file in it", folder.display())
    );
    assert!(load(&folder.join("none.toml")).contains("there is no such file"));
    let binary = folder.join("binary.toml");
    std::fs::write(&binary, b"workers = 1\n# \xff\n").unwrap();
    assert!(
        load(&binary).contains("is not UTF-8 on line 2"),
        "{}",
        load(&binary)
    );
    let endless = folder.join("endless.toml");
    std::fs::write(&endless, vec![b'#'; (4 << 20) + 1]).unwrap();
    assert!(
        load(&endless).contains("is larger than"),
        "{}",
        load(&endless)
    );
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn nesting_without_end_is_an_error() {
    for text in [
        "a.".repeat(100_000) + "a = 1",
        "a = ".to_owned() + &"[".repeat(100_000),
        "a = ".to_owned() + &"{a=".repeat(100_000),
    ] {
        let found = Config::from_toml(&text, Path::new(""))
            .unwrap_err()
            .to_string();
        assert!(
            found.contains("line 1") && found.contains("nested too deeply"),
            "{found:.300}"
        );
    }
}

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
        assert_eq!(values::size(written), Ok(bytes), "{written}");
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
        assert!(values::size(wrong).is_err(), "{wrong}");
    }
    assert_eq!(values::duration(" 1m 30s"), Ok(Duration::from_secs(90)));
    for wrong in [
        "",
        "s",
        "1 fortnight",
        "-1s",
        "99999999999999999999999s",
        "18446744073709551615years",
    ] {
        assert!(values::duration(wrong).is_err(), "{wrong}");
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
    .prop_filter("port 0 is no backend's", |a| !a.ends_with(":0"))
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
        "[forwarded]\nallow = [\"X-Real-IP\"]\nsource = \"forwarded\"\nvia = \"edge-1\"\n[paths]\nstrict = true\nforward = \"normalised\"",
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
        ("[forwarded]\nallow = \"x-tenant\"", "not dropped anyway"),
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
        let _ = (parse_listen(&text), parse_backend(&text), values::size(&text), values::duration(&text), values::network(&text));
        let _ = (values::name(&text), values::route_path(&text), values::on_failure(&text), host::parse_pattern(&text));
        let overrides = Overrides { hosts: vec![text.clone()], listen: vec![text.clone()], workers: Some(text.clone()), admin_listen: Some(text), admin_token: None };
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
            "workers = {workers}\n[timeouts]\nidle = \"{idle}ms\"\n[limits]\nheader-count = {header_count}\n[policies.p]\nbuiltin = \"random\"\nmemory = {memory}\n[pools.q]\nbackends = [{{ address = \"a\", weight = {weight} }}]\n[[routes]]\nhost = \"route.invalid\"\npath = \"{path}\"\npool = \"q\"\npolicies = [\"p\"]\n[hosts]\n"
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
        let path = crate::message::path::literal(&path);
        prop_assert!(config.routes.iter().any(|r| r.path == path && r.pool == 0 && r.policies == [0]));
        for (host, backends) in &hosts {
            prop_assert_eq!(addresses(&config, host), backends.iter().cloned().collect::<Vec<_>>());
        }
    }
}
