//! What a policy does while it is set up is the scenario's, too.

use super::{assert_passes, failing};

/// What a policy drew and read in `configure` and `backends-changed`, as a failure shows it.
#[track_caller]
fn remembered(scenario: &str) -> String {
    let text = failing(&format!(
        "[[scenario]]\nname = \"a\"\n{scenario}\n[scenario.settings]\non_configure = \"remember\"\non_topology = \"remember\"\n\
         request = [\"remembered\"]\n[scenario.expect.request-headers]\nx-probe-remembered = \"\"\n"
    ));
    let told = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("actual    \"")?.strip_suffix('"'));
    told.unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[test]
fn what_a_policy_draws_and_reads_while_it_is_set_up_is_the_scenarios() {
    let first = remembered("");
    let calls: Vec<Vec<&str>> = first
        .split(' ')
        .map(|call| call.split('/').collect())
        .collect();
    assert_eq!(calls.len(), 2, "{first}");
    assert!(
        calls
            .iter()
            .all(|call| call[2..] == ["1000000000000", "1767225600000"]),
        "{first}"
    );
    assert_ne!(calls[0][..2], calls[1][..2], "it draws on");
    assert_eq!(remembered(""), first, "each time the same");
    assert_eq!(
        remembered("policy.isolation = \"request\""),
        first,
        "in each instance"
    );
    assert_ne!(
        remembered("seed = 1").split('/').next(),
        first.split('/').next(),
        "by the seed"
    );
    let later = remembered("time = { monotonic = \"5s\", unix = \"2026-11-21T10:00:00Z\" }");
    assert!(later.ends_with("/5000000000/1795255200000"), "{later}");
    let [before, after] =
        [&first, &later].map(|told| told.split('/').take(2).collect::<Vec<_>>().join("/"));
    assert_eq!(before, after, "whatever the time is");
}

#[test]
fn an_instance_after_a_fault_is_set_up_like_the_first() {
    let first = remembered("");
    assert_passes(&format!(
        "[settings]\non_configure = \"remember\"\non_topology = \"remember\"\n[[scenario]]\nname = \"a\"\n\
         [[scenario.step]]\nrequest.headers = {{ x-probe-request = \"trap\" }}\nexpect.fault = \"trap\"\n\
         [[scenario.step]]\ntime = \"1m\"\nseed = 9\nrequest.headers = {{ x-probe-request = \"remembered\" }}\n\
         expect.request-headers = {{ x-probe-remembered = \"{first}\" }}\n"
    ));
}

#[test]
fn a_seed_and_a_time_may_stand_beside_a_refusal() {
    // `configure`, which refuses, goes by them; a request would go with nothing.
    assert_passes(
        "[[scenario]]\nname = \"no\"\nseed = 3\ntime.unix = \"2026-11-21T10:00:00Z\"\n\
         settings = { on_configure = \"error:not today\" }\nexpect.refused = \"not today\"\n",
    );
}
