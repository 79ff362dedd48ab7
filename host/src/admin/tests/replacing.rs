use super::*;

#[tokio::test]
async fn policies_are_listed_and_shown() {
    let admin = TestAdmin::start(None).await;
    let list = admin.get("/policies").await.json();
    let names: Vec<_> = list["policies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["my policy", "spread"]);
    let one = admin.get("/policies/my%20policy").await.json();
    assert_eq!(
        (one["name"].as_str(), one["generation"].as_u64()),
        (Some("my policy"), Some(7))
    );
    let none = admin.get("/policies/nobody").await;
    assert_eq!(none.status, 404);
    assert!(none.error().contains("nobody"));
}

#[tokio::test]
async fn a_good_component_replaces_the_policy() {
    let admin = TestAdmin::start(None).await;
    let mut component = b"good".to_vec();
    component.resize(3 << 20, 7);
    let answer = admin.put("/policies/spread", &component).await;
    assert_eq!(answer.status, 200);
    let status = answer.json();
    assert_eq!(
        (&status["name"], &status["generation"], &status["digest"]),
        (&"spread".into(), &8.into(), &"ab12".into())
    );
    assert_eq!(status["size_bytes"], 3 << 20, "every byte arrived");
    assert_eq!(admin.get("/policies/spread").await.json()["generation"], 8);
}

#[tokio::test]
async fn a_chunked_body_is_a_component_too() {
    let admin = TestAdmin::start(None).await;
    let request = b"PUT /policies/spread HTTP/1.1\r\nhost: localhost\r\n\
        transfer-encoding: chunked\r\nconnection: close\r\n\r\n\
        4\r\ngood\r\n3\r\nday\r\n0\r\n\r\n";
    let answer = admin.raw(request).await;
    assert_eq!(answer.json()["size_bytes"], 7, "{answer:?}");
}

#[tokio::test]
async fn a_refusal_says_why_and_changes_nothing() {
    let admin = TestAdmin::start(None).await;
    let refused = admin.put("/policies/spread", b"bad").await;
    assert_eq!(
        (refused.status, refused.error().as_str()),
        (422, "this is a core module, not a component")
    );
    let unknown = admin.put("/policies/nobody", b"good").await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.error().contains("nobody"));
    let empty = admin.put("/policies/spread", b"").await;
    assert_eq!(empty.status, 400);
    assert!(empty.error().contains("empty"));
    assert_eq!(admin.put("/policies/spread", b"busy").await.status, 409);
    assert_eq!(admin.get("/policies/spread").await.json()["generation"], 7);
}

#[tokio::test]
async fn a_component_over_the_limit_is_refused_however_it_is_framed() {
    let limits = Limits {
        component_bytes: 100_000,
        ..Limits::default()
    };
    let admin = TestAdmin::start_with(None, TestControl::new(), limits).await;
    let body = [&b"good"[..], &[0; 100_000]].concat();
    let announced = admin.put("/policies/spread", &body).await;
    assert_eq!(announced.status, 413);
    assert!(announced.error().contains("100000 bytes"));
    let head =
        "PUT /policies/spread HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunked = [head.as_bytes(), b"186a4\r\n", &body, b"\r\n0\r\n\r\n"].concat();
    let mut stream = TcpStream::connect(admin.address).await.unwrap();
    stream.write_all(&chunked).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(read_answer(&mut stream).await.status, 413);
    assert_eq!(
        admin.put("/policies/spread", &body[..100_000]).await.status,
        200,
        "exactly the limit is fine"
    );
}

