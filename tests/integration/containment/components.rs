//! Bytes that are no policy, not quite one any more, or one for another host, sent to the admin
//! listener.

use super::{Contained, request};
use crate::fixtures::{Response, eventually, guest};

/// A small generator of numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        // SplitMix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

/// Taken or refused with a reason; nothing else.
#[track_caller]
fn is_judged(what: &str, answer: &Response) -> bool {
    let reason = answer.text();
    match answer.status {
        200..=204 => true,
        400 | 422 => {
            assert!(
                reason.len() > 10 && reason.len() < 4_096,
                "{what}: {reason}"
            );
            false
        }
        status => panic!("{what}: {status} {reason}"),
    }
}

#[test]
fn a_component_that_is_cut_off_is_refused_wherever_it_was_cut() {
    let c = Contained::probe("deadline = \"2s\"");
    let before = c.at_rest();
    let whole = guest("pick-first");
    // Dense at the start, where the sections are, and a byte short of the end.
    let lengths = (0..64)
        .chain((64..whole.len()).step_by(whole.len() / 64))
        .chain([whole.len() - 1]);
    for length in lengths {
        let answer = c.proxy.put_policy("bad", &whole[..length]);
        assert!(
            !is_judged(&format!("the first {length} bytes"), &answer),
            "{length} bytes were taken"
        );
    }
    c.bystander.goes_on();
    c.is_as_before(&before, 0);
    c.end();
}

#[test]
fn a_component_with_flipped_bits_is_refused_or_contained() {
    let c = Contained::probe("deadline = \"100ms\"");
    let before = c.at_rest();
    let whole = guest("pick-first");
    let mut dice = Dice(0x5eed);
    for turn in 0..80 {
        let mut flipped = whole.clone();
        for _ in 0..=turn % 3 {
            flipped[dice.below(whole.len())] ^= 1 << dice.below(8);
        }
        if is_judged("flipped bits", &c.proxy.put_policy("bad", &flipped)) {
            // Whatever it does now, a request of its route is answered.
            let answer = c.ask(request().field("Range", "bytes=0-"));
            assert!(matches!(answer.status, 200..=599), "{}", answer.status);
        }
    }
    c.bystander.goes_on();
    c.is_replaced_by(&guest("probe"));
    eventually("the policy is back", || {
        c.told("Response", "calls")
            .head
            .has("x-probe-calls")
            .then_some(())
    });
    c.is_as_before(&before, 1_000);
    c.end();
}

#[test]
fn a_component_for_another_host_is_refused_with_advice() {
    let c = Contained::probe("deadline = \"2s\"");
    let before = c.at_rest();
    for (name, words) in [
        ("wants-vault", "imports `tests:wants-vault/vault`"),
        ("other-version", "waypost:policy/selection@0.2.0"),
        ("other-import-version", "waypost:policy/random@0.2.0"),
        ("core-module", "waypost policy pack"),
    ] {
        let answer = c.proxy.put_policy("bad", &guest(name));
        assert_eq!(answer.status, 422, "{name}");
        assert!(answer.text().contains(words), "{name}: {}", answer.text());
        c.bystander.goes_on();
    }
    c.is_as_before(&before, 0);
    c.end();
}
