//! What asks for a reload, and what it says.

use super::{answers, edit, editable, post, reload, text};
use crate::fixtures::{Client, Request, TestProxy, TestUpstream, eventually, waypost};

#[test]
fn a_file_that_changes_is_followed_however_it_is_replaced() {
    let (one, two) = (TestUpstream::named("one"), TestUpstream::named("two"));
    let proxy = TestProxy::in_front_of(&one);
    let swap = |text: &str, from: &TestUpstream, to: &TestUpstream| {
        text.replace(&from.address().to_string(), &to.address().to_string())
    };
    answers(&proxy, "a.test", "one");
    let first = text(&proxy);
    let second = swap(&first, &one, &two);
    proxy.scratch.replace("waypost.toml", &second);
    answers(&proxy, "a.test", "two");
    // In place.
    proxy.scratch.write("waypost.toml", &first);
    answers(&proxy, "a.test", "one");
    // Behind a link that is switched, as in clusters.
    let link = proxy.scratch.path().join("link");
    proxy.scratch.write("a.toml", &second);
    std::os::unix::fs::symlink("a.toml", &link).unwrap();
    std::fs::rename(&link, proxy.scratch.path().join("waypost.toml")).unwrap();
    answers(&proxy, "a.test", "two");
    proxy.scratch.write("b.toml", &first);
    std::os::unix::fs::symlink("b.toml", &link).unwrap();
    std::fs::rename(&link, proxy.scratch.path().join("waypost.toml")).unwrap();
    answers(&proxy, "a.test", "one");
}

#[test]
fn a_signal_and_a_command_reload_and_a_check_changes_nothing() {
    let (one, two) = (TestUpstream::named("one"), TestUpstream::named("two"));
    let proxy = editable(TestProxy::builder().host("*", &[one.address()]));
    edit(&proxy, |text| {
        text.replace(&one.address().to_string(), &two.address().to_string())
    });
    let admin = proxy.admin_address().to_string();
    let ask = |more: &[&str]| {
        let arguments = [
            "reload",
            "--admin",
            &admin,
            more.first().unwrap_or(&"--json"),
        ];
        waypost(arguments, proxy.scratch.path())
    };
    let checked = ask(&["--check"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(
        checked.stdout.contains("~ pool *") && checked.stdout.contains("nothing was done"),
        "{checked:?}"
    );
    assert_eq!(proxy.get("a.test", "/").text(), "one");
    proxy.signal("HUP");
    answers(&proxy, "a.test", "two");
    edit(&proxy, |text| text.replace("workers = 1", "workers = 2"));
    let refused = ask(&[]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("`workers`"), "{refused:?}");
    edit(&proxy, |text| text.replace("workers = 2", "workers = 1"));
    let same = ask(&[]);
    assert_eq!(same.code, Some(0), "{same:?}");
    assert!(same.stdout.contains("\"published\": false"), "{same:?}");
}

#[test]
fn what_changed_is_said_and_what_runs_is_shown_without_secrets() {
    let upstream = TestUpstream::named("one");
    let builder = TestProxy::builder().tables(&format!(
        "[pools.x]\nbackends = [\"{0}\"]\n[pools.y]\nbackends = [\"{0}\"]\n\
             [[routes]]\nhost = \"x.test\"\npool = \"x\"\npolicies = []\n\
             [[routes]]\nhost = \"y.test\"\npool = \"y\"\npolicies = [\"mine\"]\n\
             [policies.mine]\nbuiltin = \"random\"",
        upstream.address()
    ));
    let proxy = editable(builder);
    edit(&proxy, |text| {
        let text = text
            .replace("[pools.y]", "[pools.z]")
            .replace("pool = \"y\"", "pool = \"z\"");
        let text = text.replace("host = \"y.test\"", "host = \"y.test\"\npath = \"/y\"");
        format!("{text}\n[limits]\nbody-bytes = 7\n[pools.x.ignored]\n")
            .replace("\n[pools.x.ignored]", "")
    });
    let changes = reload(&proxy);
    assert_eq!(changes["pools"]["added"], serde_json::json!(["z"]));
    assert_eq!(changes["pools"]["removed"], serde_json::json!(["y"]));
    assert_eq!(changes["pools"]["changed"], serde_json::json!([]));
    assert_eq!(changes["routes"]["added"], serde_json::json!(["y.test/y"]));
    assert_eq!(changes["routes"]["removed"], serde_json::json!(["y.test/"]));
    assert_eq!(changes["settings"], serde_json::json!(["limits"]));
    assert_eq!(proxy.get("y.test", "/y").text(), "one");
    assert_eq!(proxy.get("y.test", "/").status, 404);
    let line = proxy
        .stderr
        .find(|line| line.contains("reloaded: ").then(|| line.to_owned()));
    assert!(line.unwrap().contains("pools added: z"));

    let shown = proxy.admin(Request::new("GET", "/config"));
    let config: serde_json::Value = serde_json::from_slice(&shown.body).unwrap();
    assert_eq!(config["routes"][1]["pool"], "z", "{config:#}");
    assert_eq!(config["written"]["limits"]["body-bytes"], 7);
    let digest = config["reload"]["digest"].as_str().unwrap().to_owned();
    assert!(digest.starts_with("sha256:"));
    assert_eq!(config["reload"]["succeeded"], 1);
    assert_eq!(proxy.stats()["reload"]["digest"], digest.as_str());
}

#[test]
fn reloads_that_are_asked_for_at_the_same_time_are_answered_together() {
    let (one, two) = (TestUpstream::named("one"), TestUpstream::named("two"));
    let proxy = editable(TestProxy::builder().host("*", &[one.address()]));
    edit(&proxy, |text| {
        text.replace(&one.address().to_string(), &two.address().to_string())
    });
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| assert_eq!(post(&proxy, "/reload").status, 200));
        }
        for _ in 0..40 {
            proxy.signal("HUP");
        }
    });
    assert_eq!(proxy.get("a.test", "/").text(), "two");
    eventually("the last is noted", || {
        (proxy.stat("/reload/succeeded") >= 1).then_some(())
    });
    assert_eq!(proxy.stat("/reload/refused"), 0);
    let published = proxy
        .stderr
        .text()
        .matches("reloaded: pools changed")
        .count();
    assert_eq!(published, 1, "what is there already is not published again");
}

