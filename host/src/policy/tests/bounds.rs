//! The work and memory that a guest causes in the host are as bounded as its own code.

use super::*;

/// A guest that does this in `edit-request`, in a memory that it grows to 1 GiB first.
fn large(body: &str) -> PolicySpec {
    let body = format!("(drop (memory.grow (i32.const 16383))) {body}");
    let spec = spec(&editing_guest("", "", "", &body));
    PolicySpec {
        memory: 2 << 30,
        deadline: Duration::from_millis(1),
        ..spec
    }
}

#[test]
fn one_instruction_over_all_of_a_large_memory_ends_by_the_deadline() {
    // Each of these is a single instruction and takes a hundred milliseconds or more, so that a
    // guest which nothing interrupts would answer.
    let gib = "(i32.const 1073741824)";
    for body in [
        format!("(memory.fill (i32.const 0) (i32.const 7) {gib})"),
        format!("(loop $l (memory.fill (i32.const 0) (i32.const 7) {gib}) (br $l))"),
        "(memory.copy (i32.const 1) (i32.const 0) (i32.const 1073741823))".to_owned(),
        "(memory.copy (i32.const 0) (i32.const 1) (i32.const 1073741823))".to_owned(),
    ] {
        let test = TestEngine::new();
        let mut handle = test.handle(&large(&body));
        let fault = handle.edit_request(&mut request(&[]), 0).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Deadline, "{body}: {}", fault.message);
        assert_eq!(test.shard().deadlines.value(), 1);
    }
}

#[test]
fn calls_of_the_host_one_after_the_other_end_by_the_deadline_without_a_loop_too() {
    let log = r#"(import "waypost:policy/log@0.1.0" (instance $log
        (type $levels (enum "debug" "info" "warn" "error")) (export "level" (type $level (eq $levels)))
        (export "write" (func (param "level" $level) (param "message" string)))))"#;
    // Far more than the deadline together, so that a guest which nothing interrupts would answer.
    for (encoding, length) in [
        ("utf8", 60_000),
        ("utf16", 30_000),
        ("latin1+utf16", 30_000),
    ] {
        let host = format!(
            r#"(core func $w (canon lower (func $log "write") (memory $mem) string-encoding={encoding}))
               (core instance $host (export "w" (func $w)))"#
        );
        let body =
            format!("(call $w (i32.const 0) (i32.const 0) (i32.const {length})) ").repeat(10_000);
        let core = r#"(import "host" "w" (func $w (param i32 i32 i32)))"#;
        let test = TestEngine::new();
        let mut handle = test.handle(&impatient(spec(&editing_guest(log, &host, core, &body))));
        let fault = handle.edit_request(&mut request(&[]), 0).unwrap_err();
        assert_eq!(
            fault.kind,
            FaultKind::Deadline,
            "{encoding}: {}",
            fault.message
        );
    }
}

#[test]
fn out_of_bounds_is_still_a_trap_and_not_a_missed_deadline() {
    let body = "(memory.fill (i32.const 65536) (i32.const 7) (i32.const 1073741824))";
    let fault = TestEngine::new()
        .handle(&large(body))
        .edit_request(&mut request(&[]), 0)
        .unwrap_err();
    assert_eq!(fault.kind, FaultKind::Trap, "{}", fault.message);
    assert!(
        fault.message.contains("out of bounds memory access"),
        "{}",
        fault.message
    );
}

#[test]
fn an_answer_that_comes_after_the_deadline_counts_as_a_missed_one_and_is_used() {
    let test = TestEngine::new();
    let spec = PolicySpec {
        deadline: Duration::from_nanos(1),
        ..spec(&editing_guest("", "", "", ""))
    };
    let mut handle = test.handle(&spec);
    let asked = 50;
    let answers = (0..asked)
        .filter(|_| handle.edit_request(&mut request(&[]), 0).is_ok())
        .count();
    // A tick may well end a few of them.
    assert!(answers > 0);
    // The first long call may have been off its core: from the second on the thread's own time is
    // measured.
    assert!(
        test.shard().deadlines.value() >= asked - 1,
        "{}",
        test.shard().deadlines.value()
    );
    assert!(test.shard().fault_nanoseconds.value() > 0);
}

