//! State that workers share, by the two policies that live on it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::thread;

use crate::fixtures::{Client, Request, Response, TestProxy, TestUpstream, get, repository};

/// A rate so low that no token comes while a test runs.
const NONE_COMES: &str = "rate = 0.001";

fn limited(settings: &str, store: &str, workers: usize) -> (TestProxy, TestUpstream) {
    let backend = TestUpstream::named("served");
    let proxy = TestProxy::builder()
        .workers(workers)
        .pool_for_all(&[backend.address()], &["limit"])
        .tables(&format!(
            "[policies.limit]\nbuiltin = \"rate-limit\"\ndeadline = \"1s\"\n{store}\n\
             [policies.limit.settings]\n{settings}\n"
        ))
        .start();
    (proxy, backend)
}

fn counter(proxy: &TestProxy, policy: &str, name: &str) -> u64 {
    proxy.stat(&format!("/policies/{policy}/counters/{name}"))
}

#[track_caller]
fn assert_limited(answer: &Response) {
    assert_eq!(answer.status, 429, "{}", answer.text());
    let wait: u64 = answer
        .value("retry-after")
        .expect("when to come again")
        .parse()
        .unwrap();
    assert!((1..=1000).contains(&wait), "{wait}");
    assert!(answer.text().contains("Too many requests"));
}

