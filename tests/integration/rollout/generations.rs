//! Generations: numbered, kept, pinned, and there again after a restart.

use std::io::Write as _;

use super::{deployed, said, start, states};
use crate::fixtures::{Request, Scratch, TestProxy, TestUpstream, eventually, get, guest, waypost};

/// A component that is as large as those of JavaScript and Python: a custom section of nothing
/// behind another one.
pub(super) fn large(component: &[u8]) -> Vec<u8> {
    const SIZE: u32 = 2 * 1024 * 1024;
    let mut large = component.to_vec();
    large.push(0);
    let mut length = SIZE + 4;
    while length >= 0x80 {
        large.push((length as u8 & 0x7f) | 0x80);
        length >>= 7;
    }
    large.push(length as u8);
    large.write_all(b"\x03pad").unwrap();
    large.resize(large.len() + SIZE as usize, 0);
    large
}

#[test]
fn each_deployment_is_a_generation_with_a_history() {
    let d = deployed(1, "", "");
    let first = d.now();
    assert_eq!(
        (&first["state"], &first["generation"]),
        (&"active".into(), &1.into()),
        "{first:#}"
    );
    d.deploy("", "pick-last");
    assert_eq!(d.put("", &guest("core-module")).status, 422);
    let now = d.now();
    let told: Vec<_> = now["generations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|g| (&g["generation"], &g["state"]))
        .collect();
    let expected =
        [(3, "failed"), (2, "active"), (1, "retired")].map(|(n, s)| (n.into(), s.into()));
    assert_eq!(
        told,
        expected.iter().map(|(n, s)| (n, s)).collect::<Vec<_>>(),
        "{now:#}"
    );
    assert!(
        now["generations"][0]["digest"]
            .as_str()
            .unwrap()
            .starts_with("sha256:")
    );
    assert_eq!(states(&now, 1), ["loading", "active", "retired"]);
    assert!(
        now["last_error"].as_str().unwrap().contains("core module"),
        "{now:#}"
    );
    assert_eq!(d.decides(), "last");
}

#[test]
fn a_rollback_goes_back_and_forth_without_the_component() {
    let d = deployed(2, "", "");
    assert_eq!(d.ask("POST", "rollback").status, 409);
    d.deploy("", "pick-last");
    for (decides, generation) in [("first", 1), ("last", 2), ("first", 1)] {
        let now = said(d.ask("POST", "rollback"));
        assert_eq!(
            (&now["generation"], &now["state"]),
            (&generation.into(), &"active".into()),
            "{now:#}"
        );
        // On every worker: connections are spread over them.
        (0..8).for_each(|_| assert_eq!(d.decides(), decides));
    }
    assert!(
        d.now()["history"][0]["reason"]
            .as_str()
            .unwrap()
            .contains("rolled back from generation 2")
    );
}

#[test]
fn pinned_bytes_are_the_only_ones_accepted() {
    let free = deployed(1, "", "");
    let digest = free.now()["digest"].as_str().unwrap().to_owned();
    let d = deployed(1, &format!("digest = \"{digest}\""), "");
    let refused = d.put("", &guest("pick-last"));
    assert_eq!(refused.status, 422);
    assert!(
        refused.text().contains(&digest) && refused.text().contains("digest"),
        "{}",
        refused.text()
    );
    assert_eq!(
        d.put("?mode=canary&percent=5", &guest("pick-last")).status,
        422
    );
    assert_eq!(
        d.put("", &guest("pick-first")).status,
        200,
        "the same bytes are fine"
    );
    assert_eq!(d.decides(), "first");

    let scratch = Scratch::new();
    scratch.write("mine.wasm", guest("pick-last"));
    let text = format!(
        "listen = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[pools.a]\nbackends = [\"127.0.0.1:1\"]\n\
         [[routes]]\npool = \"a\"\npolicies = [\"mine\"]\n[policies.mine]\ncomponent = \"mine.wasm\"\ndigest = \"{digest}\"\n"
    );
    scratch.write("waypost.toml", text);
    for command in ["check", "run"] {
        let exit = waypost([command, "--config", "waypost.toml"], scratch.path());
        assert!(
            exit.code.is_some_and(|code| code > 0),
            "{command}: {exit:?}"
        );
        assert!(
            format!("{}{}", exit.stdout, exit.stderr).contains(&digest),
            "{command}: {exit:?}"
        );
    }
}

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
    assert!(
        proxy.stderr.text().contains("can't be read"),
        "{}",
        proxy.stderr.text()
    );
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
fn a_large_policy_is_loaded_while_other_routes_serve() {
    let backend = TestUpstream::named("served");
    let address = backend.address();
    let proxy = TestProxy::builder()
        .workers(4)
        .host("quick.test", &[address])
        .file("slow.wasm", large(&guest("probe")))
        .tables(&format!(
            "[pools.slow]\nbackends = [\"{address}\"]\n\
             [[routes]]\nhost = \"open.test\"\npool = \"slow\"\npolicies = [\"open\"]\n\
             [[routes]]\nhost = \"shut.test\"\npool = \"slow\"\npolicies = [\"shut\"]\n\
             [policies.open]\ncomponent = \"slow.wasm\"\ndeadline = \"1s\"\non-failure = \"random\"\nsettings = {{ on_configure = \"spin=1000000\" }}\n\
             [policies.shut]\ncomponent = \"slow.wasm\"\ndeadline = \"1s\"\nsettings = {{ on_configure = \"spin=1000000\" }}\n"
        ))
        .start();
    // Both take a second for each worker to set up, one after the other.
    assert_eq!(proxy.get("quick.test", "/").text(), "served");
    let shut = proxy.policy("shut");
    assert_eq!(shut["state"], "loading", "{shut:#}");
    let ready = proxy.admin(Request::new("GET", "/readyz"));
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("shut"), "{}", ready.text());
    proxy.get("shut.test", "/").assert_refusal(503);
    assert_eq!(
        proxy.get("open.test", "/").text(),
        "served",
        "its on-failure is written"
    );
    eventually("all are loaded", || {
        (proxy.admin(Request::new("GET", "/readyz")).status == 200).then_some(())
    });
    assert_eq!(proxy.get("shut.test", "/").text(), "served");
    assert_eq!(proxy.policy("shut")["state"], "active");
}

