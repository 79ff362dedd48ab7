//! Consistent hashing on a ring.

use crate::hash::{self, mix};

/// Points of a candidate with the mean weight. Its share of the keys then differs from what its
/// weight says by a twelfth, typically.
const POINTS: f64 = 160.0;
/// The most points of a ring: 1 MiB, which a policy with the default limits has room for.
const MOST_POINTS: f64 = 65_536.0;

/// A ring on which candidates and keys lie by their hashes: a key belongs to the candidate that
/// comes next. When a candidate goes, only its own keys move; when one is new, only the keys that
/// move to it.
///
/// Beside [`hash::rendezvous`], which asks for the hash of every candidate in each call, a ring is
/// made once, in [`Topology::backends_changed`](crate::Topology::backends_changed), and a key is
/// then found in the time of a binary search. It knows an order for each key, too: the candidate
/// after the one that is full or has failed.
#[derive(Debug, Clone, Default)]
pub struct Ring {
    /// Sorted; where on the ring, and the candidate's position in `candidates`.
    points: Vec<(u64, u32)>,
    candidates: Vec<Candidate>,
    weights: f64,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    index: u32,
    weight: u32,
}

impl Ring {
    /// A ring of these candidates: an index, the hash of what stays the same about it (its
    /// address), and its weight. One with the weight 0 gets no keys.
    pub fn new(candidates: impl IntoIterator<Item = (u32, u64, u32)>) -> Self {
        let given: Vec<_> = candidates.into_iter().filter(|one| one.2 > 0).collect();
        let weights: f64 = given.iter().map(|one| f64::from(one.2)).sum();
        let points = (POINTS * given.len() as f64).min(MOST_POINTS);
        let mut ring = Ring {
            weights,
            ..Ring::default()
        };
        for (index, seed, weight) in given {
            let place = ring.candidates.len() as u32;
            ring.candidates.push(Candidate { index, weight });
            let own = (points * f64::from(weight) / weights).round().max(1.0) as u64;
            let point = |n: u64| (hash::of(seed, &n.to_le_bytes()), place);
            ring.points.extend((0..own).map(point));
        }
        // Two points in one place keep the order of the candidates' hashes, whatever their indices.
        ring.points.sort_unstable_by_key(|point| point.0);
        ring
    }

    /// The candidate that this key belongs to.
    pub fn owner(&self, key: &[u8]) -> Option<u32> {
        self.find(key, |_| true)
    }

    /// The first candidate from the key on that is accepted; each is asked about once at most.
    pub fn find(&self, key: &[u8], mut accepts: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut refused = Vec::new();
        for place in self.from(hash::of(0, key)) {
            if refused.contains(&place) {
                continue;
            }
            let index = self.candidates[place as usize].index;
            if accepts(index) {
                return Some(index);
            }
            refused.push(place);
            if refused.len() == self.candidates.len() {
                break;
            }
        }
        None
    }

    /// The candidate of this key under a bounded load: the first from the key on that, with one
    /// more request, has at most `factor` times the share of all requests that its weight says,
    /// rounded up. So a popular key overflows to the next candidates, and no candidate is
    /// overloaded because of where its points lie. `load` is what a candidate has in flight; below
    /// 1, `factor` counts as 1.
    ///
    /// Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads" (2016).
    pub fn bounded(&self, key: &[u8], factor: f64, load: impl Fn(u32) -> u32) -> Option<u32> {
        let loads = self.candidates.iter().map(|one| f64::from(load(one.index)));
        let all = loads.sum::<f64>() + 1.0;
        let of_weight = factor.max(1.0) * all / self.weights;
        let mut places = self.from(hash::of(0, key));
        let has_room = |place: &u32| {
            let Candidate { index, weight } = self.candidates[*place as usize];
            f64::from(load(index)) < (of_weight * f64::from(weight)).ceil()
        };
        let place = places.find(has_room)?;
        Some(self.candidates[place as usize].index)
    }

