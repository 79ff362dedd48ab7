use super::*;

/// One that is counted, one that is drained, one that was ejected.
pub(super) fn pool_status() -> PoolStatus {
    let endpoint = |port: u16, source, admin| EndpointStatus {
        address: format!("127.0.0.1:{port}"),
        label: format!("127.0.0.1:{port}"),
        source,
        weight: 3,
        admin,
        request_limit: Some(20),
        labels: [("zone".to_owned(), "<a>".to_owned())].into(),
    };
    PoolStatus {
        name: "web".to_owned(),
        file: Some(FileStatus {
            path: "b.json".to_owned(),
            backends: 1,
            failures: 2,
            refused: Some("<broken>".to_owned()),
        }),
        endpoints: vec![
            endpoint(81, "configuration", "up"),
            endpoint(83, "file", "draining"),
            endpoint(82, "api", "up"),
        ],
    }
}

/// What comes of a change.
pub(super) fn changed(change: BackendsChange) -> Result<BackendsChanged, BackendsError> {
    match change {
        BackendsChange::Replace(text) if text == "bad" => {
            Err(BackendsError::Refused(vec!["one".into(), "two".into()]))
        }
        BackendsChange::Remove(_) => Err(BackendsError::Unknown("no such".to_owned())),
        _ => Ok(BackendsChanged {
            pool: pool_status(),
            adopted: true,
            warnings: vec!["look".to_owned()],
        }),
    }
}

#[tokio::test]
async fn pools_are_listed_and_shown_with_the_state_of_each_endpoint() {
    let admin = TestAdmin::start(None).await;
    let all = admin.get("/pools").await.json();
    let web = &all["pools"][0];
    assert_eq!(
        (&web["name"], &web["endpoints"]),
        (&"web".into(), &3.into())
    );
    assert_eq!(web["healthy"], 0, "the last attempts failed");
    let one = admin.get("/pools/web").await.json();
    let states = |one: &serde_json::Value| -> Vec<String> {
        let all = one["endpoints"].as_array().unwrap().iter();
        all.map(|e| {
            format!(
                "{} {}",
                e["source"].as_str().unwrap(),
                e["state"].as_str().unwrap()
            )
        })
        .collect()
    };
    assert_eq!(
        states(&one),
        ["configuration failing", "file draining", "api ejected"]
    );
    assert_eq!(one["endpoints"][0]["requests"], 3);
    assert_eq!(one["endpoints"][1]["labels"]["zone"], "<a>");
    assert_eq!(one["endpoints"][2]["reason"], "3 failures <in> a row");
    assert_eq!(one["file"]["refused"], "<broken>");
    let stats = admin.get("/stats").await.json();
    assert_eq!(states(&stats["topology"]["web"]), states(&one));
    let answer = admin.get("/pools/wep").await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.error(), "no pool is named \"wep\"; there are web");
}

#[tokio::test]
async fn each_change_is_passed_on_and_answered() {
    let admin = TestAdmin::start(None).await;
    let ask = async |method: &str, path: &str, body: &str| {
        // One that is put has its length anyway.
        let length = match method {
            "PUT" => "",
            _ => "content-length: 0\r\n",
        };
        admin.ask(method, path, length, body.as_bytes()).await
    };
    for (method, path, body) in [
        ("PUT", "/pools/web/backends", "[]"),
        ("DELETE", "/pools/web/backends", ""),
        ("PUT", "/pools/web/backends/a.test%3A80", ""),
        ("POST", "/pools/w%20b/backends/10.0.0.1:80/drain", ""),
        (
            "POST",
            "/pools/web/backends/%5B::1%5D:80/weight?value=7",
            "",
        ),
        ("POST", "/pools/web/backends/a:1,b:2/up", ""),
    ] {
        let answer = ask(method, path, body).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert_eq!(answer.json()["adopted"], true);
        assert_eq!(answer.json()["warnings"][0], "look");
    }
    let asked = admin.control.asked.lock().unwrap().clone();
    assert_eq!(
        asked,
        [
            "web: Replace(\"[]\")",
            "web: Replace(\"[]\")",
            "web: Add(\"a.test:80\", \"\")",
            "w b: Say(\"10.0.0.1:80\", Drain)",
            "web: Say(\"[::1]:80\", Weight(Some(7)))",
            "web: All([Say(\"a:1\", Up), Say(\"b:2\", Up)])",
        ]
    );
    let refused = ask("PUT", "/pools/web/backends", "bad").await;
    assert_eq!(
        (refused.status, refused.error()),
        (422, "one\ntwo".to_owned())
    );
    assert_eq!(refused.json()["errors"][1], "two");
    assert_eq!(ask("DELETE", "/pools/web/backends/a", "").await.status, 404);
    assert_eq!(
        ask("POST", "/pools/web/backends/a/weight", "").await.status,
        400
    );
    assert_eq!(
        ask("POST", "/pools/web/backends/a/stop", "").await.status,
        404
    );
    assert_eq!(ask("GET", "/pools/web/backends/a", "").await.status, 405);
    assert_eq!(
        ask("PUT", "/pools/web/backends", "\u{ff}").await.status,
        200
    );
    let head = "PUT /pools/web/backends HTTP/1.1\r\nhost: localhost\r\n";
    let large = format!("{head}content-length: {}\r\n\r\n", 5 << 20);
    assert_eq!(admin.raw(large.as_bytes()).await.status, 413);
    let not_text = admin.put("/pools/web/backends", b"\xff").await;
    assert_eq!(not_text.status, 400);
}

#[tokio::test]
async fn the_token_is_needed() {
    let admin = TestAdmin::start(Some("s3cret")).await;
    let path = "/pools/web/backends/a/drain";
    for sent in ["", "authorization: Bearer wrong\r\n"] {
        let head = format!("content-length: 0\r\n{sent}");
        assert_eq!(admin.ask("POST", path, &head, b"").await.status, 401);
    }
    assert!(admin.control.asked.lock().unwrap().is_empty());
    let head = "content-length: 0\r\nauthorization: Bearer s3cret\r\n";
    assert_eq!(admin.ask("POST", path, head, b"").await.status, 200);
}
