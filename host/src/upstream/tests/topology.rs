//! Connections and health that stay when the topology changes.

use super::*;

#[tokio::test]
async fn connections_and_health_of_what_stayed_are_kept_and_the_rest_is_closed() {
    let (listener, address) = listener().await;
    let (other, gone) = self::listener().await;
    let (address, gone) = (address.to_string(), gone.to_string());
    let registry = Registry::new(1);
    let first = topologies_of(&registry, &[&[&gone, &address]]);
    let before = worker_pools(first);
    let (stays, leaves) = (
        Rc::clone(&before.nth(0).endpoints[1]),
        Rc::clone(&before.nth(0).endpoints[0]),
    );
    let (connection, _end) = connected(&stays, &listener).await;
    let name = local(&connection);
    connection.keep(1, 9);
    let (closed, _gone) = connected(&leaves, &other).await;
    closed.keep(1, 9);
    let (in_use, _busy) = connected(&leaves, &other).await;
    let doubt = &mut Doubt::default();
    let failing = before.nth(0).lease(1);
    failing.finish(AttemptOutcome::ConnectFailed, doubt, CLIENT);

    let second = topologies_of(&registry, &[&[&address, "127.0.0.1:1"]]);
    let after = next_pools(Some(&before), 2, second);
    assert!(Rc::ptr_eq(&after.nth(0).endpoints[0], &stays));
    assert_eq!(
        local(&plain(after.nth(0).lease(0).pooled(true).unwrap())),
        name
    );
    assert!(!after.facts.healthy(0, 0) && after.facts.healthy(0, 1));
    assert_eq!(leaves.shard.connections.value(), 1, "the one in use");
    in_use.keep(2, 9);
    assert_eq!(leaves.shard.connections.value(), 0);
    // The previous pools serve the requests that hold them.
    assert_eq!(before.facts.backend_count(0), 2);
    let translated = [0, 1, 2].map(|at| before.translate(id(0), at, &after));
    assert_eq!(translated, [None, Some(0), None]);
    // An address that comes back is the same endpoint, and is still ejected.
    let without = topologies_of(&registry, &[&["127.0.0.1:1"]]);
    let without = next_pools(Some(&after), 3, without);
    let back = topologies_of(&registry, &[&[&address]]);
    let back = next_pools(Some(&without), 4, back);
    assert_eq!(back.nth(0).endpoints[0].id, stays.id);
    assert!(!back.facts.healthy(0, 0));
}

#[tokio::test]
async fn an_endpoint_with_another_limit_keeps_its_connections_and_they_count() {
    let (listener, address) = listener().await;
    let registry = Registry::new(1);
    let limited = |count: usize| {
        let mut pools = topologies_of(&registry, &[&[&address.to_string()]]);
        let endpoint = &mut pools[0].endpoints[0];
        endpoint.places = Some(registry.places(endpoint.id, count));
        pools
    };
    let one = worker_pools(limited(2));
    let (_held, _end) = connected(&one.nth(0).endpoints[0], &listener).await;
    let two = next_pools(Some(&one), 2, limited(2));
    assert!(Rc::ptr_eq(
        &two.nth(0).endpoints[0],
        &one.nth(0).endpoints[0]
    ));
    let three = next_pools(Some(&two), 3, limited(1));
    let endpoint = &three.nth(0).endpoints[0];
    assert!(Rc::ptr_eq(endpoint, &one.nth(0).endpoints[0]));
    assert!(endpoint.place().is_some(), "nothing is published");
    endpoint.places().unwrap().resize(1);
    assert!(
        endpoint.place().is_none(),
        "the connection that is held counts"
    );
}

#[tokio::test]
async fn connections_beyond_a_lowered_limit_are_not_pooled_again() {
    let (listener, address) = listener().await;
    let registry = Registry::new(1);
    let mut pools = topologies_of(&registry, &[&[&address.to_string()]]);
    let endpoint = &mut pools[0].endpoints[0];
    endpoint.places = Some(registry.places(endpoint.id, 2));
    let pools = worker_pools(pools);
    let endpoint = &pools.nth(0).endpoints[0];
    let (one, _one) = connected(endpoint, &listener).await;
    let (two, _two) = connected(endpoint, &listener).await;
    endpoint.places().unwrap().resize(1);
    one.keep(1, 9);
    assert_eq!(endpoint.idle.borrow().len(), 0, "one too many");
    two.keep(1, 9);
    assert_eq!(endpoint.idle.borrow().len(), 1);
}
