//! The token bucket. Pure, so that it is tested without a host.
//!
//! A bucket is one number: the moment at which it will be full again. A request moves it on by the
//! time that one token takes to come; it is too early if that would be further away than a whole
//! bucket takes to fill. A bucket that is full is not kept.

/// How often a bucket that others changed meanwhile is tried again.
const ATTEMPTS: u32 = 8;

const SECOND: u64 = 1_000_000_000;
const MILLISECOND: u64 = 1_000_000;

/// How fast tokens come, and how many a bucket holds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Nanoseconds from one token to the next.
    interval: u64,
    /// Nanoseconds from an empty bucket to a full one.
    window: u64,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There was a token.
    Allowed,
    /// There will be one after so many seconds, at least 1.
    Limited(u64),
    /// The store refused, or others were faster every time.
    Unsure,
}

/// Where buckets are kept, and the time that goes with them.
pub trait Shelf {
    /// Nanoseconds.
    fn now(&self) -> u64;
    /// The bucket of this key.
    fn bucket(&self, key: &str) -> Option<Vec<u8>>;
    /// Puts one in place of `expected`; `None` if that is refused.
    fn replace(
        &mut self,
        key: &str,
        expected: Option<&[u8]>,
        bucket: &[u8],
        ttl_milliseconds: u64,
    ) -> Option<bool>;
}

impl Limit {
    /// `rate` tokens a second, and `burst` in a full bucket; both more than 0.
    pub fn new(rate: f64, burst: u32) -> Self {
        let interval = (SECOND as f64 / rate) as u64;
        Limit {
            interval,
            window: interval.saturating_mul(burst.into()),
        }
    }

    /// Takes a token out of the bucket of this key.
    pub fn take(&self, key: &str, shelf: &mut impl Shelf) -> Outcome {
        for _ in 0..ATTEMPTS {
            let old = shelf.bucket(key);
            let now = shelf.now();
            // What settings of before left may be further away than these can mean.
            let full_at = old
                .as_deref()
                .map_or(now, read)
                .clamp(now, now.saturating_add(self.window));
            let after = full_at.saturating_add(self.interval);
            let wait = after - now;
            if wait > self.window {
                return Outcome::Limited((wait - self.window).div_ceil(SECOND).max(1));
            }
            match shelf.replace(
                key,
                old.as_deref(),
                &after.to_le_bytes(),
                wait.div_ceil(MILLISECOND).max(1),
            ) {
                Some(true) => return Outcome::Allowed,
                Some(false) => {}
                None => return Outcome::Unsure,
            }
        }
        Outcome::Unsure
    }
}