#[test]
fn a_large_policy_that_is_refused_is_failed_and_can_be_replaced() {
    let backend = TestUpstream::named("served");
    let proxy = TestProxy::builder()
        .file("slow.wasm", large(&guest("probe")))
        .pool_for_all(&[backend.address()], &["slow"])
        .tables(&format!(
            "[policies.slow]\ncomponent = \"slow.wasm\"\ndeadline = \"1s\"\ndigest = \"{}\"",
            waypost::policy::digest(&guest("pick-first"))
        ))
        .start();
    eventually("it is refused", || {
        (proxy.policy("slow")["state"] == "failed").then_some(())
    });
    assert!(
        proxy.policy("slow")["last_error"]
            .as_str()
            .unwrap()
            .contains("accepts only")
    );
    proxy.get("a.test", "/").assert_refusal(503);
    let ready = proxy.admin(Request::new("GET", "/readyz"));
    assert!(
        ready.status == 503 && ready.text().contains("slow"),
        "{}",
        ready.text()
    );
    // Nothing to compare with yet.
    let component = guest("pick-first");
    let shadow = proxy.admin(Request::new("PUT", "/policies/slow?mode=shadow").body(&component));
    assert_eq!(shadow.status, 409, "{}", shadow.text());
    said(proxy.admin(Request::new("PUT", "/policies/slow").body(&component)));
    assert_eq!(proxy.get("a.test", "/").text(), "served");
    assert_eq!(proxy.admin(Request::new("GET", "/readyz")).status, 200);
}

#[test]
fn a_swap_reaches_every_worker_before_the_answer() {
    let d = deployed(4, "", "");
    for turn in 0..20 {
        let (component, name) = if turn % 2 == 0 {
            ("pick-last", "last")
        } else {
            ("pick-first", "first")
        };
        d.deploy("", component);
        let mut clients: Vec<_> = (0..12).map(|_| d.proxy.client()).collect();
        for client in &mut clients {
            assert_eq!(
                client.ask(get("a.test", "/")).value("x-policy").as_deref(),
                Some(name)
            );
        }
    }
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
fn a_policy_that_is_too_slow_for_an_instance_a_request_is_refused() {
    let scratch = Scratch::new();
    scratch.write("mine.wasm", guest("probe"));
    let text = "listen = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[pools.a]\nbackends = [\"127.0.0.1:1\"]\n\
                [[routes]]\npool = \"a\"\npolicies = [\"mine\"]\n[policies.mine]\ncomponent = \"mine.wasm\"\n\
                isolation = \"request\"\nsettings = { on_configure = \"spin=500000\" }\n";
    scratch.write("waypost.toml", text);
    let exit = waypost(["check", "--config", "waypost.toml"], scratch.path());
    assert_eq!(exit.code, Some(1), "{exit:?}");
    assert!(exit.stdout.contains("isolation"), "{exit:?}");
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
