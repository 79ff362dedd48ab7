//! The imports of the contract: the functions that a guest can call. Nothing here waits, locks for
//! long or fails.

use std::sync::PoisonError;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rand::Rng;
use tracing::Level;
use wasmtime::component::Resource;

use super::answer::NO_POOL;
use super::bindings::waypost::policy::store::StoreError as WitStoreError;
use super::bindings::waypost::policy::types::HeaderError;
use super::bindings::waypost::policy::{clock, counters, log, random, store, types};
use super::edits::{check_name, check_value, named_by_connection};
use super::resources::{Headers, Request};
use super::state::{CallContext, State};
use super::store::{Call, StoreError};
use super::tape::Clock;
use crate::message::Fields;
use crate::stats::MAX_POLICY_COUNTERS;

/// The longest name of a counter.
const MAX_COUNTER_NAME: usize = 64;

impl types::Host for State {}

impl types::HostRequest for State {
    fn method(&mut self, _: Resource<Request>) -> String {
        self.context.request.method.as_str().to_owned()
    }

    fn scheme(&mut self, _: Resource<Request>) -> String {
        self.context.request.scheme.as_str().to_owned()
    }

    fn host(&mut self, _: Resource<Request>) -> String {
        self.context.request.host.clone()
    }

    fn path(&mut self, _: Resource<Request>) -> String {
        self.context.request.path().to_owned()
    }

    fn raw_path(&mut self, _: Resource<Request>) -> String {
        self.context.request.raw_path().to_owned()
    }

    fn query(&mut self, _: Resource<Request>) -> Option<String> {
        self.context.request.query().map(str::to_owned)
    }

    fn client_address(&mut self, _: Resource<Request>) -> String {
        self.context.request.client.to_string()
    }

    fn pool(&mut self, _: Resource<Request>) -> u32 {
        self.context.pool.unwrap_or_default()
    }

    fn pools(&mut self, _: Resource<Request>) -> Vec<u32> {
        let context = &self.context;
        match context.pools.is_empty() {
            true => context
                .pool
                .filter(|pool| *pool != NO_POOL)
                .into_iter()
                .collect(),
            false => context.pools.clone(),
        }
    }

    fn header(&mut self, _: Resource<Request>, name: String) -> Option<Vec<u8>> {
        first(&self.context.request.fields, &name)
    }

    fn header_values(&mut self, _: Resource<Request>, name: String) -> Vec<Vec<u8>> {
        values(&self.context.request.fields, &name)
    }

    fn header_names(&mut self, _: Resource<Request>) -> Vec<String> {
        names(&self.context.request.fields)
    }

    fn drop(&mut self, _: Resource<Request>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl types::HostHeaders for State {
    fn first(&mut self, _: Resource<Headers>, name: String) -> Option<Vec<u8>> {
        first(self.context.headers(), &name)
    }

    fn values(&mut self, _: Resource<Headers>, name: String) -> Vec<Vec<u8>> {
        values(self.context.headers(), &name)
    }

    fn names(&mut self, _: Resource<Headers>) -> Vec<String> {
        names(self.context.headers())
    }

    fn set(
        &mut self,
        _: Resource<Headers>,
        name: String,
        value: Vec<u8>,
    ) -> Result<(), HeaderError> {
        editable(&mut self.context, name.as_bytes(), &value)
            .map(|fields| fields.set(name.as_bytes(), &value))
    }

    fn append(
        &mut self,
        _: Resource<Headers>,
        name: String,
        value: Vec<u8>,
    ) -> Result<(), HeaderError> {
        editable(&mut self.context, name.as_bytes(), &value)
            .map(|fields| fields.append(name.as_bytes(), &value))
    }

    fn remove(&mut self, _: Resource<Headers>, name: String) -> Result<(), HeaderError> {
        let fields = editable(&mut self.context, name.as_bytes(), b"")?;
        fields.remove(name.as_bytes());
        Ok(())
    }

    fn drop(&mut self, _: Resource<Headers>) -> wasmtime::Result<()> {
        Ok(())
    }
}

fn first(fields: &Fields, name: &str) -> Option<Vec<u8>> {
    fields.first(name).map(<[u8]>::to_vec)
}

fn values(fields: &Fields, name: &str) -> Vec<Vec<u8>> {
    fields.values(name).map(<[u8]>::to_vec).collect()
}

fn names(fields: &Fields) -> Vec<String> {
    fields
        .iter()
        .map(|(name, _)| String::from_utf8_lossy(name).into_owned())
        .collect()
}

/// The fields to edit, if this edit is allowed.
fn editable<'a>(
    context: &'a mut CallContext,
    name: &[u8],
    value: &[u8],
) -> Result<&'a mut Fields, HeaderError> {
    check_name(name)?;
    check_value(value)?;
    if named_by_connection(context.headers(), name) {
        return Err(HeaderError::Forbidden);
    }
    context.budget.spend(name.len() + value.len())?;
    Ok(context.headers_for_edit(name))
}

