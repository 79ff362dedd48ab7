//! A limit of requests that follows how long a backend takes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use crate::fixtures::{Client, TestProxy, TestUpstream, eventually, get, response};

/// How long a backend works on a request.
const WORK: Duration = Duration::from_millis(10);
const CLIENTS: usize = 40;

/// A backend that works on so many requests at once; the others wait there.
#[derive(Clone)]
struct Busy {
    slots: Arc<(Mutex<Slots>, Condvar)>,
    fails: Arc<AtomicBool>,
}

struct Slots {
    used: usize,
    most: usize,
}

impl Busy {
    fn start(most: usize) -> (TestUpstream, Self) {
        let slots = Arc::new((Mutex::new(Slots { used: 0, most }), Condvar::new()));
        let fails = Arc::default();
        let busy = Self { slots, fails };
        let works = busy.clone();
        let upstream = TestUpstream::replying(move |_| works.reply());
        (upstream, busy)
    }

    fn reply(&self) -> Vec<u8> {
        let (slots, freed) = &*self.slots;
        let guard = slots.lock().unwrap();
        let mut guard = freed.wait_while(guard, |s| s.used >= s.most).unwrap();
        guard.used += 1;
        drop(guard);
        thread::sleep(WORK);
        slots.lock().unwrap().used -= 1;
        freed.notify_one();
        match self.fails.load(SeqCst) {
            true => response("503 Service Unavailable", &[], "no"),
            false => response("200 OK", &[], "ok"),
        }
    }

    fn works_on(&self, most: usize) {
        self.slots.0.lock().unwrap().most = most;
        self.slots.1.notify_all();
    }
}

/// Clients that ask one request after the other, until this is dropped.
struct Load {
    ends: Arc<AtomicBool>,
    refused: Arc<AtomicUsize>,
    clients: Vec<thread::JoinHandle<()>>,
}

impl Load {
    fn start(proxy: &TestProxy, clients: usize) -> Self {
        let (ends, refused) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let ask = |mut client: Client| {
            let (ends, refused) = (Arc::clone(&ends), Arc::clone(&refused));
            thread::spawn(move || {
                while !ends.load(SeqCst) {
                    if client.ask(get("a.test", "/")).status != 200 {
                        refused.fetch_add(1, SeqCst);
                    }
                }
            })
        };
        let clients = (0..clients).map(|_| ask(proxy.client())).collect();
        Self {
            ends,
            refused,
            clients,
        }
    }

    /// How many requests were not answered by 200.
    fn end(self) -> usize {
        self.ends.store(true, SeqCst);
        for client in self.clients {
            client.join().unwrap();
        }
        self.refused.load(SeqCst)
    }
}

fn proxy(upstream: &TestUpstream, keys: &str) -> TestProxy {
    TestProxy::builder()
        .workers(2)
        .tables(&format!(
            "[pools.all]\nbackends = [\"{}\"]\n{keys}\n[[routes]]\npool = \"all\"",
            upstream.address()
        ))
        .start()
}

fn limit(proxy: &TestProxy) -> u64 {
    let stats = proxy.stats();
    let limit = &stats["topology"]["all"]["endpoints"][0]["request_limit"];
    limit.as_u64().unwrap()
}

fn wait_for_limit(proxy: &TestProxy, what: &str, fits: impl Fn(u64) -> bool) {
    eventually(what, || fits(limit(proxy)).then_some(()));
}

#[test]
fn a_limit_follows_what_the_backend_can_work_on_at_once() {
    let (upstream, busy) = Busy::start(usize::MAX);
    let keys = "adaptive-requests = { tolerance = 3, interval = \"20ms\" }\n\
                queue-timeout = \"1m\"\nattempts = 1";
    let proxy = proxy(&upstream, keys);
    assert_eq!(limit(&proxy), 4, "where it begins");
    let load = Load::start(&proxy, CLIENTS);
    let all = CLIENTS as u64;
    wait_for_limit(&proxy, "nothing is slow, nothing is limited", |n| n >= all);
    busy.works_on(2);
    wait_for_limit(&proxy, "most requests wait here", |n| n <= 16);
    busy.works_on(usize::MAX);
    wait_for_limit(&proxy, "it recovers", |n| n >= all);
    assert_eq!(load.end(), 0, "every request had its turn");
    assert!(proxy.stat("/pools/all/waits") > 0);
    let metrics = proxy.admin(crate::fixtures::Request::new("GET", "/metrics"));
    let family = "waypost_endpoint_request_limit{pool=\"all\"";
    assert!(metrics.text().contains(family), "{}", metrics.text());
}

#[test]
fn a_limit_that_is_not_used_up_does_not_grow_and_failures_lower_it() {
    let (upstream, busy) = Busy::start(usize::MAX);
    let keys = "adaptive-requests = { least = 2, tolerance = 5, interval = \"10ms\" }\n\
                queue-timeout = \"1m\"\nattempts = 1\nmax-failures = 0\nretry = { on = [] }";
    let keys = keys.replace("attempts = 1\n", "");
    let proxy = proxy(&upstream, &keys);
    for _ in 0..50 {
        assert_eq!(proxy.get("a.test", "/").status, 200);
    }
    assert_eq!(limit(&proxy), 2, "one after the other");
    let load = Load::start(&proxy, CLIENTS);
    wait_for_limit(&proxy, "it grows where it is used", |n| n >= 20);
    busy.fails.store(true, SeqCst);
    wait_for_limit(&proxy, "failures", |n| n <= 6);
    assert!(load.end() > 0, "the failures were the clients'");
}
