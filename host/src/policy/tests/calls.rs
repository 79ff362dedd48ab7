use super::*;
use crate::message::Fields;
use crate::policy::Hook;

#[test]
fn the_built_in_random_chooses_a_healthy_backend_that_did_not_fail() {
    let test = TestEngine::new();
    let mut handle = test.handle(&spec(builtin("random").unwrap()));
    let mut seen = [0; 3];
    for _ in 0..200 {
        let Ok(Selected::Backend(index)) = handle.select(&mut request(&[]), 0, first_attempt())
        else {
            panic!("no backend")
        };
        seen[index as usize] += 1;
    }
    assert!(seen[0] > 20 && seen[1] == 0 && seen[2] > 20, "{seen:?}");
    assert!(matches!(
        handle.select(&mut request(&[]), 0, second_attempt()),
        Ok(Selected::Backend(2))
    ));
    assert!(!handle.hooks().range);
    assert!(matches!(
        handle.check_range(&mut request(&[]), 0),
        Ok(RangeVerdict::Untouched)
    ));
}

#[test]
fn the_built_in_range_policy_answers_ranges() {
    let mut handle = TestEngine::new().handle(&spec(builtin("range").unwrap()));
    let verdict = handle
        .check_range(&mut request(&[("range", "bytes=1-5,7-")]), 0)
        .unwrap();
    let RangeVerdict::Ranges(ranges) = verdict else {
        panic!("{verdict:?}")
    };
    assert_eq!(ranges, [ByteRange::FromTo(1, 5), ByteRange::From(7)]);
    assert!(matches!(
        handle.check_range(&mut request(&[("range", "bytes=x")]), 0),
        Ok(RangeVerdict::Ignore)
    ));
    assert!(matches!(
        handle.check_range(&mut request(&[]), 0),
        Ok(RangeVerdict::Untouched)
    ));
}

#[test]
fn a_guest_reads_the_request_as_it_is() {
    let mut handle = TestEngine::new().handle(&probe(probe_actions(
        "request",
        &["echo", "names", "values=x-twice"],
    )));
    let mut head = request(&[("X-Twice", "a"), ("x-other", "b"), ("x-twice", "c")]);
    handle.edit_request(&mut head, 0).unwrap();
    assert_eq!(
        field(&head, "x-probe-echo"),
        "GET http example.com /a ?b=c 0.0.0.0"
    );
    assert_eq!(field(&head, "x-probe-values"), "61,63");
    assert!(field(&head, "x-probe-names").starts_with("x-twice,x-other,x-twice"));
    assert_eq!(
        (head.host.as_str(), head.target.as_str()),
        ("example.com", "/a?b=c")
    );
}

#[test]
fn backends_arrive_before_the_first_request_and_the_attempt_with_each() {
    let mut handle =
        TestEngine::new().handle(&probe(probe_actions("request", &["topology", "attempt"])));
    let failed = [
        FailedAttempt {
            backend: 2,
            failure: Failure::ConnectTimeout,
        },
        FailedAttempt {
            backend: 1,
            failure: Failure::Closed,
        },
    ];
    assert!(matches!(
        handle.select(
            &mut request(&[]),
            1,
            Attempt {
                number: 3,
                failed: &failed
            }
        ),
        Ok(Selected::NoChoice)
    ));
    let mut head = request(&[]);
    handle.edit_request(&mut head, 0).unwrap();
    assert_eq!(
        field(&head, "x-probe-topology"),
        "0 web 7 10.0.0.1:80/1/zone=a 10.0.0.2:80/2/zone=a 10.0.0.3:80/3/zone=a; 1 other 7 10.0.0.9:80/9/zone=a"
    );
    assert_eq!(
        field(&head, "x-probe-attempt"),
        "1 3 2:connect-timeout 1:closed"
    );
}

