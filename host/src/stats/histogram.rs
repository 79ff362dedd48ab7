//! Durations in buckets: four to each doubling, so that a percentile is within 25 % of the truth.

use super::Counter;

/// Four buckets per power of two from 1 to 2^40: nanoseconds up to 18 minutes, in 160 counters.
const BUCKETS: usize = 160;

/// Counts of durations. One thread writes, any may read.
#[derive(Debug)]
pub struct Histogram {
    buckets: Box<[Counter; BUCKETS]>,
    sum: Counter,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: Box::new(std::array::from_fn(|_| Counter::default())),
            sum: Counter::default(),
        }
    }
}

/// What histograms of several workers add up to.
#[derive(Debug, Clone)]
pub struct HistogramSnapshot {
    counts: [u64; BUCKETS],
    /// The sum of all recorded values.
    pub sum: u64,
    /// How many values were recorded.
    pub count: u64,
}

impl Default for HistogramSnapshot {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS],
            sum: 0,
            count: 0,
        }
    }
}

impl Histogram {
    /// Records one value, in the unit of the caller's choice.
    #[inline]
    pub fn record(&self, value: u64) {
        self.buckets[bucket(value)].increment();
        self.sum.add(value);
    }
}

impl Histogram {
    /// Adds the counts of another histogram that is no longer written.
    pub fn fold(&self, other: &Self) {
        for (bucket, more) in self.buckets.iter().zip(other.buckets.iter()) {
            bucket.add(more.value());
        }
        self.sum.add(other.sum.value());
    }
}

impl HistogramSnapshot {
    /// The sum of what several workers have counted.
    pub fn of<'a>(histograms: impl Iterator<Item = &'a Histogram>) -> Self {
        let mut sum = Self::default();
        histograms.for_each(|h| sum.add(h));
        sum
    }

    /// Adds what one worker has counted.
    pub fn add(&mut self, h: &Histogram) {
        for (sum, bucket) in self.counts.iter_mut().zip(h.buckets.iter()) {
            let n = bucket.value();
            *sum += n;
            self.count += n;
        }
        self.sum += h.sum.value();
    }

    /// Adds what others have counted.
    pub fn plus(&mut self, other: &Self) {
        for (sum, n) in self.counts.iter_mut().zip(&other.counts) {
            *sum += n;
        }
        self.count += other.count;
        self.sum += other.sum;
    }

    /// What was counted since an earlier moment.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut new = self.clone();
        for (n, before) in new.counts.iter_mut().zip(&earlier.counts) {
            *n = n.saturating_sub(*before);
        }
        new.count = new.counts.iter().sum();
        new.sum = new.sum.saturating_sub(earlier.sum);
        new
    }

    /// The value below which this share (0 to 1) of the values lies; 0 if there are none.
    pub fn quantile(&self, share: f64) -> u64 {
        let rank = (self.count as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (i, n) in self.counts.iter().enumerate() {
            seen += n;
            if seen >= rank {
                return upper_bound(i);
            }
        }
        0
    }

    /// How many values are above this one, by their buckets: values in the same bucket don't count.
    pub fn above(&self, value: u64) -> u64 {
        self.counts[bucket(value) + 1..].iter().sum()
    }

    /// The mean of all values; 0 if there are none.
    pub fn mean(&self) -> u64 {
        self.sum.checked_div(self.count).unwrap_or(0)
    }

    /// The mean, with values that are above this one taken for it; by buckets if there are such.
    pub fn mean_up_to(&self, most: u64) -> u64 {
        if self.above(most) == 0 {
            return self.mean();
        }
        let buckets = self.counts.iter().enumerate();
        let sum: u64 = buckets.map(|(i, n)| n * upper_bound(i).min(most)).sum();
        sum.checked_div(self.count).unwrap_or(0)
    }

    /// How many values lie above the bound before and at or below this one, for each of these
    /// rising bounds; exact where a bound is one less than a power of two. Values above the last
    /// bound are in none.
    pub fn between(&self, bounds: &[u64]) -> Vec<u64> {
        let mut seen = 0;
        let mut used = self.cumulative().peekable();
        let below = |bound: u64| {
            let mut at_most = 0;
            while let Some((_, n)) = used.next_if(|(upper, _)| *upper <= bound) {
                at_most = n;
            }
            let new = at_most.saturating_sub(seen);
            seen += new;
            new
        };
        bounds.iter().copied().map(below).collect()
    }

    /// Upper bounds and how many values lie at or below them, for the buckets that are in use.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let mut seen = 0;
        self.counts.iter().enumerate().filter_map(move |(i, n)| {
            seen += n;
            (*n > 0).then(|| (upper_bound(i), seen))
        })
    }
}

