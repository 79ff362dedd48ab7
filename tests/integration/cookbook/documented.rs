//! What the source of each policy says on its top can be copied into a configuration.

use super::{component, names};
use crate::fixtures::{Scratch, repository, waypost};

/// The TOML of the comment on top of the source.
fn settings(name: &str) -> String {
    let path = repository()
        .join("guest-policies/cookbook")
        .join(name)
        .join("src/lib.rs");
    let source = std::fs::read_to_string(path).unwrap();
    let top = source.lines().map_while(|line| line.strip_prefix("//!"));
    let toml = top
        .skip_while(|line| line.trim() != "```toml")
        .skip(1)
        .take_while(|line| line.trim() != "```");
    toml.map(|line| format!("{}\n", line.trim_start()))
        .collect()
}

#[test]
fn there_are_nineteen() {
    assert_eq!(names().len(), 19, "{:?}", names());
}

#[test]
fn the_settings_on_top_of_each_source_are_taken() {
    for name in names() {
        let settings = settings(&name);
        let policy = settings
            .split_once("[policies.")
            .and_then(|(_, rest)| rest.split_once('.'))
            .unwrap()
            .0;
        let scratch = Scratch::new();
        scratch.write("policy.wasm", component(&name));
        scratch.write(
            "waypost.toml",
            format!(
                "[pools.web]\nbackends = [\"127.0.0.1:1\"]\n[[routes]]\npool = \"web\"\npolicies = [\"{policy}\"]\n\
                 [policies.{policy}]\ncomponent = \"policy.wasm\"\n{settings}"
            ),
        );
        let exit = waypost(["check", "--config", "waypost.toml"], scratch.path());
        assert_eq!(exit.code, Some(0), "{name}: {exit:?}");
    }
}

/// As while a name can't be resolved.
#[test]
fn each_is_loaded_for_a_pool_without_backends() {
    let pool = "[pools.web]\nbackends = [\"nowhere.invalid\"]\n[[routes]]\npool = \"web\"\n";
    for name in names() {
        let settings = settings(&name);
        let policy = settings
            .split_once("[policies.")
            .and_then(|(_, rest)| rest.split_once('.'))
            .unwrap()
            .0;
        let scratch = Scratch::new();
        scratch.write("policy.wasm", component(&name));
        scratch.write(
            "waypost.toml",
            format!(
                "{pool}policies = [\"{policy}\"]\n\
                 [policies.{policy}]\ncomponent = \"policy.wasm\"\n{settings}"
            ),
        );
        let exit = waypost(["check", "--config", "waypost.toml"], scratch.path());
        let loaded = format!("policy \"{policy}\": ok");
        assert!(exit.stdout.contains(&loaded), "{name}: {exit:?}");
        assert!(exit.stdout.contains("nowhere.invalid"), "{name}: {exit:?}");
    }
    let scratch = Scratch::new();
    let builtin = ["random", "range", "least-loaded"];
    scratch.write("waypost.toml", format!("{pool}policies = {builtin:?}\n"));
    let exit = waypost(["check", "--config", "waypost.toml"], scratch.path());
    for name in builtin {
        let loaded = format!("policy \"{name}\": ok");
        assert!(exit.stdout.contains(&loaded), "{name}: {exit:?}");
    }
}

#[test]
fn each_refuses_a_key_that_it_does_not_know_and_names_it() {
    for name in names() {
        let scratch = Scratch::new();
        scratch.write("policy.wasm", component(&name));
        scratch.write(
            "waypost.toml",
            "[pools.web]\nbackends = [\"127.0.0.1:1\"]\n[[routes]]\npool = \"web\"\npolicies = [\"it\"]\n\
             [policies.it]\ncomponent = \"policy.wasm\"\nsettings = { misspelt = 1 }\n",
        );
        let exit = waypost(["check", "--config", "waypost.toml"], scratch.path());
        assert_eq!(exit.code, Some(1), "{name}: {exit:?}");
        assert!(
            (exit.stdout + &exit.stderr).contains("misspelt: unknown field"),
            "{name}"
        );
    }
}

#[test]
fn the_scenarios_of_each_pass() {
    for name in names() {
        let folder = repository().join("guest-policies/cookbook").join(&name);
        let component = format!("{name}.wasm");
        let exit = waypost(["policy", "test", &component, "scenarios.toml"], &folder);
        assert_eq!(exit.code, Some(0), "{name}: {}{}", exit.stdout, exit.stderr);
    }
}