#[test]
fn failed_attempts_are_listed_in_select_only_and_never_for_the_next_request() {
    let mut handle = TestEngine::new().handle(&probe(json!({
        "request": ["failed", "attempt", "calls"], "response": ["failed"],
    })));
    let failed = [
        FailedAttempt {
            backend: 0,
            failure: Failure::Connect,
        },
        FailedAttempt {
            backend: 2,
            failure: Failure::Other,
        },
    ];
    let mut asked = |attempt| {
        let (mut head, mut fields) = (request(&[]), Fields::new());
        handle.select(&mut head, 0, attempt).unwrap();
        handle.edit_request(&mut head, 0).unwrap();
        handle
            .edit_response(&mut head, 0, 200, 0, &mut fields)
            .unwrap();
        assert_eq!(field(&head, "x-probe-failed"), "told");
        assert_eq!(fields.first("x-probe-failed"), Some(&b"told"[..]));
        (
            field(&head, "x-probe-attempt").to_owned(),
            field(&head, "x-probe-calls").to_owned(),
        )
    };
    assert_eq!(
        asked(Attempt {
            number: 3,
            failed: &failed
        }),
        ("0 3 0:connect 2:other".to_owned(), "2".to_owned())
    );
    // The same instance; the number makes the guest ask, though no attempt has failed.
    assert_eq!(
        asked(Attempt {
            number: 2,
            failed: &[]
        }),
        ("0 2".to_owned(), "5".to_owned())
    );
}

#[test]
fn selecting_needs_no_allocation_by_the_guest() {
    // Without a `realloc` this component would be invalid if `select` had a list or a string among
    // its parameters.
    let bytes = wat(&format!(
        r#"(component
        {SELECTING}
        (core func $drop (canon resource.drop $request))
        (core module $code
            (import "drop" "request" (func $drop (param i32)))
            (memory (export "memory") 1)
            (func (export "select") (param $request i32) (param $pool i32) (param $attempt i32) (result i32)
                (call $drop (local.get $request))
                (i32.store8 (i32.const 1028) (i32.const 1))
                (i32.store (i32.const 1032) (i32.sub (local.get $attempt) (i32.const 1)))
                (i32.const 1024)))
        (core instance $code (instantiate $code (with "drop" (instance (export "request" (func $drop))))))
        (alias core export $code "memory" (core memory $mem))
        (func $select (param "request" (borrow $request)) (param "pool" u32) (param "attempt" u32)
            (result (result (option u32) (error $response)))
            (canon lift (core func $code "select") (memory $mem)))
        (instance $hooks (export "select" (func $select)))
        (export "waypost:policy/selection@0.1.0" (instance $hooks)))"#
    ));
    let mut handle = TestEngine::new().handle(&spec(&bytes));
    assert!(matches!(
        handle.select(&mut request(&[]), 0, first_attempt()),
        Ok(Selected::Backend(0))
    ));
    assert!(matches!(
        handle.select(&mut request(&[]), 0, second_attempt()),
        Ok(Selected::Backend(1))
    ));
}

#[test]
fn facts_are_those_of_the_requests_pool() {
    let test = TestEngine::new();
    let mut handle = test.handle(&probe(probe_actions("request", &["facts=2", "health=2"])));
    test.facts.in_flight.store(5, Relaxed);
    let mut head = request(&[]);
    handle.edit_request(&mut head, 1).unwrap();
    assert_eq!(field(&head, "x-probe-facts"), "15/0/true/0,16/1000/false/1");
    assert_eq!(field(&head, "x-probe-health"), "healthy/15,ejected/16");
}

#[test]
fn log_lines_carry_the_policys_name_and_are_one_line_each() {
    let mut handle = TestEngine::new().handle(&probe(Value::Null));
    let log = logged(|| {
        let actions = [
            ("x-probe-select", "log=all well"),
            ("x-probe-select", "log-error=not\twell"),
        ];
        handle
            .select(&mut request(&actions), 0, first_attempt())
            .unwrap();
        handle
            .select(
                &mut request(&[("x-probe-select", "log-bytes=5000")]),
                0,
                first_attempt(),
            )
            .unwrap();
    });
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(
        lines[0].contains("INFO policy: all well policy=\"p\""),
        "{log}"
    );
    assert!(lines[1].contains("ERROR policy: not\u{fffd}well"), "{log}");
    assert_eq!(lines[2].matches('x').count(), 1024);
}

