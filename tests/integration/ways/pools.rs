//! A policy chooses the pool of a request.

use super::{finding, request, with_pools};
use crate::fixtures::{Request, TestProxy, TestUpstream, eventually, guest};

struct Pools {
    proxy: TestProxy,
    _backends: [TestUpstream; 3],
}

fn pools(lines: &str) -> Pools {
    let backends = ["one", "two", "three"].map(TestUpstream::named);
    let [one, two, three] = &backends;
    let all = [("one", one), ("two", two), ("three", three)];
    let proxy = with_pools(finding(lines), &all, "").start();
    Pools {
        proxy,
        _backends: backends,
    }
}

#[test]
fn a_policy_sends_a_request_to_any_pool_of_the_route() {
    let Pools { proxy, _backends } = pools("");
    let mut client = proxy.client();
    let mut ask = |fields: &[(&str, &str)]| client.ask(request(fields).bytes()).text();
    assert_eq!(ask(&[]), "one", "by weight");
    for (route, pool) in [
        ("pool=two", "two"),
        ("pool=three", "three"),
        ("index=1", "two"),
        ("none", "one"),
        ("pool=unknown", "one"),
    ] {
        assert_eq!(ask(&[("X-Route", route)]), pool, "{route}");
    }
    let told = ask(&[("X-Route", "pool=three"), ("X-Tell", "1")]);
    assert_eq!(
        told,
        "pool=three of=three pools=one,two,three path=/asked edited="
    );
    let refused = client.ask(request(&[("X-Route", "refuse=418")]).bytes());
    assert_eq!(refused.status, 418);
    assert_eq!(proxy.stat("/policies/finder/calls_by_hook/routing"), 8);
    assert_eq!(proxy.stat("/policies/finder/invalid"), 0);
}

#[test]
fn what_came_before_the_choice_saw_the_pool_of_the_weights() {
    let backends = ["one", "two"].map(|_| TestUpstream::echo());
    let all = [("one", &backends[0]), ("two", &backends[1])];
    let proxy = with_pools(finding(""), &all, "").start();
    let answer = proxy.ask(request(&[("X-Route", "pool=two")]).bytes());
    assert_eq!(answer.status, 200);
    assert_eq!(backends[0].received().len(), 0);
    let got = backends[1].only_request();
    assert_eq!(got.value("x-first-pool").as_deref(), Some("one"));
}

#[test]
fn a_choice_that_is_none_is_a_fault_and_counts_as_on_failure_says() {
    for (on_failure, status, body) in [
        ("\"random\"", 200, "one"),
        ("\"next\"", 200, "one"),
        ("503", 503, ""),
    ] {
        let Pools { proxy, _backends } = pools(&format!("on-failure = {on_failure}"));
        for (at, action) in (1..).zip(["index=3", "index=4294967295", "trap"]) {
            let answer = proxy.ask(request(&[("X-Route", action)]).bytes());
            assert_eq!(answer.status, status, "{on_failure} {action}");
            if status == 200 {
                assert_eq!(answer.text(), body);
            }
            assert_eq!(proxy.stat("/policies/finder/failure_mode_uses"), at);
        }
        assert_eq!(proxy.stat("/policies/finder/invalid"), 2);
    }
}

#[test]
fn a_route_with_one_pool_asks_nothing_about_it() {
    let backend = TestUpstream::named("only");
    let builder = finding("").pool_for_all(&[backend.address()], &["finder"]);
    let proxy = builder.start();
    let answer = proxy.ask(request(&[("X-Route", "refuse=418")]).bytes());
    assert_eq!((answer.status, answer.text().as_str()), (200, "only"));
    let told = proxy.ask(request(&[("X-Tell", "1")]).bytes()).text();
    assert!(told.contains("pools="), "{told}");
    let calls = &proxy.stats()["policies"]["finder"]["calls_by_hook"];
    assert!(calls.get("routing").is_none(), "{calls:#}");
}

#[test]
fn a_shadow_is_compared_by_the_pool_that_it_chooses() {
    let Pools { proxy, _backends } = pools("");
    let put = Request::new("PUT", "/policies/finder?mode=shadow").body(guest("hearer"));
    assert_eq!(proxy.admin(put).status, 200);
    assert_eq!(
        proxy
            .ask(request(&[("X-Route", "pool=two")]).bytes())
            .text(),
        "two"
    );
    assert_eq!(proxy.ask(request(&[]).bytes()).text(), "one");
    eventually("both are compared", || {
        let hook = &proxy.policy("finder")["trial"]["hooks"]["routing"];
        let (compared, agreed) = (hook["compared"].as_u64()?, hook["agreed"].as_u64()?);
        ((compared, agreed) == (2, 1)).then_some(())
    });
}

#[test]
fn a_candidate_chooses_the_pool_of_its_requests() {
    let backends = ["one", "two"].map(TestUpstream::named);
    let all = [("one", &backends[0]), ("two", &backends[1])];
    let builder = TestProxy::builder()
        .file("hearer.wasm", guest("hearer"))
        .tables("[policies.finder]\ncomponent = \"hearer.wasm\"\ndeadline = \"2s\"\n");
    let proxy = with_pools(builder, &all, "").start();
    let choosing = || request(&[("X-Route", "pool=two")]).bytes();
    assert_eq!(proxy.ask(choosing()).text(), "one", "it has no such hook");
    let put = Request::new("PUT", "/policies/finder?mode=canary&percent=100");
    let put = put.body(guest("pathfinder"));
    assert_eq!(proxy.admin(put).status, 200);
    eventually("the candidate decides", || {
        (proxy.ask(choosing()).text() == "two").then_some(())
    });
}

#[test]
fn fields_of_the_answer_name_the_pool_that_a_policy_has_chosen() {
    let backends = ["one", "two"].map(TestUpstream::named);
    let pools = [("one", &backends[0]), ("two", &backends[1])];
    let lines = "response-headers = { set = { x-by = \"{pool}\" } }";
    let proxy = with_pools(finding(""), &pools, lines).start();
    for (fields, pool) in [(&[][..], "one"), (&[("X-Route", "pool=two")][..], "two")] {
        let answer = proxy.ask(request(fields).bytes());
        assert_eq!(
            (answer.text(), answer.value("x-by").as_deref()),
            (pool.to_owned(), Some(pool))
        );
    }
}
