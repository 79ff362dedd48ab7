//! A configuration that can't run is refused as a whole.

use std::net::TcpListener;

use super::{answers, edit, editable, post, refusal, reload, text};
use crate::fixtures::{TestProxy, TestUpstream, eventually, waypost};

fn start(upstream: &TestUpstream) -> TestProxy {
    editable(TestProxy::builder().host("*", &[upstream.address()]))
}

#[test]
fn every_mistake_is_named_with_its_line_and_the_old_configuration_goes_on() {
    let upstream = TestUpstream::named("one");
    let proxy = start(&upstream);
    edit(&proxy, |text| {
        format!("{text}\n[limits]\nheader-bites = 1\n[timeouts]\nidle = \"sixty\"\n")
    });
    let errors = refusal(&proxy);
    assert_eq!(errors.len(), 2, "{errors:#?}");
    let written = text(&proxy);
    for (error, key) in errors.iter().zip(["header-bites", "idle"]) {
        let line = written.lines().position(|line| line.starts_with(key));
        let place = format!("waypost.toml, line {}", line.unwrap() + 1);
        assert!(
            error.contains(key) && error.contains(&place),
            "{error} at {place}"
        );
    }
    assert_eq!(proxy.get("a.test", "/").text(), "one");
    let stats = proxy.stats();
    assert_eq!(stats["reload"]["refused"], 1);
    assert_eq!(stats["reload"]["errors"].as_array().unwrap().len(), 2);
    edit(&proxy, |text| {
        text.replace("header-bites = 1", "")
            .replace("idle = \"sixty\"", "")
    });
    assert_eq!(post(&proxy, "/reload").status, 200);
    assert_eq!(proxy.stats()["reload"]["errors"], serde_json::json!([]));
}

#[test]
fn a_pid_file_that_can_not_be_written_is_said_by_check_and_refuses_a_reload() {
    let upstream = TestUpstream::named("one");
    let proxy = start(&upstream);
    let folder = proxy.scratch.path();
    std::fs::create_dir(folder.join("folder")).unwrap();
    let mut named = String::new();
    for (name, reason) in [("none/pid", "No such file"), ("folder", "no regular file")] {
        edit(&proxy, |text| {
            let rest = text.strip_prefix(&named).unwrap().to_owned();
            named = format!("pid-file = \"{name}\"\n");
            format!("{named}{rest}")
        });
        for target in ["/reload?check", "/reload"] {
            let answer = post(&proxy, target);
            assert_eq!(answer.status, 422, "{target}: {}", answer.text());
            let text = answer.text();
            assert!(
                text.contains("`pid-file`") && text.contains(reason),
                "{text}"
            );
        }
        let check = waypost(["check", "--config", "waypost.toml"], folder);
        assert_eq!(check.code, Some(1), "{check:?}");
        assert!(check.stdout.contains("`pid-file`: `pid-file`"), "{check:?}");
    }
}

#[test]
fn what_only_shows_when_it_is_made_ready_is_refused_too() {
    let upstream = TestUpstream::named("one");
    let occupied = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = occupied.local_addr().unwrap();
    let proxy = start(&upstream);
    proxy.scratch.write("broken.wasm", "no component");
    let before = text(&proxy);
    let route = "[[routes]]\nhost = \"b.test\"\npool = \"b\"\npolicies = []\n";
    let pool = "[pools.b]\nbackends = [\"nowhere.invalid:1\"]\n[resolver]\nstrict = true\n";
    let policies = "[policies.broken]\ncomponent = \"broken.wasm\"\n";
    let used = "[[routes]]\nhost = \"c.test\"\npool = \"c\"\npolicies = [\"broken\"]\n\
                [pools.c]\nbackends = [\"127.0.0.1:1\"]\n";
    let listen = format!("listen = [\"127.0.0.1:0\", \"{taken}\"]");
    let tls = "[[routes]]\nhost = \"d.test\"\npool = \"d\"\npolicies = []\n[pools.d]\n\
               backends = [\"https://127.0.0.1:1\"]\ntls = { ca = \"missing.pem\" }\n";
    let cases = [
        (format!("{pool}{route}"), "nowhere.invalid"),
        (format!("{policies}{used}"), "broken"),
        (tls.to_owned(), "missing.pem"),
    ];
    for (more, words) in cases {
        edit(&proxy, |text| format!("{text}\n{more}"));
        let errors = refusal(&proxy).join("\n");
        assert!(errors.contains(words), "{errors}");
        edit(&proxy, |text| text.replace(more.trim_end(), ""));
    }
    edit(&proxy, |text| {
        text.replace(
            "listen = \"127.0.0.1:0\"\nworkers",
            &format!("{listen}\nworkers"),
        )
    });
    let errors = refusal(&proxy).join("\n");
    assert!(errors.contains(&taken.to_string()), "{errors}");
    let checked = post(&proxy, "/reload?check");
    assert_eq!(checked.status, 422, "{}", checked.text());
    // Nothing was to change, so nothing was refused.
    assert_eq!(proxy.stat("/reload/refused"), 4);
    drop(occupied);
    assert_eq!(reload(&proxy)["listeners"]["added"][0], taken.to_string());
    assert_ne!(before, text(&proxy));
    assert_eq!(proxy.get("a.test", "/").text(), "one");
}

