//! Many durations in little room, for percentiles within two in a hundred of the truth.

use std::time::Duration;

/// Parts of each doubling.
const PARTS: usize = 64;

/// Durations that were recorded.
#[derive(Debug)]
pub(super) struct Times {
    counts: Vec<u64>,
    /// How many.
    pub count: u64,
    /// All together, in nanoseconds.
    sum: u64,
    /// The longest, in nanoseconds.
    pub max: u64,
}

impl Default for Times {
    fn default() -> Self {
        // Up to 2^64 nanoseconds.
        Self {
            counts: vec![0; 60 * PARTS],
            count: 0,
            sum: 0,
            max: 0,
        }
    }
}

impl Times {
    pub(super) fn record(&mut self, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.counts[part(nanoseconds)] += 1;
        self.count += 1;
        self.sum = self.sum.saturating_add(nanoseconds);
        self.max = self.max.max(nanoseconds);
    }

    /// In nanoseconds; 0 if there are none.
    pub(super) fn mean(&self) -> u64 {
        self.sum.checked_div(self.count).unwrap_or(0)
    }

    /// How many fit in a second, one after the other.
    pub(super) fn per_second(&self) -> u64 {
        if self.sum == 0 {
            0
        } else {
            (self.count as f64 * 1e9 / self.sum as f64) as u64
        }
    }

    /// The nanoseconds that this share of all do not exceed; 0 if there are none.
    pub(super) fn quantile(&self, share: f64) -> u64 {
        let rank = (self.count as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        let part = self.counts.iter().position(|n| {
            seen += n;
            seen >= rank
        });
        part.map_or(0, |part| last_of(part).min(self.max))
    }
}

fn part(n: u64) -> usize {
    let doubling =
        (64 - n.leading_zeros() as usize).saturating_sub(PARTS.trailing_zeros() as usize + 1);
    doubling * PARTS + (n >> doubling) as usize
}

/// The largest number in this part.
fn last_of(part: usize) -> u64 {
    let doubling = (part / PARTS).saturating_sub(1);
    let within = (part - doubling * PARTS) as u64;
    ((within + 1) << doubling) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_counts_its_values() {
        for n in (0..100_000).chain([1 << 40, u64::MAX >> 1, u64::MAX >> 5]) {
            let last = last_of(part(n));
            assert!(last >= n && last - n <= n / 32, "{n}: {last}");
            assert_eq!(part(last), part(n), "{n}");
        }
        assert!(part(u64::MAX) < Times::default().counts.len());
    }

    #[test]
    fn percentiles_are_of_what_was_recorded() {
        let mut times = Times::default();
        (1..=1000).for_each(|n| times.record(Duration::from_nanos(n)));
        assert_eq!((times.count, times.max, times.mean()), (1000, 1000, 500));
        for (share, truth) in [(0.5, 500), (0.9, 900), (0.99, 990), (1.0, 1000)] {
            let found = times.quantile(share);
            assert!(
                found >= truth && found <= truth + truth / 32,
                "{share}: {found}"
            );
        }
        assert_eq!(times.per_second(), 1_998_001);
        assert_eq!(
            (Times::default().quantile(0.5), Times::default().mean()),
            (0, 0)
        );
    }
}
