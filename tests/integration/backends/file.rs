//! `file` of a pool.

use super::{answers, backends, call, change, endpoints, last_of, say};
use crate::fixtures::{Request, TestProxy, TestUpstream, eventually, waypost};

const FILE: &str = "file = \"b.json\"";

#[track_caller]
fn becomes(proxy: &TestProxy, expected: &str) {
    eventually("another answer", || {
        (answers(proxy) == expected).then_some(())
    });
}

/// Waits until it is said why the file is not used.
#[track_caller]
fn refused(proxy: &TestProxy, expected: &str) {
    eventually("the file is refused", || {
        let stats = proxy.stats();
        let refused = stats["topology"]["x"]["file"]["refused"]
            .as_str()?
            .to_owned();
        refused.contains(expected).then_some(())
    });
}

#[test]
fn a_file_is_followed_and_one_that_is_broken_keeps_the_last_good_list() {
    let [one, two, three] = ["one", "two", "three"].map(TestUpstream::named);
    let settings = format!("{FILE}\nbackends = {}", backends(&[&one]));
    let proxy = last_of(&settings).file("b.json", backends(&[&two])).start();
    assert_eq!(answers(&proxy), "two");
    assert_eq!(
        endpoints(&proxy),
        [
            format!("{} configuration unproven", one.address()),
            format!("{} file healthy", two.address()),
        ]
    );
    proxy.scratch.replace(
        "b.json",
        format!("{{\"backends\": {}}}", backends(&[&two, &three])),
    );
    becomes(&proxy, "three");
    let path = proxy.scratch.path().join("b.json");
    std::fs::write(&path, "[\"127.0.0.1:1\"").unwrap();
    refused(&proxy, "b.json, line 1, column 14: not JSON");
    assert_eq!(answers(&proxy), "three");
    std::fs::remove_file(&path).unwrap();
    refused(&proxy, "can't be read");
    assert_eq!(answers(&proxy), "three");
    let metrics = proxy.admin(Request::new("GET", "/metrics")).text();
    assert!(
        metrics.contains("waypost_pool_file_refused{pool=\"x\"} 1"),
        "{metrics}"
    );
    let ready = call(&proxy, "GET", "/readyz", "").text();
    assert!(ready.contains("b.json can't be read"), "{ready}");
    proxy.scratch.replace("b.json", "[]");
    becomes(&proxy, "one");
    assert!(proxy.stats()["topology"]["x"]["file"]["refused"].is_null());
    assert!(proxy.stat("/topology/x/file/failures") >= 2);
}

#[test]
fn a_link_that_leads_elsewhere_is_followed_as_orchestrators_do_it() {
    let [one, two] = ["one", "two"].map(TestUpstream::named);
    let builder = last_of(FILE).file("v1.json", backends(&[&one]));
    let proxy = builder.file("v2.json", backends(&[&two])).start();
    let folder = proxy.scratch.path();
    std::os::unix::fs::symlink("v1.json", folder.join("b.json")).unwrap();
    becomes(&proxy, "one");
    std::os::unix::fs::symlink("v2.json", folder.join("next")).unwrap();
    std::fs::rename(folder.join("next"), folder.join("b.json")).unwrap();
    becomes(&proxy, "two");
}

#[test]
fn a_proxy_starts_without_its_file_and_takes_it_up_when_it_is_there() {
    let one = TestUpstream::named("one");
    let proxy = last_of(FILE).start();
    proxy.get("a.test", "/").assert_refusal(503);
    refused(&proxy, "b.json can't be read");
    proxy.scratch.replace("b.json", backends(&[&one]));
    becomes(&proxy, "one");
    say(&proxy, one.address(), "drain");
    proxy.get("a.test", "/").assert_refusal(503);
    let answer = call(
        &proxy,
        "DELETE",
        &format!("/pools/x/backends/{}", one.address()),
        "",
    );
    assert_eq!(answer.status, 422, "{}", answer.text());
    change(&proxy, "PUT", "/pools/x/backends", "[]");
    say(&proxy, one.address(), "up");
    assert_eq!(answers(&proxy), "one");
}

#[test]
fn a_file_that_a_reload_names_anew_has_to_be_right() {
    let [one, two] = ["one", "two"].map(TestUpstream::named);
    let proxy = last_of(&format!("backends = {}", backends(&[&one]))).start();
    let path = proxy.scratch.path().join("waypost.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    proxy.scratch.write("b.json", "[1]");
    std::fs::write(&path, format!("{text}{FILE}\n")).unwrap();
    let refused = call(&proxy, "POST", "/reload", "");
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert!(
        refused.text().contains("/0: is an integer"),
        "{}",
        refused.text()
    );
    proxy.scratch.write("b.json", backends(&[&two]).as_bytes());
    assert_eq!(call(&proxy, "POST", "/reload?check", "").status, 200);
    assert_eq!(call(&proxy, "POST", "/reload", "").status, 200);
    assert_eq!(answers(&proxy), "two");
    std::fs::write(&path, &text).unwrap();
    assert_eq!(call(&proxy, "POST", "/reload", "").status, 200);
    assert_eq!(answers(&proxy), "one");
}

#[test]
fn check_reads_the_file_too() {
    let scratch = crate::fixtures::Scratch::new();
    scratch.write(
        "waypost.toml",
        b"[pools.x]\nfile = \"b.json\"\n[[routes]]\npool = \"x\"\npolicies = []\n",
    );
    let check = || waypost(["check", "--config", "waypost.toml"], scratch.path());
    let said = check();
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.stdout
            .contains("`pools.x.file`: pool \"x\": `file`: b.json can't be read"),
        "{said:?}"
    );
    scratch.write("b.json", b"[\"127.0.0.1:81\"]");
    let said = check();
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.contains("pool \"x\": 127.0.0.1:81"), "{said:?}");
}