#[test]
fn a_file_that_is_half_written_or_gone_changes_nothing_until_it_is_whole() {
    let (one, two) = (TestUpstream::named("one"), TestUpstream::named("two"));
    let proxy = TestProxy::in_front_of(&one);
    let first = text(&proxy);
    let second = first.replace(&one.address().to_string(), &two.address().to_string());
    let half = &second[..second.find("[hosts]").unwrap() + 9];
    proxy.scratch.write("waypost.toml", half);
    eventually("the half was refused", || {
        (proxy.stat("/reload/refused") == 1).then_some(())
    });
    assert_eq!(proxy.get("a.test", "/").text(), "one");
    std::fs::remove_file(proxy.scratch.path().join("waypost.toml")).unwrap();
    let gone = proxy
        .stderr
        .find(|line| line.contains("is not there any more").then_some(()));
    assert!(gone.is_some());
    assert_eq!(post(&proxy, "/reload").status, 422);
    assert_eq!(proxy.get("a.test", "/").text(), "one");
    proxy.scratch.write("waypost.toml", &second);
    answers(&proxy, "a.test", "two");
    proxy.wait_for_stat("/reload/succeeded", 1);
    let metrics = proxy
        .admin(crate::fixtures::Request::new("GET", "/metrics"))
        .text();
    assert!(
        metrics.contains("waypost_config_last_reload_refused 0")
            && metrics.contains("waypost_config_reloads_total{result=\"refused\"} 2"),
        "{metrics}"
    );
}

#[test]
fn a_file_that_is_emptied_or_cut_short_is_not_followed_unless_that_is_asked() {
    let upstream = TestUpstream::named("one");
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables("[timeouts]\nidle = \"50s\"\n\n[limits]\nbody-bytes = 7\n")
        .start();
    let whole = text(&proxy);
    proxy.scratch.write("waypost.toml", "# nothing\n\n");
    proxy.wait_for_stat("/reload/refused", 1);
    let errors = refusal(&proxy).join("\n");
    assert!(errors.contains("is empty"), "{errors}");
    let cut = &whole[..whole.find("[limits]").unwrap()];
    proxy.scratch.write("waypost.toml", cut);
    proxy.wait_for_stat("/reload/refused", 3);
    let line = proxy
        .stderr
        .find(|line| line.contains("looks cut short").then(|| line.to_owned()));
    assert!(line.unwrap().contains("`waypost reload`"));
    assert_eq!(proxy.get("a.test", "/").text(), "one");
    assert_eq!(reload(&proxy)["settings"], serde_json::json!(["limits"]));
    assert_eq!(proxy.get("a.test", "/").text(), "one");
    // One that was put in its place is whole.
    let shorter = &cut[..cut.find("[timeouts]").unwrap()];
    proxy.scratch.replace("waypost.toml", shorter);
    proxy.wait_for_stat("/reload/succeeded", 2);
}

/// What a check and a reload say, which must be the same.
#[track_caller]
fn refusal_of_both(proxy: &TestProxy) -> String {
    let checked = post(proxy, "/reload?check");
    assert_eq!(checked.status, 422, "{}", checked.text());
    let errors = refusal(proxy).join("\n");
    for error in errors.lines() {
        let quoted = serde_json::to_string(error).unwrap();
        assert!(checked.text().contains(&quoted), "{}", checked.text());
    }
    errors
}

#[test]
fn a_check_refuses_addresses_and_files_that_a_reload_could_not_open() {
    let upstream = TestUpstream::named("one");
    let occupied = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = occupied.local_addr().unwrap();
    let proxy = start(&upstream);
    let admin = proxy.admin_address();
    let own = format!("0.0.0.0:{}", admin.port());
    let cases = [
        (taken.to_string(), "another address is set by"),
        (own, "this process itself listens on"),
    ];
    let listen = |address: &str| format!("[admin]\nlisten = \"{address}\"\ntoken = \"a-token\"");
    for (address, words) in cases {
        edit(&proxy, |text| {
            text.replace("[admin]\nlisten = \"127.0.0.1:0\"", &listen(&address))
        });
        let errors = refusal_of_both(&proxy);
        assert!(
            errors.contains(words) && errors.contains(&address),
            "{errors}"
        );
        edit(&proxy, |text| {
            text.replace(&listen(&address), "[admin]\nlisten = \"127.0.0.1:0\"")
        });
    }
    edit(&proxy, |text| {
        text.replace("[access-log]\n", "[access-log]\npath = \"none/a.log\"\n")
    });
    let errors = refusal_of_both(&proxy);
    assert!(errors.contains("none/a.log can't be opened"), "{errors}");
    edit(&proxy, |text| {
        let text = text.replace("path = \"none/a.log\"\n", "");
        format!("{text}\n[record]\nfile = \"none/a.jsonl\"\n")
    });
    let errors = refusal_of_both(&proxy);
    assert!(errors.contains("none/a.jsonl can't be written"), "{errors}");
}