#[test]
fn tables_and_memories_share_the_limit() {
    let guest = |elements: u32, pages: u32| {
        let core = format!("(table {elements} funcref)");
        let body = format!(
            "(if (i32.eq (memory.grow (i32.const {pages})) (i32.const -1)) (then unreachable))"
        );
        let spec = spec(&editing_guest("", "", &core, &body));
        PolicySpec {
            memory: 4 * 65_536,
            ..spec
        }
    };
    let test = TestEngine::new();
    let mut handle = test.handle(&guest(10, 2));
    assert!(handle.edit_request(&mut request(&[]), 0).is_ok());
    let beside = handle.generation().beside_memory();
    assert!(beside > 0);
    assert_eq!(test.shard().memory.value(), 3 * 65_536 + 80 + beside);
    drop(handle);
    // A table of 16,000 elements takes two pages.
    let mut handle = test.handle(&guest(16_000, 2));
    assert!(handle.edit_request(&mut request(&[]), 0).is_err());
    let refused = test.load(&guest(190_000, 0)).unwrap_err();
    assert!(
        matches!(refused, Refusal::Memory { needed, limit: 262_144 } if needed > 1_500_000),
        "{refused}"
    );
}

#[test]
fn generations_of_one_policy_never_take_the_places_of_another() {
    let test = TestEngine::with_room_for(24);
    let guest = spec(&editing_guest("", "", "", ""));
    let guard = PolicySpec {
        name: "guard".to_owned(),
        isolation: Isolation::Request,
        ..guest.clone()
    };
    let mut handle = test.handle(&guard);
    let mut held = Vec::new();
    let refused = loop {
        match test.load(&guest) {
            Ok(generation) => held.push(test.adopt(generation)),
            Err(refused) => break refused,
        }
    };
    assert!(
        refused
            .to_string()
            .contains("5 generations that requests still use"),
        "{refused}"
    );
    for _ in 0..20 {
        handle.begin_request();
        assert!(handle.edit_request(&mut request(&[]), 0).is_ok());
        assert!(handle.edit_request(&mut request(&[]), 0).is_ok());
        handle.end_request();
    }
    let _trial = test.handle(&guard);
    let _another = test.handle(&guard);
    drop(held);
    assert!(test.load(&guest).is_ok());
}

#[test]
fn a_tape_keeps_nothing_that_the_store_could_not_hold_and_little_of_the_rest() {
    let test = TestEngine::new();
    let mut handle = test.handle(&probe(Value::Null));
    let mut weight = |actions: &[&str]| {
        handle.insert_tape(Box::new(Tape::recording(1)));
        let fields: Vec<_> = actions
            .iter()
            .map(|action| ("x-probe-request", *action))
            .collect();
        handle.edit_request(&mut request(&fields), 0).unwrap();
        handle.eject_tape().unwrap().record().weight()
    };
    assert!(weight(&["store-fill=large:1000000:30"]) < 1_000);
    assert!(weight(&["store-long-key=900000"]) < 1_000);
    let kept = weight(&["store-fill=k:4000:60"]);
    assert!((32_000..80_000).contains(&kept), "{kept}");
}

#[test]
fn a_policy_that_is_slow_to_build_has_a_successor_waiting_after_its_first_fault() {
    let test = TestEngine::new();
    let mut handle = test.handle(&probe(json!({"on_configure": "spin=500000"})));
    let trap = |handle: &mut PolicyHandle| {
        let fault = until_available(|| {
            handle.edit_request(&mut request(&[("x-probe-request", "trap")]), 0)
        });
        assert_eq!(fault.unwrap_err().kind, FaultKind::Trap);
    };
    trap(&mut handle);
    until_available(|| handle.edit_request(&mut request(&[]), 0)).unwrap();
    let built = || test.stats.shards[1].instances_built.value();
    let give_up = Instant::now() + Duration::from_secs(60);
    while built() < 3 {
        assert!(Instant::now() < give_up, "no successor");
        thread::yield_now();
    }
    // It was counted when it was built, and is put in its place right after.
    let _in_place = test.stats.setting_up.lock().unwrap();
    drop(_in_place);
    trap(&mut handle);
    assert_eq!(
        handle
            .edit_request(&mut request(&[]), 0)
            .map_err(|fault| fault.kind),
        Ok(Edited::Done)
    );
}

#[test]
fn globals_count_for_each_instance_that_has_them() {
    let globals = "(global (mut i64) (i64.const 0))".repeat(1_000);
    let imports = format!("(core module $many {globals})");
    let instances: String = (0..100)
        .map(|n| format!("(core instance $many{n} (instantiate $many))"))
        .collect();
    let guest = spec(&editing_guest(
        &format!("{imports} {instances}"),
        "",
        "",
        "",
    ));
    let test = TestEngine::new();
    // 1,000 globals of 16 bytes in each of 100 instances.
    let refused = test
        .load(&PolicySpec {
            memory: 1 << 20,
            ..guest.clone()
        })
        .unwrap_err();
    assert!(
        matches!(refused, Refusal::Memory { needed, .. } if needed > 1_600_000),
        "{refused}"
    );
    let handle = test.handle(&guest);
    assert!(test.shard().memory.value() > 1_600_000);
    drop(handle);
    assert_eq!(test.shard().memory.value(), 0);
}
