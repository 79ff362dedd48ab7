//! What each section means.

use super::*;

#[test]
fn nothing_written_is_every_default_and_a_warning() {
    let config = load("");
    assert_eq!(listening(&config), ["0.0.0.0:8080"]);
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
            path: None,
            format: LogFormat::Json,
            redact_query: false,
        }
    );
    assert!(config.warnings[0].contains("404"), "{:?}", config.warnings);
}

#[test]
fn the_short_form_gives_each_host_a_pool_and_the_built_in_policies() {
    let config = load(
        "[hosts]\n\"WWW.Example.com:80\" = [\"10.0.0.1:81\", \"app\"]\n\
            \"*.example.org\" = \"::1\"\n\"*\" = [\"[::2]:9\"]",
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
            .all(|r| r.policies == [0, 1] && r.path == PathMatch::Prefix("/".to_owned()))
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
        file: None,
        tls: None,
        backends: vec![
            Backend {
                address: "10.0.0.1:80".to_owned(),
                tls: None,
                kind: Default::default(),
                protocol: None,
                weight: 3,
                labels: vec![
                    ("zone".to_owned(), "a".to_owned()),
                    ("disk".to_owned(), "ssd".to_owned()),
                ],
            },
            Backend {
                address: "10.0.0.2:81".to_owned(),
                tls: None,
                kind: Default::default(),
                protocol: None,
                weight: 1,
                labels: vec![],
            },
        ],
        protocol: PoolProtocol::Http11,
        retry: RetryPolicy {
            attempts: 2,
            ..RetryPolicy::default()
        },
        max_idle: Some(1),
        max_connections: 10,
        max_requests: 0,
        max_pool_requests: 0,
        adaptive: None,
        queue: 7,
        queue_timeout: Duration::from_secs(3),
        body_wait: Duration::ZERO,
        slow_client: Duration::from_secs(4),
        slow_client_rate: 1024,
        is_mirror: false,
        health: PoolHealth {
            max_failures: 0,
            fail_timeout: Duration::from_secs(90),
            ..PoolHealth::default()
        },
        ping_interval: Duration::from_secs(30),
    };
    assert_eq!(config.pools, [expected]);
    let route = |host| Route {
        host,
        path: PathMatch::Prefix("/api".to_owned()),
        conditions: Conditions::default(),
        traffic: Traffic::to(
            0,
            RetryPolicy {
                attempts: 2,
                ..RetryPolicy::default()
            },
        ),
        answer: None,
        edits: Default::default(),
        policies: vec![1, 0],
        rights: Default::default(),
        preserve_header_case: false,
        upgrade: vec!["websocket".to_owned()],
        compress: None,
        layer4: None,
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
    let text = "[record]\nfile = \"/a\"\nsample = \" 12.5 %\"\nredact = \"X-Key\"\n\
        redact-client = true\nmax-bytes = \"1MiB\"\n\
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
        forwarded = { trusted = ["10.1.2.3/8", "unix:", "fd00::1"] }
        access-log = { requests = "all", path = "access.log" }
        [limits]
        header-bytes = "4KiB"
        header-count = 7
        connections = 8
        connections-per-client = 0
        tls-handshakes = 11
        tls-handshakes-per-client = 0
        body-bytes = "1GiB"
        requests-per-connection = 9
        h2-streams = 12
        h2-stream-window = 100000
        h2-connection-window = "200000B"
        h2-resets = 13
        h2-stream-errors = 14
        h2-idle-frames = 150
        h2-websocket = false
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
        tunnel-idle = "8m"
        drain = "0s"
        drain-idle = "9s"
        shutdown-delay = "10s"
        upgrade = "11s"
        tls-handshake = "8s"
        "#,
    );
    assert_eq!(
        listening(&config),
        ["127.0.0.1:0", "[::]:8080", "127.0.0.1:8081"]
    );
    assert_eq!(
        (config.workers, config.admin, config.stats_path.as_deref()),
        (3, None, Some("/_stats"))
    );
    assert_eq!(
        config.forwarded.trusted.networks,
        [
            "10.0.0.0/8".parse().unwrap(),
            "fd00::1/128".parse().unwrap()
        ]
    );
    assert!(config.forwarded.trusted.unix);
    let log = AccessLog {
        requests: LoggedRequests::All,
        path: Some(PathBuf::from("/etc/waypost/access.log")),
        format: LogFormat::Json,
        redact_query: false,
    };
    assert_eq!(config.access_log, log);
    let limits = Limits {
        // The head as a whole allows no more.
        request_line: 4096,
        header_bytes: 4096,
        header_count: 7,
        connections: 8,
        connections_per_client: 0,
        tls_handshakes: 11,
        tls_handshakes_per_client: 0,
        body_bytes: 1 << 30,
        requests_per_connection: 9,
        half_close: HalfClose::Allow,
        h2: H2Limits {
            streams: 12,
            stream_window: 100_000,
            connection_window: 200_000,
            resets: 13,
            stream_errors: 14,
            idle_frames: 150,
            websocket: false,
        },
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
        tunnel_idle: seconds(480),
        drain: seconds(0),
        drain_idle: seconds(9),
        shutdown_delay: seconds(10),
        upgrade: seconds(11),
        tls_handshake: seconds(8),
    };
    assert_eq!(config.timeouts, timeouts);
}