fn bucket(value: u64) -> usize {
    if value < 4 {
        return value as usize;
    }
    let exponent = 63 - value.leading_zeros() as usize;
    let quarter = (value >> (exponent - 2)) as usize & 3;
    (exponent * 4 - 4 + quarter).min(BUCKETS - 1)
}

fn upper_bound(bucket: usize) -> u64 {
    if bucket < 4 {
        return bucket as u64;
    }
    let exponent = bucket / 4 + 1;
    let quarter = (bucket % 4) as u64;
    (1 << exponent) + ((quarter + 1) << (exponent - 2)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_lies_in_a_bucket_whose_bound_is_within_a_quarter() {
        for value in (0..4_000u64).chain([1 << 20, (1 << 30) + 12_345, (1 << 39) + 1]) {
            let bound = upper_bound(bucket(value));
            assert!(
                bound >= value && bound <= value + value / 4,
                "{value} -> {bound}"
            );
        }
    }

    #[test]
    fn counts_between_powers_of_two_are_exact() {
        let h = Histogram::default();
        [0, 3, 4, 127, 128, 255, 256, 5_000]
            .iter()
            .for_each(|v| h.record(*v));
        let mut s = HistogramSnapshot::default();
        s.add(&h);
        assert_eq!(s.between(&[127, 255, 511, 1_023]), [4, 2, 1, 0]);
        assert_eq!(s.mean(), (3 + 4 + 127 + 128 + 255 + 256 + 5_000) / 8);
        assert_eq!(HistogramSnapshot::default().mean(), 0);
    }

    #[test]
    fn a_mean_is_not_moved_far_by_what_is_far_above() {
        let h = Histogram::default();
        (0..99).for_each(|_| h.record(1_000));
        let mean = |most| {
            let mut s = HistogramSnapshot::default();
            s.add(&h);
            s.mean_up_to(most)
        };
        assert_eq!(mean(10_000), 1_000);
        h.record(3_000_000);
        assert!((1_090..=1_360).contains(&mean(10_000)), "{}", mean(10_000));
        assert_eq!(mean(3_000_000), (99 * 1_000 + 3_000_000) / 100);
    }

    #[test]
    fn sums_are_of_all_that_was_added_and_folded() {
        let [a, b] = [Histogram::default(), Histogram::default()];
        [1, 2, 100].iter().for_each(|v| a.record(*v));
        [100, 5_000, u64::MAX >> 20]
            .iter()
            .for_each(|v| b.record(*v));
        let mut both = HistogramSnapshot::default();
        both.add(&a);
        both.add(&b);
        assert_eq!(
            (both.count, both.sum),
            (6, 1 + 2 + 100 + 100 + 5_000 + (u64::MAX >> 20))
        );
        assert_eq!(
            both.cumulative().map(|(_, n)| n).collect::<Vec<_>>(),
            [1, 2, 4, 5, 6]
        );
        assert_eq!(both.quantile(0.0), 1);
        assert_eq!(
            (both.quantile(1.0 / 6.0), both.quantile(2.0 / 6.0)),
            (1, 2),
            "a rank is met exactly"
        );
        assert!(
            (100..=125).contains(&both.quantile(0.5))
                && (100..=125).contains(&both.quantile(4.0 / 6.0))
        );
        assert!((5_000..=6_250).contains(&both.quantile(5.0 / 6.0)));
        // Folding one into the other comes to the same.
        a.fold(&b);
        let mut folded = HistogramSnapshot::default();
        folded.add(&a);
        assert_eq!(
            (folded.count, folded.sum, folded.counts),
            (both.count, both.sum, both.counts)
        );
        assert_eq!(folded.mean(), both.sum / 6);
    }

    #[test]
    fn values_above_a_value_are_those_in_later_buckets() {
        let h = Histogram::default();
        [0, 3, 100, 101, 1_000, 1 << 45]
            .iter()
            .for_each(|v| h.record(*v));
        let mut s = HistogramSnapshot::default();
        s.add(&h);
        assert_eq!(
            [0, 2, 3, 99, 100, 128, 1_200, u64::MAX].map(|v| s.above(v)),
            [5, 5, 4, 2, 2, 2, 1, 0]
        );
    }

    #[test]
    fn quantiles_of_a_ramp() {
        let h = Histogram::default();
        (1..=1_000).for_each(|v| h.record(v));
        let mut s = HistogramSnapshot::default();
        s.add(&h);
        assert_eq!(s.count, 1_000);
        assert!(
            (450..=640).contains(&s.quantile(0.5)),
            "{}",
            s.quantile(0.5)
        );
        assert!((990..=1_250).contains(&s.quantile(0.99)));
    }
}
