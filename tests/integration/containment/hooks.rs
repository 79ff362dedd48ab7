//! Faults in every hook of a request: traps, loops, recursion and memory, each told in the log by
//! the guest's function.

use super::{Contained, HOOKS};

/// What goes wrong, the counter that tells, and what the log says of it, with the guest's function.
struct Fault {
    action: &'static str,
    counter: &'static str,
    told: &'static [&'static str],
}

const TRAP: Fault = Fault {
    action: "trap",
    counter: "traps",
    told: &["unreachable", "::act::trap < probe"],
};
const PANIC: Fault = Fault {
    action: "panic",
    counter: "traps",
    told: &["unreachable", "probe::act::any"],
};
const LOOP: Fault = Fault {
    action: "loop",
    counter: "deadlines",
    told: &["missed its deadline", "::act::spin_forever < probe"],
};
const RECURSION: Fault = Fault {
    action: "recurse",
    counter: "traps",
    told: &["::act::recurse < probe"],
};
const MEMORY: Fault = Fault {
    action: "allocate=64",
    counter: "traps",
    told: &["was denied", "bytes of memory"],
};

/// In each hook in turn: the failure mode answers, the fault is counted and told, and then all is
/// as before.
#[track_caller]
fn is_contained(fault: &Fault, deadline: &str) {
    const TIMES: u64 = 2;
    let c = Contained::probe(&format!("deadline = \"{deadline}\""));
    let before = c.at_rest();
    let names = ["range", "request-headers", "selection", "response-headers"];
    for (hook, name) in HOOKS.into_iter().zip(names) {
        for _ in 0..TIMES {
            c.fails(hook, fault.action, fault.counter);
            c.recover();
        }
        c.bystander.goes_on();
        let parts: Vec<&str> = ["\"bad\"", name]
            .iter()
            .chain(fault.told)
            .copied()
            .collect();
        c.told_in_the_log(&parts);
    }
    let faults = TIMES * HOOKS.len() as u64;
    assert_eq!(c.count(fault.counter), faults);
    assert!(c.count("failure_mode_uses") >= faults);
    c.is_as_before(&before, faults);
    c.end();
}

#[test]
fn a_trap_in_every_hook_is_contained_and_named() {
    is_contained(&TRAP, "2s");
}

#[test]
fn a_panic_in_every_hook_is_contained_and_named() {
    is_contained(&PANIC, "2s");
}

#[test]
fn an_endless_loop_in_every_hook_is_contained_and_named() {
    is_contained(&LOOP, "100ms");
}

#[test]
fn endless_recursion_in_every_hook_is_contained_and_named() {
    is_contained(&RECURSION, "2s");
}

#[test]
fn memory_beyond_the_limit_in_every_hook_is_contained_and_reported() {
    is_contained(&MEMORY, "2s");
}

#[test]
fn memory_that_grows_to_the_limit_stays_there_and_is_given_back() {
    let c = Contained::probe("deadline = \"2s\"\nmemory = \"8MiB\"");
    let before = c.at_rest();
    for hook in HOOKS {
        // Told not to stop: what is refused is no fault as long as the guest can do without.
        for _ in 0..12 {
            let answer = c.told(hook, "grow=1");
            assert!(
                matches!(answer.status, 200 | 206),
                "{hook}: {}",
                answer.text()
            );
        }
        let limit = 8 * 1024 * 1024;
        let now = c.count("memory/now_bytes");
        assert!(
            now > limit - 1024 * 1024 && now <= limit,
            "{now} bytes in {hook}"
        );
        assert!(c.count("memory/peak_instance_bytes") <= limit);
        c.fails(hook, "allocate=1", "traps");
        c.recover();
    }
    c.is_as_before(&before, HOOKS.len() as u64);
    c.end();
}

#[test]
fn faults_of_all_kinds_in_a_row_are_contained() {
    let c = Contained::probe("deadline = \"20ms\"");
    let before = c.at_rest();
    let faults = [TRAP, LOOP, RECURSION, MEMORY, PANIC];
    for turn in 0..60 {
        let fault = &faults[turn % faults.len()];
        // Whether it is called or suspended for a while: the answer is that of the failure mode.
        c.told(HOOKS[turn % HOOKS.len()], fault.action)
            .assert_refusal(503);
        c.bystander.goes_on();
    }
    c.is_as_before(&before, 60);
    c.end();
}

/// With `isolation = "request"`.
#[track_caller]
fn leave_no_instance_behind(faults: &[&Fault], deadline: &str) {
    let c = Contained::probe(&format!(
        "deadline = \"{deadline}\"\nisolation = \"request\""
    ));
    let before = c.at_rest();
    for hook in HOOKS {
        for fault in faults {
            c.fails(hook, fault.action, fault.counter);
            c.recover();
        }
        c.bystander.goes_on();
    }
    // Hooks of one request share one, and a request that failed had one more at most.
    let requests = c.proxy.stat("/workers/0/requests");
    c.is_as_before(&before, requests * 2);
    assert_eq!(c.count("memory/now_bytes"), 0);
    c.end();
}

#[test]
fn with_an_instance_for_each_request_none_is_left_behind() {
    leave_no_instance_behind(&[&TRAP, &MEMORY], "2s");
}

#[test]
fn with_an_instance_for_each_request_none_is_left_behind_by_endless_loops() {
    leave_no_instance_behind(&[&LOOP], "100ms");
}