#[test]
fn counters_are_counted_by_name_and_bounded() {
    let test = TestEngine::new();
    let mut handle = test.handle(&probe(probe_actions(
        "request",
        &["count=hits", "count=hits", "count=Bad", "define=100"],
    )));
    let mut head = request(&[]);
    handle.edit_request(&mut head, 0).unwrap();
    let did = field(&head, "x-probe-did");
    assert!(
        did.starts_with("counted, counted, a counter's name is") && did.ends_with(", 63"),
        "{did}"
    );
    assert_eq!(test.stats.counter_names.lock().unwrap()[0], "hits");
    assert_eq!(test.shard().counters.0[0].value(), 2);
}

#[test]
fn calls_are_timed_and_memory_is_shown() {
    let test = TestEngine::new();
    let mut handle = test.handle(&probe(Value::Null));
    for _ in 0..3 {
        handle
            .select(&mut request(&[]), 0, first_attempt())
            .unwrap();
    }
    let mut times = crate::stats::HistogramSnapshot::default();
    times.add(&test.shard().hook_nanoseconds[Hook::Selection.index()]);
    assert_eq!(times.count, 3);
    let before = test.shard().memory.value();
    assert!(before > 0);
    handle
        .select(
            &mut request(&[("x-probe-select", "grow=2")]),
            0,
            first_attempt(),
        )
        .unwrap();
    assert_eq!(test.shard().memory.value(), before + (2 << 20));
    assert_eq!(test.shard().memory_peak.value(), before + (2 << 20));
    drop(handle);
    assert_eq!(test.shard().memory.value(), 0);
}

#[test]
fn random_numbers_are_below_the_bound_and_differ() {
    let mut handle =
        TestEngine::new().handle(&probe(probe_actions("request", &["random=10", "clock"])));
    let mut draws = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let mut head = request(&[]);
        handle.edit_request(&mut head, 0).unwrap();
        let (below, bits) = field(&head, "x-probe-random").split_once('/').unwrap();
        assert!(below.parse::<u32>().unwrap() < 10);
        draws.insert(bits.to_owned());
        let (_, unix) = field(&head, "x-probe-clock").split_once('/').unwrap();
        assert!(unix.parse::<u64>().unwrap() > 1_700_000_000_000);
    }
    assert_eq!(draws.len(), 20);
}

#[test]
fn isolation_by_request_remembers_nothing_of_another_request() {
    let test = TestEngine::new();
    let actions = probe_actions("request", &["calls"]);
    let calls = |handle: &mut PolicyHandle| {
        let mut head = request(&[]);
        handle.edit_request(&mut head, 0).unwrap();
        field(&head, "x-probe-calls").to_owned()
    };
    let mut handle = test.handle(&probe(actions.clone()));
    assert_eq!([calls(&mut handle), calls(&mut handle)], ["1", "2"]);

    let mut handle = test.handle(&PolicySpec {
        isolation: Isolation::Request,
        ..probe(actions)
    });
    assert_eq!([calls(&mut handle), calls(&mut handle)], ["1", "1"]);
    handle.begin_request();
    assert_eq!([calls(&mut handle), calls(&mut handle)], ["1", "2"]);
    // A second one: which of the two asks is not known any more.
    handle.begin_request();
    assert_eq!([calls(&mut handle), calls(&mut handle)], ["1", "1"]);
    handle.end_request();
    assert_eq!([calls(&mut handle), calls(&mut handle)], ["1", "2"]);
    handle.end_request();
    assert_eq!([calls(&mut handle), calls(&mut handle)], ["1", "1"]);
}
