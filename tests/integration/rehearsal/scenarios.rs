//! The scenarios of the built-in policies, and what the documents show.

use super::{checked_in, well, with_scenarios};
use crate::fixtures::{Scratch, repository};

const BUILTINS: [&str; 6] = [
    "random",
    "range",
    "header-router",
    "least-loaded",
    "rate-limit",
    "sticky",
];

#[test]
fn the_built_in_policies_do_what_their_scenarios_say() {
    let scratch = Scratch::new();
    for name in BUILTINS {
        let scenarios = repository()
            .join(format!("guest-policies/{name}/scenarios.toml"))
            .display()
            .to_string();
        for component in [checked_in(name), format!("builtin:{name}")] {
            let text = well(scratch.path(), &["test", &component, &scenarios]);
            assert!(text.contains(" 0 failed"), "{text}");
        }
    }
}

#[test]
fn each_scenario_is_the_same_the_second_time() {
    let scratch = Scratch::new();
    let scenarios = repository()
        .join("guest-policies/random/scenarios.toml")
        .display()
        .to_string();
    let text = well(
        scratch.path(),
        &["test", "builtin:random", &scenarios, &scenarios],
    );
    let names = |text: &str| {
        text.lines()
            .filter(|l| l.starts_with("  ok"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let all = names(&text);
    let (first, second) = all.split_at(all.len() / 2);
    assert!(!first.is_empty() && first == second, "{text}");
}

#[test]
fn the_example_holds() {
    let scratch = Scratch::new();
    let example = repository()
        .join("examples/scenarios.toml")
        .display()
        .to_string();
    well(scratch.path(), &["test", "builtin:header-router", &example]);
}

#[test]
fn the_shortest_scenario_of_the_documents_holds() {
    let documents = std::fs::read_to_string(repository().join("docs/scenarios.md")).unwrap();
    let shortest = documents
        .split("```toml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .unwrap();
    assert!(shortest.lines().count() <= 5, "{shortest}");
    assert!(
        std::fs::read_to_string(repository().join("docs/deploying.md"))
            .unwrap()
            .contains(shortest),
        "the same in docs/deploying.md"
    );
    let scratch = with_scenarios(shortest);
    assert!(
        well(
            scratch.path(),
            &["test", "builtin:random", "scenarios.toml"]
        )
        .contains("1 passed, 0 failed")
    );
}
