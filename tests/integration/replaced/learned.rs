//! What a process has learned goes over to the one that replaces it.

use super::Replaceable;
use crate::backends::{answers, backends, call, change, endpoints, last_of, say};
use crate::fixtures::{
    BINARY, Client, NameServer, Reply, Request, TestProxy, TestUpstream, eventually, get, guest,
    refusing_address,
};
use crate::names::{asking, is_in_state, on_one_port, pool};

#[test]
fn backends_by_the_admin_api_go_over_without_a_state_directory() {
    let [one, two, three] = ["one", "two", "three"].map(TestUpstream::named);
    let builder = last_of(&format!("backends = {}", backends(&[&one])));
    let mut service = Replaceable::start(builder);
    let added = format!(
        r#"["{}", {{"address": "{}", "weight": 7, "labels": {{"zone": "b"}}}}]"#,
        two.address(),
        three.address()
    );
    change(&service.proxy, "PUT", "/pools/x/backends", &added);
    say(&service.proxy, one.address(), "down");
    say(&service.proxy, two.address(), "weight?value=9");
    let before = endpoints(&service.proxy);
    assert_eq!(before.len(), 3);
    for _ in 0..2 {
        let former = service.upgrade();
        service.wait_for_end(former);
        assert_eq!(endpoints(&service.proxy), before);
        assert_eq!(answers(&service.proxy), "three");
        let all = service.proxy.stats()["topology"]["x"]["endpoints"].clone();
        assert_eq!(
            (&all[1]["weight"], &all[2]["weight"]),
            (&9.into(), &7.into())
        );
        assert_eq!(all[2]["labels"]["zone"], "b");
    }
    // What a process has taken over is its own to change.
    say(&service.proxy, one.address(), "up");
    change(&service.proxy, "DELETE", "/pools/x/backends", "");
    assert_eq!(answers(&service.proxy), "one");
}

#[test]
fn a_state_directory_that_comes_with_an_upgrade_gets_what_the_process_before_had() {
    let [one, two] = ["one", "two"].map(TestUpstream::named);
    let builder = last_of(&format!("backends = {}", backends(&[&one])));
    let mut service = Replaceable::start(builder.keys("# keys"));
    change(
        &service.proxy,
        "PUT",
        "/pools/x/backends",
        &backends(&[&two]),
    );
    service.edit("# keys", "state-dir = \"state\"");
    service.upgrade();
    assert_eq!(answers(&service.proxy), "two");
    let kept = service.proxy.scratch.path().join("state/backends.json");
    let kept = std::fs::read_to_string(kept).unwrap();
    assert!(kept.contains(&two.address().to_string()), "{kept}");
}

#[test]
fn no_backend_is_changed_while_another_process_is_about_to_take_over() {
    let one = TestUpstream::named("one");
    let settings = format!(
        "backends = {}\n[timeouts]\nupgrade = \"60s\"",
        backends(&[&one])
    );
    let service = Replaceable::start(last_of(&settings));
    service.put("echo > started; while [ ! -e end ]; do sleep 0.05; done");
    let proxy = &service.proxy;
    std::thread::scope(|scope| {
        let upgrade = scope.spawn(|| service.refusal("/upgrade", 422));
        let folder = proxy.scratch.path();
        eventually("the new process runs", || {
            folder.join("started").exists().then_some(())
        });
        let down = format!("/pools/x/backends/{}/down", one.address());
        let refused = call(proxy, "POST", &down, "");
        assert_eq!(refused.status, 503, "{}", refused.text());
        let text = refused.text();
        assert!(text.contains("is about to take over"), "{text}");
        std::fs::write(folder.join("end"), "").unwrap();
        upgrade.join().unwrap();
    });
    assert_eq!(answers(proxy), "one");
    say(proxy, one.address(), "down");
}

#[test]
fn a_reload_that_has_waited_for_an_upgrade_learns_that_another_process_serves() {
    let one = TestUpstream::named("one");
    let builder = TestProxy::builder().host("*", &[one.address()]);
    let mut service = Replaceable::start(builder);
    let wait = "echo > started; while [ ! -e go ]; do sleep 0.05; done";
    service.put(&format!("{wait}; exec {BINARY} \"$@\""));
    let folder = service.proxy.scratch.path().to_owned();
    let admin = service.proxy.admin_address();
    let (pid, refused) = std::thread::scope(|scope| {
        let reload = scope.spawn(|| {
            eventually("the new process runs", || {
                folder.join("started").exists().then_some(())
            });
            let mut client = Client::connect(admin);
            let reload = Request::new("POST", "/reload").host("localhost").body(b"");
            client.send(reload.bytes());
            // The admin listener has read one when it has answered a later one.
            assert_eq!(
                service.proxy.admin(Request::new("GET", "/config")).status,
                200
            );
            std::fs::write(folder.join("go"), "").unwrap();
            client.response_to("POST")
        });
        let upgraded = service.ask("/upgrade");
        assert_eq!(upgraded.status, 200, "{}", upgraded.text());
        let upgraded: serde_json::Value = serde_json::from_slice(&upgraded.body).unwrap();
        (upgraded["pid"].as_u64().unwrap(), reload.join().unwrap())
    });
    service.processes.push(pid.try_into().unwrap());
    assert_eq!(refused.status, 503, "{}", refused.text());
    let text = refused.text();
    assert!(
        text.contains("has just taken over") && text.contains("ask again"),
        "{text}"
    );
    service.put_back();
    let reload = Request::new("POST", "/reload").body(b"");
    assert_eq!(service.proxy.admin(reload).status, 200);
}

