//! What a policy may ask of the host. Nothing here waits.
//!
//! All of it is `#[inline]`: components are built for size, and a call more for each call of the
//! host would be left in them.

use std::{fmt, time::Duration};

use crate::contract;

/// Lines for the operator, marked with the policy's name.
///
/// A line is cut at 1 KiB, and its control characters are replaced. Lines beyond a burst of 32 and
/// 16 a second after it are dropped and counted, for each worker.
pub mod log {
    use super::contract::log::{Level, write};

    /// For who looks for a mistake.
    #[inline]
    pub fn debug(line: impl AsRef<str>) {
        write(Level::Debug, line.as_ref());
    }

    /// For who wants to know.
    #[inline]
    pub fn info(line: impl AsRef<str>) {
        write(Level::Info, line.as_ref());
    }

    /// Something is not as it should be.
    #[inline]
    pub fn warn(line: impl AsRef<str>) {
        write(Level::Warn, line.as_ref());
    }

    /// Something does not work.
    #[inline]
    pub fn error(line: impl AsRef<str>) {
        write(Level::Error, line.as_ref());
    }
}

/// Randomness. All of it comes through here, so that a decision can be replayed exactly.
pub mod random {
    use super::contract;

    /// Uniform in 0 to `bound` - 1; 0 if `bound` is 0.
    #[inline]
    pub fn below(bound: u32) -> u32 {
        contract::random::below(bound)
    }

    /// 64 random bits.
    #[inline]
    pub fn bits() -> u64 {
        contract::random::bits()
    }
}

/// Time. All of it comes through here, so that a decision can be replayed exactly.
pub mod clock {
    use super::contract;

    /// Nanoseconds since some fixed moment before the policy was loaded; never goes back. The
    /// moment is the same for all instances, so that workers can compare what they put into the
    /// store.
    #[inline]
    pub fn monotonic_nanoseconds() -> u64 {
        contract::clock::monotonic_nanoseconds()
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[inline]
    pub fn unix_milliseconds() -> u64 {
        contract::clock::unix_milliseconds()
    }
}

/// Live facts about the backends of the pool that the current request is for, by index: what this
/// worker sees of its own traffic. An index out of range, or a call outside a request's hooks,
/// reads as 0 or `false`.
pub mod facts {
    use super::contract::backend_facts;

    pub use super::contract::backend_facts::HealthState;

    /// Requests for which this backend was chosen and that are not answered in full.
    #[inline]
    pub fn in_flight(backend: u32) -> u32 {
        backend_facts::in_flight(backend)
    }

    /// Moving average of the time from sending the request to the head of the response; 0 before
    /// the first.
    #[inline]
    pub fn latency_microseconds(backend: u32) -> u64 {
        backend_facts::latency_microseconds(backend)
    }

    /// False while requests should go elsewhere; for one that is to have less than its whole share,
    /// in the rest of the time.
    #[inline]
    pub fn healthy(backend: u32) -> bool {
        backend_facts::healthy(backend)
    }

    /// Failures since the last success.
    #[inline]
    pub fn consecutive_failures(backend: u32) -> u32 {
        backend_facts::consecutive_failures(backend)
    }

    /// What is known of the backend's health, for policies to which [`healthy`] says too little.
    #[inline]
    pub fn state(backend: u32) -> HealthState {
        backend_facts::state(backend)
    }

    /// Requests in flight of all workers; those of the others are some milliseconds old.
    #[inline]
    pub fn in_flight_of_all(backend: u32) -> u32 {
        backend_facts::in_flight_of_all(backend)
    }

    /// Requests of all workers in the queue of this backend (`max-connections`, `max-requests`).
    #[inline]
    pub fn queued(backend: u32) -> u32 {
        backend_facts::queued(backend)
    }

    /// Requests of all workers in the queue of the pool (`max-pool-requests`).
    #[inline]
    pub fn queued_in_pool() -> u32 {
        backend_facts::queued_in_pool()
    }
}

/// A counter of the policy's own, shown in the proxy's statistics under the policy's name and
/// summed over all workers.
///
/// Define it in [`Configure`](crate::Configure), so that a mistake shows when the policy is loaded,
/// and keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    number: u32,
}

