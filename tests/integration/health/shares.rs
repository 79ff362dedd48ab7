//! Slow start: the share of a backend that comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use crate::fixtures::{TestProxy, TestUpstream, eventually, response};

/// A backend with a switch: while it is off, its probes fail.
fn switched(name: &'static str) -> (TestUpstream, Arc<AtomicBool>) {
    let on = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&on);
    let upstream = TestUpstream::replying(move |request| {
        match request.target() == "/health" && !switch.load(SeqCst) {
            true => response("503 Busy", &[], "no"),
            false => response("200 OK", &[], name),
        }
    });
    (upstream, on)
}

fn served(proxy: &TestProxy, name: &str) -> usize {
    let all = (0..100).map(|_| proxy.get("a.test", "/").text());
    all.filter(|text| text == name).count()
}

fn state(proxy: &TestProxy, of: &TestUpstream) -> String {
    let backend = &proxy.stats()["backends"][of.address().to_string()];
    backend["state"].as_str().unwrap().to_owned()
}

#[test]
fn a_backend_that_comes_back_has_a_small_share_unless_all_come_back() {
    for policies in ["", "\"random\""] {
        let ((one, is_on), (two, two_is_on)) = (switched("one"), switched("two"));
        let proxy = TestProxy::builder()
            .tables(&format!(
                "[pools.a]\nbackends = [\"{}\", \"{}\"]\nslow-start = \"1h\"\n\
                 health = {{ path = \"/health\", interval = \"10ms\", healthy = 1, unhealthy = 1 }}\n\
                 [[routes]]\npool = \"a\"\npolicies = [{policies}]\n\
                 [policies.random]\nbuiltin = \"random\"\ndeadline = \"2s\"",
                one.address(),
                two.address()
            ))
            .start();
        let wait = |of: &TestUpstream, wanted: &str| {
            eventually(wanted, || (state(&proxy, of) == wanted).then_some(()));
        };
        let ones = served(&proxy, "one");
        assert!((20..=80).contains(&ones), "at the start: {ones} of 100");
        is_on.store(false, SeqCst);
        wait(&one, "down");
        assert_eq!(served(&proxy, "one"), 0);
        is_on.store(true, SeqCst);
        wait(&one, "healthy");
        let ones = served(&proxy, "one");
        assert!(ones <= 35, "{ones} of 100 after its return");
        two_is_on.store(false, SeqCst);
        wait(&two, "down");
        assert_eq!(served(&proxy, "one"), 100, "it is the only one");
        is_on.store(false, SeqCst);
        wait(&one, "down");
        let ones = served(&proxy, "one");
        assert!((20..=80).contains(&ones), "none is better: {ones} of 100");
        is_on.store(true, SeqCst);
        two_is_on.store(true, SeqCst);
        wait(&one, "healthy");
        wait(&two, "healthy");
        eventually("the shares are even", || {
            (20..=80).contains(&served(&proxy, "one")).then_some(())
        });
    }
}