#[tokio::test]
async fn an_upload_that_is_refused_early_still_gets_its_answer() {
    let limits = Limits {
        component_bytes: 1_000,
        ..Limits::default()
    };
    let admin = TestAdmin::start_with(None, TestControl::new(), limits).await;
    // Far more than the sockets buffer, all of it sent before the answer is read.
    let answer = admin.put("/policies/spread", &vec![0; 32 << 20]).await;
    assert_eq!(answer.status, 413);
    let answer = admin.put("/policies/nobody", &vec![0; 32 << 20]).await;
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn a_client_that_expects_100_continue_is_refused_before_it_sends() {
    let admin = TestAdmin::start(None).await;
    let mut stream = TcpStream::connect(admin.address).await.unwrap();
    let head = "PUT /policies/spread HTTP/1.1\r\nhost: localhost\r\n\
        expect: 100-continue\r\ncontent-length: 67108865\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 413");
}

#[tokio::test]
async fn a_body_that_stops_coming_is_not_waited_for() {
    let limits = Limits {
        body_idle: Duration::from_millis(20),
        ..Limits::default()
    };
    let admin = TestAdmin::start_with(None, TestControl::new(), limits).await;
    let head = "PUT /policies/spread HTTP/1.1\r\nhost: localhost\r\n\
        content-length: 10\r\nconnection: close\r\n\r\ngood";
    let mut stream = TcpStream::connect(admin.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read_answer(&mut stream).await;
    assert_eq!(answer.status, 408);
    assert_eq!(
        admin.put("/policies/spread", b"good").await.status,
        200,
        "the next upload has its turn"
    );
}

#[tokio::test]
async fn a_body_cut_short_is_not_a_component() {
    let admin = TestAdmin::start(None).await;
    let mut stream = TcpStream::connect(admin.address).await.unwrap();
    stream
        .write_all(
            b"PUT /policies/spread HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\ngood",
        )
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
    assert_eq!(admin.control.policies()[0].generation, 7);
}

#[tokio::test]
async fn uploads_of_one_policy_take_turns_and_do_not_wait_for_ever() {
    let control = TestControl {
        gate: Some(Gate::default()),
        ..TestControl::new()
    };
    let limits = Limits {
        turn: Duration::from_millis(20),
        ..Limits::default()
    };
    let admin = Arc::new(TestAdmin::start_with(None, control, limits).await);
    let gate = admin.control.gate.as_ref().unwrap();
    let first = tokio::spawn({
        let admin = Arc::clone(&admin);
        async move { admin.put("/policies/spread", b"good").await }
    });
    gate.reached.notified().await;
    let second = admin.put("/policies/spread", b"good").await;
    assert_eq!(second.status, 409);
    assert!(second.error().contains("try again"));
    gate.open.notify_one();
    assert_eq!(first.await.unwrap().status, 200);
}

#[tokio::test]
async fn half_an_upload_holds_no_deployment() {
    // No limit ends it.
    let hour = Duration::from_secs(3600);
    let limits = Limits {
        body_idle: hour,
        body_total: hour,
        header_read: hour,
        ..Limits::default()
    };
    let admin = TestAdmin::start_with(None, TestControl::new(), limits).await;
    let mut halves = Vec::new();
    for _ in 0..20 {
        let mut half = TcpStream::connect(admin.address).await.unwrap();
        half.write_all(
            b"PUT /policies/spread HTTP/1.1\r\nhost: localhost\r\ncontent-length: 8\r\n\r\ngood",
        )
        .await
        .unwrap();
        halves.push(half);
    }
    for target in ["/policies/spread", "/policies/my%20policy"] {
        assert_eq!(admin.put(target, b"good").await.status, 200, "{target}");
    }
    let mut last = halves.pop().unwrap();
    last.write_all(b"last").await.unwrap();
    let mut start = [0; 12];
    last.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200", "it was only slow");
}

#[tokio::test]
async fn a_replacement_that_has_begun_outlives_its_connection() {
    let control = TestControl {
        gate: Some(Gate::default()),
        ..TestControl::new()
    };
    let limits = Limits {
        drain: Duration::from_millis(1),
        ..Limits::default()
    };
    let TestAdmin {
        address,
        control,
        stop,
        task,
    } = TestAdmin::start_with(None, control, limits).await;
    let gate = control.gate.as_ref().unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request =
        "PUT /policies/spread HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\ngood";
    stream.write_all(request.as_bytes()).await.unwrap();
    gate.reached.notified().await;
    stop.send(()).unwrap();
    task.await.unwrap().unwrap();
    assert_eq!(control.policies()[0].generation, 7);
    gate.open.notify_one();
    gate.done.notified().await;
    assert_eq!(control.policies()[0].generation, 8);
}

#[tokio::test]
async fn what_a_request_asks_for_reaches_the_control_side() {
    let admin = TestAdmin::start(None).await;
    for (method, target, asked) in [
        ("PUT", "/policies/spread", "spread: Active from an upload"),
        (
            "PUT",
            "/policies/spread?source=built-in%20random",
            "spread: Active from built-in random",
        ),
        (
            "PUT",
            "/policies/spread?mode=shadow&percent=10",
            "spread: Shadow { percent: 10.0 } from an upload",
        ),
        (
            "PUT",
            "/policies/spread?mode=canary&percent=5",
            "spread: Canary { percent: 5.0, by: Client } from an upload",
        ),
        (
            "POST",
            "/policies/my%20policy/promote",
            "my policy: Promote { generation: None }",
        ),
        (
            "POST",
            "/policies/spread/promote?generation=8",
            "spread: Promote { generation: Some(8) }",
        ),
        (
            "POST",
            "/policies/spread/canary?percent=0.5&by=request",
            "spread: Canary { percent: 0.5, by: Some(Request) }",
        ),
        (
            "POST",
            "/policies/spread/canary?percent=7",
            "spread: Canary { percent: 7.0, by: None }",
        ),
        ("DELETE", "/policies/spread/canary", "spread: EndCanary"),
        ("DELETE", "/policies/spread/shadow", "spread: EndShadow"),
    ] {
        let answer = admin.ask(method, target, "", b"good").await;
        assert_eq!(answer.status, 200, "{method} {target}: {answer:?}");
        assert_eq!(admin.control.asked.lock().unwrap().last().unwrap(), asked);
        assert_eq!(answer.json()["former_generation"], 6);
    }
    let refused = admin
        .ask("POST", "/policies/spread/rollback", "", b"")
        .await;
    assert_eq!(refused.status, 409);
    assert!(refused.error().contains("no previous generation"));
}

#[tokio::test]
async fn a_senseless_request_is_refused_and_changes_nothing() {
    let admin = TestAdmin::start(None).await;
    for (method, target, status) in [
        ("PUT", "/policies/spread?mode=canary", 400),
        ("PUT", "/policies/spread?source=", 400),
        ("PUT", "/policies/spread?source=a%0Ab", 400),
        ("POST", "/policies/spread/promote?source=a", 400),
        ("POST", "/policies/spread/canary?percent=5&source=a", 400),
        ("PUT", "/policies/spread?mode=canary&percent=101", 400),
        ("POST", "/policies/spread/promote?percent=5", 400),
        ("POST", "/policies/spread/canary", 400),
        ("POST", "/policies/nobody/promote", 404),
        ("GET", "/policies/spread/promote", 405),
        ("DELETE", "/policies/spread", 405),
        ("POST", "/policies/spread/explode", 404),
        ("GET", "/explain", 405),
    ] {
        let answer = admin.ask(method, target, "", b"").await;
        assert_eq!(answer.status, status, "{method} {target}: {answer:?}");
        assert!(!answer.error().is_empty());
    }
    assert!(admin.control.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_token_to_explain_requests_says_how_it_is_used() {
    let admin = TestAdmin::start(None).await;
    let answer = admin.ask("POST", "/explain", "", b"").await.json();
    assert_eq!(answer["token"], "token for 900s");
    assert_eq!(answer["request_field"], "x-waypost-explain");
    assert_eq!(answer["response_field"], "x-waypost-trace");
}
