//! What is known of names, and the topologies that follow from it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant, SystemTime};

use super::*;
use crate::config::{Backend, BackendKind, Config, Pool};
use crate::upstream::{
    AdminState, Discovery, Edit, Family, Name, NameState, News, Origin, Outcome, Overlay, Record,
    Target,
};

fn pools(backends: &str) -> Vec<Pool> {
    let text =
        format!("[[routes]]\nhost = \"*\"\npool = \"web\"\n[pools.web]\nbackends = {backends}\n");
    Config::from_toml(&text, std::path::Path::new(""))
        .unwrap()
        .pools
}

fn host(name: &str) -> Name {
    Name::host(name).unwrap()
}

fn v4(last: u8) -> Record {
    Record::Address(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)))
}

fn v6(last: u16) -> Record {
    Record::Address(IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last)))
}

fn found(records: impl IntoIterator<Item = Record>) -> Outcome {
    Outcome::Found {
        records: records.into_iter().collect(),
        ttl: Duration::from_secs(1),
    }
}

fn absent() -> Outcome {
    Outcome::Absent("there is none".to_owned())
}

fn failed() -> Outcome {
    Outcome::Failed("it failed".to_owned())
}

fn note(discovery: &Discovery, name: &Name, family: Family, outcome: Outcome) -> Option<News> {
    let now = SystemTime::now();
    discovery.note(name, family, outcome, (now, now))
}

/// The endpoints of the first pool: address, weight, state.
fn endpoints(pools: &[Pool], discovery: &Discovery) -> Vec<String> {
    let registry = Registry::new(1);
    let made = crate::upstream::topology(pools, &registry, discovery, TlsFiles::Read).unwrap();
    let all = made.pools[0].endpoints.iter();
    all.map(|e| format!("{}/{}/{}", e.label, e.weight, e.state.as_str()))
        .collect()
}

fn state(discovery: &Discovery, name: &str) -> NameState {
    let all = discovery.status();
    all.into_iter().find(|s| s.name == name).unwrap().state
}

#[test]
fn a_pool_whose_name_is_unknown_is_empty_and_has_its_addresses_when_they_are_found() {
    let (pools, discovery) = (
        pools("[\"a.test:81\", \"10.0.0.9:80\"]"),
        Discovery::default(),
    );
    assert_eq!(endpoints(&pools, &discovery), ["10.0.0.9:80/1/up"]);
    let name = host("a.test");
    assert_eq!(discovery.names(&pools), [name.clone()].into());
    assert!(!discovery.are_known(&discovery.names(&pools)));
    let changes = discovery.changes();
    assert_eq!(
        note(&discovery, &name, Family::Any, found([v4(2), v4(1), v4(2)])),
        None
    );
    assert!(changes.has_changed().unwrap());
    let all = ["10.0.0.1:81/1/up", "10.0.0.2:81/1/up", "10.0.0.9:80/1/up"];
    assert_eq!(endpoints(&pools, &discovery), all);
    // The same in another order is nothing new.
    let changes = discovery.changes();
    note(&discovery, &name, Family::Any, found([v4(1), v4(2)]));
    assert!(!changes.has_changed().unwrap());
}

#[test]
fn the_last_good_list_stays_until_there_is_a_better_one() {
    let (pools, discovery) = (pools("[\"a.test\"]"), Discovery::default());
    let name = host("a.test");
    note(&discovery, &name, Family::Any, found([v4(1)]));
    for outcome in [failed(), absent(), failed()] {
        note(&discovery, &name, Family::Any, outcome);
        assert_eq!(endpoints(&pools, &discovery), ["10.0.0.1:80/1/up"]);
    }
    let NameState::Stale { reason, .. } = state(&discovery, "a.test") else {
        panic!("it is stale");
    };
    assert_eq!(reason, "it failed");
    let news = note(&discovery, &name, Family::Any, found([v4(2)]));
    assert_eq!(news, Some(News::Fresh));
    assert_eq!(endpoints(&pools, &discovery), ["10.0.0.2:80/1/up"]);
    let status = discovery.status().remove(0);
    assert_eq!(
        (status.lookups, status.failures, status.error),
        (5, 3, None)
    );
}

#[test]
fn news_come_once() {
    let (discovery, name) = (Discovery::default(), host("a.test"));
    let hear = |outcome| note(&discovery, &name, Family::Any, outcome);
    assert_eq!(
        hear(absent()),
        Some(News::Unresolved("there is none".to_owned()))
    );
    assert_eq!(hear(failed()), None);
    assert_eq!(hear(found([v4(1)])), Some(News::Fresh));
    assert_eq!(hear(failed()), Some(News::Stale("it failed".to_owned())));
    assert_eq!(hear(absent()), None);
    assert_eq!(hear(found([v4(1)])), Some(News::Fresh));
    assert_eq!(hear(found([v4(3)])), None);
}

