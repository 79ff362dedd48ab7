//! Many changes under load.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::{asking, on_one_port, pool};
use crate::fixtures::{NameServer, eventually, get};

const CHANGES: usize = 200;

/// Ends the traffic, also when the test fails.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// It takes some seconds: that is what two hundred are for.
#[test]
fn two_hundred_changes_of_addresses_lose_no_request() {
    let server = NameServer::start();
    let (port, _all) = on_one_port([2, 3, 4]);
    server.addresses("a.test", &["127.0.0.2", "127.0.0.3"]);
    let proxy = asking(&server)
        .workers(2)
        .tables(&pool("a", &format!("[\"a.test:{port}\"]")))
        .start();
    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let sets = [
        ["127.0.0.3", "127.0.0.4"],
        ["127.0.0.4", "127.0.0.2"],
        ["127.0.0.2", "127.0.0.3"],
    ];
    std::thread::scope(|scope| {
        let _stops = Stops(&stop);
        for _ in 0..4 {
            scope.spawn(|| {
                let _stops = Stops(&stop);
                let mut client = proxy.client();
                while !stop.load(Relaxed) {
                    let answer = client.ask(get("a", "/"));
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    answered.fetch_add(1, Relaxed);
                }
            });
        }
        for change in 0..CHANGES {
            let set = sets[change % sets.len()];
            server.addresses("a.test", &set);
            let mut expected = set.map(str::to_owned);
            expected.sort();
            eventually("the change is followed", || {
                assert!(!stop.load(Relaxed), "a request was lost");
                let records = &super::status(&proxy, "a.test")["records"];
                (*records == serde_json::json!(expected)).then_some(())
            });
        }
    });
    assert!(answered.load(Relaxed) > CHANGES as u64, "there was traffic");
    let stats = proxy.stats();
    let failures = stats["backends"]
        .as_object()
        .unwrap()
        .values()
        .map(|b| b["failures"].as_u64().unwrap());
    assert_eq!(failures.sum::<u64>(), 0);
}
