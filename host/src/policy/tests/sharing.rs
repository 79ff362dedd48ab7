use super::*;

/// Does these actions in `edit-request` and gives what came of each.
fn told(handle: &mut PolicyHandle, actions: &[&str]) -> Vec<String> {
    let fields: Vec<_> = actions
        .iter()
        .map(|action| ("x-probe-request", *action))
        .collect();
    let mut head = request(&fields);
    handle.edit_request(&mut head, 0).unwrap();
    field(&head, "x-probe-did")
        .split(", ")
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_guest_does_all_there_is_to_do_with_a_store() {
    let test = TestEngine::new();
    let mut handle = test.handle(&probe(Value::Null));
    let answers = told(
        &mut handle,
        &[
            "store-get=a",
            "store-set=a:1",
            "store-get=a",
            "store-cas=a:1:2",
            "store-get=a",
        ],
    );
    assert_eq!(answers, ["none", "ok", "1", "true", "2"]);
    let answers = told(
        &mut handle,
        &[
            "store-cas=a:1:3",
            "store-cas=a:none:3",
            "store-remove=a",
            "store-cas=a:none:3",
        ],
    );
    assert_eq!(answers, ["false", "false", "true", "true"]);
    let answers = told(
        &mut handle,
        &[
            "store-increment=a:5",
            "store-increment=a:-7",
            "store-counter=a",
            "store-counter=b",
        ],
    );
    assert_eq!(answers, ["5", "-2", "-2", "none"]);
    let answers = told(
        &mut handle,
        &[
            "store-long-key=256",
            "store-long-key=257",
            "store-fill=f:4096:1",
            "store-fill=f:4097:1",
        ],
    );
    assert_eq!(answers, ["ok", "key-too-long", "1", "0"]);
}

#[test]
fn instances_generations_and_faults_share_a_store() {
    let test = TestEngine::new();
    let mut first = test.handle(&probe(Value::Null));
    told(&mut first, &["store-set=a:kept", "store-increment=n:1"]);
    let mut head = request(&[
        ("x-probe-request", "store-increment=n:1"),
        ("x-probe-request", "trap"),
    ]);
    assert!(first.edit_request(&mut head, 0).is_err());
    // A policy with two pools.
    let mut second = test.handle(&probe(json!({"on_topology": "store-increment=n:1"})));
    assert_eq!(
        told(&mut second, &["store-get=a", "store-increment=n:1"]),
        ["kept", "5"]
    );
    drop((first, second));
    // Nothing of the policy is loaded any more, but the engine still runs.
    assert_eq!(
        told(
            &mut test.handle(&probe(Value::Null)),
            &["store-get=a", "store-counter=n"]
        ),
        ["kept", "5"]
    );
}

#[test]
fn each_policy_name_has_its_own_store() {
    let test = TestEngine::new();
    let other = PolicySpec {
        name: "q".to_owned(),
        ..probe(Value::Null)
    };
    told(&mut test.handle(&probe(Value::Null)), &["store-set=a:mine"]);
    assert_eq!(told(&mut test.handle(&other), &["store-get=a"]), ["none"]);
}

#[test]
fn a_store_has_the_bounds_of_its_policy() {
    let test = TestEngine::new();
    let store = StoreLimits {
        entries: 10,
        bytes: 2048,
    };
    let mut handle = test.handle(&PolicySpec {
        store,
        ..probe(Value::Null)
    });
    assert_eq!(
        told(&mut handle, &["store-fill=k:1:1000", "store-set=large::0"]),
        ["1000", "ok"]
    );
    assert_eq!(
        told(
            &mut handle,
            &["store-fill=large:2000:1", "store-fill=large:1000:5"]
        ),
        ["0", "5"]
    );
    let sum = |counter: fn(&crate::stats::StoreShard) -> u64| -> u64 {
        test.stats
            .store
            .get()
            .unwrap()
            .iter()
            .map(|shard| counter(shard))
            .sum()
    };
    assert_eq!(
        (
            sum(|s| s.entries.value()),
            sum(|s| s.refused.value()),
            sum(|s| s.operations.value())
        ),
        (1, 1, 1007)
    );
}

#[test]
fn a_flood_of_new_entries_ends_by_the_deadline_and_stays_within_the_bounds() {
    let test = TestEngine::new();
    let store = StoreLimits {
        entries: 300,
        bytes: 64 << 10,
    };
    let mut handle = test.handle(&impatient(PolicySpec {
        store,
        ..probe(Value::Null)
    }));
    let fault = handle
        .edit_request(&mut request(&[("x-probe-request", "store-flood")]), 0)
        .unwrap_err();
    assert_eq!(fault.kind, FaultKind::Deadline, "{}", fault.message);
    let sum = |counter: fn(&crate::stats::StoreShard) -> u64| -> u64 {
        test.stats
            .store
            .get()
            .unwrap()
            .iter()
            .map(|shard| counter(shard))
            .sum()
    };
    assert!(sum(|s| s.operations.value()) > 0);
    assert!(sum(|s| s.entries.value()) <= 300 && sum(|s| s.bytes.value()) <= 64 << 10);
}

#[test]
fn a_policy_that_does_not_import_the_store_has_none() {
    let test = TestEngine::new();
    let generation = test.load(&spec(builtin("random").unwrap())).unwrap();
    assert!(test.stats.store.get().is_none());
    assert_eq!(generation.store().get("a"), None);
}

#[test]
fn the_request_knows_its_pool() {
    let test = TestEngine::new();
    let spec = PolicySpec {
        settings: json!({}),
        ..spec(builtin("sticky").unwrap())
    };
    let mut handle = test.handle(&spec);
    let cookie = |pool: u32, handle: &mut PolicyHandle| {
        let mut fields = crate::message::Fields::new();
        handle
            .edit_response(&mut request(&[]), pool, 200, 0, &mut fields)
            .unwrap();
        fields.first("set-cookie").unwrap().to_vec()
    };
    assert_ne!(
        cookie(0, &mut handle),
        cookie(1, &mut handle),
        "the first backends of two pools have different addresses"
    );
}

#[test]
fn a_shadow_sees_the_same_store_as_the_active_generation_and_changes_nothing() {
    let test = TestEngine::new();
    let (mut active, mut shadow) = (
        test.handle(&probe(Value::Null)),
        test.handle(&probe(Value::Null)),
    );
    told(&mut active, &["store-set=a:old", "store-increment=n:5"]);
    let mut compare = |asked: &[&str], of_shadow: &[&str]| {
        active.insert_tape(Box::new(Tape::new(1)));
        let first = told(&mut active, asked);
        shadow.insert_tape(Box::new(active.eject_tape().unwrap().replay()));
        let second = told(&mut shadow, of_shadow);
        shadow.eject_tape();
        (first, second)
    };
    let same = [
        "store-get=a",
        "store-cas=a:old:new",
        "store-increment=n:2",
        "store-remove=a",
        "store-counter=n",
    ];
    let (first, second) = compare(&same, &same);
    assert_eq!(first, ["old", "true", "7", "true", "7"]);
    assert_eq!(second, first);
    let (_, second) = compare(&["store-increment=n:2"], &["store-increment=n:10"]);
    assert_eq!(second, ["17"], "from where the active one began");
    // The store is at 9 now.
    let (first, second) = compare(&["store-decrement=n:20"], &["store-decrement=n:20"]);
    assert_eq!(
        (first, second),
        (vec!["-11".to_owned()], vec!["-11".to_owned()])
    );
    let (_, second) = compare(&["store-increment=n:20"], &["store-decrement=n:1"]);
    assert_eq!(
        second,
        ["-12"],
        "one that counts down where the active one counted up"
    );
    let others = [
        "store-set=b:1",
        "store-cas=c:none:1",
        "store-decrement=n:1",
        "store-long-key=257",
        "store-remove=n",
    ];
    let (_, second) = compare(&["store-set=a:kept"], &others);
    assert_eq!(
        second,
        ["ok", "true", "8", "key-too-long", "false"],
        "what the store would have said"
    );
    let left = told(
        &mut active,
        &[
            "store-get=a",
            "store-get=b",
            "store-get=c",
            "store-counter=n",
        ],
    );
    assert_eq!(left, ["kept", "none", "none", "9"]);
}

#[test]
fn a_shadow_changes_nothing_where_the_active_generation_was_not_asked_or_while_it_is_set_up() {
    let test = TestEngine::new();
    let mut shadow = test.handle(&PolicySpec {
        shadow: true,
        ..probe(json!({"on_configure": "store-increment=n:1"}))
    });
    shadow.insert_tape(Box::new(Tape::new(1).replay()));
    assert_eq!(
        told(&mut shadow, &["store-increment=n:5", "store-set=a:1"]),
        ["5", "ok"]
    );
    shadow.eject_tape();
    let mut active = test.handle(&probe(Value::Null));
    assert_eq!(
        told(&mut active, &["store-counter=n", "store-get=a"]),
        ["none", "none"]
    );
    // Promoted, it is set up like any other.
    assert!(shadow.generation().set_shadow(false));
    shadow.generation().warm().unwrap();
    assert_eq!(told(&mut active, &["store-counter=n"]), ["1"]);
}
