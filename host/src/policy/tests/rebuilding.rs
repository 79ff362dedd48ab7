use super::*;

fn calls_after(handle: &mut PolicyHandle, action: &str) -> String {
    let mut head = request(&[("x-probe-request", action)]);
    assert!(handle.edit_request(&mut head, 0).is_err());
    let mut head = request(&[("x-probe-request", "calls")]);
    until_available(|| handle.edit_request(&mut head, 0)).unwrap();
    field(&head, "x-probe-calls").to_owned()
}

#[test]
fn after_a_trap_a_fresh_instance_answers() {
    let test = TestEngine::new();
    let mut handle = test.handle(&probe(Value::Null));
    handle.edit_request(&mut request(&[]), 0).unwrap();
    for _ in 0..50 {
        assert_eq!(calls_after(&mut handle, "trap"), "1");
    }
    assert_eq!(test.shard().traps.value(), 50);
    assert!(
        test.shard().memory.value() < 4 << 20,
        "the memory of lost instances is still counted"
    );
}

#[test]
fn an_instance_that_is_slow_to_build_is_rebuilt_off_the_worker() {
    let test = TestEngine::new();
    let mut handle = test.handle(&probe(json!({"on_configure": "spin=500000"})));
    assert!(
        handle
            .edit_request(&mut request(&[("x-probe-request", "trap")]), 0)
            .is_err()
    );
    let fault = handle.edit_request(&mut request(&[]), 0).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Rebuilding, "{}", fault.message);
    assert_eq!(calls_until_available(&mut handle), "1");
    // Built off the workers: one for the load, one for the rebuild.
    assert_eq!(test.stats.shards[1].instances_built.value(), 2);
    assert_eq!(test.shard().instances_built.value(), 0);
}

/// This one is built a few times more when it is loaded, to know whether a worker can afford it.
#[test]
fn a_build_for_measuring_has_no_visible_effects() {
    let test = TestEngine::new();
    let per_pool = json!({"on_configure": "spin=1000", "on_topology": "store-increment=told:1"});
    let generation = test.load(&probe(per_pool)).unwrap();
    assert_eq!(
        generation.store().counter("told"),
        Some(pools().len() as i64)
    );
    assert_eq!(test.stats.shards[1].instances_built.value(), 1);
}

fn calls_until_available(handle: &mut PolicyHandle) -> String {
    let mut head = request(&[("x-probe-request", "calls")]);
    until_available(|| handle.edit_request(&mut head, 0)).unwrap();
    field(&head, "x-probe-calls").to_owned()
}

#[test]
fn a_generation_that_is_gone_is_not_rebuilt() {
    let test = TestEngine::with_room_for(3);
    for _ in 0..5 {
        let mut handle = until_room(&test);
        assert!(
            handle
                .edit_request(&mut request(&[("x-probe-request", "trap")]), 0)
                .is_err()
        );
    }
}

/// The builder may hold the last generation for a moment.
fn until_room(test: &TestEngine) -> PolicyHandle {
    let give_up = Instant::now() + Duration::from_secs(60);
    loop {
        match test.load(&probe(json!({"on_configure": "spin=1000"}))) {
            Ok(generation) => return test.adopt(generation),
            Err(Refusal::Full(_)) if Instant::now() < give_up => thread::yield_now(),
            Err(e) => panic!("{e}"),
        }
    }
}

#[test]
fn each_worker_has_its_own_instance() {
    let engine = Engine::new(EngineOptions {
        workers: 2,
        instances: Some(32),
        ..EngineOptions::default()
    })
    .unwrap();
    let stats = Stats::new(2).policy("p");
    let generation = engine
        .load(
            &probe(probe_actions("request", &["calls"])),
            &pools(),
            1,
            &stats,
            1,
        )
        .unwrap();
    let facts: Arc<dyn BackendFacts> = Arc::new(TestFacts {
        in_flight: AtomicU32::new(0),
    });
    thread::scope(|scope| {
        for worker in 0..2 {
            let (generation, facts) = (Arc::clone(&generation), Arc::clone(&facts));
            scope.spawn(move || {
                let shard = generation.shard(worker);
                let mut handle = PolicyHandle::adopt(generation, worker, facts, shard);
                for call in 1..=100 {
                    let mut head = request(&[]);
                    handle.edit_request(&mut head, 0).unwrap();
                    assert_eq!(field(&head, "x-probe-calls"), call.to_string());
                }
            });
        }
    });
}

