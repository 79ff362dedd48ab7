//! What the admin API has changed, after a restart.

use super::{answers, backends, change, endpoints, last_of, say};
use crate::fixtures::{Scratch, TestProxy, TestUpstream};

fn start(state: Option<&Scratch>, one: &TestUpstream) -> TestProxy {
    let builder = last_of(&format!("backends = {}", backends(&[one])));
    match state {
        None => builder.start(),
        Some(state) => {
            let folder = state.path().join("state");
            let keys = format!("state-dir = {:?}", folder.display().to_string());
            builder.keys(&keys).start()
        }
    }
}

#[test]
fn with_a_state_dir_it_is_there_again_and_without_it_is_not() {
    let [one, two] = ["one", "two"].map(TestUpstream::named);
    for state in [None, Some(Scratch::new())] {
        let proxy = start(state.as_ref(), &one);
        let labelled = format!(
            r#"[{{"address": "{}", "weight": 7, "labels": {{"zone": "b"}}}}]"#,
            two.address()
        );
        change(&proxy, "PUT", "/pools/x/backends", &labelled);
        say(&proxy, one.address(), "down");
        let before = endpoints(&proxy);
        drop(proxy);
        let proxy = start(state.as_ref(), &one);
        if state.is_none() {
            assert_eq!(
                endpoints(&proxy),
                [format!("{} configuration unproven", one.address())]
            );
            continue;
        }
        assert_eq!(endpoints(&proxy), before);
        assert_eq!(answers(&proxy), "two");
        let endpoint = &proxy.stats()["topology"]["x"]["endpoints"][1];
        assert_eq!(
            (&endpoint["weight"], &endpoint["labels"]["zone"]),
            (&7.into(), &"b".into())
        );
    }
}

#[test]
fn damage_is_said_and_the_proxy_runs_without_it() {
    let [one, two] = ["one", "two"].map(TestUpstream::named);
    let state = Scratch::new();
    let file = state.path().join("state/backends.json");
    let proxy = start(Some(&state), &one);
    change(&proxy, "PUT", "/pools/x/backends", &backends(&[&two]));
    drop(proxy);
    let whole = std::fs::read_to_string(&file).unwrap();
    for (damaged, says) in [
        (whole[..whole.len() / 2].to_owned(), "EOF"),
        (
            whole.replace("\"version\": 1", "\"version\": 9"),
            "version 9",
        ),
        (
            whole.replace("127.0.0.1", "127.0.0.1.7"),
            "backends.json, /0",
        ),
    ] {
        std::fs::write(&file, damaged).unwrap();
        let proxy = start(Some(&state), &one);
        assert_eq!(answers(&proxy), "one");
        let ready = super::call(&proxy, "GET", "/readyz", "").text();
        assert!(
            ready.contains("is damaged in `state-dir`") && ready.contains(says),
            "{ready}"
        );
    }
    let proxy = start(Some(&state), &one);
    change(&proxy, "PUT", "/pools/x/backends", &backends(&[&two]));
    let ready = super::call(&proxy, "GET", "/readyz", "").text();
    assert!(!ready.contains("damaged"), "{ready}");
    drop(proxy);
    assert_eq!(answers(&start(Some(&state), &one)), "two");
    let aside = state.path().join("state/backends.json.damaged");
    let aside = std::fs::read_to_string(aside).unwrap();
    assert!(
        aside.contains("127.0.0.1.7"),
        "what was damaged is kept: {aside}"
    );
}

#[test]
fn a_link_in_the_place_of_the_file_is_not_followed() {
    let [one, two] = ["one", "two"].map(TestUpstream::named);
    let state = Scratch::new();
    let proxy = start(Some(&state), &one);
    change(&proxy, "PUT", "/pools/x/backends", &backends(&[&two]));
    drop(proxy);
    let (file, elsewhere) = (
        state.path().join("state/backends.json"),
        state.path().join("b"),
    );
    std::fs::rename(&file, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    let proxy = start(Some(&state), &one);
    assert_eq!(answers(&proxy), "one");
    let ready = super::call(&proxy, "GET", "/readyz", "").text();
    assert!(ready.contains("is a symbolic link"), "{ready}");
}
