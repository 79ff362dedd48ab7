//! How a backend is drawn. Pure, so that it is tested without a host.

/// What the host tells about a request and its pool.
pub trait Facts {
    /// Uniform in 0 to `bound` - 1.
    fn below(&mut self, bound: u32) -> u32;
    /// False while the backend is set aside for failing.
    fn healthy(&self, backend: u32) -> bool;
    /// Whether an earlier attempt at this request went to this backend.
    fn failed(&self, backend: u32) -> bool;
}

/// The backends of one pool, ready to draw from.
#[derive(Debug, Default, Clone)]
pub struct Pool {
    count: u32,
    /// The running sum of the weights; empty if all weights are equal.
    cumulative: Vec<u32>,
    /// Room for one candidate list, so that drawing never allocates.
    candidates: Vec<u32>,
}

impl Pool {
    /// A pool of backends with these weights, by index.
    pub fn new(weights: &[u32]) -> Self {
        let equal = weights.windows(2).all(|pair| pair[0] == pair[1]);
        let cumulative = if equal {
            Vec::new()
        } else {
            running_sum(weights)
        };
        let count = u32::try_from(weights.len()).unwrap_or(u32::MAX);
        Pool {
            count,
            cumulative,
            candidates: Vec::with_capacity(weights.len()),
        }
    }

    /// The backend to use; `None` if there is none at all.
    ///
    /// Drawn from the healthy backends that did not fail this request. If there is none, from those
    /// that did not fail it, and after that from all: an attempt at a doubtful backend is better
    /// than no attempt.
    pub fn draw(&mut self, facts: &mut impl Facts) -> Option<u32> {
        if self.count == 0 {
            return None;
        }
        // Refusing a draw and drawing again among the rest gives each of the rest its fair share,
        // so the common case costs one draw and one question.
        let first = self.draw_any(facts);
        if !facts.failed(first) && facts.healthy(first) {
            return Some(first);
        }
        self.keep(|backend| !facts.failed(backend) && facts.healthy(backend));
        if self.candidates.is_empty() {
            self.keep(|backend| !facts.failed(backend));
        }
        if self.candidates.is_empty() {
            Some(self.draw_any(facts))
        } else {
            self.draw_candidate(facts)
        }
    }

    fn draw_any(&self, facts: &mut impl Facts) -> u32 {
        let Some(&total) = self.cumulative.last() else {
            return facts.below(self.count);
        };
        let point = facts.below(total);
        self.cumulative.partition_point(|&sum| sum <= point) as u32
    }

    fn draw_candidate(&self, facts: &mut impl Facts) -> Option<u32> {
        if self.cumulative.is_empty() {
            let at = facts.below(self.candidates.len() as u32);
            return self.candidates.get(at as usize).copied();
        }
        let total = self
            .candidates
            .iter()
            .map(|&backend| self.weight(backend))
            .sum();
        let mut point = facts.below(total);
        self.candidates.iter().copied().find(|&backend| {
            let weight = self.weight(backend);
            let found = point < weight;
            point = point.saturating_sub(weight);
            found
        })
    }

    fn keep(&mut self, wanted: impl Fn(u32) -> bool) {
        self.candidates.clear();
        self.candidates
            .extend((0..self.count).filter(|&backend| wanted(backend)));
    }

    fn weight(&self, backend: u32) -> u32 {
        let at = backend as usize;
        let before = if at == 0 { 0 } else { self.cumulative[at - 1] };
        self.cumulative[at] - before
    }
}

