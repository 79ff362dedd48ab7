use super::*;

fn calls_after(seat: &mut Seat, action: &str) -> String {
    let mut head = request(&[("x-probe-request", action)]);
    assert!(seat.edit_request(&mut head, 0).is_err());
    let mut head = request(&[("x-probe-request", "calls")]);
    until_available(|| seat.edit_request(&mut head, 0)).unwrap();
    field(&head, "x-probe-calls").to_owned()
}

#[test]
fn after_a_trap_a_fresh_instance_answers() {
    let test = TestEngine::new();
    let mut seat = test.seat(&probe(Value::Null));
    seat.edit_request(&mut request(&[]), 0).unwrap();
    for _ in 0..50 {
        assert_eq!(calls_after(&mut seat, "trap"), "1");
    }
    assert_eq!(test.shard().traps.value(), 50);
    assert!(test.shard().memory.value() < 4 << 20, "the memory of lost instances is still counted");
}

#[test]
fn an_instance_that_is_slow_to_build_is_rebuilt_off_the_worker() {
    let test = TestEngine::new();
    let mut seat = test.seat(&probe(json!({"on_configure": "spin=500000"})));
    assert!(seat.edit_request(&mut request(&[("x-probe-request", "trap")]), 0).is_err());
    let fault = seat.edit_request(&mut request(&[]), 0).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Rebuilding, "{}", fault.message);
    assert_eq!(calls_until_available(&mut seat), "1");
    // Built off the workers: one for the load, one for the rebuild.
    assert_eq!(test.stats.shards[1].instances_built.value(), 2);
    assert_eq!(test.shard().instances_built.value(), 0);
}

fn calls_until_available(seat: &mut Seat) -> String {
    let mut head = request(&[("x-probe-request", "calls")]);
    until_available(|| seat.edit_request(&mut head, 0)).unwrap();
    field(&head, "x-probe-calls").to_owned()
}

#[test]
fn a_generation_that_is_gone_is_not_rebuilt() {
    let test = TestEngine::with_room_for(3);
    for _ in 0..5 {
        let mut seat = until_room(&test);
        assert!(seat.edit_request(&mut request(&[("x-probe-request", "trap")]), 0).is_err());
    }
}

/// The builder may hold the last generation for a moment.
fn until_room(test: &TestEngine) -> Seat {
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
fn workers_have_instances_of_their_own() {
    let engine = Engine::new(EngineOptions { workers: 2, instances: Some(32), ..EngineOptions::default() }).unwrap();
    let stats = Stats::new(2).policy("p");
    let generation = engine.load(&probe(probe_actions("request", &["calls"])), &pools(), 1, &stats, 1).unwrap();
    let facts: Arc<dyn BackendFacts> = Arc::new(TestFacts { in_flight: AtomicU32::new(0) });
    thread::scope(|scope| {
        for worker in 0..2 {
            let (generation, facts) = (Arc::clone(&generation), Arc::clone(&facts));
            scope.spawn(move || {
                let shard = generation.shard(worker);
                let mut seat = Seat::adopt(generation, worker, facts, shard);
                for call in 1..=100 {
                    let mut head = request(&[]);
                    seat.edit_request(&mut head, 0).unwrap();
                    assert_eq!(field(&head, "x-probe-calls"), call.to_string());
                }
            });
        }
    });
}
