//! A changed list of backends, and how running instances receive it.

use super::*;
use crate::message::Fields;

/// The pools of the other tests, of which the first has lost a backend and got two.
fn changed() -> Vec<PoolSpec> {
    let mut pools = pools();
    let backend = |n: u32| BackendSpec {
        address: format!("10.0.0.{n}:80"),
        weight: 1,
        labels: Vec::new(),
    };
    pools[0].backends = vec![backend(2), backend(4), backend(5)];
    pools
}

const FIRST: &str = "0 web 7 10.0.0.1:80/1/zone=a 10.0.0.2:80/2/zone=a 10.0.0.3:80/3/zone=a; \
     1 other 7 10.0.0.9:80/9/zone=a";
/// The pool that did not change is not passed again.
const SECOND: &str =
    "1 other 7 10.0.0.9:80/9/zone=a; 0 web 8 10.0.0.2:80/1 10.0.0.4:80/1 10.0.0.5:80/1";
/// To a fresh instance.
const SECOND_AT_ONCE: &str =
    "0 web 8 10.0.0.2:80/1 10.0.0.4:80/1 10.0.0.5:80/1; 1 other 7 10.0.0.9:80/9/zone=a";

/// What the instance knows, and how often it was asked.
fn knows(handle: &mut PolicyHandle) -> (String, String) {
    let mut head = request(&[]);
    let edited = until_available(|| handle.edit_request(&mut head, 0));
    assert_eq!(edited.unwrap(), Edited::Done);
    let told = |name| field(&head, name).to_owned();
    (told("x-probe-topology"), told("x-probe-calls"))
}

fn reports(settings: Value) -> PolicySpec {
    let mut settings = settings;
    settings["request"] = json!(["topology", "calls"]);
    probe(settings)
}

fn change(engine: &TestEngine, handle: &mut PolicyHandle) -> Arc<Lists> {
    let lists = Arc::new(handle.generation().lists().next(&changed(), 8));
    handle.generation().warm_for(&lists).unwrap();
    handle.adopt_lists(&lists, &engine.facts());
    lists
}

#[test]
fn an_instance_that_lives_sees_the_second_list_and_keeps_its_memory() {
    let engine = TestEngine::new();
    let mut handle = engine.handle(&reports(json!({})));
    assert_eq!(knows(&mut handle), (FIRST.to_owned(), "1".to_owned()));
    let lists = change(&engine, &mut handle);
    assert_eq!(knows(&mut handle), (SECOND.to_owned(), "2".to_owned()));
    assert_eq!(engine.shard().traps.value(), 0);
    assert_eq!(engine.shard().instances.value(), 1);
    // One that is published again without a change says nothing new.
    let again = Arc::new(lists.next(&changed(), 9));
    handle.adopt_lists(&again, &engine.facts());
    assert_eq!(knows(&mut handle), (SECOND.to_owned(), "3".to_owned()));
}

#[test]
fn an_instance_that_was_built_with_an_older_list_gets_the_new_one_before_its_first_call() {
    let engine = TestEngine::new();
    let mut handle = engine.handle(&reports(json!({})));
    let lists = Arc::new(handle.generation().lists().next(&changed(), 8));
    // It is asked for the first time after the change.
    handle.adopt_lists(&lists, &engine.facts());
    assert_eq!(knows(&mut handle), (SECOND.to_owned(), "1".to_owned()));
    // Instances that are built later receive each list once.
    let mut head = request(&[("x-probe-request", "trap")]);
    assert!(handle.edit_request(&mut head, 0).is_err());
    assert_eq!(
        knows(&mut handle),
        (SECOND_AT_ONCE.to_owned(), "1".to_owned())
    );
}