/// The running sum, scaled down if it would not fit in 32 bits. No weight becomes zero, so none is
/// starved.
fn running_sum(weights: &[u32]) -> Vec<u32> {
    let total: u64 = weights.iter().map(|&weight| u64::from(weight.max(1))).sum();
    // One more than the number of bits that are too many: each weight that is raised to 1 adds
    // again.
    let excess = if total > u64::from(u32::MAX) {
        33 - total.leading_zeros().min(32)
    } else {
        0
    };
    let mut sum = 0_u32;
    weights
        .iter()
        .map(|&weight| {
            sum = sum.saturating_add((weight.max(1) >> excess).max(1));
            sum
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Answers `below` from a list of draws, and health and failures from two sets.
    struct Fixed {
        draws: Vec<u32>,
        sick: Vec<u32>,
        failed: Vec<u32>,
    }

    impl Facts for Fixed {
        fn below(&mut self, bound: u32) -> u32 {
            assert!(bound > 0);
            self.draws.pop().unwrap_or(0) % bound
        }
        fn healthy(&self, backend: u32) -> bool {
            !self.sick.contains(&backend)
        }
        fn failed(&self, backend: u32) -> bool {
            self.failed.contains(&backend)
        }
    }

    /// How often each backend comes out if every possible pair of draws is made once.
    fn shares(weights: &[u32], sick: &[u32], failed: &[u32]) -> Vec<u32> {
        let mut pool = Pool::new(weights);
        let steps = 240;
        let mut shares = vec![0; weights.len()];
        for first in 0..steps {
            for second in 0..steps {
                let mut facts = Fixed {
                    draws: vec![second, first],
                    sick: sick.to_vec(),
                    failed: failed.to_vec(),
                };
                shares[pool.draw(&mut facts).unwrap() as usize] += 1;
            }
        }
        shares
    }

    #[test]
    fn equal_backends_get_equal_shares() {
        assert_eq!(shares(&[1; 4], &[], &[]), [14_400; 4]);
        assert_eq!(shares(&[7; 3], &[], &[]), [19_200; 3]);
    }

    #[test]
    fn the_healthy_share_what_the_sick_would_get() {
        assert_eq!(shares(&[1; 4], &[2], &[]), [19_200, 19_200, 0, 19_200]);
        assert_eq!(shares(&[1; 4], &[0, 1], &[3]), [0, 0, 57_600, 0]);
    }

    #[test]
    fn weights_decide_the_shares_also_among_the_rest() {
        assert_eq!(shares(&[1, 2, 3], &[], &[]), [9_600, 19_200, 28_800]);
        assert_eq!(shares(&[1, 2, 3], &[1], &[]), [14_400, 0, 43_200]);
    }

    #[test]
    fn none_healthy_leaves_those_not_yet_tried_and_then_all() {
        assert_eq!(shares(&[1; 3], &[0, 1, 2], &[]), [19_200; 3]);
        assert_eq!(shares(&[1; 3], &[0, 1, 2], &[1]), [28_800, 0, 28_800]);
        assert_eq!(shares(&[1; 3], &[0, 1, 2], &[0, 1, 2]), [19_200; 3]);
    }

    #[test]
    fn an_empty_pool_has_no_choice() {
        let mut facts = Fixed {
            draws: vec![],
            sick: vec![],
            failed: vec![],
        };
        assert_eq!(Pool::new(&[]).draw(&mut facts), None);
    }

    #[test]
    fn one_draw_and_one_question_are_enough_when_all_is_well() {
        let mut facts = Fixed {
            draws: vec![9, 1],
            sick: vec![],
            failed: vec![],
        };
        assert_eq!(Pool::new(&[1; 4]).draw(&mut facts), Some(1));
        assert_eq!(facts.draws, [9]);
    }

    proptest! {
        #[test]
        fn a_draw_is_in_the_best_tier_there_is(
            weights in prop::collection::vec(0_u32.., 1..20),
            sick in prop::collection::vec(0_u32..20, 0..20),
            failed in prop::collection::vec(0_u32..20, 0..20),
            draws in prop::collection::vec(0_u32.., 2),
        ) {
            let count = weights.len() as u32;
            let mut facts = Fixed { draws, sick, failed };
            let drawn = Pool::new(&weights).draw(&mut facts).unwrap();
            prop_assert!(drawn < count);
            let tier = |backend: u32| match (facts.failed(backend), facts.healthy(backend)) {
                (false, true) => 0,
                (false, false) => 1,
                (true, _) => 2,
            };
            prop_assert_eq!(tier(drawn), (0..count).map(tier).min().unwrap());
        }

        #[test]
        fn any_weights_fit(weights in prop::collection::vec(0_u32.., 1..200)) {
            let sums = running_sum(&weights);
            prop_assert!(sums[0] > 0);
            prop_assert!(sums.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
