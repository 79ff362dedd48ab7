//! `waypost policy inspect`, `pack`, `test` and `bench`: what is done without a proxy.

mod bench;
mod inspect;
mod kept;
mod pack;
mod scenarios;
mod testing;

use std::path::Path;

use crate::fixtures::{Exit, Scratch, command, repository, run};

/// `waypost policy` with these words, in this folder.
#[track_caller]
fn policy(folder: &Path, words: &[&str]) -> Exit {
    run(command().arg("policy").args(words).current_dir(folder))
}

/// Its standard output; it must go well and have nothing to complain about.
#[track_caller]
fn well(folder: &Path, words: &[&str]) -> String {
    let exit = policy(folder, words);
    assert_eq!(
        (exit.code, exit.stderr.as_str()),
        (Some(0), ""),
        "{words:?}: {exit:?}"
    );
    exit.stdout
}

/// The sentence on standard error of what ends with this code.
#[track_caller]
fn refused(folder: &Path, words: &[&str], code: i32) -> String {
    let exit = policy(folder, words);
    assert_eq!(
        (exit.code, exit.stdout.as_str()),
        (Some(code), ""),
        "{words:?}: {exit:?}"
    );
    assert!(
        exit.stderr.starts_with("error: "),
        "{words:?}: {}",
        exit.stderr
    );
    exit.stderr
}

/// The checked-in component of a built-in policy.
fn checked_in(name: &str) -> String {
    repository()
        .join(format!("guest-policies/{name}/{name}.wasm"))
        .display()
        .to_string()
}

/// A folder with this scenario file in it.
fn with_scenarios(text: &str) -> Scratch {
    let scratch = Scratch::new();
    scratch.write("scenarios.toml", text);
    scratch
}

#[test]
fn files_that_are_not_there_are_a_slip() {
    let scratch = with_scenarios("[[scenario]]\nname = \"a\"\n");
    for words in [
        &["inspect", "gone.wasm"][..],
        &["pack", "gone.wasm", "-o", "out.wasm"],
        &["test", "gone.wasm", "scenarios.toml"],
        &["test", "builtin:random", "gone.toml"],
        &["bench", "gone.wasm"],
        &["bench", "builtin:random", "--scenarios", "gone.toml"],
        &["bench", "builtin:random", "--settings", "@gone.json"],
    ] {
        let sentence = refused(scratch.path(), words, 2);
        assert!(
            sentence.contains("can't read gone."),
            "{words:?}: {sentence}"
        );
    }
    let sentence = refused(scratch.path(), &["inspect", "builtin:gone"], 2);
    assert!(
        sentence.contains("there is no built-in policy \"gone\"")
            && sentence.contains("least-loaded"),
        "{sentence}"
    );
    assert!(refused(scratch.path(), &["inspect", "."], 2).contains("can't read ."));
}

#[test]
fn a_file_that_is_not_a_component_gets_the_same_error_from_all_commands() {
    let scratch = with_scenarios("[[scenario]]\nname = \"a\"\n");
    scratch.write("text.wasm", "hello");
    let core = repository()
        .join("tests/guests/core-module/core-module.wasm")
        .display()
        .to_string();
    for (file, told) in [
        ("text.wasm", "not a valid WebAssembly component"),
        (core.as_str(), "core module"),
    ] {
        for words in [&["test", file, "scenarios.toml"][..], &["bench", file]] {
            let sentence = refused(scratch.path(), words, 1);
            assert!(sentence.contains(told), "{words:?}: {sentence}");
        }
        let shown = policy(scratch.path(), &["inspect", file]);
        assert_eq!(shown.code, Some(1), "{shown:?}");
        assert!(
            shown
                .stdout
                .lines()
                .any(|l| l.starts_with("refused") && l.contains(told)),
            "{}",
            shown.stdout
        );
    }
}

#[test]
fn nothing_of_it_needs_a_proxy_or_its_configuration() {
    let scratch = Scratch::new();
    let mut command = command();
    command
        .args(["policy", "inspect", "builtin:random"])
        .current_dir(scratch.path());
    command
        .env("WAYPOST_ADMIN_LISTEN", "nonsense")
        .env("WAYPOST_CONFIG", "gone.toml");
    assert_eq!(run(&mut command).code, Some(0));
}
