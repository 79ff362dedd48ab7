//! The imports of the contract as the fake host offers them: the same names as the generated
//! bindings have.

use super::state::current;

pub mod types;

pub mod log {
    use super::current;
    pub use crate::testing::Level;

    /// The longest line that is kept whole.
    const MAX_LINE: usize = 1024;

    pub fn write(level: Level, line: &str) {
        let cut = &line[..line.floor_char_boundary(MAX_LINE)];
        let shown = cut.chars().map(|letter| {
            if letter.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                letter
            }
        });
        current(|state| state.log.push((level, shown.collect())));
    }
}

pub mod random {
    use super::current;

    pub fn below(bound: u32) -> u32 {
        current(|state| state.dice.below(bound))
    }
    pub fn bits() -> u64 {
        current(|state| state.dice.bits())
    }
}

pub mod clock {
    use super::current;

    pub fn monotonic_nanoseconds() -> u64 {
        current(|state| state.monotonic)
    }
    pub fn unix_milliseconds() -> u64 {
        current(|state| state.unix / 1_000_000)
    }
}

pub mod backend_facts {
    use super::current;

    /// What is known of a backend's health.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum HealthState {
        /// Nothing speaks against it.
        Healthy,
        /// It answers nothing at the moment, takes much longer than others, or fails as others do.
        Degraded,
        /// Its requests have failed.
        Ejected,
        /// Its weight is 0.
        Draining,
        /// Its probes have failed.
        Down,
    }

    pub fn in_flight(backend: u32) -> u32 {
        current(|state| state.facts(backend).map_or(0, |facts| facts.in_flight))
    }
    pub fn latency_microseconds(backend: u32) -> u64 {
        current(|state| {
            state
                .facts(backend)
                .map_or(0, |facts| facts.latency_microseconds)
        })
    }
    pub fn healthy(backend: u32) -> bool {
        current(|state| state.facts(backend).is_some_and(|facts| facts.healthy))
    }
    pub fn consecutive_failures(backend: u32) -> u32 {
        current(|state| {
            state
                .facts(backend)
                .map_or(0, |facts| facts.consecutive_failures)
        })
    }
    pub fn state(backend: u32) -> HealthState {
        current(|state| {
            state
                .facts(backend)
                .map_or(HealthState::Down, |facts| facts.state())
        })
    }
    pub fn in_flight_of_all(backend: u32) -> u32 {
        current(|state| {
            state
                .facts(backend)
                .map_or(0, |facts| facts.in_flight_of_all())
        })
    }
    pub fn queued(backend: u32) -> u32 {
        current(|state| state.facts(backend).map_or(0, |facts| facts.queued))
    }
    pub fn queued_in_pool() -> u32 {
        current(|state| state.pool().map_or(0, |pool| pool.queued))
    }
}

pub mod attempts {
    use super::current;
    use crate::FailedAttempt;

    pub fn failed() -> Vec<FailedAttempt> {
        current(|state| state.turn.failed.clone())
    }
    pub fn milliseconds_left() -> Option<u64> {
        current(|state| {
            let left = state.turn.request.time_left?;
            u64::try_from(left.as_millis()).ok()
        })
    }
}

pub mod connection {
    use super::{super::state::Tls, current};
    use crate::{HttpVersion, TlsVersion};

    fn session<T>(read: impl FnOnce(&Tls) -> Option<T>) -> Option<T> {
        current(|state| state.turn.request.tls.as_ref().and_then(read))
    }

    pub fn protocol() -> HttpVersion {
        current(|state| state.turn.request.protocol)
    }
    pub fn tls() -> Option<TlsVersion> {
        session(|tls| Some(tls.version))
    }
    pub fn cipher_suite() -> Option<String> {
        session(|tls| Some(tls.cipher_suite.clone()))
    }
    pub fn server_name() -> Option<String> {
        session(|tls| tls.server_name.clone())
    }
    pub fn application_protocol() -> Option<String> {
        session(|tls| tls.application_protocol.clone())
    }
}

pub mod client_certificate {
    use super::current;
    use crate::{SubjectName, testing::TestCertificate};

    fn certificate<T>(read: impl FnOnce(&TestCertificate) -> T) -> Option<T> {
        current(|state| {
            let tls = state.turn.request.tls.as_ref();
            tls.and_then(|tls| tls.certificate.as_ref()).map(read)
        })
    }

    pub fn subject() -> Option<String> {
        certificate(|own| own.subject.clone())
    }
    pub fn names() -> Vec<SubjectName> {
        certificate(|own| own.names.clone()).unwrap_or_default()
    }
    pub fn serial_number() -> Option<String> {
        certificate(|own| own.serial_number.clone())
    }
    pub fn fingerprint() -> Option<String> {
        certificate(|own| own.fingerprint.clone())
    }
    pub fn expires_milliseconds() -> Option<u64> {
        certificate(|own| own.expires_milliseconds)
    }
}

pub mod counters {
    use super::current;

    /// As many as a policy may have.
    const MAX_COUNTERS: usize = 64;

    pub fn define(name: &str) -> Result<u32, String> {
        let is_valid = |(at, byte): (usize, u8)| {
            byte.is_ascii_lowercase() || (at > 0 && (byte.is_ascii_digit() || byte == b'_'))
        };
        if name.is_empty() || name.len() > 64 || !name.bytes().enumerate().all(is_valid) {
            return Err("a counter's name is [a-z][a-z0-9_]*, 64 bytes at most".to_owned());
        }
        current(
            |state| match state.counters.iter().position(|(known, _)| known == name) {
                Some(at) => Ok(at as u32),
                None if state.counters.len() >= MAX_COUNTERS => Err(format!(
                    "there are {MAX_COUNTERS} counters already, which is the most"
                )),
                None => {
                    state.counters.push((name.to_owned(), 0));
                    Ok(state.counters.len() as u32 - 1)
                }
            },
        )
    }

    pub fn add(counter: u32, amount: u64) {
        current(|state| {
            if let Some((_, value)) = state.counters.get_mut(counter as usize) {
                *value = value.wrapping_add(amount);
            }
        });
    }
}

pub mod store {
    use super::current;
    use crate::StoreError;

    pub fn get(key: &str) -> Option<Vec<u8>> {
        current(|state| state.store.value(key, state.monotonic).map(<[u8]>::to_vec))
    }
    pub fn set(key: &str, value: &[u8], milliseconds: u64) -> Result<(), StoreError> {
        current(|state| state.store.set(key, value, milliseconds, state.monotonic))
    }
    pub fn remove(key: &str) -> bool {
        current(|state| state.store.remove(key, state.monotonic))
    }
    pub fn compare_and_set(
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
        milliseconds: u64,
    ) -> Result<bool, StoreError> {
        current(|state| {
            state.store.check(key, value.len())?;
            let agreed = state.store.value(key, state.monotonic) == expected;
            if agreed {
                state.store.set(key, value, milliseconds, state.monotonic)?;
            }
            Ok(agreed)
        })
    }
    pub fn increment(key: &str, by: i64, milliseconds: u64) -> Result<i64, StoreError> {
        current(|state| {
            state.store.count(
                key,
                |count| count.saturating_add(by),
                milliseconds,
                state.monotonic,
            )
        })
    }
    pub fn decrement(key: &str, by: u64, milliseconds: u64) -> Result<i64, StoreError> {
        current(|state| {
            state.store.count(
                key,
                |count| count.saturating_sub_unsigned(by),
                milliseconds,
                state.monotonic,
            )
        })
    }
    pub fn counter(key: &str) -> Option<i64> {
        current(|state| state.store.counter(key, state.monotonic))
    }
}
