//! Hashing that is the same on all workers and in all versions: for sharding, not against who
//! chooses the input.

pub use crate::ring::Ring;

/// A hash of these bytes, all of whose bits are good. Another seed gives another hash.
pub fn of(seed: u64, bytes: &[u8]) -> u64 {
    // FNV-1a.
    let start = 0xcbf2_9ce4_8422_2325 ^ mix(seed);
    mix(bytes.iter().fold(start, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    }))
}

/// Where these bytes fall in a line of `parts`: 0 to `parts` - 1, and 0 if `parts` is 0.
pub fn part(seed: u64, bytes: &[u8], parts: u32) -> u32 {
    ((u128::from(of(seed, bytes)) * u128::from(parts)) >> 64) as u32
}

/// Rendezvous hashing: of the candidates the one that this key belongs to. When one goes, only its
/// own keys move; when one is new, only the keys that move to it.
///
/// A candidate is an index, the hash of what stays the same about it (its address), and its weight.
pub fn rendezvous(key: &[u8], candidates: impl Iterator<Item = (u32, u64, u32)>) -> Option<u32> {
    let key = of(0, key);
    let score = |seed: u64, weight: u32| {
        let uniform = ((mix(key ^ seed) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        // The smallest of `weight` exponential draws wins as often as the weight says; this is its
        // inverse.
        f64::from(weight.max(1)) / -uniform.ln()
    };
    let scored = candidates.map(|(index, seed, weight)| (score(seed, weight), index));
    scored
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, index)| index)
}

/// Every bit of the input changes about half of the bits of the result.
pub(crate) fn mix(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_equal_and_seeds_differ() {
        let mut parts = [0; 10];
        let mut same = 0;
        for n in 0..10_000_u32 {
            parts[part(1, &n.to_le_bytes(), 10) as usize] += 1;
            same += u32::from(part(1, &n.to_le_bytes(), 10) == part(2, &n.to_le_bytes(), 10));
        }
        assert!(parts.iter().all(|n| (900..1100).contains(n)), "{parts:?}");
        assert!((800..1200).contains(&same), "{same}");
        assert_eq!(part(1, b"a", 0), 0);
    }

    /// The helpers of projects in Python and JavaScript have the same numbers in their tests.
    #[test]
    fn hashes_are_those_of_other_languages() {
        assert_eq!(of(0, b""), 0xf52a_15e9_a9b5_e89b);
        assert_eq!(of(7, b"10.0.0.1:80"), 0x1962_6b87_3f54_b46e);
        assert_eq!(part(0, b"tenant-1", 1000), 510);
        let seeds = (0..4).map(|n| (n, of(0, format!("10.0.0.{n}:80").as_bytes()), 1 + n % 2));
        let chosen = |n| rendezvous(format!("key-{n}").as_bytes(), seeds.clone());
        let chosen: Vec<u32> = (0..12).filter_map(chosen).collect();
        assert_eq!(chosen, [0, 2, 3, 1, 1, 0, 0, 1, 3, 3, 2, 0]);
    }

    #[test]
    fn weights_decide_the_shares_and_only_what_must_move_moves() {
        let seeds: Vec<u64> = (0..4_u32)
            .map(|n| of(0, format!("10.0.0.{n}:80").as_bytes()))
            .collect();
        let home = |key: u32, gone: u32| {
            let weighted = (0..4)
                .filter(|n| *n != gone)
                .map(|n| (n, seeds[n as usize], if n == 3 { 3 } else { 1 }));
            rendezvous(&key.to_le_bytes(), weighted).unwrap()
        };
        let mut shares = [0; 4];
        for key in 0..6000 {
            let (all, less) = (home(key, 9), home(key, 2));
            shares[all as usize] += 1;
            assert!(if all == 2 { less != 2 } else { less == all });
        }
        assert!(
            shares[..3].iter().all(|n| (880..1120).contains(n)) && shares[3] > 2800,
            "{shares:?}"
        );
        assert_eq!(rendezvous(b"a", std::iter::empty()), None);
    }
}
