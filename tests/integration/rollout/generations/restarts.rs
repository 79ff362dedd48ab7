//! What a restart comes back with.

use super::super::{said, start};
use crate::fixtures::{Request, Scratch, TestProxy, TestUpstream, eventually, guest};

#[test]
fn a_restart_comes_back_with_what_was_promoted_last() {
    let state = Scratch::new();
    let keys = format!(
        "state-dir = {:?}",
        state.path().join("state").display().to_string()
    );
    let backends = [TestUpstream::named("first"), TestUpstream::named("last")];
    let put = |proxy: &TestProxy, query: &str, name: &str| {
        said(proxy.admin(Request::new("PUT", &format!("/policies/mine{query}")).body(guest(name))))
    };
    let decides = |proxy: &TestProxy| {
        proxy
            .get("a.test", "/")
            .value("x-policy")
            .unwrap_or_default()
    };

    let proxy = start(&backends, 1, "", &keys, "pick-first");
    assert_eq!(decides(&proxy), "first");
    put(&proxy, "?mode=canary&percent=0.01", "pick-last");
    drop(proxy);
    let proxy = start(&backends, 1, "", &keys, "pick-first");
    assert_eq!(
        decides(&proxy),
        "first",
        "a canary is not promoted by a restart"
    );
    put(&proxy, "?mode=canary&percent=0.01", "pick-last");
    let promoted = said(proxy.admin(Request::new("POST", "/policies/mine/promote")));
    drop(proxy);

    let proxy = start(&backends, 1, "", &keys, "pick-first");
    assert_eq!(decides(&proxy), "last");
    assert_eq!(proxy.policy("mine")["generation"], promoted["generation"]);
    assert_eq!(proxy.policy("mine")["digest"], promoted["digest"]);
    assert!(put(&proxy, "", "pick-last")["generation"].as_u64() > promoted["generation"].as_u64());
    drop(proxy);

    // Who names another component in the configuration has deployed that one.
    let proxy = start(&backends, 1, "", &keys, "probe");
    assert_eq!(decides(&proxy), "");
    drop(proxy);
    // What was kept and then damaged is not run.
    let folder = state.path().join("state/mine");
    for file in std::fs::read_dir(&folder)
        .unwrap()
        .flatten()
        .filter(|f| f.path().extension().is_some_and(|e| e == "wasm"))
    {
        std::fs::write(file.path(), guest("pick-last")).unwrap();
    }
    let proxy = start(&backends, 1, "", &keys, "pick-first");
    assert_eq!(decides(&proxy), "first");
    proxy.stderr.says("can't be read");
}

#[test]
fn without_a_state_dir_the_configuration_alone_decides() {
    let backends = [TestUpstream::named("first"), TestUpstream::named("last")];
    let proxy = start(&backends, 1, "", "", "pick-first");
    said(proxy.admin(Request::new("PUT", "/policies/mine").body(guest("pick-last"))));
    drop(proxy);
    let proxy = start(&backends, 1, "", "", "pick-first");
    assert_eq!(
        proxy.get("a.test", "/").value("x-policy").as_deref(),
        Some("first")
    );
}

#[test]
fn what_was_put_stays_although_the_file_is_still_there() {
    let backends = [TestUpstream::named("first"), TestUpstream::named("last")];
    let proxy = TestProxy::builder()
        .file("mine.wasm", guest("pick-first"))
        .file("other.wasm", guest("probe"))
        .pool_for_all(&[backends[0].address(), backends[1].address()], &["mine", "other"])
        .tables("[policies.mine]\ncomponent = \"mine.wasm\"\n[policies.other]\ncomponent = \"other.wasm\"")
        .start();
    let put = Request::new("PUT", "/policies/mine").body(guest("pick-last"));
    assert_eq!(said(proxy.admin(put))["generation"], 2);
    // Files are looked at equally often, so when this one has been noticed, that of `mine` has been
    // looked at too.
    proxy.scratch.replace("other.wasm", b"half a download");
    eventually("the files are looked at", || {
        proxy.policy("other")["last_error"]
            .is_string()
            .then_some(())
    });
    assert_eq!(proxy.policy("mine")["generation"], 2);
    proxy.scratch.replace("mine.wasm", guest("probe"));
    eventually("the changed file decides", || {
        (proxy.policy("mine")["generation"] == 3).then_some(())
    });
}

