//! How late a policy's answer can be: `cargo bench --bench lateness -- FILTER`.
//!
//! Each guest does one thing that takes long, without an end, with a deadline of 1 ms. Shown is by
//! how much some hundred calls exceeded it, as the time of the thread that asked (of a busy
//! machine's other threads there is nothing in that, of a hypervisor's other guests there is) and
//! by the clock, and how many of them exceeded the 5 ms that SECURITY.md promises.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a program for people, run by hand"
)]

mod guests;
#[path = "../policy_call/handles.rs"]
#[allow(dead_code, reason = "the other benchmark needs more of it")]
mod handles;

use std::time::{Duration, Instant};

use guests::{Guest, component, guests};
use handles::{FIRST, Handles, POOL};
use nix::time::{ClockId, clock_gettime};
use waypost::policy::PolicyHandle;

const DEADLINE: Duration = Duration::from_millis(1);

/// What SECURITY.md promises beyond the deadline.
const PROMISED: Duration = Duration::from_millis(5);
const CALLS: usize = 200;

fn main() {
    // `cargo bench` adds `--bench`.
    let filter = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'))
        .unwrap_or_default();
    let handles = Handles::new();
    println!(
        "Milliseconds beyond the deadline of {CALLS} calls: of the thread's time, and by the clock."
    );
    println!(
        "{:<44}{:>8}{:>8}{:>8}{:>9}{:>14}",
        "", "median", "95 %", "longest", "by clock", "beyond 5 ms"
    );
    for Guest {
        name,
        memory,
        imports,
        fields,
        does,
    } in guests()
    {
        if !name.contains(&filter) {
            continue;
        }
        let mut handle = handles
            .limited(name, &component(&imports, &fields, &does), DEADLINE, memory)
            .without_breaker();
        let took: Vec<_> = (0..CALLS).map(|_| ask(&mut handle)).collect();
        let late = |of: fn(&(Duration, Duration)) -> Duration| {
            let mut late: Vec<_> = took
                .iter()
                .map(|took| of(took).saturating_sub(DEADLINE))
                .collect();
            late.sort();
            late
        };
        let (thread, clock) = (late(|took| took.0), late(|took| took.1));
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        let beyond = thread.iter().filter(|late| **late > PROMISED).count();
        println!(
            "{name:<44}{:>8.2}{:>8.2}{:>8.2}{:>9.2}{beyond:>14}",
            ms(thread[CALLS / 2]),
            ms(thread[CALLS * 95 / 100]),
            ms(thread[CALLS - 1]),
            ms(clock[CALLS - 1]),
        );
    }
}

/// What one call took, of the thread and by the clock. Calls of which there is no instance yet are
/// asked again.
fn ask(handle: &mut PolicyHandle) -> (Duration, Duration) {
    let mut head = handles::request(handles::FEW_FIELDS);
    loop {
        let (began, used) = (Instant::now(), thread_time());
        let answer = handle.select(&mut head, POOL, FIRST);
        let took = (thread_time() - used, began.elapsed());
        match answer {
            Ok(_) => return took,
            Err(fault) if handle.took().is_zero() => {
                assert!(
                    began.elapsed() < Duration::from_secs(10),
                    "{}",
                    fault.message
                );
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(fault) => {
                assert!(
                    fault.message.contains("missed its deadline"),
                    "{}",
                    fault.message
                );
                return took;
            }
        }
    }
}

fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .unwrap()
        .into()
}
