//! Policies that say where requests go, and the one for responses that no backend has made.

use super::{component, request};
use crate::fixtures::{Builder, Request, TestProxy, TestUpstream, refusing_address};
use crate::forward_proxy::users::{SECRET, basic};
use crate::forward_proxy::{THIS_MACHINE, assert_open, client, connect_with, with_forward};

/// A proxy that has this policy as `it`.
fn with_policy(name: &str, settings: &str) -> Builder {
    TestProxy::builder()
        .file("policy.wasm", component(name))
        .tables(&format!(
            "[policies.it]\ncomponent = \"policy.wasm\"\ndeadline = \"1s\"\n\
             [policies.it.settings]\n{settings}\n"
        ))
}

#[test]
fn tenant_pool_sends_tenants_to_their_pools() {
    let [shared, acme] = ["shared", "acme"].map(|_| TestUpstream::echo());
    let settings = "tenant = \"path\"\nstrip = true\npools = { acme = \"acme\", lost = \"none\" }";
    let proxy = with_policy("tenant-pool", settings)
        .tables(&format!(
            "[pools.shared]\nbackends = [\"{}\"]\n[pools.acme]\nbackends = [\"{}\"]\n\
             [[routes]]\npools = [{{ pool = \"shared\" }}, {{ pool = \"acme\", weight = 0 }}]\n\
             policies = [\"it\"]\npolicies-may-edit = \"path\"\n",
            shared.address(),
            acme.address()
        ))
        .start();
    assert_eq!(proxy.ask(request("/acme/orders?page=2", &[])).status, 200);
    assert_eq!(acme.only_request().target(), "/orders?page=2");
    assert_eq!(proxy.ask(request("/other/orders", &[])).status, 200);
    assert_eq!(shared.only_request().target(), "/other/orders");
    assert_eq!(proxy.ask(request("/lost/orders", &[])).status, 503);
    assert_eq!(proxy.ask(request("/acme/a%2Fb", &[])).status, 400);
    assert_eq!((shared.received().len(), acme.received().len()), (1, 1));
    assert_eq!(proxy.stat("/policies/it/counters/unknown"), 1);
}

#[test]
fn response_fields_are_in_every_response() {
    let backend = TestUpstream::named("backend");
    let (_socket, dead) = refusing_address();
    let settings = "fields = { strict-transport-security = \"max-age=1\" }";
    let proxy = with_policy("response-fields", settings)
        .tables(&format!(
            "[pools.well]\nbackends = [\"{}\"]\n[pools.dead]\nbackends = [\"{dead}\"]\n\
             [[routes]]\npath = \"/dead\"\npool = \"dead\"\npolicies = [\"it\"]\n\
             [[routes]]\npath = \"/limited\"\npool = \"well\"\npolicies = [\"it\", \"limit\"]\n\
             [[routes]]\npool = \"well\"\npolicies = [\"it\"]\n\
             [policies.limit]\nbuiltin = \"rate-limit\"\nsettings = {{ rate = 0.001, burst = 1 }}\n",
            backend.address()
        ))
        .start();
    let asked = [
        ("/", 200),
        ("/dead", 502),
        ("/limited", 200),
        ("/limited", 429),
    ];
    for (path, status) in asked {
        let answer = proxy.ask(request(path, &[]));
        let field = answer.value("strict-transport-security");
        assert_eq!(
            (answer.status, field.as_deref()),
            (status, Some("max-age=1")),
            "{path}"
        );
    }
}

#[test]
fn egress_says_where_clients_of_the_forward_proxy_may_go() {
    let [outside, inner] = ["outside", "inner"].map(TestUpstream::named);
    let at = outside.address();
    let settings = format!(
        "deny = [\"*.ads.test\"]\nusers = {{ ann = [\"{at}\", \"*.inner.test\"] }}\n\
         pools = {{ \"*.inner.test\" = \"inner\" }}"
    );
    let lines = format!(
        "{THIS_MACHINE}\npolicies = [\"it\"]\npools = [\"inner\"]\n\
         authentication = {{ file = \"users\" }}"
    );
    let proxy = with_forward(with_policy("egress", &settings), &lines)
        .file("users", format!("ann:{SECRET}\nbob:{SECRET}\n"))
        .tables(&format!(
            "[pools.inner]\nbackends = [\"{}\"]\n",
            inner.address()
        ))
        .start();
    let connected = |user: &str, to: &str| {
        let answer = client(&proxy).ask(connect_with(to, &basic(user, "secret")));
        (answer.status, answer.text())
    };
    let (status, text) = connected("bob", "banner.ads.test:443");
    assert_eq!(status, 403);
    assert!(text.starts_with("banner.ads.test:443 "), "{text}");
    assert_eq!(connected("ann", "elsewhere.test:443").0, 403);
    for (to, name) in [
        (at.to_string(), "outside"),
        ("a.inner.test:80".to_owned(), "inner"),
    ] {
        let mut client = client(&proxy);
        client.send(connect_with(&to, &basic("ann", "secret")));
        assert_open(&mut client);
        let through = client.ask(Request::new("GET", "/").host("a").bytes());
        assert_eq!(through.text(), name, "{to}");
    }
    assert_eq!(proxy.stat("/policies/it/counters/denied"), 2);
    assert_eq!(proxy.stat("/policies/it/counters/rerouted"), 1);
}