#[test]
fn a_host_of_one_family_is_not_stale_for_want_of_the_other() {
    let (pools, discovery) = (pools("[\"a.test\"]"), Discovery::default());
    let name = host("a.test");
    discovery.expect(&name, Family::Ipv4);
    discovery.expect(&name, Family::Ipv6);
    assert_eq!(note(&discovery, &name, Family::Ipv6, absent()), None);
    assert_eq!(state(&discovery, "a.test"), NameState::Asked);
    note(&discovery, &name, Family::Ipv4, found([v4(1)]));
    assert_eq!(state(&discovery, "a.test"), NameState::Resolved);
    assert_eq!(discovery.status()[0].failures, 0);
    // Both, and then only the other one.
    note(&discovery, &name, Family::Ipv6, found([v6(1)]));
    assert_eq!(endpoints(&pools, &discovery).len(), 2);
    note(&discovery, &name, Family::Ipv4, absent());
    assert_eq!(
        endpoints(&pools, &discovery).len(),
        2,
        "no better list is confirmed"
    );
    note(&discovery, &name, Family::Ipv6, found([v6(1)]));
    assert_eq!(endpoints(&pools, &discovery), ["[fd00::1]:80/1/up"]);
    // Of a name that is gone altogether, all stays.
    note(&discovery, &name, Family::Ipv4, found([v4(1)]));
    note(&discovery, &name, Family::Ipv4, absent());
    note(&discovery, &name, Family::Ipv6, absent());
    assert_eq!(endpoints(&pools, &discovery).len(), 2);
}

#[test]
fn of_too_many_records_the_same_are_used_whatever_their_order() {
    let (pools, discovery) = (pools("[\"a.test\"]"), Discovery::default());
    let name = host("a.test");
    let all = |n: u32| Record::Address(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n)));
    let news = note(&discovery, &name, Family::Any, found((0..4_000).map(all)));
    assert_eq!(news, Some(News::TooMany(4_000 - 1_024)));
    let first = endpoints(&pools, &discovery);
    assert_eq!(first.len(), 1_024);
    let news = note(
        &discovery,
        &name,
        Family::Any,
        found((0..4_000).rev().map(all)),
    );
    assert_eq!(news, None);
    assert_eq!(endpoints(&pools, &discovery), first);
}

fn target(priority: u16, host: &str, port: u16, weight: u16) -> Record {
    Record::Target(Target {
        priority,
        host: host.into(),
        port,
        weight,
    })
}

#[test]
fn a_service_has_the_targets_of_the_lowest_priority_that_have_addresses() {
    let written = "[{ address = \"srv+http://_web._tcp.test\", weight = 2 }]";
    let (pools, discovery) = (pools(written), Discovery::default());
    let service = Name::Srv("_web._tcp.test".to_owned());
    assert_eq!(discovery.names(&pools), [service.clone()].into());
    let records = [
        target(1, "a.test.", 81, 5),
        target(1, "b.test.", 82, 0),
        target(2, "c.test.", 83, 1),
    ];
    note(&discovery, &service, Family::Any, found(records));
    let names = discovery.names(&pools);
    assert_eq!(names.len(), 4, "{names:?}");
    note(&discovery, &host("c.test."), Family::Any, found([v4(3)]));
    assert_eq!(endpoints(&pools, &discovery), ["10.0.0.3:83/2/up"]);
    note(&discovery, &host("a.test."), Family::Any, found([v4(1)]));
    note(&discovery, &host("b.test."), Family::Any, found([v4(2)]));
    let both = ["10.0.0.1:81/10/up", "10.0.0.2:82/2/up"];
    assert_eq!(endpoints(&pools, &discovery), both, "0 is not never");
}

#[test]
fn new_targets_of_a_service_replace_the_former_once_one_has_an_address() {
    let (pools, discovery) = (
        pools("[\"srv+http://_web._tcp.test\"]"),
        Discovery::default(),
    );
    let service = Name::Srv("_web._tcp.test".to_owned());
    let says = |hosts: [&str; 2]| {
        let records = hosts.map(|host| target(1, host, 81, 1));
        note(&discovery, &service, Family::Any, found(records));
    };
    says(["a.test.", "b.test."]);
    note(&discovery, &host("a.test."), Family::Any, found([v4(1)]));
    assert_eq!(endpoints(&pools, &discovery), ["10.0.0.1:81/1/up"]);
    says(["c.test.", "d.test."]);
    let asked = discovery.names(&pools);
    discovery.keep(&asked.into_iter().map(|name| (name, Family::Any)).collect());
    assert_eq!(endpoints(&pools, &discovery), ["10.0.0.1:81/1/up"]);
    note(&discovery, &host("d.test."), Family::Any, found([v4(4)]));
    assert_eq!(endpoints(&pools, &discovery), ["10.0.0.4:81/1/up"]);
}

