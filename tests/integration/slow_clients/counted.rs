//! What slow clients do is shown.

use super::{backend, begun, pool_of};
use crate::fixtures::{Client, Gate, Request, TestUpstream, eventually, get};

#[test]
fn a_slow_client_gets_a_reason_and_is_counted() {
    let upstream = backend(&Gate::new());
    let proxy = pool_of(&upstream, 1, "max-connections = 1\nslow-client = \"100ms\"");
    let mut slow = proxy.client();
    slow.send(begun(17_000));
    upstream.wait_for_heads(1);
    assert_eq!(proxy.get("a.test", "/").status, 200);
    let refused = slow.response();
    refused.assert_refusal(408);
    assert!(
        refused.text().contains("while others waited"),
        "{}",
        refused.text()
    );
    proxy.logged(&["408", "while others waited"]);
    let mut slow = proxy.client();
    socket2::SockRef::from(&slow.wire.stream)
        .set_recv_buffer_size(4096)
        .unwrap();
    slow.send(get("a.test", "/attack/large"));
    upstream.wait_for_heads(3);
    assert_eq!(proxy.get("a.test", "/").status, 200);
    let line = proxy.logged(&["/attack/large", "the client was slow while others waited"]);
    assert!(line.contains("200"), "{line}");
    assert!(
        slow.try_response_to("GET").is_err(),
        "it can't be taken for the whole"
    );
    assert_eq!(proxy.stat("/pools/a/slow_clients"), 2);
}

#[test]
fn the_queue_of_each_pool_is_counted_and_shown() {
    let gate = Gate::new();
    let upstream = TestUpstream::behind(&gate);
    let proxy = pool_of(&upstream, 2, "max-connections = 1\nqueue = 2");
    let mut clients: Vec<Client> = (0..3).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send(get("a.test", "/"));
    }
    eventually("two wait", || {
        (proxy.stat("/pools/a/queue_length") == 2).then_some(())
    });
    proxy.get("a.test", "/").assert_refusal(503);
    let pool = &proxy.stats()["pools"]["a"];
    assert_eq!(
        (&pool["waits"], &pool["refused"], &pool["slow_clients"]),
        (&0.into(), &1.into(), &0.into())
    );
    let metrics = proxy.admin(Request::new("GET", "/metrics")).text();
    for line in [
        "waypost_pool_queue_length{pool=\"a\"} 2",
        "waypost_pool_waits_total{pool=\"a\"} 0",
        "waypost_pool_refused_total{pool=\"a\"} 1",
        "waypost_pool_slow_clients_total{pool=\"a\"} 0",
    ] {
        assert!(
            metrics.lines().any(|l| l == line),
            "no {line} in\n{metrics}"
        );
    }
    gate.open();
    clients
        .iter_mut()
        .for_each(|client| assert_eq!(client.response().status, 200));
    assert_eq!(
        (
            proxy.stat("/pools/a/queue_length"),
            proxy.stat("/pools/a/waits")
        ),
        (0, 2)
    );
}
