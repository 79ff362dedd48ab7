//! The crate carries the contract, so that it can be published; it has to be the repository's.

#![allow(clippy::unwrap_used, reason = "a test ends by a panic")]

use std::{fs, path::Path};

#[test]
fn the_contract_is_the_one_of_the_repository() {
    let read =
        |path: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let (own, repository) = (read("wit/policy.wit"), read("../../wit/policy.wit"));
    assert!(
        own == repository,
        "sdk/wit/policy.wit differs from wit/policy.wit: copy the latter over it"
    );
}
