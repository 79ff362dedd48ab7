use super::*;
use crate::message::Fields;

/// Asks each hook; every one of them has this action.
fn each_hook(action: &str, spec: impl Fn(Value) -> PolicySpec) -> Vec<Fault> {
    let test = TestEngine::new();
    let mut handle = test.handle(&spec(json!({
        "select": [action], "request": [action], "response": [action], "range": [action],
    })));
    let mut head = request(&[("x-mine", "1")]);
    let mut fields = Fields::new();
    fields.append(b"x-theirs", b"1");
    let faults = vec![
        until_available(|| handle.check_range(&mut head, 0)).unwrap_err(),
        until_available(|| handle.edit_request(&mut head, 0)).unwrap_err(),
        until_available(|| handle.select(&mut head, 0, first_attempt())).unwrap_err(),
        until_available(|| handle.edit_response(&mut head, 0, 200, 0, &mut fields)).unwrap_err(),
    ];
    assert_eq!(
        (field(&head, "x-mine"), head.fields.len(), fields.len()),
        ("1", 1, 1)
    );
    let shard = test.shard();
    assert_eq!(
        shard.traps.value() + shard.deadlines.value() + shard.invalid.value(),
        4
    );
    let hooks = [
        Hook::Range,
        Hook::RequestHeaders,
        Hook::Selection,
        Hook::ResponseHeaders,
    ];
    for (fault, hook) in faults.iter().zip(hooks) {
        assert!(
            fault.message.starts_with(&format!("{hook}: ")),
            "{}",
            fault.message
        );
        assert!(!fault.message.contains('\n'), "{}", fault.message);
    }
    faults
}

#[test]
fn a_trap_in_any_hook_is_a_fault_that_names_the_function() {
    for fault in each_hook("trap", probe) {
        assert_eq!(fault.kind, FaultKind::Trap);
        assert!(
            fault.message.contains("unreachable") && fault.message.contains("probe"),
            "{}",
            fault.message
        );
    }
}

#[test]
fn an_endless_loop_in_any_hook_ends_by_its_deadline() {
    for fault in each_hook("loop", |settings| impatient(probe(settings))) {
        assert_eq!(fault.kind, FaultKind::Deadline, "{}", fault.message);
    }
}

#[test]
fn endless_recursion_in_any_hook_is_a_trap() {
    for fault in each_hook("recurse", probe) {
        assert_eq!(fault.kind, FaultKind::Trap, "{}", fault.message);
    }
    // The probe runs out of its own stack, in its memory. This one has none there, and uses the
    // host's.
    let test = TestEngine::new();
    let mut handle = test.handle(&spec(&editing_guest(
        "",
        "",
        "(func $r (call $r) (call $r))",
        "(call $r)",
    )));
    let fault = handle.edit_request(&mut request(&[]), 0).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Trap);
    assert!(
        fault.message.contains("call stack exhausted"),
        "{}",
        fault.message
    );
}

#[test]
fn memory_beyond_the_limit_in_any_hook_is_a_trap_that_says_so() {
    for fault in each_hook("allocate=20", probe) {
        assert_eq!(fault.kind, FaultKind::Trap);
        assert!(
            fault.message.contains("bytes of memory"),
            "{}",
            fault.message
        );
    }
}

#[test]
fn invalid_answers_are_counted_and_the_edits_before_them_undone() {
    let test = TestEngine::new();
    let mut handle = test.handle(&probe(Value::Null));
    let invalid = |result: Result<(), Fault>| {
        let fault = result.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Invalid, "{}", fault.message);
    };
    for action in [
        "pick=3",
        "pick=4294967295",
        "refuse=99",
        "refuse=600",
        "refuse-body=70000",
        "refuse-fields=65",
    ] {
        let mut head = request(&[("x-probe-select", action)]);
        invalid(until_available(|| handle.select(&mut head, 0, first_attempt())).map(|_| ()));
    }
    for action in ["ranges=5-2", "ranges=-", "many=65"] {
        let mut head = request(&[("x-probe-range", action)]);
        invalid(until_available(|| handle.check_range(&mut head, 0)).map(|_| ()));
    }
    for bad in ["content-length:1", "x:a%0d%0ab", "a%20b:c"] {
        let refusal = format!("refuse-field={bad}");
        let mut head = request(&[
            ("x-probe-request", "set=x-edited:1"),
            ("x-probe-request", &refusal),
        ]);
        invalid(until_available(|| handle.edit_request(&mut head, 0)).map(|_| ()));
        assert!(!head.fields.contains("x-edited") && head.fields.len() == 2);
    }
    assert_eq!(test.shard().invalid.value(), 12);
    assert_eq!(test.shard().traps.value(), 0);
}

#[test]
fn edits_before_a_trap_are_undone() {
    let mut handle = TestEngine::new().handle(&probe(Value::Null));
    let mut head = request(&[
        ("x-keep", "1"),
        ("x-probe-request", "set=x-keep:2"),
        ("x-probe-request", "append=x-new:1"),
        ("x-probe-request", "trap"),
    ]);
    assert!(handle.edit_request(&mut head, 0).is_err());
    assert_eq!(field(&head, "x-keep"), "1");
    assert!(!head.fields.contains("x-new"));
    let mut fields = Fields::new();
    fields.append(b"a", b"b");
    let mut head = request(&[
        ("x-probe-response", "remove=a"),
        ("x-probe-response", "loop"),
    ]);
    let mut handle = TestEngine::new().handle(&impatient(probe(Value::Null)));
    assert!(
        handle
            .edit_response(&mut head, 0, 200, 0, &mut fields)
            .is_err()
    );
    assert_eq!(fields.first("a"), Some(&b"b"[..]));
}

