use super::*;

#[tokio::test]
async fn health_and_readiness() {
    let admin = TestAdmin::start(None).await;
    assert_eq!(admin.get("/healthz").await.status, 200);
    assert_eq!(admin.get("/readyz").await.status, 200);
    let metrics = admin.get("/metrics").await.body;
    assert!(metrics.contains("\nwaypost_ready 1\n"), "{metrics}");
    *admin.control.notes.lock().unwrap() = vec!["look here".to_owned()];
    let answer = admin.get("/readyz").await;
    assert_eq!(
        (answer.status, &answer.json()["notes"][0]),
        (200, &"look here".into())
    );
    for (readiness, word) in [
        (Readiness::Starting, "starting"),
        (Readiness::Draining, "draining"),
        (
            Readiness::Refused(vec!["guard".to_owned()]),
            "policies were refused and have no other generation: guard",
        ),
    ] {
        *admin.control.readiness.lock().unwrap() = readiness;
        let answer = admin.get("/readyz").await;
        assert_eq!(answer.status, 503);
        assert!(answer.error().starts_with(word), "{answer:?}");
        let metrics = admin.get("/metrics").await.body;
        assert!(metrics.contains("\nwaypost_ready 0\n"), "{metrics}");
        assert_eq!(admin.get("/healthz").await.status, 200);
    }
}

#[tokio::test]
async fn an_unknown_path_lists_what_there_is() {
    let admin = TestAdmin::start(None).await;
    for path in [
        "/page",
        "/stat",
        "/stats/",
        "/policies/",
        "/policies/a/b",
        "/policies/%zz",
    ] {
        let answer = admin.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.error().contains(path));
        assert!(
            answer.json()["endpoints"]
                .as_array()
                .unwrap()
                .contains(&"PUT /policies/NAME".into())
        );
    }
    assert_eq!(
        admin.get("/stats?x=1").await.status,
        200,
        "the query is not part of the path"
    );
}

#[tokio::test]
async fn a_wrong_method_gets_a_list_of_the_right_ones() {
    let admin = TestAdmin::start(None).await;
    for path in ["/stats", "/metrics", "/policies", "/healthz", "/readyz"] {
        let answer = admin.ask("DELETE", path, "", b"").await;
        assert_eq!(answer.status, 405, "{path}");
        assert!(
            answer.head.contains("\r\nallow: get, head\r\n"),
            "{}",
            answer.head
        );
        answer.error();
    }
    let answer = admin
        .ask("POST", "/policies/spread", "content-length: 0\r\n", b"")
        .await;
    assert_eq!(answer.status, 405);
    assert!(
        answer.head.contains("\r\nallow: get, head, put\r\n"),
        "{}",
        answer.head
    );
}

#[tokio::test]
async fn a_token_is_needed_where_one_is_set() {
    let admin = TestAdmin::start(Some("s3cret")).await;
    let wrong = [
        "",
        "authorization: Bearer s3cre\r\n",
        "authorization: Bearer s3crets\r\n",
        "authorization: Bearer\r\n",
        "authorization: Basic s3cret\r\n",
        "authorization: s3cret\r\n",
        "authorization: Bearer s3cret\r\nauthorization: Bearer s3cret\r\n",
    ];
    for lines in wrong {
        for (method, path) in [
            ("GET", "/stats"),
            ("GET", "/nowhere"),
            ("PUT", "/policies/spread"),
        ] {
            let answer = admin.ask(method, path, lines, b"good").await;
            assert_eq!(answer.status, 401, "{method} {path} {lines}");
            assert!(
                answer.head.contains("\r\nwww-authenticate: bearer"),
                "{}",
                answer.head
            );
            answer.error();
        }
    }
    let host = "host: waypost.example\r\n";
    for right in [
        "authorization: Bearer s3cret\r\n",
        "Authorization: bearer s3cret\r\n",
    ] {
        assert_eq!(
            admin
                .ask("GET", "/stats", &format!("{right}{host}"), b"")
                .await
                .status,
            200
        );
        assert_eq!(
            admin
                .ask("PUT", "/policies/spread", right, b"good")
                .await
                .status,
            200
        );
    }
    assert_eq!(admin.ask("GET", "/healthz", host, b"").await.status, 200);
    assert_eq!(admin.ask("GET", "/readyz", host, b"").await.status, 200);
}

