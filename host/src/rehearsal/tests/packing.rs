//! Modules for `waypost policy pack`, and how `inspect` describes them.

use std::path::Path;

use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::mutation::{Dice, assert_readable, survive};
use crate::policy::Compiler;
use crate::rehearsal::pack::pack;

/// The seed of everything here.
const SEED: u64 = 0x5ce7_a214;
const CASES: usize = 500;

/// A policy that selects no backend, with its types.
fn module() -> Vec<u8> {
    let text = r#"(module
            (import "waypost:policy/types@0.1.0" "[resource-drop]request" (func $drop (param i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
            (func (export "_initialize"))
            (func (export "waypost:policy/selection@0.1.0#select") (param i32 i32 i32) (result i32)
                (call $drop (local.get 0))
                (i32.store8 (i32.const 64) (i32.const 0))
                (i32.const 64)))"#;
    let mut module = wat::parse_str(text).unwrap();
    let mut resolve = Resolve::default();
    resolve
        .push_str("policy.wit", include_str!("../../../../wit/policy.wit"))
        .unwrap();
    let world = "package test:packed; world packed { export waypost:policy/selection@0.1.0; }";
    let package = resolve.push_str("packed.wit", world).unwrap();
    let world = resolve.select_world(&[package], Some("packed")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    module
}

fn mutate(bytes: &mut Vec<u8>, donor: &[u8], dice: &mut Dice) {
    // The first eight bytes only say what the rest is.
    let at = 8 + dice.below(bytes.len() - 8);
    match dice.below(5) {
        0 | 1 => bytes[at] ^= 1 << dice.below(8),
        2 => bytes[at] = [0, 1, 0x1b, 0x7f, 0x80, 0xff][dice.below(6)],
        3 => _ = bytes.drain(at..(at + 1 + dice.below(8)).min(bytes.len())),
        _ => {
            let from = dice.below(donor.len());
            let piece = donor[from..(from + 1 + dice.below(16)).min(donor.len())].to_vec();
            bytes.splice(at..at, piece);
        }
    }
    if bytes.len() < 9 {
        bytes.resize(9, 0);
    }
}

#[test]
fn a_mutated_module_is_packed_or_refused_with_a_reason() {
    let (mut dice, whole) = (Dice(SEED), module());
    let (mut packed, mut refused) = (0, 0);
    for case in 0..CASES {
        let mut bytes = whole.clone();
        for _ in 0..=dice.below(3) {
            mutate(&mut bytes, &whole, &mut dice);
        }
        survive(case, &bytes, || {
            Compiler::default().anatomy(&bytes, Default::default())
        })
        .unwrap();
        match survive(case, &bytes, || {
            pack(Path::new("module.wasm"), &bytes, Default::default())
        }) {
            Ok(_) => packed += 1,
            Err(error) => {
                assert_readable(&error.told());
                assert_eq!(error.told().lines().count(), 1);
                refused += 1;
            }
        }
    }
    assert!(packed > 0 && refused > CASES / 2, "{packed} {refused}");
    assert!(pack(Path::new("module.wasm"), &whole, Default::default()).is_ok());
}