#[test]
fn an_instance_that_is_too_slow_for_a_new_list_is_replaced_by_a_warm_one() {
    let engine = TestEngine::new();
    // 50 ms for each list.
    let slow = PolicySpec {
        deadline: Duration::from_millis(20),
        ..reports(json!({"on_topology": "spin=50000"}))
    };
    let mut handle = engine.handle(&slow);
    assert_eq!(knows(&mut handle), (FIRST.to_owned(), "1".to_owned()));
    change(&engine, &mut handle);
    let mut head = request(&[]);
    assert_eq!(
        handle.edit_request(&mut head, 0).unwrap(),
        Edited::Done,
        "no call finds it missing"
    );
    assert_eq!(field(&head, "x-probe-topology"), SECOND_AT_ONCE);
    assert_eq!(field(&head, "x-probe-calls"), "1");
    assert_eq!(engine.shard().deadlines.value(), 0);
    assert_eq!(engine.shard().instances.value(), 1);
}

#[test]
fn one_that_traps_on_the_second_list_is_replaced() {
    let engine = TestEngine::new();
    let mut handle = engine.handle(&reports(json!({})));
    knows(&mut handle);
    let mut full = pools();
    // 32 MiB in 16.
    full[0].backends = (0..2_048)
        .map(|n| BackendSpec {
            address: format!("10.0.0.1:{n}"),
            weight: 1,
            labels: vec![("long".to_owned(), "x".repeat(16 * 1024))],
        })
        .collect();
    let lists = Arc::new(handle.generation().lists().next(&full, 8));
    let logged = logged(|| {
        handle.adopt_lists(&lists, &engine.facts());
    });
    assert!(
        logged.contains("the instance failed on a changed list"),
        "{logged}"
    );
    assert_eq!(engine.shard().traps.value(), 1);
    let lists = Arc::new(lists.next(&changed(), 9));
    handle.adopt_lists(&lists, &engine.facts());
    let (topology, calls) = knows(&mut handle);
    assert!(topology.starts_with("0 web 9 10.0.0.2"), "{topology}");
    assert_eq!(calls, "1");
}

/// Where the backends of the pool stand before and after the change: only the second has stayed.
const POSITIONS: Positions<'static> = Positions {
    there: &|before| (before == 1).then_some(0),
    back: &|after| (after == 0).then_some(1),
};

#[test]
fn a_request_of_an_older_list_has_its_selection_translated() {
    let engine = TestEngine::new();
    let mut handle = engine.handle(&probe(json!({"request": ["attempt"]})));
    change(&engine, &mut handle);
    let failed = [0, 1, 2].map(|backend| FailedAttempt {
        backend,
        failure: Failure::Closed,
    });
    let question = Select {
        pools: 0.into(),
        attempt: Attempt {
            number: 4,
            failed: &failed,
        },
    };
    for (picked, selected) in [
        ("pick=0", Selected::Backend(1)),
        ("pick=1", Selected::NoChoice),
        ("none", Selected::NoChoice),
    ] {
        let mut head = request(&[("x-probe-select", picked)]);
        let mut message = Message::request(&mut head);
        let answer = question.ask_by(&mut handle, &mut message, POSITIONS);
        assert_eq!(answer.unwrap(), selected, "{picked}");
        assert_eq!(handle.edit_request(&mut head, 0).unwrap(), Edited::Done);
        // Of the failed ones the policy knows the one that has stayed.
        assert_eq!(field(&head, "x-probe-attempt"), "0 4 0:closed");
    }
}

#[test]
fn the_backend_that_answered_has_the_position_of_the_newer_list_or_none() {
    let engine = TestEngine::new();
    let mut handle = engine.handle(&probe(json!({"response": ["answer"]})));
    change(&engine, &mut handle);
    for (backend, seen) in [(1, "200 0"), (0, "200 4294967295")] {
        let question = EditResponse {
            pools: 0.into(),
            status: 200,
            backend,
        };
        let (mut head, mut fields) = (request(&[]), Fields::new());
        let mut message = Message {
            head: &mut head,
            response: Some(&mut fields),
        };
        let answer = question.ask_by(&mut handle, &mut message, POSITIONS);
        assert_eq!(answer.unwrap(), Edited::Done);
        assert_eq!(fields.first("x-probe-answer"), Some(seen.as_bytes()));
    }
}
