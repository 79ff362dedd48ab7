//! What ejects a backend, over all workers, and how many may be ejected.

use std::net::SocketAddr;

use crate::fixtures::{
    Client, Request, TestProxy, TestUpstream, eventually, refusing_address, response,
};

fn post_from(n: u8, proxy: &TestProxy, path: &str) -> u16 {
    let mut client = Client::connect_from([127, 0, 0, n].into(), proxy.address());
    let post = Request::new("POST", path).host("a.test").body("x");
    client.ask(post.bytes()).status
}

fn state(proxy: &TestProxy, of: SocketAddr) -> serde_json::Value {
    proxy.stats()["backends"][of.to_string()].clone()
}

fn pool(backends: &[SocketAddr], keys: &str) -> TestProxy {
    let list: Vec<String> = backends.iter().map(|b| format!("\"{b}\"")).collect();
    let list = list.join(", ");
    TestProxy::builder()
        .workers(3)
        .tables(&format!(
            "[pools.a]\nbackends = [{list}]\nfail-timeout = \"1h\"\n{keys}\n\
             [[routes]]\npool = \"a\"\npolicies = []"
        ))
        .start()
}

#[test]
fn failures_are_counted_over_all_workers() {
    let (_held, dead) = refusing_address();
    let alive = TestUpstream::named("alive");
    let proxy = pool(&[dead, alive.address()], "max-failures = 3");
    // One in 2^57 runs meets the dead one less than three times.
    for n in 1..=60 {
        assert_eq!(post_from(n, &proxy, "/"), 200, "it was never sent");
    }
    let state = state(&proxy, dead);
    assert_eq!(
        (&state["failures"], &state["state"], &state["ejections"]),
        (&3.into(), &"ejected".into(), &1.into()),
        "{state:#}"
    );
    assert_eq!(state["reason"], "3 failures in a row");
    let page = proxy.admin(Request::new("GET", "/stats").field("Accept", "text/html"));
    assert!(page.text().contains("3 failures in a row"));
    let metrics = proxy.admin(Request::new("GET", "/metrics")).text();
    let line = format!("waypost_backend_state{{backend=\"{dead}\",state=\"ejected\"}} 1");
    assert!(metrics.contains(&line), "{metrics}");
    proxy.stderr.find(|line| {
        let said = format!("backend {dead} is ejected: 3 failures in a row");
        line.contains(&said).then_some(())
    });
}

#[test]
fn a_status_that_counts_is_held_against_the_backend_that_gives_it() {
    let refusing = TestUpstream::answering(response("503 Busy", &[], "no"));
    let alive = TestUpstream::named("alive");
    let proxy = pool(&[refusing.address(), alive.address()], "max-failures = 3");
    for n in 1..=60 {
        post_from(n, &proxy, "/");
    }
    let backend = state(&proxy, refusing.address());
    // A client may have its answer, and another worker the next request, before the failure counts.
    let failures = backend["failures"].as_u64().unwrap();
    assert!((3..10).contains(&failures), "{backend:#}");
    assert_eq!(backend["state"], "ejected", "{backend:#}");
    let keys = "max-failures = 3\nejection.statuses = [500]";
    let proxy = pool(&[refusing.address(), alive.address()], keys);
    for n in 1..=20 {
        post_from(n, &proxy, "/");
    }
    let backend = state(&proxy, refusing.address());
    assert_eq!(
        (&backend["failures"], &backend["state"]),
        (&0.into(), &"healthy".into()),
        "{backend:#}"
    );
}

#[test]
fn a_path_that_all_backends_refuse_ejects_half_of_them_at_most_and_one_client_none() {
    let refusing = || {
        TestUpstream::replying(|request| match request.target() {
            "/refused" => response("503 Busy", &[], "no"),
            _ => response("200 OK", &[], "well"),
        })
    };
    let backends: Vec<TestUpstream> = (0..4).map(|_| refusing()).collect();
    let addresses: Vec<SocketAddr> = backends.iter().map(TestUpstream::address).collect();
    let proxy = pool(&addresses, "max-failures = 3");
    let ejected = || {
        let all = addresses.iter().map(|a| state(&proxy, *a)["state"].clone());
        all.filter(|state| *state == "ejected").count()
    };
    for _ in 0..40 {
        assert_eq!(post_from(1, &proxy, "/refused"), 503);
    }
    assert_eq!(ejected(), 0, "one client");
    for n in 0..80 {
        assert_eq!(post_from(2 + n % 40, &proxy, "/refused"), 503);
        assert!(ejected() <= 2, "after {n}");
    }
    assert_eq!(post_from(1, &proxy, "/"), 200);
}

#[test]
fn after_an_outage_of_all_every_backend_is_used_again_at_once() {
    let held: Vec<_> = (0..4).map(|_| refusing_address()).collect();
    let addresses: Vec<SocketAddr> = held.iter().map(|(_, address)| *address).collect();
    let proxy = pool(&addresses, "max-failures = 2\nattempts = 4");
    for _ in 0..20 {
        assert_eq!(post_from(1, &proxy, "/"), 502);
    }
    let metrics = proxy.admin(Request::new("GET", "/metrics")).text();
    for address in &addresses {
        assert_eq!(state(&proxy, *address)["state"], "degraded");
        let mut states = metrics.lines().filter(|line| {
            line.starts_with("waypost_endpoint_state{") && line.contains(&address.to_string())
        });
        let found = states.next().unwrap_or_default();
        assert!(found.contains("state=\"degraded\""), "{metrics}");
        assert_eq!(states.next(), None, "a backend has one state");
    }
    let backends: Vec<TestUpstream> = held
        .into_iter()
        .map(|(socket, _)| {
            socket.listen(64).unwrap();
            TestUpstream::listen(socket.into(), |connection| {
                while connection.request().is_some() {
                    connection.send(response("200 OK", &[], "well"));
                }
            })
        })
        .collect();
    for n in 0..100 {
        assert_eq!(post_from(1 + n % 100, &proxy, "/"), 200);
    }
    for backend in &backends {
        let received = backend.received().len();
        assert!((5..60).contains(&received), "{received} of 100");
    }
    eventually("all are healthy", || {
        let all = addresses.iter().map(|a| state(&proxy, *a)["state"].clone());
        all.into_iter().all(|s| s == "healthy").then_some(())
    });
}
