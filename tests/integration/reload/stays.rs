//! What did not change is kept.

use super::{edit, editable, reload};
use crate::fixtures::{TestProxy, TestUpstream, get, guest};

#[test]
fn connections_instances_and_counters_of_what_stayed_are_kept() {
    let (one, two) = (TestUpstream::named("one"), TestUpstream::named("two"));
    let builder = TestProxy::builder()
        .file("probe.wasm", guest("probe"))
        .tables(&format!(
            "[policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"2s\"\n\
             [policies.probe.settings]\nrequest = [\"calls\"]\n\
             [pools.a]\nbackends = [\"{}\"]\n\
             [[routes]]\nhost = \"a.test\"\npool = \"a\"\npolicies = [\"probe\"]\n",
            one.address()
        ));
    let proxy = editable(builder);
    let mut client = proxy.client();
    assert_eq!(client.ask(get("a.test", "/")).text(), "one");
    let pool = format!(
        "\n[pools.b]\nbackends = [\"{}\"]\n[[routes]]\nhost = \"b.test\"\npool = \"b\"\n\
         policies = []",
        two.address()
    );
    edit(&proxy, |text| format!("{text}{pool}"));
    reload(&proxy);
    assert_eq!(client.ask(get("a.test", "/")).text(), "one");
    assert_eq!(client.ask(get("b.test", "/")).text(), "two");
    edit(&proxy, |text| text.replace(&pool, ""));
    reload(&proxy);
    assert_eq!(client.ask(get("b.test", "/")).status, 404);
    assert_eq!(client.ask(get("a.test", "/")).text(), "one");
    assert_eq!(one.connections(), 1, "one connection for all");
    let received = one.received();
    let calls = received.iter().map(|r| r.value("x-probe-calls").unwrap());
    let calls: Vec<u64> = calls.map(|calls| calls.parse().unwrap()).collect();
    assert!(
        calls.is_sorted_by(|a, b| a < b),
        "one instance for all: {calls:?}"
    );
    proxy.wait_for_stat("/requests/total", 5);
    assert_eq!(proxy.policy("probe")["generation"], 1);
}
