use super::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;

#[test]
fn below_reaches_every_value_and_stays_below() {
    let mut rng = SmallRng::seed_from_u64(7);
    assert_eq!(below(&mut rng, 0), 0);
    assert_eq!(below(&mut rng, 1), 0);
    let mut seen = [0u32; 5];
    for _ in 0..5_000 {
        seen[below(&mut rng, 5) as usize] += 1;
    }
    assert!(seen.iter().all(|&n| (800..1_200).contains(&n)), "{seen:?}");
    let large = 3 << 30;
    assert!((0..1_000).all(|_| below(&mut rng, large) < large));
}

#[test]
fn counter_names() {
    for good in ["a", "a1_b", &"a".repeat(64)] {
        assert!(check_counter_name(good).is_ok(), "{good}");
    }
    for bad in ["", "1a", "_a", "A", "a-b", "ä", &"a".repeat(65)] {
        assert!(check_counter_name(bad).is_err(), "{bad}");
    }
}
