//! The power of two choices. Pure, so that it is tested without a host.

/// Once in so many choices the first of the two is taken unseen: a backend that was slow once would
/// otherwise never be measured again.
pub const EXPLORE_ONE_IN: u32 = 64;

/// What the host tells about a request and its pool.
pub trait Facts {
    /// Uniform in 0 to `bound` - 1.
    fn below(&mut self, bound: u32) -> u32;
    /// False while the backend is set aside for failing.
    fn healthy(&self, backend: u32) -> bool;
    /// Whether an earlier attempt at this request went to this backend.
    fn failed(&self, backend: u32) -> bool;
    /// Requests sent and not yet answered in full.
    fn in_flight(&self, backend: u32) -> u32;
    /// Moving average of the time to the response head; 0 before the first.
    fn latency(&self, backend: u32) -> u64;
}

/// The backends of one pool.
#[derive(Debug, Default, Clone)]
pub struct Pool {
    weights: Vec<u32>,
    /// Room for one candidate list, so that choosing never allocates.
    candidates: Vec<u32>,
}

impl Pool {
    /// A pool of backends with these weights, by index. A backend of weight 2 is meant to carry
    /// twice the load.
    pub fn new(weights: Vec<u32>) -> Self {
        let candidates = Vec::with_capacity(weights.len());
        Pool {
            weights,
            candidates,
        }
    }

    /// The backend to use; `None` if there is none at all.
    ///
    /// Chosen among the healthy backends that did not fail this request. If there is none, among
    /// those that did not fail it, and after that among all.
    pub fn choose(&mut self, facts: &mut impl Facts) -> Option<u32> {
        let count = self.weights.len() as u32;
        if count > 1 {
            let (one, other) = draw_two(count, facts);
            if is_usable(facts, one) && is_usable(facts, other) {
                return Some(self.better(one, other, facts));
            }
        }
        self.keep(|backend| is_usable(facts, backend));
        if self.candidates.is_empty() {
            self.keep(|backend| !facts.failed(backend));
        }
        if self.candidates.is_empty() {
            self.keep(|_| true);
        }
        match self.candidates.len() as u32 {
            0 => None,
            1 => self.candidates.first().copied(),
            count => {
                let (one, other) = draw_two(count, facts);
                Some(self.better(
                    self.candidates[one as usize],
                    self.candidates[other as usize],
                    facts,
                ))
            }
        }
    }

    fn better(&self, one: u32, other: u32, facts: &mut impl Facts) -> u32 {
        if facts.below(EXPLORE_ONE_IN) == 0 {
            return one;
        }
        let queue = |backend: u32| u128::from(facts.in_flight(backend)) + 1;
        let (time, other_time) = comparable(facts.latency(one), facts.latency(other));
        let load = queue(one)
            .saturating_mul(time.into())
            .saturating_mul(self.weight(other));
        let other_load = queue(other)
            .saturating_mul(other_time.into())
            .saturating_mul(self.weight(one));
        if load <= other_load { one } else { other }
    }

    fn weight(&self, backend: u32) -> u128 {
        self.weights[backend as usize].max(1).into()
    }

    fn keep(&mut self, wanted: impl Fn(u32) -> bool) {
        self.candidates.clear();
        self.candidates
            .extend((0..self.weights.len() as u32).filter(|&backend| wanted(backend)));
    }
}

/// Without a measurement of both, only the queues can be compared; and latencies that are within a
/// third of each other are the same but for noise, which would send everything to one of two idle
/// backends.
fn comparable(one: u64, other: u64) -> (u64, u64) {
    let (less, more) = (one.min(other), one.max(other));
    if less == 0 || more - less <= less / 3 {
        (1, 1)
    } else {
        (one, other)
    }
}

fn is_usable(facts: &impl Facts, backend: u32) -> bool {
    !facts.failed(backend) && facts.healthy(backend)
}

