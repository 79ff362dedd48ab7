//! Metric families: names, help texts, units and samples, as the encoder takes them.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use crate::stats::HistogramSnapshot;

/// Bucket bounds of hook calls, as exponents of two nanoseconds: 128 ns to 67 ms. A series must
/// keep its buckets, and the counts are exact at powers of two.
pub(super) const HOOK_BOUNDS: std::ops::RangeInclusive<u32> = 7..=26;
/// Bucket bounds of requests and of backends' response heads, as exponents of two microseconds: 64
/// µs to 67 s.
pub(super) const LATENCY_BOUNDS: std::ops::RangeInclusive<u32> = 6..=26;

/// Units in a second. Values are divided by them, because that prints shorter bounds than
/// multiplication with the inverse.
pub(super) const NANOSECONDS: f64 = 1e9;
pub(super) const MICROSECONDS: f64 = 1e6;

/// Labels of one sample.
pub(super) type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

/// One call per metric family, each with all its samples.
pub(super) struct Families<'a> {
    pub(super) encoder: DescriptorEncoder<'a>,
}

impl Families<'_> {
    pub(super) fn plain_counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.counter(name, help, None, [([], value)])
    }

    pub(super) fn counter<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        samples: impl IntoIterator<Item = (Labels<'l, N>, u64)>,
    ) -> fmt::Result {
        self.family(
            name,
            help,
            unit,
            MetricType::Counter,
            samples,
            |metric, n| metric.encode_counter::<NoLabelSet, u64, u64>(n, None),
        )
    }

    /// A time that only grows, of samples in parts of a second.
    pub(super) fn seconds_counter<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        per_second: f64,
        samples: impl IntoIterator<Item = (Labels<'l, N>, u64)>,
    ) -> fmt::Result {
        self.family(
            name,
            help,
            Some(&Unit::Seconds),
            MetricType::Counter,
            samples,
            |metric, n| {
                metric.encode_counter::<NoLabelSet, f64, u64>(&(*n as f64 / per_second), None)
            },
        )
    }

    pub(super) fn gauge<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        samples: impl IntoIterator<Item = (Labels<'l, N>, u64)>,
    ) -> fmt::Result {
        self.family(name, help, unit, MetricType::Gauge, samples, |metric, n| {
            metric.encode_gauge(n)
        })
    }

    pub(super) fn histogram<'l, 'h, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        exponents: std::ops::RangeInclusive<u32>,
        per_second: f64,
        samples: impl IntoIterator<Item = (Labels<'l, N>, &'h HistogramSnapshot)>,
    ) -> fmt::Result {
        let bounds: Vec<u64> = exponents.map(|e| (1 << e) - 1).collect();
        self.family(
            name,
            help,
            Some(&Unit::Seconds),
            MetricType::Histogram,
            samples,
            |metric, h| {
                let counts = h.between(&bounds);
                let above = h.count.saturating_sub(counts.iter().sum());
                let mut buckets: Vec<(f64, u64)> = bounds
                    .iter()
                    .zip(counts)
                    .map(|(bound, n)| (*bound as f64 / per_second, n))
                    .collect();
                buckets.push((f64::INFINITY, above));
                metric.encode_histogram::<NoLabelSet>(
                    h.sum as f64 / per_second,
                    h.count,
                    &buckets,
                    None,
                )
            },
        )
    }

    pub(super) fn info<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = Labels<'l, N>>,
    ) -> fmt::Result {
        let mut metric =
            self.encoder
                .encode_descriptor(name, &format!("{help}."), None, MetricType::Info)?;
        samples
            .into_iter()
            .try_for_each(|labels| metric.encode_info(&labels))
    }

    fn family<'l, const N: usize, T>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        kind: MetricType,
        samples: impl IntoIterator<Item = (Labels<'l, N>, T)>,
        encode: impl Fn(&mut MetricEncoder<'_>, &T) -> fmt::Result,
    ) -> fmt::Result {
        let mut metric = self
            .encoder
            .encode_descriptor(name, &format!("{help}."), unit, kind)?;
        for (labels, value) in samples {
            if N == 0 {
                encode(&mut metric, &value)?;
            } else {
                encode(&mut metric.encode_family(&labels)?, &value)?;
            }
        }
        Ok(())
    }
}