impl log::Host for State {
    fn write(&mut self, level: log::Level, message: String) {
        let level = match level {
            log::Level::Debug => Level::DEBUG,
            log::Level::Info => Level::INFO,
            log::Level::Warn => Level::WARN,
            log::Level::Error => Level::ERROR,
        };
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .log(level, &message);
    }
}

impl random::Host for State {
    fn below(&mut self, bound: u32) -> u32 {
        let listed = self.tape.as_mut().and_then(|tape| tape.draw_below(bound));
        listed.unwrap_or_else(|| below(&mut self.rng, bound))
    }

    fn bits(&mut self) -> u64 {
        let listed = self.tape.as_mut().and_then(|tape| tape.draw_bits());
        listed.unwrap_or_else(|| self.rng.next_u64())
    }
}

/// Lemire's method: a multiplication, and a division only for the few draws that may have to be
/// repeated.
fn below(rng: &mut impl Rng, bound: u32) -> u32 {
    let mut product = u64::from(rng.next_u32()) * u64::from(bound);
    if (product as u32) < bound {
        let threshold = bound.wrapping_neg() % bound;
        while (product as u32) < threshold {
            product = u64::from(rng.next_u32()) * u64::from(bound);
        }
    }
    (product >> 32) as u32
}

impl clock::Host for State {
    fn monotonic_nanoseconds(&mut self) -> u64 {
        let now = self.nanoseconds(Instant::now());
        self.reading(Clock::Monotonic, now)
    }

    fn unix_milliseconds(&mut self) -> u64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        self.reading(
            Clock::Unix,
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        )
    }
}

impl counters::Host for State {
    fn define(&mut self, name: String) -> Result<u32, String> {
        check_counter_name(&name)?;
        let mut names = self
            .counters
            .stats
            .counter_names
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let index = match names.iter().position(|known| *known == name) {
            Some(index) => index,
            None if names.len() >= MAX_POLICY_COUNTERS => {
                return Err(format!(
                    "there are {MAX_POLICY_COUNTERS} counters already, which is the most"
                ));
            }
            None => {
                names.push(name);
                names.len() - 1
            }
        };
        self.counters.defined |= 1 << index;
        Ok(index as u32)
    }

    fn add(&mut self, counter: u32, amount: u64) {
        if let Some(value) = self.counters.shard.counters.0.get(counter as usize)
            && self.counters.defined & (1 << counter) != 0
        {
            value.add(amount);
        }
    }
}

impl store::Host for State {
    fn get(&mut self, key: String) -> Option<Vec<u8>> {
        self.stored(Call::Get(key)).value()
    }

    fn set(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl_milliseconds: u64,
    ) -> Result<(), WitStoreError> {
        Ok(self
            .stored(Call::Set(key, value, ttl_milliseconds))
            .done()?)
    }

    fn remove(&mut self, key: String) -> bool {
        self.stored(Call::Remove(key)).flag()
    }

    fn compare_and_set(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
        ttl_milliseconds: u64,
    ) -> Result<bool, WitStoreError> {
        Ok(self
            .stored(Call::CompareAndSet(key, expected, value, ttl_milliseconds))
            .was_set()?)
    }

    fn increment(
        &mut self,
        key: String,
        by: i64,
        ttl_milliseconds: u64,
    ) -> Result<i64, WitStoreError> {
        Ok(self
            .stored(Call::Increment(key, by, ttl_milliseconds))
            .count()?)
    }

    fn decrement(
        &mut self,
        key: String,
        by: u64,
        ttl_milliseconds: u64,
    ) -> Result<i64, WitStoreError> {
        Ok(self
            .stored(Call::Decrement(key, by, ttl_milliseconds))
            .count()?)
    }

    fn counter(&mut self, key: String) -> Option<i64> {
        self.stored(Call::Counter(key)).counter()
    }
}

impl From<StoreError> for WitStoreError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::KeyTooLong => Self::KeyTooLong,
            StoreError::ValueTooLong => Self::ValueTooLong,
            StoreError::NoRoom => Self::NoRoom,
        }
    }
}

fn check_counter_name(name: &str) -> Result<(), String> {
    let valid = |(i, b): (usize, u8)| {
        b.is_ascii_lowercase() || (i > 0 && (b.is_ascii_digit() || b == b'_'))
    };
    if name.is_empty() || name.len() > MAX_COUNTER_NAME || !name.bytes().enumerate().all(valid) {
        return Err(format!(
            "a counter's name is [a-z][a-z0-9_]*, {MAX_COUNTER_NAME} bytes at most"
        ));
    }
    Ok(())
}

mod connection;
mod facts;
mod target;

#[cfg(test)]
mod tests;