#[test]
fn answers_of_name_servers_and_lists_of_files_are_there_where_neither_can_be_had() {
    let server = NameServer::start();
    let (port, _all) = on_one_port([2, 3]);
    server.addresses("a.test", &["127.0.0.2"]);
    let list = format!("[\"127.0.0.3:{port}\"]");
    let tables = pool("a", &format!("[\"a.test:{port}\"]"));
    let of_file = "[pools.f]\nfile = \"b.json\"\n\
                   [[routes]]\nhost = \"f\"\npool = \"f\"\npolicies = []\n";
    let builder = asking(&server).file("b.json", &list);
    let mut service = Replaceable::start(builder.tables(&(tables + of_file)));
    let proxy = &service.proxy;
    eventually("both answer", || {
        (proxy.get("a", "/").text() == "2" && proxy.get("f", "/").text() == "3").then_some(())
    });
    server.both("a.test", &Reply::Silence);
    std::fs::remove_file(service.proxy.scratch.path().join("b.json")).unwrap();
    for _ in 0..2 {
        service.upgrade();
        assert_eq!(service.proxy.get("a", "/").text(), "2");
        assert_eq!(service.proxy.get("f", "/").text(), "3");
        is_in_state(&service.proxy, "a.test", "stale");
        let refused = service.proxy.stats()["topology"]["f"]["file"]["refused"].clone();
        assert!(
            refused.as_str().unwrap().contains("b.json can't be read"),
            "{refused}"
        );
    }
    server.addresses("a.test", &["127.0.0.3"]);
    service.proxy.scratch.replace("b.json", "[]");
    let proxy = &service.proxy;
    eventually("the new answers count", || {
        let file = proxy.get("f", "/").status;
        (proxy.get("a", "/").text() == "3" && file == 503).then_some(())
    });
}

fn state(proxy: &TestProxy, of: std::net::SocketAddr) -> serde_json::Value {
    proxy.stats()["backends"][of.to_string()].clone()
}

#[test]
fn a_backend_that_is_ejected_or_down_stays_so() {
    let [(_held, dead), (_kept, down)] = [(); 2].map(|()| refusing_address());
    let alive = TestUpstream::named("alive");
    let good = alive.address();
    let builder = TestProxy::builder().tables(&format!(
        "[pools.a]\nbackends = [\"{dead}\", \"{good}\"]\nfail-timeout = \"1h\"\nmax-failures = 1\n\
         [[routes]]\nhost = \"a.test\"\npool = \"a\"\npolicies = []\n\
         [pools.b]\nbackends = [\"{down}\", \"{good}\"]\n\
         [pools.b.health]\nkind = \"tcp\"\ninterval = \"1h\"\n\
         [[routes]]\nhost = \"b.test\"\npool = \"b\"\npolicies = []"
    ));
    let mut service = Replaceable::start(builder);
    eventually("one is ejected, the other down", || {
        let mut client = Client::connect(service.proxy.address());
        client.ask(get("a.test", "/"));
        let both = [dead, down].map(|of| state(&service.proxy, of)["state"].clone());
        (both == ["ejected", "down"]).then_some(())
    });
    for _ in 0..2 {
        service.upgrade();
        let ejected = state(&service.proxy, dead);
        assert_eq!(ejected["state"], "ejected", "{ejected:#}");
        assert_eq!(ejected["reason"], "a failure", "{ejected:#}");
        assert_eq!(ejected["ejections"], 1, "{ejected:#}");
        assert_eq!(state(&service.proxy, down)["state"], "down");
        for _ in 0..20 {
            assert_eq!(service.proxy.get("a.test", "/").text(), "alive");
        }
        assert_eq!(
            state(&service.proxy, dead)["failures"],
            0,
            "it was not asked"
        );
    }
}

#[test]
fn a_policy_can_be_rolled_back_to_what_decided_before_the_upgrade() {
    let [one, two] = ["one", "two"].map(TestUpstream::named);
    for keys in ["", "state-dir = \"state\""] {
        let builder = TestProxy::builder()
            .keys(keys)
            .file("first.wasm", guest("pick-first"))
            .pool_for_all(&[one.address(), two.address()], &["choice"])
            .tables("[policies.choice]\ncomponent = \"first.wasm\"\ndeadline = \"2s\"");
        let mut service = Replaceable::start(builder);
        let deployed = service.proxy.put_policy("choice", &guest("pick-last"));
        assert_eq!(deployed.status, 200, "{}", deployed.text());
        let answer = |service: &Replaceable| service.proxy.get("a.test", "/").text();
        assert_eq!(answer(&service), "two");
        // Back to the configured one, and forth to the deployed one; each twice over an upgrade.
        for (generation, text) in [(1, "one"), (2, "two"), (1, "one"), (2, "two")] {
            service.upgrade();
            let back = Request::new("POST", "/policies/choice/rollback").body(b"");
            let back = service.proxy.admin(back);
            assert_eq!(back.status, 200, "{keys:?}: {}", back.text());
            let now = service.proxy.policy("choice");
            assert_eq!(now["generation"], generation, "{keys:?}: {now:#}");
            assert_eq!(answer(&service), text);
        }
    }
}