/// A component whose `select` always traps. Its `configure` counts in the store how often it was
/// called, after so many turns of a loop, and traps the second time.
fn fails_the_second_time(turns: u32) -> Vec<u8> {
    wat(&format!(
        r#"(component
            {SELECTING}
            (import "waypost:policy/store@0.1.0" (instance $store
                (type $errors (enum "key-too-long" "value-too-long" "no-room"))
                (export "store-error" (type $store-error (eq $errors)))
                (export "increment" (func (param "key" string) (param "by" s64) (param "ttl-milliseconds" u64)
                    (result (result s64 (error $store-error)))))))
            (core module $room
                (memory (export "memory") 1)
                (data (i32.const 0) "built")
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096)))
            (core instance $room (instantiate $room))
            (alias core export $room "memory" (core memory $memory))
            (alias core export $room "realloc" (core func $realloc))
            (core func $increment
                (canon lower (func $store "increment") (memory $memory) (realloc $realloc)))
            (core module $m
                (import "room" "memory" (memory 1))
                (import "host" "increment" (func $increment (param i32 i32 i64 i64 i32)))
                (func (export "configure") (param i32 i32) (result i32) (local $left i32)
                    (local.set $left (i32.const {turns}))
                    (loop $again
                        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                        (br_if $again (i32.gt_s (local.get $left) (i32.const 0))))
                    (call $increment (i32.const 0) (i32.const 5) (i64.const 1) (i64.const 0) (i32.const 64))
                    (if (i64.eq (i64.load (i32.const 72)) (i64.const 2)) (then unreachable))
                    (i32.const 1024))
                (func (export "select") (param i32 i32 i32) (result i32) unreachable))
            (core instance $i (instantiate $m
                (with "room" (instance $room))
                (with "host" (instance (export "increment" (func $increment))))))
            (func $configure (param "settings" string) (result (result (error string)))
                (canon lift (core func $i "configure") (memory $memory) (realloc $realloc)))
            (func $select (param "request" (borrow $request)) (param "pool" u32) (param "attempt" u32)
                (result (result (option u32) (error $response)))
                (canon lift (core func $i "select") (memory $memory) (realloc $realloc)))
            (instance $configuration (export "configure" (func $configure)))
            (export "waypost:policy/configuration@0.1.0" (instance $configuration))
            (instance $selection (export "select" (func $select)))
            (export "waypost:policy/selection@0.1.0" (instance $selection)))"#
    ))
}

/// Quick ones are built by the worker and slow ones by a builder.
#[test]
fn an_instance_that_cannot_be_built_again_is_said_so_and_tried_again_after_a_while() {
    for turns in [1, 5_000_000] {
        let test = TestEngine::new();
        let mut handle = test
            .handle(&spec(&fails_the_second_time(turns)))
            .without_breaker();
        let built = |handle: &PolicyHandle| handle.generation().store().counter("built");
        let ask = |handle: &mut PolicyHandle| {
            handle
                .select(&mut request(&[]), 0, first_attempt())
                .unwrap_err()
        };
        assert_eq!(ask(&mut handle).kind, FaultKind::Trap);
        let fault = loop {
            let fault = ask(&mut handle);
            if fault.kind != FaultKind::Rebuilding {
                break fault;
            }
            thread::yield_now();
        };
        assert_eq!(
            fault.kind,
            FaultKind::Unavailable,
            "{turns}: {}",
            fault.message
        );
        assert!(
            fault.message.contains("a new instance failed in configure"),
            "{}",
            fault.message
        );
        // Asking does not build one each time.
        let began = Instant::now();
        let unavailable = (0..100)
            .take_while(|_| ask(&mut handle).kind == FaultKind::Unavailable)
            .count();
        assert!(
            unavailable == 100 || began.elapsed() > Duration::from_millis(400),
            "{unavailable}"
        );
        let fault = until_available(|| Err::<(), _>(ask(&mut handle))).unwrap_err();
        assert_eq!(
            fault.kind,
            FaultKind::Trap,
            "the third one could be built: {}",
            fault.message
        );
        assert!(built(&handle) >= Some(3), "{:?}", built(&handle));
        assert!(
            test.shard().unbuilt.value() > 0,
            "calls without an instance are counted"
        );
    }
}