#[test]
fn huge_strings_and_answers_cost_the_host_nothing() {
    let test = TestEngine::new();
    let mut handle = test.handle(&probe(Value::Null));
    let mut head = request(&[("x-probe-select", "log-bytes=4000000")]);
    let fault = handle.select(&mut head, 0, first_attempt()).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Trap);
    assert!(fault.message.contains("too much data"), "{}", fault.message);
    let mut head = request(&[("x-probe-select", "refuse-body=4000000")]);
    let fault = until_available(|| handle.select(&mut head, 0, first_attempt())).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Invalid);
}

#[test]
fn a_flood_of_log_lines_is_dropped_and_counted() {
    let test = TestEngine::new();
    let mut handle = test.handle(&probe(Value::Null));
    handle
        .select(
            &mut request(&[("x-probe-select", "log-flood=1000")]),
            0,
            first_attempt(),
        )
        .unwrap();
    let dropped = test.shard().log_lines_dropped.value();
    assert!((1..=968).contains(&dropped), "{dropped}");
}

#[test]
fn a_guest_that_keeps_its_handles_or_answers_nonsense_is_a_fault() {
    let test = TestEngine::new();
    for body in [
        "(return (i32.const 1024))",
        "(return (i32.const 65535))",
        "(return (i32.const -4))",
    ] {
        let mut handle = test.handle(&spec(&editing_guest("", "", "", body)));
        let fault = handle.edit_request(&mut request(&[]), 0).unwrap_err();
        assert_ne!(fault.kind, FaultKind::Unavailable, "{}", fault.message);
    }
    let nonsense = "(i32.store8 (i32.const 1024) (i32.const 7))";
    let mut handle = test.handle(&spec(&editing_guest("", "", "", nonsense)));
    assert_eq!(
        handle.edit_request(&mut request(&[]), 0).unwrap_err().kind,
        FaultKind::Invalid
    );
    let mut handle = test.handle(&spec(&editing_guest("", "", "", "")));
    assert!(matches!(
        handle.edit_request(&mut request(&[]), 0),
        Ok(Edited::Done)
    ));
}

#[test]
fn growth_beyond_the_limit_is_refused_and_the_guest_goes_on() {
    let mut handle =
        TestEngine::new().handle(&probe(probe_actions("request", &["grow=64", "grow=1"])));
    let mut head = request(&[]);
    handle.edit_request(&mut head, 0).unwrap();
    assert_eq!(field(&head, "x-probe-did"), "refused, granted");
}

#[test]
fn a_guest_that_loops_while_the_host_hands_it_a_string_ends_by_its_deadline() {
    let bytes = editing_guest(
        "",
        r#"(core func $path (canon lower (func $types "[method]request.path") (memory $mem)
                (realloc (core func $m "never"))))
           (core instance $host (export "path" (func $path)))"#,
        r#"(import "host" "path" (func $path (param i32 i32)))"#,
        "(call $path (local.get 0) (i32.const 2048))",
    );
    let mut handle = TestEngine::new().handle(&impatient(spec(&bytes)));
    let fault = handle.edit_request(&mut request(&[]), 0).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Deadline, "{}", fault.message);
}

#[test]
fn handles_of_the_guests_own_resources_are_bounded() {
    let bytes = editing_guest(
        "(type $mine (resource (rep i32)))",
        r#"(core func $make (canon resource.new $mine))
           (core instance $host (export "make" (func $make)))"#,
        r#"(import "host" "make" (func $make (param i32) (result i32)))"#,
        "(loop $more (drop (call $make (i32.const 0))) (br $more))",
    );
    let mut handle = TestEngine::new().handle(&spec(&bytes));
    let fault = handle.edit_request(&mut request(&[]), 0).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Trap);
    assert!(fault.message.contains("handle"), "{}", fault.message);
}

#[test]
fn a_trap_in_a_function_whose_name_stands_for_gigabytes_costs_nothing() {
    // Each level of this C++ name stands for twice the one before.
    let mut name = String::from("_Z1fP1aS_");
    for level in 0..60 {
        let before = if level == 0 {
            String::new()
        } else {
            (level - 1).to_string()
        };
        name.push_str(&format!("PFS{before}_S{before}_E"));
    }
    for (name, shown) in [
        (name.as_str(), "_Z1fP1aS_"),
        ("\\1b[2J\\e2\\80\\ae", "\u{fffd}[2J\u{fffd}"),
    ] {
        let core = format!("(func $bad (@name \"{name}\") unreachable)");
        let test = TestEngine::new();
        let mut handle = test.handle(&spec(&editing_guest("", "", &core, "(call $bad)")));
        let fault = handle.edit_request(&mut request(&[]), 0).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Trap);
        assert!(
            fault.message.contains(shown) && fault.message.len() < 1024,
            "{}",
            fault.message
        );
        assert!(
            !fault.message.chars().any(char::is_control),
            "{}",
            fault.message
        );
    }
}