#[test]
fn a_file_that_was_not_there_at_a_restart_undoes_nothing_when_it_is_back() {
    let state = Scratch::new();
    let keys = format!(
        "state-dir = {:?}",
        state.path().join("state").display().to_string()
    );
    let backends = [TestUpstream::named("first"), TestUpstream::named("last")];
    let files = Scratch::new();
    let file = files.write("mine.wasm", guest("pick-first"));
    let other = files.write("other.wasm", guest("probe"));
    let start = || {
        TestProxy::builder()
            .keys(&keys)
            .pool_for_all(
                &[backends[0].address(), backends[1].address()],
                &["mine", "other"],
            )
            .tables(&format!(
                "[policies.mine]\ncomponent = {:?}\n[policies.other]\ncomponent = {:?}",
                file.display().to_string(),
                other.display().to_string()
            ))
            .start()
    };
    let proxy = start();
    said(proxy.admin(Request::new("PUT", "/policies/mine").body(guest("pick-last"))));
    drop(proxy);

    std::fs::remove_file(&file).unwrap();
    let proxy = start();
    assert_eq!(proxy.policy("mine")["generation"], 2);
    files.replace("mine.wasm", guest("pick-first"));
    // Files are looked at equally often.
    files.replace("other.wasm", b"half a download");
    eventually("the files are looked at", || {
        proxy.policy("other")["last_error"]
            .is_string()
            .then_some(())
    });
    assert_eq!(proxy.policy("mine")["generation"], 2);
    drop(proxy);

    // Numbers go on, also where the configuration wins.
    files.replace("other.wasm", guest("probe"));
    files.replace("mine.wasm", guest("probe"));
    let proxy = start();
    let now = proxy.policy("mine");
    assert_eq!(
        (&now["generation"], &now["state"]),
        (&3.into(), &"active".into()),
        "{now:#}"
    );
}

#[test]
fn a_restart_after_a_rollback_restores_the_previous_component() {
    let state = Scratch::new();
    let keys = format!(
        "state-dir = {:?}",
        state.path().join("state").display().to_string()
    );
    let backends = [TestUpstream::named("first"), TestUpstream::named("last")];
    let start = || start(&backends, 1, "", &keys, "probe");
    let put = |proxy: &TestProxy, query: &str, name: &str| {
        said(proxy.admin(Request::new("PUT", &format!("/policies/mine{query}")).body(guest(name))))
    };
    let decides = |proxy: &TestProxy| {
        proxy
            .get("a.test", "/")
            .value("x-policy")
            .unwrap_or_default()
    };
    let proxy = start();
    put(&proxy, "", "pick-last");
    // A trial that ends in between takes nothing with it.
    put(&proxy, "?mode=shadow", "probe");
    said(proxy.admin(Request::new("DELETE", "/policies/mine/shadow")));
    put(&proxy, "", "pick-first");
    put(&proxy, "?mode=canary&percent=0.01", "probe");
    said(proxy.admin(Request::new("DELETE", "/policies/mine/canary")));
    let back = said(proxy.admin(Request::new("POST", "/policies/mine/rollback")));
    assert_eq!(
        (&back["generation"], decides(&proxy).as_str()),
        (&2.into(), "last"),
        "{back:#}"
    );
    drop(proxy);

    let proxy = start();
    assert_eq!(decides(&proxy), "last");
    let now = proxy.policy("mine");
    assert_eq!(
        (&now["generation"], &now["digest"]),
        (&2.into(), &back["digest"]),
        "{now:#}"
    );
    // Numbers go on after the last that was given, not after the one that came back.
    assert_eq!(put(&proxy, "", "pick-first")["generation"], 6);
    assert_eq!(
        said(proxy.admin(Request::new("POST", "/policies/mine/rollback")))["generation"],
        2
    );
    drop(proxy);
    assert_eq!(
        decides(&start()),
        "last",
        "and the same after one more round"
    );
}