    /// The candidates of all points, once around.
    fn from(&self, key: u64) -> impl Iterator<Item = u32> {
        let start = self.points.partition_point(|point| point.0 < mix(key));
        let (before, after) = self.points.split_at(start);
        after.iter().chain(before).map(|point| point.1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Candidates with seeds of their own, and these weights.
    fn candidates(salt: u64, weights: &[u32]) -> Vec<(u32, u64, u32)> {
        let one = |(n, weight): (usize, &u32)| {
            let address = format!("10.0.{n}.{}:80", salt % 251);
            (n as u32, hash::of(salt, address.as_bytes()), *weight)
        };
        weights.iter().enumerate().map(one).collect()
    }

    /// What part of the ring each candidate has.
    fn shares(ring: &Ring) -> BTreeMap<u32, f64> {
        let mut shares = BTreeMap::new();
        let mut before = ring.points.last().unwrap().0;
        for &(point, place) in &ring.points {
            let arc = point.wrapping_sub(before) as f64 / 2_f64.powi(64);
            *shares
                .entry(ring.candidates[place as usize].index)
                .or_default() += arc;
            before = point;
        }
        shares
    }

    proptest! {
        #[test]
        fn shares_are_what_the_weights_say(salt: u64, weights in prop::collection::vec(1_u32..5, 2..40)) {
            let all: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
            let mean = all / weights.len() as f64;
            for (index, share) in shares(&Ring::new(candidates(salt, &weights))) {
                let weight = f64::from(weights[index as usize]);
                let fair = weight / all;
                // Seven standard deviations for as many points as it has.
                let off = 7.0 / (POINTS * weight / mean).sqrt();
                prop_assert!((share / fair - 1.0).abs() < off, "{share} of {fair}, within {off}");
            }
        }

        #[test]
        fn a_new_candidate_takes_its_share_and_moves_nothing_else(salt: u64, count in 1_usize..30) {
            let before = Ring::new(candidates(salt, &vec![1; count]));
            let after = Ring::new(candidates(salt, &vec![1; count + 1]));
            let mut moved = 0;
            for key in 0..2000_u32 {
                let key = key.to_le_bytes();
                let (one, other) = (before.owner(&key), after.owner(&key));
                if one != other {
                    prop_assert_eq!(other, Some(count as u32));
                    moved += 1;
                }
            }
            let most = 2000.0 * 1.7 / (count + 1) as f64;
            prop_assert!(f64::from(moved) < most, "{moved} of 2000 keys, more than {most}");
        }

        #[test]
        fn no_load_exceeds_its_bound(
            salt: u64,
            weights in prop::collection::vec(1_u32..4, 1..12),
            factor in 1.0_f64..2.0,
            keys in prop::collection::vec(0_u8..6, 1..300),
        ) {
            let ring = Ring::new(candidates(salt, &weights));
            let all: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
            let mut loads = vec![0; weights.len()];
            for (before, key) in keys.iter().enumerate() {
                let chosen = ring.bounded(&[*key], factor, |index| loads[index as usize]);
                let chosen = chosen.expect("there is always room") as usize;
                loads[chosen] += 1;
                let fair = (before + 1) as f64 * f64::from(weights[chosen]) / all;
                prop_assert!(f64::from(loads[chosen]) <= (factor * fair).ceil() + 1e-9);
            }
        }
    }

    #[test]
    fn a_key_goes_to_its_owner_while_that_has_room_and_then_always_to_the_same_next_one() {
        let ring = Ring::new(candidates(1, &[1; 5]));
        let owner = ring.owner(b"key").unwrap();
        assert_eq!(ring.bounded(b"key", 1.25, |_| 0), Some(owner));
        let next = ring.find(b"key", |index| index != owner).unwrap();
        let busy = |index| if index == owner { 9 } else { 0 };
        assert_eq!(ring.bounded(b"key", 1.25, busy), Some(next));
        let mut asked = Vec::new();
        let none = ring.find(b"key", |index| {
            asked.push(index);
            false
        });
        assert_eq!((none, asked[..2].to_vec()), (None, vec![owner, next]));
        asked.sort_unstable();
        assert_eq!(asked, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_ring_may_be_empty_and_is_never_large() {
        for ring in [Ring::default(), Ring::new([(0, 1, 0)])] {
            assert_eq!(
                (ring.owner(b"a"), ring.bounded(b"a", 1.0, |_| 0)),
                (None, None)
            );
        }
        let many = Ring::new((0..5_000).map(|n| (n, u64::from(n), 1 + n % 3)));
        assert!(many.points.len() < 80_000, "{}", many.points.len());
        let uneven = Ring::new([(0, 1, u32::MAX), (1, 2, 1)]);
        assert!(uneven.points.len() < 400, "{}", uneven.points.len());
        assert!(shares(&uneven)[&1] > 0.0);
    }
}