#[tokio::test]
async fn without_a_token_only_loopback_names_are_answered() {
    let admin = TestAdmin::start(None).await;
    for host in [
        "localhost",
        "LOCALHOST:1",
        "localhost.",
        "127.0.0.1",
        "127.1.2.3:99",
        "[::1]:9090",
        "[::ffff:127.0.0.1]",
    ] {
        assert_eq!(
            admin
                .ask("GET", "/stats", &format!("host: {host}\r\n"), b"")
                .await
                .status,
            200,
            "{host}"
        );
    }
    for host in [
        "rebound.example",
        "localhost.example",
        "10.0.0.1",
        "[::2]",
        "127.0.0.1.example:9090",
        "",
        "a b",
    ] {
        let answer = admin
            .ask("GET", "/stats", &format!("host: {host}\r\n"), b"")
            .await;
        assert_eq!(answer.status, 403, "{host}");
        assert!(answer.error().contains("loopback"), "{answer:?}");
    }
    let two = "host: localhost\r\nhost: rebound.example\r\n";
    assert_eq!(admin.ask("GET", "/stats", two, b"").await.status, 403);
    assert_eq!(
        admin
            .ask(
                "GET",
                "http://rebound.example/stats",
                "host: localhost\r\n",
                b""
            )
            .await
            .status,
        403
    );
    assert_eq!(
        admin
            .raw(b"GET /stats HTTP/1.1\r\nconnection: close\r\n\r\n")
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn a_page_of_another_site_can_not_replace_a_policy() {
    let admin = TestAdmin::start(None).await;
    let foreign = [
        "sec-fetch-site: cross-site\r\n",
        "sec-fetch-site: same-site\r\n",
        "origin: http://evil.example\r\n",
        "origin: null\r\n",
        "origin: http://127.0.0.1:1\r\n",
        "sec-fetch-site: same-origin\r\norigin: http://evil.example\r\n",
    ];
    for lines in foreign {
        let answer = admin.ask("PUT", "/policies/spread", lines, b"good").await;
        assert_eq!(answer.status, 403, "{lines}");
        assert!(answer.error().contains("another site"));
    }
    assert_eq!(admin.control.policies()[0].generation, 7);
    let own = format!(
        "sec-fetch-site: same-origin\r\norigin: http://{}\r\n",
        admin.address
    );
    assert_eq!(
        admin
            .ask("PUT", "/policies/spread", &own, b"good")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn an_open_listener_is_refused_at_the_start() {
    let start = async |address: &str, token: Option<&str>| {
        let listener = TcpListener::bind(address).await.unwrap();
        serve(
            listener,
            token.map(str::to_owned),
            8,
            Arc::new(TestControl::new()),
            async {},
        )
        .await
    };
    assert!(matches!(
        start("0.0.0.0:0", None).await,
        Err(AdminError::Exposed(_))
    ));
    assert!(matches!(
        start("127.0.0.1:0", Some(" ")).await,
        Err(AdminError::EmptyToken)
    ));
    assert!(start("127.0.0.1:0", None).await.is_ok());
}

#[tokio::test]
async fn a_stop_ends_idle_connections_and_the_listener() {
    let admin = TestAdmin::start(None).await;
    let mut idle = TcpStream::connect(admin.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    admin.stop.send(()).unwrap();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    drop(idle);
    admin.task.await.unwrap().unwrap();
    assert!(TcpStream::connect(admin.address).await.is_err());
}

/// A client that was accepted before a stop, which waits this long for its first request.
async fn early(first_head: Duration) -> (TestAdmin, TcpStream) {
    let limits = Limits {
        first_head,
        drain: Duration::from_secs(60),
        header_read: Duration::from_secs(60),
        ..Limits::default()
    };
    let admin = TestAdmin::start_with(None, TestControl::new(), limits).await;
    let early = TcpStream::connect(admin.address).await.unwrap();
    // This one is accepted after the other.
    assert_eq!(admin.get("/healthz").await.status, 200);
    (admin, early)
}

/// A reload that changes `[admin]` replaces the listener, and clients connect at any time.
#[tokio::test]
async fn a_connection_from_before_a_stop_has_its_first_request_answered() {
    let (admin, mut early) = early(Duration::from_secs(60)).await;
    admin.stop.send(()).unwrap();
    while TcpStream::connect(admin.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    early
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let answer = read_answer(&mut early).await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("connection: close"), "{answer:?}");
    admin.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_connection_from_before_a_stop_that_asks_nothing_is_not_waited_for() {
    let (admin, mut early) = early(Duration::from_millis(1)).await;
    admin.stop.send(()).unwrap();
    let mut rest = Vec::new();
    early.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty(), "{rest:?}");
    drop(early);
    admin.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let limits = Limits {
        header_read: Duration::from_millis(20),
        ..Limits::default()
    };
    let admin = TestAdmin::start_with(None, TestControl::new(), limits).await;
    let mut stream = TcpStream::connect(admin.address).await.unwrap();
    stream
        .write_all(b"GET /stats HTTP/1.1\r\nhost:")
        .await
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
}

#[tokio::test]
async fn a_connection_over_the_limit_closes_the_one_that_is_idle_for_the_longest() {
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let admin = TestAdmin::start_with(None, TestControl::new(), limits).await;
    let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut first = TcpStream::connect(admin.address).await.unwrap();
    first.write_all(request).await.unwrap();
    let mut start = [0; 12];
    first.read_exact(&mut start).await.unwrap();
    let mut second = TcpStream::connect(admin.address).await.unwrap();
    second.write_all(request).await.unwrap();
    second.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    // Its end, or a reset.
    let mut rest = Vec::new();
    let _ = first.read_to_end(&mut rest).await;
}

#[tokio::test]
async fn clients_that_say_nothing_or_half_of_it_do_not_delay_a_health_check() {
    // No limit ends them, so health checks work only if the listener makes room.
    let hour = Duration::from_secs(3600);
    let limits = Limits {
        header_read: hour,
        body_idle: hour,
        body_total: hour,
        ..Limits::default()
    };
    let admin = TestAdmin::start_with(None, TestControl::new(), limits).await;
    let starts = [
        "",
        "GET /healthz HTTP/1.1\r\nhost:",
        "PUT /policies/spread HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\ngood",
    ];
    for only in [&starts[..], &starts[2..]] {
        let mut held = Vec::new();
        for number in 0..300 {
            let mut stream = TcpStream::connect(admin.address).await.unwrap();
            // The proxy may have closed it by now.
            let _ = stream.write_all(only[number % only.len()].as_bytes()).await;
            held.push(stream);
        }
        for path in ["/healthz", "/readyz", "/stats"] {
            assert_eq!(admin.get(path).await.status, 200, "{path}");
        }
        assert_eq!(admin.put("/policies/spread", b"good").await.status, 200);
    }
}

#[tokio::test]
async fn a_client_that_never_reads_is_cut() {
    let limits = Limits {
        write: Duration::from_millis(20),
        ..Limits::default()
    };
    let admin = TestAdmin::start_with(None, TestControl::new(), limits).await;
    let mut stream = TcpStream::connect(admin.address).await.unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n";
    // Ends only when the listener gives up: until then, a full socket makes the write wait.
    while stream.write_all(request).await.is_ok() {}
}
