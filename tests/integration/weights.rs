//! A weight of 0: a backend that is there, and takes no requests.

use crate::fixtures::{Request, TestProxy, TestUpstream, guest, waypost};

/// Backends `drained` (weight 0) and `open`, with these policies.
fn drained(
    drained: &TestUpstream,
    open: &TestUpstream,
    policies: &str,
    sections: &str,
) -> TestProxy {
    TestProxy::builder()
        .file("pick-first.wasm", guest("pick-first"))
        .file("probe.wasm", guest("probe"))
        .tables(&format!(
            "[pools.all]\nbackends = [{{ address = \"{}\", weight = 0 }}, \"{}\"]\n\
             [[routes]]\npool = \"all\"\npolicies = [{policies}]\n{sections}",
            drained.address(),
            open.address()
        ))
        .start()
}

#[test]
fn a_backend_of_weight_0_gets_no_request_whatever_a_policy_selects() {
    for (policies, sections) in [
        ("", ""),
        ("\"random\"", "[policies.random]\ndeadline = \"1s\""),
        (
            "\"least-loaded\"",
            "[policies.least-loaded]\ndeadline = \"1s\"",
        ),
        ("\"sticky\"", "[policies.sticky]\ndeadline = \"1s\""),
        // Names the backend with index 0, and nothing else.
        (
            "\"first\"",
            "[policies.first]\ncomponent = \"pick-first.wasm\"\ndeadline = \"1s\"",
        ),
        // The next policy of the route is asked.
        (
            "\"first\", \"probe\"",
            "[policies.first]\ncomponent = \"pick-first.wasm\"\ndeadline = \"1s\"\n\
             [policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"1s\"\nsettings = { select = [\"pick=1\", \"count=asked\"] }",
        ),
    ] {
        let (away, open) = (TestUpstream::named("drained"), TestUpstream::named("open"));
        let proxy = drained(&away, &open, policies, sections);
        for client in 0..40 {
            let request = Request::new("GET", "/")
                .host("a.test")
                .field("X-Client", &client.to_string());
            assert_eq!(proxy.ask(request.bytes()).text(), "open", "{policies}");
        }
        assert_eq!(away.received().len(), 0, "{policies}");
        if policies.contains("probe") {
            assert_eq!(proxy.stat("/policies/probe/counters/asked"), 40);
        }
    }
}

#[test]
fn a_backend_of_weight_0_is_not_a_fallback_for_one_that_fails() {
    let (away, (_held, dead)) = (
        TestUpstream::named("drained"),
        crate::fixtures::refusing_address(),
    );
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[pools.all]\nbackends = [{{ address = \"{}\", weight = 0 }}, \"{dead}\"]\nmax-failures = 1\n\
             [[routes]]\npool = \"all\"\n[policies.random]\ndeadline = \"1s\"\n[policies.range]\ndeadline = \"1s\"\n",
            away.address()
        ))
        .start();
    for _ in 0..5 {
        proxy.get("a.test", "/").assert_refusal(502);
    }
    assert_eq!(away.received().len(), 0);
}

#[test]
fn a_pool_of_weight_0_only_is_a_503_and_check_warns() {
    let (one, other) = (TestUpstream::named("one"), TestUpstream::named("other"));
    let tables = format!(
        "[pools.all]\nbackends = [{{ address = \"{}\", weight = 0 }}, {{ address = \"{}\", weight = 0 }}]\n\
         [[routes]]\npool = \"all\"\n[policies.random]\ndeadline = \"1s\"\n[policies.range]\ndeadline = \"1s\"\n",
        one.address(),
        other.address()
    );
    let proxy = TestProxy::builder().tables(&tables).start();
    let answer = proxy.get("a.test", "/");
    assert_eq!(answer.status, 503);
    assert!(
        answer.text().contains("No backend is available"),
        "{}",
        answer.text()
    );
    let exit = waypost(["check", "--config", "waypost.toml"], proxy.scratch.path());
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert!(exit.stdout.contains("weight 0"), "{exit:?}");
}
