//! Attempts: what they show about endpoints, and which endpoint is chosen next.

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;

#[test]
fn one_client_ejects_nothing_by_what_may_be_its_own_doing() {
    let mut patient = topology(&["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]);
    patient.health.max_failures = 3;
    patient.health.ejection.max_share = 1.0;
    let pools = worker_pools([patient]);
    let pool = pools.nth(0);
    let request = |client: IpAddr, attempts: &[(u32, AttemptOutcome)]| {
        let mut doubt = Doubt::default();
        for (backend, outcome) in attempts {
            pool.lease(*backend).finish(*outcome, &mut doubt, client);
        }
    };
    let failures = || [0, 1, 2].map(|b| pools.facts.consecutive_failures(0, b));
    let everywhere = [
        (0, AttemptOutcome::Closed),
        (1, AttemptOutcome::Closed),
        (2, AttemptOutcome::NoResponse),
    ];
    for _ in 0..9 {
        request(CLIENT, &everywhere);
    }
    assert_eq!(failures(), [1, 1, 1]);
    assert_eq!(
        pool.endpoints[0].shard.failures.value(),
        9,
        "they are counted all the same"
    );
    request(OTHER_CLIENT, &everywhere);
    request(OTHER_CLIENT, &[(1, AttemptOutcome::Malformed)]);
    assert_eq!(failures(), [2, 2, 1]);
    // One that answers forgets it, and whose it was.
    request(OTHER_CLIENT, &[(1, AttemptOutcome::Answered)]);
    request(OTHER_CLIENT, &[(1, AttemptOutcome::Closed)]);
    assert_eq!(failures(), [2, 1, 1]);
    // Where another backend answers the same, the first is to blame; failed connects always are.
    request(
        OTHER_CLIENT,
        &[(0, AttemptOutcome::Closed), (2, AttemptOutcome::Answered)],
    );
    assert_eq!(failures(), [3, 1, 0]);
    assert!(!pools.facts.healthy(0, 0) && pools.facts.healthy(0, 1));
    request(
        OTHER_CLIENT,
        &[
            (1, AttemptOutcome::ConnectFailed),
            (1, AttemptOutcome::ConnectTimedOut),
        ],
    );
    assert!(!pools.facts.healthy(0, 1));
}

#[test]
fn a_failed_connect_ejects_and_a_lease_that_is_dropped_says_nothing() {
    let pools = worker_pools([topology(&["127.0.0.1:1", "127.0.0.1:2"])]);
    let (pool, facts) = (pools.nth(0), &pools.facts);
    let finish = |outcome| pool.lease(0).finish(outcome, &mut Doubt::default(), CLIENT);
    drop(pool.lease(0));
    finish(AttemptOutcome::ConnectFailed);
    let healthy = [0, 1, 2].map(|b| facts.healthy(0, b));
    assert_eq!(healthy, [false, true, false]);
    finish(AttemptOutcome::ClientFailed);
    assert!(!facts.healthy(0, 0));
    pool.lease(0).endpoint().answered(None, false);
    pool.lease(0)
        .endpoint()
        .answered(Some(Duration::ZERO), true);
    assert!(!facts.healthy(0, 0), "neither shows that it is well");
    pool.lease(0)
        .endpoint()
        .answered(Some(Duration::ZERO), false);
    assert!(facts.healthy(0, 0));
    assert_eq!(facts.consecutive_failures(0, 0), 1, "a head is no more");
    finish(AttemptOutcome::Answered);
    assert_eq!(facts.consecutive_failures(0, 0), 0);
}

#[test]
fn an_attempt_is_in_flight_from_the_choice_to_its_report_or_its_loss() {
    let pools = worker_pools([topology(&["127.0.0.1:1"])]);
    let in_flight = || pools.facts.in_flight(0, 0);
    let (mut one, two) = (pools.nth(0).lease(0), pools.nth(0).lease(0));
    assert_eq!(in_flight(), 2, "one that waits for a connection is load");
    one.begin();
    assert_eq!(in_flight(), 2);
    one.finish(AttemptOutcome::Answered, &mut Doubt::default(), CLIENT);
    assert_eq!(in_flight(), 1);
    drop(two);
    assert_eq!(in_flight(), 0);
    assert_eq!(pools.nth(0).endpoints[0].shard.requests.value(), 1);
}

#[test]
fn the_choice_avoids_failed_and_ejected_endpoints_as_long_as_there_is_another() {
    let three = ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"];
    let pools = worker_pools(topologies(&[&three, &[]]));
    let failed = |backends: &[u32]| -> Vec<FailedAttempt> {
        backends
            .iter()
            .map(|backend| FailedAttempt {
                backend: *backend,
                failure: Failure::Connect,
            })
            .collect()
    };
    let mut rng = SmallRng::seed_from_u64(1);
    let mut chosen = |failed: &[FailedAttempt]| -> Vec<u32> {
        let mut seen: Vec<u32> = (0..300)
            .filter_map(|_| pools.choose(id(0), failed, &mut rng))
            .collect();
        assert_eq!(seen.len(), 300);
        seen.sort_unstable();
        seen.dedup();
        seen
    };
    assert_eq!(chosen(&[]), [0, 1, 2]);
    assert_eq!(
        chosen(&failed(&[1])),
        [0, 2],
        "never the one that just failed"
    );
    assert_eq!(chosen(&failed(&[1, 2])), [0]);
    let (lease, doubt) = (pools.nth(0).lease(0), &mut Doubt::default());
    lease.finish(AttemptOutcome::ConnectFailed, doubt, CLIENT);
    assert_eq!(chosen(&[]), [1, 2], "an ejected one is avoided");
    assert_eq!(chosen(&failed(&[1])), [2]);
    assert_eq!(
        chosen(&failed(&[1, 2])),
        [0],
        "one that is ejected rather than one that failed this request"
    );
    assert_eq!(chosen(&failed(&[0, 1, 2])), [0, 1, 2]);
    assert_eq!(
        pools.choose(id(1), &[], &mut SmallRng::seed_from_u64(1)),
        None
    );
}

#[test]
fn an_endpoint_that_loses_a_race_when_it_is_tried_is_tried_later() {
    let pools = worker_pools([topology(&["127.0.0.1:1", "127.0.0.1:2"])]);
    let pool = pools.nth(0);
    let mut doubt = Doubt::default();
    pool.lease(0)
        .finish(AttemptOutcome::ConnectFailed, &mut doubt, CLIENT);
    let is_well = || pool.endpoints[0].health.is_well();
    assert!(!is_well());
    pool.topology.endpoints[0].health.is_reached();
    let lease = pool.lease(0);
    let contender = lease.contender();
    assert!(!is_well() && !lease.is_avoided(), "one tries it");
    drop(lease);
    assert!(is_well(), "which has said nothing");
    pool.gives_up(contender);
    assert!(!is_well());
}
