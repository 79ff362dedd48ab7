//! What a policy exports and nothing asks for.

use super::said;
use crate::fixtures::{Scratch, guest, repository, waypost};

const POOLS: &str = "[pools.a]\nbackends = \"127.0.0.1:1\"\n[pools.b]\nbackends = \
                     [{ address = \"127.0.0.1:2\", weight = 2 }, \"127.0.0.1:3\"]\n\
                     [policies.finder]\ncomponent = \"finder.wasm\"\n";

/// The warnings about this text, beside the pools and the policy.
#[track_caller]
fn warnings(text: &str) -> Vec<String> {
    let scratch = Scratch::new();
    scratch.write("finder.wasm", guest("pathfinder"));
    let cache = Scratch::compiled();
    scratch.write("waypost.toml", format!("{cache}{text}\n{POOLS}"));
    let check = waypost(["check", "--config", "waypost.toml"], scratch.path());
    assert_eq!(check.code, Some(0), "{text}: {check:?}");
    let said = said(&check);
    let unused = |line: &&str| !line.contains("no route ");
    let warnings = said
        .lines()
        .filter_map(|line| line.strip_prefix("warning: "));
    warnings.filter(unused).map(str::to_owned).collect()
}

#[test]
fn weights_that_no_policy_looks_at_are_said_to_count_for_nothing() {
    let route = |policies: &str| format!("[[routes]]\npool = \"b\"\npolicies = {policies}");
    for policies in ["[]", "[\"range\"]"] {
        let warnings = warnings(&route(policies));
        assert_eq!(warnings.len(), 1, "{warnings:#?}");
        let says = |words: &str| warnings[0].contains(words);
        assert!(
            says("the weights in pool \"b\" don't count") && says("\"*/\""),
            "{warnings:#?}"
        );
    }
    for policies in ["[\"random\"]", "[\"range\", \"least-loaded\"]"] {
        assert_eq!(warnings(&route(policies)), [""; 0], "{policies}");
    }
    let alike = route("[\"range\"]").replace("\"b\"", "\"a\"");
    assert_eq!(warnings(&alike), [""; 0]);
}

#[test]
fn a_policy_without_a_hook_for_its_route_is_named_with_what_it_needs() {
    let route = "[[routes]]\npath = \"/x\"\npool = \"a\"\npolicies = [\"finder\", \"random\"]\n";
    let found = warnings(route);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].contains("the hook `routing`") && found[0].contains("\"*/x\""),
        "{found:#?}"
    );
    let several = route.replace("pool = \"a\"", "pools = [\"a\", \"b\"]");
    assert_eq!(warnings(&several), [""; 0]);
    let component = repository().join("guest-policies/cookbook/egress/egress.wasm");
    let component = component.display().to_string();
    let text = format!(
        "[policies.egress]\ncomponent = {component:?}\n{}",
        route.replace("finder", "egress")
    );
    let found = warnings(&text);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("`forward.policies`"), "{found:#?}");
}
