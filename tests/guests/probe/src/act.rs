//! The actions that any hook can do.

use std::hint::black_box;

use crate::{
    action::Action,
    flood,
    hooks::{
        Request, Response, STATE,
        waypost::policy::{clock, counters, log, random},
    },
};

/// Does `action` if it is one of those that any hook can do. The text is what came of it; `None` if
/// it is not one.
pub fn any(action: &Action) -> Option<String> {
    let done = match action.name.as_str() {
        "trap" => trap(),
        "panic" => panic!("told to panic"),
        "loop" => spin_forever(),
        "spin" => spin(action.number()),
        "recurse" => format!("{}", recurse(1)),
        "grow" => grow(action.number()),
        "allocate" => allocate(action.number()),
        "remember" => remember(),
        "log" => write(log::Level::Info, &action.argument),
        "log-error" => write(log::Level::Error, &action.argument),
        "log-bytes" => write(log::Level::Info, &"x".repeat(action.number() as usize)),
        "log-flood" => (0..action.number())
            .map(|at| write(log::Level::Info, &format!("flood {at}")))
            .last()?,
        "count" => count(&action.argument),
        "define" => define_many(action.number()),
        _ => return flood::any(action).or_else(|| crate::store::any(action)),
    };
    Some(done)
}

/// The same in a hook that is given a request.
pub fn asked(action: &Action, request: &Request) -> Option<String> {
    any(action).or_else(|| flood::reads(action, request))
}

/// The answer in place of a backend that `actions` ask for, if they do.
pub fn refusal(actions: &[Action]) -> Option<Response> {
    let mut response = None;
    for action in actions {
        let name = action.name.as_str();
        if !matches!(
            name,
            "refuse" | "refuse-body" | "refuse-field" | "refuse-fields"
        ) {
            continue;
        }
        let refused = response.get_or_insert(Response {
            status: 503,
            headers: Vec::new(),
            body: Vec::new(),
        });
        match name {
            "refuse" => refused.status = action.number() as u16,
            "refuse-body" => refused.body = vec![b'x'; action.number() as usize],
            "refuse-field" => refused.headers.push(action.field()),
            _ => refused
                .headers
                .extend((0..action.number()).map(|at| (format!("x-many-{at}"), b"y".to_vec()))),
        }
    }
    response
}

// Functions of their own, whatever the optimiser thinks: the names are in the messages.
#[inline(never)]
fn trap() -> ! {
    // Else it is the same as a panic's end, and the linker makes one of both.
    black_box("told to trap");
    std::arch::wasm32::unreachable()
}

#[inline(never)]
fn spin_forever() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

fn spin(microseconds: u64) -> String {
    let end = clock::monotonic_nanoseconds().saturating_add(microseconds.saturating_mul(1000));
    while clock::monotonic_nanoseconds() < end {}
    "done".to_owned()
}

#[allow(unconditional_recursion)]
#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let room = black_box([depth; 32]);
    recurse(black_box(depth + 1)) + room[(depth % 32) as usize]
}

fn grow(mebibytes: u64) -> String {
    match std::arch::wasm32::memory_grow(0, mebibytes as usize * 16) {
        usize::MAX => "refused".to_owned(),
        _ => "granted".to_owned(),
    }
}

/// Traps if there is not as much.
#[inline(never)]
fn allocate(mebibytes: u64) -> String {
    for _ in 0..mebibytes {
        std::mem::forget(black_box(vec![1_u8; 1 << 20]));
    }
    "done".to_owned()
}

/// What is drawn and read now.
fn remember() -> String {
    let now = (
        random::below(1_000_000),
        random::bits(),
        clock::monotonic_nanoseconds(),
        clock::unix_milliseconds(),
    );
    STATE.with_borrow_mut(|state| state.remembered.push(now));
    let (below, bits, since, unix) = now;
    write(
        log::Level::Debug,
        &format!("remembered {below}/{bits}/{since}/{unix}"),
    )
}

fn write(level: log::Level, message: &str) -> String {
    log::write(level, message);
    "done".to_owned()
}

fn count(name: &str) -> String {
    match counters::define(name) {
        Ok(counter) => {
            counters::add(counter, 1);
            "counted".to_owned()
        }
        Err(reason) => reason,
    }
}

fn define_many(number: u64) -> String {
    let made = (0..number)
        .take_while(|at| counters::define(&format!("probe_{at}")).is_ok())
        .count();
    format!("{made}")
}
