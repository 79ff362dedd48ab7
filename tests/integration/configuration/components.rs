//! A component that can't be a policy stops the start, by name and with the reason.

use super::{refused, with_policy};
use crate::fixtures::{Scratch, guest};

#[test]
fn a_component_that_can_not_be_a_policy_is_refused_by_name_and_with_the_reason() {
    let scratch = Scratch::new();
    let good = guest("pick-first");
    for (bytes, words) in [
        (guest("core-module"), "core module"),
        (guest("other-version"), "0.2.0"),
        (guest("other-import-version"), "0.2.0"),
        (guest("wants-vault"), "vault"),
        (guest("wrong-types"), "select"),
        (guest("no-hooks"), "hook"),
        (good[..good.len() / 2].to_vec(), "mine"),
        (b"this is not WebAssembly".to_vec(), "mine"),
        (Vec::new(), "mine"),
    ] {
        scratch.write("policy.wasm", bytes);
        let said = refused(&scratch, &with_policy(""));
        assert!(
            said.contains("mine") && said.contains(words),
            "{words:?}: {said}"
        );
    }
    // Both versions are named, so that one knows which side to change.
    scratch.write("policy.wasm", guest("other-version"));
    assert!(refused(&scratch, &with_policy("")).contains("0.1.0"));
}

#[test]
fn a_component_that_is_not_there_is_named_with_its_line() {
    let scratch = Scratch::new();
    let said = refused(&scratch, &with_policy(""));
    let is_named = |part| assert!(said.contains(part), "{part:?}: {said}");
    is_named(", column 1, `policies.mine.component`: policy \"mine\": ");
    is_named("policy.wasm can't be read");
}

#[test]
fn a_policy_that_refuses_its_settings_or_fails_on_them_is_refused() {
    let scratch = Scratch::new();
    scratch.write("policy.wasm", guest("probe"));
    for (settings, words) in [
        (
            "{ on_configure = \"error:the colour is missing\" }",
            "the colour is missing",
        ),
        ("{ on_configure = \"trap\" }", "mine"),
        ("{ on_topology = \"trap\" }", "mine"),
        ("{ on_topology = \"loop\" }", "mine"),
    ] {
        let said = refused(&scratch, &with_policy(&format!("settings = {settings}\n")));
        assert!(said.contains(words), "{settings}: {said}");
    }
}

#[test]
fn a_policy_that_does_not_fit_its_memory_is_refused() {
    let scratch = Scratch::new();
    scratch.write("policy.wasm", guest("probe"));
    let said = refused(&scratch, &with_policy("memory = \"64KiB\"\n"));
    assert!(
        said.contains("mine") && said.to_lowercase().contains("memory"),
        "{said}"
    );
}
