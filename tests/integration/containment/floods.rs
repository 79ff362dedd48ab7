//! Floods: millions of calls of the host in one call of a hook. They end by the deadline and leave
//! nothing behind.

use super::{Contained, HOOKS, KEPT};

#[track_caller]
fn is_contained(what: &str, hooks: &[&str]) {
    let c = Contained::probe("deadline = \"100ms\"");
    let before = c.at_rest();
    for hook in hooks {
        c.fails(hook, &format!("flood={what}"), "deadlines");
        c.recover();
        c.bystander.goes_on();
    }
    c.told_in_the_log(&["missed its deadline", "::flood::endless"]);
    let peak = c.proxy.peak_resident_kib();
    assert!(
        peak <= before.resident + KEPT,
        "{peak} KiB at the most, {} before",
        before.resident
    );
    c.is_as_before(&before, hooks.len() as u64);
    c.end();
}

#[test]
fn of_reads_of_the_request() {
    is_contained("reads", &HOOKS);
}

#[test]
fn of_edits_of_header_fields() {
    is_contained("edits", &["Request", "Response"]);
}

#[test]
fn of_randomness() {
    is_contained("random", &HOOKS);
}

#[test]
fn of_looks_at_the_clock() {
    is_contained("clock", &HOOKS);
}

#[test]
fn of_questions_about_backends() {
    is_contained("facts", &HOOKS);
    is_contained("attempts", &["Select"]);
    is_contained("connection", &["Request"]);
}

#[test]
fn of_counts() {
    is_contained("counters", &HOOKS);
}

#[test]
fn of_new_counters() {
    is_contained("names", &HOOKS);
}

#[test]
fn of_log_lines_is_rationed_and_counted() {
    for what in ["log", "long-log"] {
        let c = Contained::probe("deadline = \"100ms\"");
        let before = c.at_rest();
        for hook in HOOKS {
            c.fails(hook, &format!("flood={what}"), "deadlines");
            c.recover();
            c.bystander.goes_on();
        }
        assert!(
            c.count("log_lines_dropped") > 100,
            "{} lines dropped",
            c.count("log_lines_dropped")
        );
        c.is_as_before(&before, HOOKS.len() as u64);
        let log = c.proxy.stderr.text();
        // An instance has a burst of 32, and each of the four floods was another instance's.
        let written = log
            .lines()
            .filter(|line| line.contains("flood ") || line.contains("xxxxxxxx"))
            .count();
        assert!((1..1_000).contains(&written), "{written} lines written");
        assert!(
            log.lines().all(|line| line.len() < 2_000),
            "a line was not cut"
        );
        c.end();
    }
}
