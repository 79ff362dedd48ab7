//! Generations on trial hear of the requests that they saw.

use super::{heard, hearing_builder, request};
use crate::fixtures::{Request, TestProxy, TestUpstream, eventually, guest};

fn deploy(proxy: &TestProxy, query: &str, component: &[u8]) {
    let put = Request::new("PUT", &format!("/policies/hearer{query}")).body(component);
    let answer = proxy.admin(put);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn a_shadow_hears_and_changes_nothing() {
    let upstream = TestUpstream::named("backend");
    let proxy = hearing_builder(&[&upstream], "", "").start();
    deploy(&proxy, "?mode=shadow", &guest("hearer"));
    for n in 0..10 {
        let id = n.to_string();
        assert_eq!(proxy.ask(request(&id).bytes()).status, 200);
        heard(&proxy, &id).has("status=200 failure=none");
    }
    eventually("all are compared", || {
        let trial = &proxy.policy("hearer")["trial"]["hooks"]["completion"];
        let (compared, agreed) = (trial["compared"].as_u64()?, trial["agreed"].as_u64()?);
        assert_eq!(compared, agreed, "{trial:#}");
        // And those by which they are read.
        (compared >= 20).then_some(())
    });
}

#[test]
fn of_two_generations_that_were_asked_both_hear_and_of_one_only_that_one() {
    let upstream = TestUpstream::named("backend");
    let proxy = hearing_builder(&[&upstream], "", "").start();
    deploy(&proxy, "?mode=canary&percent=100", &guest("hearer"));
    for n in 0..5 {
        let id = n.to_string();
        assert_eq!(proxy.ask(request(&id).bytes()).status, 200);
        heard(&proxy, &id).has("status=200 failure=none");
    }
    // The candidate fails, and the active generation decides in its place.
    let trapping = request("both").field("X-Select", "trap");
    assert_eq!(proxy.ask(trapping.bytes()).status, 200);
    eventually("both hear of it", || {
        (super::asked(&proxy, "both").0 == 2).then_some(())
    });
}
