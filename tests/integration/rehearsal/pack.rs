//! `waypost policy pack`

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::{policy, refused, well};
use crate::fixtures::{Scratch, repository};

/// A policy that selects the backend with the index of the attempt, in text; `more` is put into the
/// module.
fn selecting(more: &str) -> Vec<u8> {
    let text = format!(
        r#"(module {more}
            (import "waypost:policy/types@0.1.0" "[resource-drop]request" (func $drop (param i32)))
            (memory (export "memory") 1)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
            (func (export "_initialize"))
            (func (export "waypost:policy/selection@0.1.0#select") (param i32 i32 i32) (result i32)
                (call $drop (local.get 0))
                (i32.store8 (i32.const 64) (i32.const 0))
                (i32.store8 (i32.const 68) (i32.const 1))
                (i32.store (i32.const 72) (local.get 2))
                (i32.const 64)))"#
    );
    wat::parse_str(text).unwrap()
}

/// The same with its types, as wit-bindgen puts them into a module.
fn with_types(mut module: Vec<u8>) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let contract = std::fs::read_to_string(repository().join("wit/policy.wit")).unwrap();
    resolve.push_str("policy.wit", &contract).unwrap();
    let world = "package test:packed; world packed { export waypost:policy/selection@0.1.0; }";
    let package = resolve.push_str("packed.wit", world).unwrap();
    let world = resolve.select_world(&[package], Some("packed")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    module
}

/// Packed, it is taken and selects the second of two attempts.
fn assert_works(scratch: &Scratch) {
    scratch.write(
        "scenarios.toml",
        "[[scenario]]\nname = \"a retry\"\nfailed = [0]\nexpect.backend = 2\n",
    );
    assert!(well(scratch.path(), &["inspect", "packed.wasm"]).contains("selection"));
    well(scratch.path(), &["test", "packed.wasm", "scenarios.toml"]);
}

#[test]
fn a_module_with_types_becomes_the_component_that_the_usual_tool_makes() {
    let scratch = Scratch::new();
    let module = with_types(selecting(""));
    scratch.write("module.wasm", &module);
    let inspected = policy(scratch.path(), &["inspect", "module.wasm"]);
    assert!(
        inspected
            .stdout
            .contains("`waypost policy pack` converts it into a component"),
        "{}",
        inspected.stdout
    );
    assert_eq!(
        well(
            scratch.path(),
            &["pack", "module.wasm", "-o", "packed.wasm"]
        ),
        ""
    );
    let packed = std::fs::read(scratch.path().join("packed.wasm")).unwrap();
    assert_eq!(
        packed,
        ComponentEncoder::default()
            .module(&module)
            .unwrap()
            .encode()
            .unwrap()
    );
    assert_works(&scratch);
}

/// A custom section of this name.
fn custom(name: &str, content: &[u8]) -> Vec<u8> {
    let named = [&[name.len() as u8], name.as_bytes(), content].concat();
    assert!(named.len() < 128, "the size is one byte");
    [&[0, named.len() as u8], named.as_slice()].concat()
}

#[test]
fn what_only_a_debugger_reads_is_left_out() {
    let scratch = Scratch::new();
    let mut module = with_types(selecting(""));
    let kept = custom("author", b"kept");
    module.extend(
        [
            custom(".debug_info", b"left"),
            kept,
            custom(".debug_line", b"out"),
        ]
        .concat(),
    );
    scratch.write("module.wasm", &module);
    well(
        scratch.path(),
        &["pack", "module.wasm", "-o", "packed.wasm"],
    );
    let packed = std::fs::read(scratch.path().join("packed.wasm")).unwrap();
    let has = |text: &str| packed.windows(text.len()).any(|at| at == text.as_bytes());
    assert!(!has(".debug") && has("kept"));
    assert_works(&scratch);
    module.extend(b"\0\x7f");
    scratch.write("cut.wasm", &module);
    let sentence = refused(scratch.path(), &["pack", "cut.wasm", "-o", "out.wasm"], 1);
    assert!(sentence.lines().count() == 1, "{sentence}");
}

#[test]
fn a_module_for_preview_1_gets_its_adapter() {
    let scratch = Scratch::new();
    let import =
        r#"(import "wasi_snapshot_preview1" "random_get" (func (param i32 i32) (result i32)))"#;
    scratch.write("module.wasm", with_types(selecting(import)));
    well(
        scratch.path(),
        &["pack", "module.wasm", "--output", "packed.wasm"],
    );
    assert_works(&scratch);
}

#[test]
fn what_can_not_be_packed_says_why_and_writes_nothing() {
    let scratch = Scratch::new();
    scratch.write("bare.wasm", selecting(""));
    scratch.write("text.wasm", "(module)");
    scratch.write("other.wasm", "hello");
    scratch.write(
        "strange.wasm",
        with_types(selecting(r#"(import "env" "f" (func))"#)),
    );
    let component = repository()
        .join("guest-policies/random/random.wasm")
        .display()
        .to_string();
    for (file, told) in [
        ("bare.wasm", "does not carry the types"),
        ("text.wasm", "WebAssembly text"),
        ("other.wasm", "not a WebAssembly module"),
        ("strange.wasm", "can't become a component"),
        (component.as_str(), "a component already"),
    ] {
        let sentence = refused(scratch.path(), &["pack", file, "-o", "out.wasm"], 1);
        assert!(
            sentence.contains(told) && sentence.lines().count() == 1,
            "{file}: {sentence}"
        );
        assert!(!scratch.path().join("out.wasm").exists(), "{file}");
    }
    scratch.write("module.wasm", with_types(selecting("")));
    let sentence = refused(
        scratch.path(),
        &["pack", "module.wasm", "-o", "no/such/folder.wasm"],
        2,
    );
    assert!(
        sentence.contains("can't write no/such/folder.wasm"),
        "{sentence}"
    );
}