#[test]
fn edits_of_one_address_count_for_more_than_those_of_its_name() {
    let (pools, discovery) = (pools("[\"a.test\"]"), Discovery::default());
    note(
        &discovery,
        &host("a.test"),
        Family::Any,
        found([v4(1), v4(2)]),
    );
    let edit = |weight, state| Edit { weight, state };
    let edits = [
        ("a.test:80", edit(Some(7), Some(AdminState::Draining))),
        ("10.0.0.2:80", edit(None, Some(AdminState::Up))),
    ];
    let added = Backend {
        address: "10.0.0.3:80".to_owned(),
        kind: BackendKind::Address,
        tls: None,
        protocol: None,
        weight: 3,
        labels: Vec::new(),
    };
    let overlay = Overlay {
        added: vec![added],
        edits: edits.map(|(key, edit)| (key.to_owned(), edit)).into(),
    };
    discovery.overlay("web", Origin::File, overlay);
    let all = [
        "10.0.0.1:80/0/draining",
        "10.0.0.2:80/7/up",
        "10.0.0.3:80/3/up",
    ];
    assert_eq!(endpoints(&pools, &discovery), all);
    // A later origin has the last word, and what it takes back is as before.
    let down = edit(None, Some(AdminState::Down));
    let overlay = Overlay {
        added: Vec::new(),
        edits: [("10.0.0.3:80".to_owned(), down)].into(),
    };
    discovery.overlay("web", Origin::Api, overlay);
    assert_eq!(endpoints(&pools, &discovery)[2], "10.0.0.3:80/0/down");
    let changes = discovery.changes();
    discovery.overlay("web", Origin::Api, Overlay::default());
    assert!(changes.has_changed().unwrap());
    assert_eq!(endpoints(&pools, &discovery), all);
}

/// A name whose addresses change every second for a year must not fill the memory.
#[test]
fn of_the_endpoints_that_left_a_bounded_number_is_remembered() {
    let (pools, discovery) = (pools("[\"a.test\"]"), Discovery::default());
    let (registry, stats) = (Registry::new(1), Stats::new(1));
    let mut first = None;
    for n in 0..5_000 {
        let address = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n));
        let kept = v6(1);
        let records = [Record::Address(address), kept];
        note(&discovery, &host("a.test"), Family::Any, found(records));
        let made = crate::upstream::topology(&pools, &registry, &discovery, TlsFiles::Keep);
        let made = made.unwrap();
        registry.forget(&stats, Instant::now());
        let ids = |at: usize| made.pools[0].endpoints[at].id;
        assert_eq!(
            ids(1),
            *first.get_or_insert(ids(1)),
            "what stays is the same"
        );
    }
    let (pools, endpoints) = registry.size();
    assert!(pools == 1 && endpoints <= 1_024 + 2, "{endpoints}");
}

#[test]
fn a_topology_says_how_it_differs_from_the_one_before() {
    let (pools, discovery) = (pools("[\"a.test\"]"), Discovery::default());
    let registry = Registry::new(1);
    let made = || crate::upstream::topology(&pools, &registry, &discovery, TlsFiles::Keep).unwrap();
    note(
        &discovery,
        &host("a.test"),
        Family::Any,
        found([v4(1), v4(2)]),
    );
    let first = made();
    assert!(made().is_like(&first) && made().differences(&first).is_empty());
    note(
        &discovery,
        &host("a.test"),
        Family::Any,
        found([v4(2), v4(3)]),
    );
    let second = made();
    assert!(!second.is_like(&first));
    assert_eq!(
        second.differences(&first),
        ["backends of pool \"web\": +10.0.0.3:80 -10.0.0.1:80 (2 in all)"]
    );
    let drained = Edit {
        weight: None,
        state: Some(AdminState::Draining),
    };
    let overlay = Overlay {
        added: Vec::new(),
        edits: [("10.0.0.2:80".to_owned(), drained)].into(),
    };
    discovery.overlay("web", Origin::Api, overlay);
    let third = made();
    assert!(!third.is_like(&second));
    assert_eq!(
        third.differences(&second),
        ["backends of pool \"web\": 10.0.0.2:80 draining (2 in all)"]
    );
}
