//! A policy that looks for a way out through WASI: sockets, names, folders, the environment.

use super::{Contained, request};
use crate::fixtures::{eventually, guest};

const NOWHERE: &str = "tcp denied,denied udp denied,denied names denied,denied,denied directories 0 variables 0 \
                       arguments 0 folder none";

#[test]
fn a_policy_has_no_way_out() {
    let c = Contained::new(&guest("outward"), "deadline = \"2s\"");
    for _ in 0..20 {
        let answer = c.ask(request());
        assert_eq!((answer.status, answer.text().as_str()), (200, "served"));
        assert_eq!(answer.value("x-reached").as_deref(), Some(NOWHERE));
    }
    for counter in ["traps", "deadlines", "invalid", "failure_mode_uses"] {
        assert_eq!(c.count(counter), 0, "{counter}");
    }
    c.bystander.goes_on();
    c.end();
}

#[test]
fn it_may_take_the_place_of_another_and_finds_no_more() {
    let c = Contained::probe("deadline = \"2s\"");
    let before = c.at_rest();
    c.is_replaced_by(&guest("outward"));
    let reached = eventually("it answers", || c.ask(request()).value("x-reached"));
    assert_eq!(reached, NOWHERE);
    c.is_replaced_by(&guest("probe"));
    eventually("the former is back", || {
        c.told("Response", "calls")
            .head
            .has("x-probe-calls")
            .then_some(())
    });
    c.is_as_before(&before, 2);
    c.end();
}
