use super::*;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
const DEADLINE: Duration = Duration::from_millis(1);

fn client(n: u32) -> Option<IpAddr> {
    Some(IpAddr::from((0x0a00_0000 + n).to_be_bytes()))
}

#[test]
fn faults_that_are_cheap_are_never_held_against_anybody() {
    let mut breaker = Breaker::new(DEADLINE);
    // Ten a second of 4 ms, for an hour: a twenty-fifth of the time.
    for n in 0..36_000 {
        assert_eq!(
            breaker.charge_at(0, client(1), 4 * MS, n * 100 * MS),
            Consequence::None
        );
    }
    assert!(!breaker.is_armed());
}

#[test]
fn only_the_client_that_costs_more_than_its_share_is_paused() {
    let mut breaker = Breaker::new(DEADLINE);
    // A thousand a second of half a millisecond: half of the time, if it were let.
    let (mut made, mut cost) = (0, 0);
    for now in (0..10_000).map(|n| n * MS) {
        let refused = breaker
            .is_armed()
            .then(|| breaker.refuses_at(2, client(1), now))
            .flatten();
        if refused.is_none() {
            made += 1;
            cost += MS / 2;
            let consequence = breaker.charge_at(2, client(1), MS / 2, now);
            assert!(!matches!(consequence, Consequence::Suspension(_)));
        }
        assert_eq!(
            breaker.refuses_at(2, client(2), now),
            None,
            "another client at {now}"
        );
        let elsewhere = breaker
            .is_armed()
            .then(|| breaker.refuses_at(1, client(1), now))
            .flatten();
        assert_eq!(
            elsewhere,
            breaker
                .is_armed()
                .then(|| breaker.refuses_at(2, client(1), now))
                .flatten(),
            "at {now}"
        );
    }
    assert!(made > 100, "{made}");
    assert!(cost <= 10 * SECOND / CLIENT_SHARE + 50 * MS + MS, "{cost}");
    assert_eq!(
        breaker.refuses_at(2, client(1), 30 * SECOND),
        None,
        "it comes back"
    );
    assert!(!breaker.is_armed());
}

/// Else one that goes round all hooks had four shares.
#[test]
fn a_client_has_one_share_for_all_hooks_together() {
    let mut breaker = Breaker::new(DEADLINE);
    let mut cost = 0;
    for now in (0..10_000).map(|n| n * MS) {
        let hook = (now / MS) as usize % HOOKS;
        if !breaker.is_armed() || breaker.refuses_at(hook, client(1), now).is_none() {
            cost += MS;
            breaker.charge_at(hook, client(1), MS, now);
        }
    }
    assert!(cost <= 10 * SECOND / CLIENT_SHARE + 50 * MS + MS, "{cost}");
}

#[test]
fn however_much_one_call_costs_one_client_suspends_nothing() {
    let mut breaker = Breaker::new(Duration::from_secs(10));
    let Consequence::None = breaker.charge_at(0, client(1), 10 * SECOND, 0) else {
        panic!("a first miss")
    };
    for n in 1..100 {
        let consequence = breaker.charge_at(0, client(1), 10 * SECOND, n * SECOND);
        assert!(
            !matches!(consequence, Consequence::Suspension(_)) || n > 10,
            "{n}"
        );
        if breaker.refuses_at(0, client(1), n * SECOND).is_some() {
            return;
        }
    }
    panic!("never paused");
}

#[test]
fn many_clients_together_suspend_the_hook_and_those_without_a_debt_come_back_first() {
    let mut breaker = Breaker::new(DEADLINE);
    let mut now = 0;
    let pause = (0..).find_map(|n| {
        now += MS;
        match breaker.charge_at(0, client(n % 1_000), 5 * MS, now) {
            Consequence::Suspension(pause) => Some(pause),
            _ => None,
        }
    });
    let pause = nanoseconds(pause.unwrap());
    assert!((SECOND / 2..2 * SECOND).contains(&pause), "{pause}");
    assert!(matches!(
        breaker.refuses_at(0, client(5_000), now),
        Some(Refused::Suspended(_))
    ));
    assert_eq!(
        breaker.refuses_at(1, client(5_000), now),
        None,
        "the other hooks go on"
    );
    now += pause;
    assert_eq!(breaker.refuses_at(0, client(5_000), now), None);
    // The one that owes most is among those that wait until the debt is paid.
    breaker.charge_at(0, client(7), 45 * MS, now - 1);
    assert!(matches!(
        breaker.refuses_at(0, client(7), now),
        Some(Refused::Paused(_))
    ));
    now += 3 * SECOND;
    assert_eq!(breaker.refuses_at(0, client(7), now), None);
}

#[test]
fn an_ipv6_network_is_one_client_and_a_mapped_address_is_its_ipv4_address() {
    let clients = Clients::new();
    let key = |text: &str| clients.key(text.parse().unwrap());
    assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
    assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
    assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
    assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
}

#[test]
fn a_flood_of_addresses_does_not_push_out_one_that_owes_much() {
    let mut breaker = Breaker::new(DEADLINE);
    for _ in 0..2 {
        breaker.charge_at(0, client(1), 40 * MS, 0);
    }
    for n in 0..100_000 {
        breaker.charge_at(1, client(2 + n), 1, u64::from(n));
    }
    assert!(matches!(
        breaker.refuses_at(0, client(1), MS),
        Some(Refused::Paused(_))
    ));
}

#[test]
fn one_call_of_one_client_never_suspends_a_hook_whatever_it_costs() {
    let mut breaker = Breaker::new(Duration::from_millis(1));
    let client = Some(IpAddr::from([192, 0, 2, 1]));
    let cost = nanoseconds(Duration::from_secs(10));
    let consequence = breaker.charge_at(0, client, cost, 1);
    assert!(
        matches!(consequence, Consequence::Pause(_)),
        "{consequence:?}"
    );
    assert!(matches!(
        breaker.refuses_at(0, client, 2),
        Some(Refused::Paused(_))
    ));
    assert_eq!(breaker.refuses_at(0, Some([192, 0, 2, 2].into()), 2), None);
}

#[test]
fn a_hook_that_is_no_clients_is_suspended_alone_and_no_client_pays() {
    let mut breaker = Breaker::new(DEADLINE);
    let suspended = (0..100).any(|n| {
        let consequence = breaker.charge_at(4, None, 40 * MS, n * MS);
        matches!(consequence, Consequence::Suspension(_))
    });
    assert!(suspended);
    let now = 100 * MS;
    assert!(matches!(
        breaker.refuses_at(4, None, now),
        Some(Refused::Suspended(_))
    ));
    assert_eq!(breaker.refuses_at(2, client(1), now), None);
}
