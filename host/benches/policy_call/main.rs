//! What one call of a policy costs, measured by criterion: `cargo bench --bench policy_call --
//! FILTER`.
//!
//! The names are `group/what`; a filter is a regular expression on them. The groups: `hook`, the
//! built-in policies as the proxy asks them; `shape`, what kind of guest and of instance it is;
//! `host`, what a guest asks the host; `store`, the policies' store without a guest.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a program for people, run by hand"
)]

mod guests;
#[allow(dead_code, reason = "the other benchmark needs more of it")]
mod handles;
mod hook;
mod host;
mod shape;
mod store;

use std::time::Duration;

use criterion::{BatchSize, Criterion};

/// Inputs made at once, ahead of the clock: few enough to stay in the first-level cache, and enough
/// to make nothing of the two looks at the clock.
const BATCH: BatchSize = BatchSize::NumIterations(16);

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1))
        // Criterion's 100,000 take longer than the measurement.
        .nresamples(10_000)
        .without_plots()
        .configure_from_args();
    let handles = handles::Handles::new();
    hook::measure(&mut criterion, &handles);
    shape::measure(&mut criterion, &handles);
    host::measure(&mut criterion, &handles);
    store::measure(&mut criterion);
    criterion.final_summary();
}
