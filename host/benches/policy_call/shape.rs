//! What `select` costs by the kind of guest and of instance.

use criterion::Criterion;
use serde_json::Value;
use waypost::config::Isolation;
use waypost::policy::builtin;

use crate::guests::{Guest, Hook, NOTHING};
use crate::handles::{FEW_FIELDS, FIRST, Handles, POOL, request};

/// The floor: it gives back the request and has no choice.
pub const IDLE: Guest = Guest {
    import: NOTHING,
    data: "",
    hook: Hook::Select(""),
};

/// `shape/...`
pub fn measure(criterion: &mut Criterion, handles: &Handles) {
    let mut group = criterion.benchmark_group("shape");
    let (idle, random) = (IDLE.component(), builtin("random").unwrap());
    for (name, component, isolation, fields) in [
        (
            "text that does nothing, 4 fields",
            idle.as_slice(),
            Isolation::Worker,
            FEW_FIELDS,
        ),
        (
            "text that does nothing, 30 fields",
            &idle,
            Isolation::Worker,
            30,
        ),
        ("Rust, random", random, Isolation::Worker, FEW_FIELDS),
        (
            "text that does nothing, a fresh instance",
            &idle,
            Isolation::Request,
            FEW_FIELDS,
        ),
        (
            "Rust, random, a fresh instance",
            random,
            Isolation::Request,
            FEW_FIELDS,
        ),
    ] {
        let (mut handle, mut head) = (None, request(fields));
        group.bench_function(name, |b| {
            let handle = handle
                .get_or_insert_with(|| handles.handle("shape", component, isolation, Value::Null));
            b.iter(|| {
                handle.begin_request();
                let selected = handle.select(&mut head, POOL, FIRST).unwrap();
                handle.end_request();
                selected
            });
        });
    }
    group.finish();
}