/// Two different numbers below `count`, each pair equally likely. `count` is at least 2.
fn draw_two(count: u32, facts: &mut impl Facts) -> (u32, u32) {
    let one = facts.below(count);
    let other = facts.below(count - 1);
    (one, if other >= one { other + 1 } else { other })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Default, Clone)]
    struct Fixed {
        /// Taken from the end; 1 when there is none left, so that nothing is taken unseen.
        draws: Vec<u32>,
        sick: Vec<u32>,
        failed: Vec<u32>,
        in_flight: Vec<u32>,
        latency: Vec<u64>,
    }

    impl Facts for Fixed {
        fn below(&mut self, bound: u32) -> u32 {
            assert!(bound > 0);
            self.draws.pop().unwrap_or(1) % bound
        }
        fn healthy(&self, backend: u32) -> bool {
            !self.sick.contains(&backend)
        }
        fn failed(&self, backend: u32) -> bool {
            self.failed.contains(&backend)
        }
        fn in_flight(&self, backend: u32) -> u32 {
            self.in_flight.get(backend as usize).copied().unwrap_or(0)
        }
        fn latency(&self, backend: u32) -> u64 {
            self.latency.get(backend as usize).copied().unwrap_or(0)
        }
    }

    /// How often each backend is chosen over all pairs of first draws.
    fn shares(weights: &[u32], facts: &Fixed) -> Vec<u32> {
        let mut pool = Pool::new(weights.to_vec());
        let count = weights.len() as u32;
        let mut shares = vec![0; weights.len()];
        for one in 0..count {
            for other in 0..count - 1 {
                let mut facts = Fixed {
                    draws: vec![1, other, one],
                    ..facts.clone()
                };
                shares[pool.choose(&mut facts).unwrap() as usize] += 1;
            }
        }
        shares
    }

    #[test]
    fn the_shorter_queue_wins() {
        let facts = Fixed {
            in_flight: vec![3, 0, 5],
            ..Fixed::default()
        };
        assert_eq!(shares(&[1; 3], &facts), [2, 4, 0]);
    }

    #[test]
    fn a_slow_backend_counts_as_a_long_queue() {
        let facts = Fixed {
            in_flight: vec![4, 0],
            latency: vec![100, 1000],
            ..Fixed::default()
        };
        assert_eq!(shares(&[1; 2], &facts), [2, 0]);
    }

    #[test]
    fn an_unmeasured_backend_is_compared_by_its_queue() {
        let facts = Fixed {
            in_flight: vec![1, 0],
            latency: vec![1, 0],
            ..Fixed::default()
        };
        assert_eq!(shares(&[1; 2], &facts), [0, 2]);
    }

    #[test]
    fn small_differences_in_latency_are_noise() {
        let facts = Fixed {
            latency: vec![300, 400],
            ..Fixed::default()
        };
        assert_eq!(shares(&[1; 2], &facts), [1, 1]);
        let facts = Fixed {
            latency: vec![300, 401],
            ..Fixed::default()
        };
        assert_eq!(shares(&[1; 2], &facts), [2, 0]);
    }

    #[test]
    fn weight_makes_room_for_more() {
        let facts = Fixed {
            in_flight: vec![3, 1],
            latency: vec![10, 10],
            ..Fixed::default()
        };
        assert_eq!(shares(&[1, 1], &facts), [0, 2]);
        assert_eq!(shares(&[4, 1], &facts), [2, 0]);
    }

    #[test]
    fn equals_share_equally() {
        assert_eq!(shares(&[1; 4], &Fixed::default()), [3; 4]);
    }

    #[test]
    fn now_and_then_the_slow_one_is_tried() {
        let mut facts = Fixed {
            draws: vec![0, 0, 0],
            latency: vec![9_000_000, 1],
            ..Fixed::default()
        };
        assert_eq!(Pool::new(vec![1; 2]).choose(&mut facts), Some(0));
    }

    #[test]
    fn the_sick_and_the_failed_are_skipped_while_others_are_left() {
        let facts = Fixed {
            sick: vec![0],
            failed: vec![1],
            ..Fixed::default()
        };
        assert_eq!(shares(&[1; 3], &facts), [0, 0, 6]);
        let facts = Fixed {
            sick: vec![0, 1, 2],
            failed: vec![1, 2],
            ..Fixed::default()
        };
        assert_eq!(shares(&[1; 3], &facts), [6, 0, 0]);
        let facts = Fixed {
            failed: vec![0, 1],
            ..Fixed::default()
        };
        assert_eq!(shares(&[1; 2], &facts).iter().sum::<u32>(), 2);
    }

    #[test]
    fn small_pools() {
        assert_eq!(Pool::new(vec![]).choose(&mut Fixed::default()), None);
        assert_eq!(
            Pool::new(vec![1]).choose(&mut Fixed {
                sick: vec![0],
                ..Fixed::default()
            }),
            Some(0)
        );
    }

    proptest! {
        #[test]
        fn a_choice_is_in_the_best_tier_there_is(
            weights in prop::collection::vec(0_u32.., 1..12),
            sick in prop::collection::vec(0_u32..12, 0..12),
            failed in prop::collection::vec(0_u32..12, 0..12),
            in_flight in prop::collection::vec(0_u32.., 12),
            latency in prop::collection::vec(0_u64.., 12),
            draws in prop::collection::vec(0_u32.., 6),
        ) {
            let mut facts = Fixed { draws, sick, failed, in_flight, latency };
            let count = weights.len() as u32;
            let chosen = Pool::new(weights).choose(&mut facts).unwrap();
            prop_assert!(chosen < count);
            let tier = |backend: u32| match (facts.failed(backend), facts.healthy(backend)) {
                (false, true) => 0,
                (false, false) => 1,
                (true, _) => 2,
            };
            prop_assert_eq!(tier(chosen), (0..count).map(tier).min().unwrap());
        }
    }
}
