//! The draws, clock readings and store answers of one call, to be kept and replayed.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::store::Told;

/// The tape of one call as it is recorded: see `docs/recording.md`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    #[serde(with = "hexadecimal")]
    pub(super) seed: u64,
    /// When the call began, in nanoseconds of the monotonic clock.
    pub(super) monotonic_nanoseconds: u64,
    /// When the call began, in milliseconds since 1970.
    pub(super) unix_milliseconds: u64,
    #[serde(default, skip_serializing_if = "Readings::are_none")]
    pub(super) readings: Readings,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) store: Vec<Told>,
}

/// What clocks showed, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Readings {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub monotonic: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unix: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wasi_monotonic: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wasi_wall: Vec<u64>,
}

impl Recorded {
    /// When the call began, by the monotonic clock.
    pub fn monotonic_nanoseconds(&self) -> u64 {
        self.monotonic_nanoseconds
    }

    /// When the call began, in milliseconds since 1970; 0 if it was never made.
    pub fn unix_milliseconds(&self) -> u64 {
        self.unix_milliseconds
    }

    /// Lets keys and values of the store be changed, to redact a recording.
    pub fn change_texts(&mut self, change: &mut dyn FnMut(&mut Vec<u8>)) {
        self.store
            .iter_mut()
            .for_each(|told| told.change_texts(change));
    }

    /// About how many bytes of memory it takes.
    pub fn weight(&self) -> usize {
        let Readings {
            monotonic,
            unix,
            wasi_monotonic,
            wasi_wall,
        } = &self.readings;
        let readings: usize = [monotonic, unix, wasi_monotonic, wasi_wall]
            .iter()
            .map(|r| r.len() * 8)
            .sum();
        readings + self.store.iter().map(Told::weight).sum::<usize>()
    }
}

impl Readings {
    fn are_none(&self) -> bool {
        *self == Self::default()
    }
}

/// 16 digits: not every reader of JSON takes a number of 64 bits as it is.
mod hexadecimal {
    use super::*;

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
    pub(super) fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{number:016x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let digits = String::deserialize(deserializer)?;
        u64::from_str_radix(&digits, 16)
            .map_err(|_| de::Error::custom(format!("{digits:?} is not a hexadecimal number")))
    }
}
