//! Durations in statistics, as means and percentiles.

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use crate::stats::HistogramSnapshot;

/// Durations in microseconds; serialised as mean and percentiles.
#[derive(Debug, Clone, Default)]
pub struct Microseconds(pub HistogramSnapshot);

/// Durations in nanoseconds; serialised as mean and percentiles.
#[derive(Debug, Clone, Default)]
pub struct Nanoseconds(pub HistogramSnapshot);

impl Serialize for Microseconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Microseconds", 4)?;
        fields.serialize_field("mean_microseconds", &self.0.mean())?;
        fields.serialize_field("p50_microseconds", &self.0.quantile(0.5))?;
        fields.serialize_field("p90_microseconds", &self.0.quantile(0.9))?;
        fields.serialize_field("p99_microseconds", &self.0.quantile(0.99))?;
        fields.end()
    }
}

impl Serialize for Nanoseconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Nanoseconds", 4)?;
        fields.serialize_field("mean_nanoseconds", &self.0.mean())?;
        fields.serialize_field("p50_nanoseconds", &self.0.quantile(0.5))?;
        fields.serialize_field("p90_nanoseconds", &self.0.quantile(0.9))?;
        fields.serialize_field("p99_nanoseconds", &self.0.quantile(0.99))?;
        fields.end()
    }
}