/// What is no bucket is taken for a full one.
fn read(bucket: &[u8]) -> u64 {
    bucket.try_into().map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Told {
        now: u64,
        buckets: BTreeMap<String, (Vec<u8>, u64)>,
        /// So many changes by others come between reading and writing.
        rivals: u32,
        refuses: bool,
    }

    impl Shelf for Told {
        fn now(&self) -> u64 {
            self.now
        }
        fn bucket(&self, key: &str) -> Option<Vec<u8>> {
            self.buckets
                .get(key)
                .filter(|(_, end)| *end > self.now)
                .map(|(bucket, _)| bucket.clone())
        }
        fn replace(
            &mut self,
            key: &str,
            expected: Option<&[u8]>,
            bucket: &[u8],
            ttl: u64,
        ) -> Option<bool> {
            if self.refuses {
                return None;
            }
            if self.rivals > 0 {
                self.rivals -= 1;
                return Some(false);
            }
            assert!(ttl > 0);
            if self.bucket(key).as_deref() != expected {
                return Some(false);
            }
            self.buckets.insert(
                key.to_owned(),
                (bucket.to_vec(), self.now + ttl * MILLISECOND),
            );
            Some(true)
        }
    }

    fn allowed(limit: Limit, shelf: &mut Told, key: &str) -> u32 {
        (0..1000)
            .take_while(|_| limit.take(key, shelf) == Outcome::Allowed)
            .count() as u32
    }

    #[test]
    fn a_burst_passes_and_then_what_the_rate_allows() {
        let limit = Limit::new(2.0, 5);
        let mut shelf = Told {
            now: 77,
            ..Told::default()
        };
        assert_eq!(allowed(limit, &mut shelf, "a"), 5);
        assert_eq!(limit.take("a", &mut shelf), Outcome::Limited(1));
        assert_eq!(
            allowed(limit, &mut shelf, "b"),
            5,
            "others have buckets of their own"
        );
        shelf.now += SECOND;
        assert_eq!(allowed(limit, &mut shelf, "a"), 2);
        shelf.now += 100 * SECOND;
        assert_eq!(allowed(limit, &mut shelf, "a"), 5);
    }

    #[test]
    fn waiting_as_long_as_told_is_enough() {
        let limit = Limit::new(0.3, 2);
        let mut shelf = Told::default();
        assert_eq!(allowed(limit, &mut shelf, "a"), 2);
        assert_eq!(limit.take("a", &mut shelf), Outcome::Limited(4));
        shelf.now += 3 * SECOND;
        assert_eq!(limit.take("a", &mut shelf), Outcome::Limited(1));
        shelf.now += SECOND;
        assert_eq!(limit.take("a", &mut shelf), Outcome::Allowed);
    }

    #[test]
    fn a_full_bucket_is_not_kept() {
        let limit = Limit::new(10.0, 5);
        let mut shelf = Told::default();
        assert_eq!(limit.take("a", &mut shelf), Outcome::Allowed);
        assert_eq!(shelf.buckets["a"].1, 100 * MILLISECOND);
    }

    #[test]
    fn rivals_are_outlasted_but_not_for_ever() {
        let limit = Limit::new(1.0, 1);
        let mut shelf = Told {
            rivals: ATTEMPTS - 1,
            ..Told::default()
        };
        assert_eq!(limit.take("a", &mut shelf), Outcome::Allowed);
        assert_eq!(
            limit.take(
                "b",
                &mut Told {
                    rivals: ATTEMPTS,
                    ..Told::default()
                }
            ),
            Outcome::Unsure
        );
        assert_eq!(
            limit.take(
                "b",
                &mut Told {
                    refuses: true,
                    ..Told::default()
                }
            ),
            Outcome::Unsure
        );
    }

    #[test]
    fn what_others_left_does_no_harm() {
        let limit = Limit::new(1.0, 2);
        let mut shelf = Told {
            now: SECOND,
            ..Told::default()
        };
        for left in [
            &b"nonsense that is longer"[..],
            b"",
            &u64::MAX.to_le_bytes(),
        ] {
            shelf
                .buckets
                .insert("a".to_owned(), (left.to_vec(), u64::MAX));
            assert!(
                matches!(
                    limit.take("a", &mut shelf),
                    Outcome::Allowed | Outcome::Limited(1)
                ),
                "{left:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn in_any_time_at_most_the_burst_and_the_rate_pass(
            rate in 0.01_f64..1000.0,
            burst in 1_u32..50,
            steps in prop::collection::vec(0_u64..3 * SECOND, 1..200),
        ) {
            let limit = Limit::new(rate, burst);
            let mut shelf = Told::default();
            let mut passed = 0.0;
            for step in steps {
                shelf.now += step;
                match limit.take("a", &mut shelf) {
                    Outcome::Allowed => passed += 1.0,
                    Outcome::Limited(seconds) => prop_assert!(seconds >= 1),
                    Outcome::Unsure => prop_assert!(false),
                }
                let most = f64::from(burst) + rate * 1.0001 * shelf.now as f64 / SECOND as f64 + 1e-6;
                prop_assert!(passed <= most, "{} of {}", passed, most);
            }
        }
    }
}