impl Counter {
    /// The counter of this name (`[a-z][a-z0-9_]*`, up to 64 bytes), made if new; up to 64 a
    /// policy.
    #[inline]
    pub fn define(name: &str) -> Result<Self, String> {
        match contract::counters::define(name) {
            Ok(number) => Ok(Counter { number }),
            Err(reason) => Err(format!("the counter {name} can't be defined: {reason}")),
        }
    }

    /// Adds to it.
    #[inline]
    pub fn add(self, amount: u64) {
        contract::counters::add(self.number, amount);
    }

    /// Adds 1 to it.
    #[inline]
    pub fn count(self) {
        self.add(1);
    }
}

/// State that all workers share, for each policy name apart: values and counters, whose names are
/// apart.
///
/// It outlives instances and generations, but not the process. Each call is atomic over all
/// workers. The operator bounds the store, and an entry may go before its time: keep in it what you
/// can do without.
pub mod store {
    use super::{Duration, StoreError, contract, milliseconds};

    /// The value of this key; `None` if there is none, or its time is up.
    #[inline]
    pub fn value(key: &str) -> Option<Vec<u8>> {
        contract::store::get(key)
    }

    /// Stores a value, in place of any earlier one. It goes after the time, if one is given.
    #[inline]
    pub fn set(
        key: &str,
        value: impl AsRef<[u8]>,
        time: Option<Duration>,
    ) -> Result<(), StoreError> {
        contract::store::set(key, value.as_ref(), milliseconds(time)).map_err(StoreError::from)
    }

    /// Removes the value of this key. Tells whether there was one.
    #[inline]
    pub fn remove(key: &str) -> bool {
        contract::store::remove(key)
    }

    /// Stores a value if the value now is `expected`; `None` expects that there is none. Tells
    /// whether it was stored.
    #[inline]
    pub fn compare_and_set(
        key: &str,
        expected: Option<&[u8]>,
        value: impl AsRef<[u8]>,
        time: Option<Duration>,
    ) -> Result<bool, StoreError> {
        contract::store::compare_and_set(key, expected, value.as_ref(), milliseconds(time))
            .map_err(StoreError::from)
    }

    /// Adds to a counter, which may be negative, and tells its new value. A counter that is not
    /// there begins at 0, and goes after the time, if one is given; later calls don't change when:
    /// it counts in a window that begins with its first use.
    #[inline]
    pub fn increment(key: &str, by: i64, time: Option<Duration>) -> Result<i64, StoreError> {
        contract::store::increment(key, by, milliseconds(time)).map_err(StoreError::from)
    }

    /// Takes from a counter, which may get below 0, and tells its new value. For the rest it is as
    /// [`increment`].
    #[inline]
    pub fn decrement(key: &str, by: u64, time: Option<Duration>) -> Result<i64, StoreError> {
        contract::store::decrement(key, by, milliseconds(time)).map_err(StoreError::from)
    }

    /// What a counter stands at; `None` if there is none, or its time is up.
    #[inline]
    pub fn counter(key: &str) -> Option<i64> {
        contract::store::counter(key)
    }
}

/// Why nothing was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreError {
    /// The key has more than 256 bytes.
    KeyTooLong,
    /// The value has more than 4 KiB.
    ValueTooLong,
    /// The store is too small for this entry, even if it were the only one.
    NoRoom,
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(match self {
            StoreError::KeyTooLong => "key-too-long",
            StoreError::ValueTooLong => "value-too-long",
            StoreError::NoRoom => "no-room",
        })
    }
}

impl std::error::Error for StoreError {}

/// 0 stands for no time in the contract, so a time that is given is 1 at least.
fn milliseconds(time: Option<Duration>) -> u64 {
    let Some(time) = time else { return 0 };
    let whole = time
        .as_secs()
        .saturating_mul(1000)
        .saturating_add(time.subsec_nanos().div_ceil(1_000_000).into());
    whole.max(1)
}