#[test]
fn a_rate_limit_holds_over_all_workers() {
    let (proxy, backend) = limited(&format!("{NONE_COMES}\nburst = 40"), "", 2);
    let answers: Vec<Response> = thread::scope(|scope| {
        let ask = || {
            (0..40)
                .map(|_| proxy.get("a.test", "/"))
                .collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    let (passed, refused): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| answer.status == 200);
    let unsure = counter(&proxy, "limit", "unsure");
    assert_eq!(
        passed.len() as u64,
        40 + unsure,
        "no more than the burst, whichever worker was asked"
    );
    refused.iter().for_each(|answer| assert_limited(answer));
    assert_eq!(backend.received().len(), passed.len());
    assert_eq!(counter(&proxy, "limit", "allowed"), 40);
    assert_eq!(counter(&proxy, "limit", "limited"), 120 - unsure);
    for worker in 0..2 {
        assert!(
            proxy.stat(&format!("/workers/{worker}/requests")) > 0,
            "both workers were asked"
        );
    }
}

#[test]
fn a_swap_of_the_policy_keeps_its_store() {
    let (proxy, _backend) = limited(&format!("{NONE_COMES}\nburst = 3"), "", 2);
    for _ in 0..3 {
        assert_eq!(proxy.get("a.test", "/").status, 200);
    }
    assert_limited(&proxy.get("a.test", "/"));
    let component =
        std::fs::read(repository().join("guest-policies/rate-limit/rate-limit.wasm")).unwrap();
    let answer = proxy.put_policy("limit", &component);
    assert!(matches!(answer.status, 200..=204), "{}", answer.text());
    assert_eq!(proxy.stat("/policies/limit/generation"), 2);
    for _ in 0..10 {
        assert_limited(&proxy.get("a.test", "/"));
    }
}

#[test]
fn tokens_return_at_the_configured_rate() {
    // A thousand a second: the next is there by the time that a second request can be.
    let (proxy, _backend) = limited("rate = 1000\nburst = 1", "", 1);
    let mut client = proxy.client();
    let passed = (0..200)
        .filter(|_| client.ask(get("a.test", "/")).status == 200)
        .count();
    assert!(passed >= 2, "{passed}");
}

#[test]
fn each_client_and_each_value_of_a_field_has_a_bucket() {
    let (proxy, _backend) = limited(&format!("{NONE_COMES}\nburst = 1"), "", 1);
    for last in 1..=3 {
        let mut client =
            Client::connect_from(Ipv4Addr::new(127, 0, 0, last).into(), proxy.address());
        assert_eq!(client.ask(get("a.test", "/")).status, 200);
        assert_limited(&client.ask(get("a.test", "/")));
    }
    let (proxy, _backend) = limited(
        &format!("{NONE_COMES}\nburst = 1\nkey = \"header:X-Key\""),
        "",
        1,
    );
    let long = "k".repeat(5_000);
    for key in ["one", "two", "\u{fc}", &long] {
        let request = Request::new("GET", "/")
            .host("a.test")
            .field("X-Key", key)
            .bytes();
        assert_eq!(proxy.ask(&request).status, 200);
        assert_limited(&proxy.ask(&request));
    }
    assert_eq!(
        proxy.get("a.test", "/").status,
        200,
        "without the field it is the client's address"
    );
    assert_limited(&proxy.get("a.test", "/"));
}

#[test]
fn a_flood_of_keys_stays_within_the_bounds_and_is_shown() {
    let store = "store = { entries = 50, bytes = \"8KiB\" }";
    let (proxy, _backend) = limited(
        &format!("{NONE_COMES}\nburst = 2\nkey = \"header:X-Key\""),
        store,
        2,
    );
    let mut clients: Vec<Client> = (0..8).map(|_| proxy.client()).collect();
    for n in 0..800 {
        let request = Request::new("GET", "/")
            .host("a.test")
            .field("X-Key", &format!("key {n}"));
        assert_eq!(clients[n % 8].ask(request.bytes()).status, 200);
    }
    let stat = |name: &str| proxy.stat(&format!("/policies/limit/store/{name}"));
    let (entries, bytes) = (stat("entries"), stat("bytes"));
    assert!((40..=50).contains(&entries), "{entries}");
    assert!(bytes > entries * 128 && bytes <= 8 * 1024, "{bytes}");
    assert_eq!(
        (stat("evictions"), stat("refused"), stat("expirations")),
        (800 - entries, 0, 0)
    );
    assert!(stat("operations") >= 1_600);

    let metrics = proxy.admin(Request::new("GET", "/metrics")).text();
    for line in [
        format!("waypost_policy_store_entries{{policy=\"limit\"}} {entries}"),
        format!("waypost_policy_store_size_bytes{{policy=\"limit\"}} {bytes}"),
        format!(
            "waypost_policy_store_evictions_total{{policy=\"limit\"}} {}",
            800 - entries
        ),
        "waypost_policy_store_refused_total{policy=\"limit\"} 0".to_owned(),
    ] {
        assert!(metrics.contains(&line), "no {line} in\n{metrics}");
    }
    let page = proxy
        .admin(Request::new("GET", "/stats").field("Accept", "text/html"))
        .text();
    assert!(page.contains("store calls"), "{page}");
}

#[test]
fn a_policy_without_a_store_shows_none() {
    let backend = TestUpstream::named("served");
    let proxy = TestProxy::in_front_of(&backend);
    assert_eq!(proxy.get("a.test", "/").status, 200);
    assert!(proxy.stats().pointer("/policies/random/store").is_none());
}

struct Sticky {
    proxy: TestProxy,
    backends: BTreeMap<String, TestUpstream>,
}

/// Backends that tell their names, and `sticky` before them on two workers.
fn sticky(settings: &str) -> Sticky {
    let backends: BTreeMap<String, TestUpstream> = ["a", "b", "c", "d"]
        .iter()
        .map(|name| ((*name).to_owned(), TestUpstream::named(name)))
        .collect();
    let addresses: Vec<SocketAddr> = backends.values().map(TestUpstream::address).collect();
    let proxy = TestProxy::builder()
        .workers(2)
        .pool_for_all(&addresses, &["sticky"])
        .tables(&format!(
            "[policies.sticky]\nbuiltin = \"sticky\"\ndeadline = \"1s\"\n[policies.sticky.settings]\n{settings}\n"
        ))
        .start();
    Sticky { proxy, backends }
}

impl Sticky {
    /// The backend's name, and the cookie that was set, attributes and all.
    #[track_caller]
    fn ask(&self, client: u8, cookie: Option<&str>) -> (String, Option<String>) {
        let from = IpAddr::from([127, 0, 0, client]);
        let request = Request::new("GET", "/").host("a.test");
        let request = cookie
            .iter()
            .fold(request, |request, cookie| request.field("Cookie", cookie));
        let answer = Client::connect_from(from, self.proxy.address()).ask(request.bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        (answer.text(), answer.value("set-cookie"))
    }
}

/// `NAME=TOKEN` of a `Set-Cookie`.
fn pair(set: &str) -> &str {
    set.split(';').next().unwrap()
}

#[test]
fn a_client_without_a_cookie_meets_one_backend_on_all_workers() {
    let s = sticky("");
    let homes: BTreeMap<u8, String> = (1..=24)
        .map(|client| (client, s.ask(client, None).0))
        .collect();
    for _ in 0..4 {
        for (client, home) in &homes {
            assert_eq!(s.ask(*client, None).0, *home, "{client}");
        }
    }
    let used: std::collections::BTreeSet<_> = homes.values().collect();
    assert!(used.len() >= 2, "clients spread: {used:?}");
    assert_eq!(counter(&s.proxy, "sticky", "hashed"), 24);
    assert_eq!(counter(&s.proxy, "sticky", "remembered"), 96);
}

#[test]
fn parallel_first_requests_of_a_client_agree() {
    let s = sticky("");
    let names: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(|| s.ask(1, None).0)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
}

#[test]
fn a_cookie_keeps_a_client_wherever_it_comes_from() {
    let s = sticky("cookie = \"lb\"\nmax-age = 60\nsecure = true\nsame-site = \"strict\"");
    for client in 1..=8 {
        let (home, set) = s.ask(client, None);
        let set = set.expect("a first answer sets the cookie");
        let (name, attributes) = (pair(&set), &set[pair(&set).len()..]);
        assert_eq!(
            attributes,
            "; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Strict"
        );
        let token = name.strip_prefix("lb=").unwrap();
        assert!(
            token.len() == 16 && token.bytes().all(|b| b.is_ascii_hexdigit()),
            "{token}"
        );
        for from in 1..=8 {
            let cookies = format!("other=1; {name}; more=2");
            assert_eq!(
                s.ask(from, Some(&cookies)),
                (home.clone(), None),
                "kept, and not set again"
            );
        }
    }
    let (_, set) = s.ask(1, Some("lb=0123456789abcdef"));
    assert!(set.is_some(), "a token of nobody is replaced");
}

#[test]
fn when_a_backend_goes_only_its_clients_move() {
    let mut s = sticky("remember = 0");
    let before: BTreeMap<u8, (String, String)> = (1..=40)
        .map(|n| (n, s.ask(n, None)))
        .map(|(n, (home, set))| (n, (home, pair(&set.unwrap()).to_owned())))
        .collect();
    let gone = before[&1].0.clone();
    drop(s.backends.remove(&gone));
    let mut after = BTreeMap::new();
    for (client, (home, cookie)) in &before {
        let (now, set) = s.ask(*client, Some(cookie));
        assert_ne!(now, gone);
        if *home == gone {
            after.insert(
                *client,
                (now, pair(&set.expect("a renewed cookie")).to_owned()),
            );
        } else {
            assert_eq!((&now, set), (home, None), "{client} had no reason to move");
        }
    }
    assert!(counter(&s.proxy, "sticky", "moved") >= after.len() as u64);
    for (client, (home, cookie)) in &after {
        assert_eq!(
            s.ask(*client, Some(cookie)),
            (home.clone(), None),
            "and there they stay"
        );
    }
}

#[test]
fn one_policy_before_two_pools_does_not_mix_them_up() {
    let (a, b) = (TestUpstream::named("a"), TestUpstream::named("b"));
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[pools.a]\nbackends = \"{}\"\n[pools.b]\nbackends = \"{}\"\n\
             [[routes]]\nhost = \"a.test\"\npool = \"a\"\npolicies = [\"sticky\"]\n\
             [[routes]]\nhost = \"b.test\"\npool = \"b\"\npolicies = [\"sticky\"]\n\
             [policies.sticky]\ndeadline = \"1s\"\n",
            a.address(),
            b.address()
        ))
        .start();
    let set = |host: &str| pair(&proxy.get(host, "/").value("set-cookie").unwrap()).to_owned();
    let (for_a, for_b) = (set("a.test"), set("b.test"));
    assert_ne!(for_a, for_b);
    let answer = proxy.ask(
        Request::new("GET", "/")
            .host("b.test")
            .field("Cookie", &for_b)
            .bytes(),
    );
    assert_eq!(
        (answer.text().as_str(), answer.value("set-cookie")),
        ("b", None)
    );
}

#[test]
fn a_shadow_reads_the_active_policys_buckets_and_takes_nothing_out() {
    let (proxy, _backend) = limited(&format!("{NONE_COMES}\nburst = 30"), "", 2);
    let component =
        std::fs::read(repository().join("guest-policies/rate-limit/rate-limit.wasm")).unwrap();
    let answer = proxy.admin(Request::new("PUT", "/policies/limit?mode=shadow").body(&component));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let passed = (0..60)
        .filter(|_| proxy.get("a.test", "/").status == 200)
        .count();
    assert_eq!(
        passed, 30,
        "the shadow asked as often, and counted for nothing"
    );
    let trial = proxy.policy("limit")["trial"].clone();
    let hook = &trial["hooks"]["request-headers"];
    assert_eq!(
        (&hook["compared"], &hook["agreed"]),
        (&60.into(), &60.into()),
        "{trial:#}"
    );
}

#[test]
fn a_canary_and_the_active_policy_share_the_buckets() {
    let (proxy, _backend) = limited(&format!("{NONE_COMES}\nburst = 30"), "", 2);
    let component =
        std::fs::read(repository().join("guest-policies/rate-limit/rate-limit.wasm")).unwrap();
    let canary =
        Request::new("PUT", "/policies/limit?mode=canary&percent=50&by=request").body(&component);
    let answer = proxy.admin(canary);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let passed = (0..60)
        .filter(|_| proxy.get("a.test", "/").status == 200)
        .count();
    assert_eq!(passed, 30, "whichever of them is asked");
}