#[test]
fn the_admin_listener_its_token_and_the_access_log_can_change() {
    let upstream = TestUpstream::named("one");
    let proxy = editable(TestProxy::builder().host("*", &[upstream.address()]));
    edit(&proxy, |text| {
        let text = text.replace("[access-log]\n", "[access-log]\npath = \"moved.log\"\n");
        text.replacen("[admin]\n", "[admin]\ntoken = \"a-new-token\"\n", 1)
    });
    let changes = reload(&proxy);
    assert_eq!(
        changes["settings"],
        serde_json::json!(["admin", "access-log"])
    );
    eventually("the token is asked for", || {
        (proxy.admin(Request::new("GET", "/stats")).status == 401).then_some(())
    });
    let with = |token: &str| {
        let bearer = format!("Bearer {token}");
        let request = Request::new("GET", "/config").field("Authorization", &bearer);
        proxy.admin(request)
    };
    let shown = with("a-new-token");
    assert_eq!(shown.status, 200);
    assert!(!shown.text().contains("a-new-token"), "{}", shown.text());
    assert_eq!(proxy.get("a.test", "/logged").text(), "one");
    eventually("the line is in the other file", || {
        let log = std::fs::read_to_string(proxy.scratch.path().join("moved.log"));
        log.ok()?.contains("/logged").then_some(())
    });
}

#[test]
fn a_recording_begins_and_ends_and_the_admin_listener_moves() {
    let upstream = TestUpstream::named("one");
    let proxy = editable(TestProxy::builder().host("*", &[upstream.address()]));
    let record = "[record]\nfile = \"requests.jsonl\"\nsample = \"100%\"";
    let recorded = || {
        let file = proxy.scratch.path().join("requests.jsonl");
        std::fs::read_to_string(file).unwrap_or_default()
    };
    edit(&proxy, |text| format!("{text}\n{record}"));
    assert_eq!(reload(&proxy)["settings"], serde_json::json!(["record"]));
    proxy.get("a.test", "/recorded");
    eventually("the request is recorded", || {
        recorded().contains("/recorded").then_some(())
    });
    // The cache can't be used, which is no reason to refuse the rest.
    edit(&proxy, |text| {
        let text = text.replace(record, "");
        let lines = text.lines().filter(|line| !line.starts_with("cache-dir"));
        let text = lines.collect::<Vec<_>>().join("\n");
        format!("cache-dir = \"waypost.toml/none\"\n{text}")
    });
    assert_eq!(
        reload(&proxy)["settings"],
        serde_json::json!(["record", "cache-dir"])
    );
    proxy.get("a.test", "/later");
    proxy.wait_for_stat("/requests/total", 2);
    assert!(!recorded().contains("/later"));
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    edit(&proxy, |text| {
        text.replace(
            "[admin]\nlisten = \"127.0.0.1:0\"",
            &format!("[admin]\nlisten = \"{free}\""),
        )
    });
    // The answer comes by the listener that goes.
    assert_eq!(reload(&proxy)["settings"], serde_json::json!(["admin"]));
    let health = eventually("it is at its new address", || {
        std::net::TcpStream::connect(free)
            .ok()
            .map(|_| Client::connect(free))
    })
    .ask(Request::new("GET", "/readyz").host("localhost").bytes());
    assert_eq!(health.status, 200, "{}", health.text());
    eventually("the former is closed", || {
        std::net::TcpStream::connect(proxy.admin_address())
            .err()
            .map(drop)
    });
}
