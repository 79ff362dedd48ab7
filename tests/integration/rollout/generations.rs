//! Generations: numbered, kept, pinned, and there again after a restart.

mod restarts;

use std::io::Write as _;

use super::{deployed, said, states};
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
