//! A call of the store, and what becomes of it while two generations are compared.
//!
//! The active generation's calls are executed and their answers kept. The shadow's are not: a call
//! that the active generation made too gets the same answer, so that both see the same; any other
//! gets the store's current answer. So a shadow changes nothing, however often it is called.
//!
//! In the same way a policy gets recorded answers offline. Its other calls are executed in a
//! separate store.

use serde::{Deserialize, Serialize};

use super::Store;
use super::bounds::{MAX_KEY, MAX_VALUE, StoreError};
use crate::policy::octets::as_octets;

/// The most store calls that are kept of one call of a hook; later ones get the store's current
/// answer.
const KEPT: usize = 64;
/// Bytes that they take: a guest may hand over large values that the store refuses.
const KEPT_BYTES: usize = 64 * 1024;

/// A call of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::policy) enum Call {
    Get(String),
    Set(String, #[serde(with = "as_octets")] Vec<u8>, u64),
    Remove(String),
    CompareAndSet(
        String,
        #[serde(with = "as_octets::optional")] Option<Vec<u8>>,
        #[serde(with = "as_octets")] Vec<u8>,
        u64,
    ),
    Increment(String, i64, u64),
    Decrement(String, u64, u64),
    Counter(String),
}

/// The store's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::policy) enum Answer {
    Value(#[serde(with = "as_octets::optional")] Option<Vec<u8>>),
    Done,
    Flag(bool),
    Count(Option<i64>),
    Error(StoreError),
}

/// A call and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::policy) struct Told {
    pub call: Call,
    pub told: Answer,
}

/// The calls of a comparison.
#[derive(Debug, Default)]
pub(in crate::policy) struct Calls {
    kept: Vec<Told>,
    /// Their size.
    bytes: usize,
}

impl Calls {
    /// Those that were recorded.
    pub(in crate::policy) fn recorded(told: Vec<Told>) -> Self {
        Self {
            kept: told,
            bytes: 0,
        }
    }

    /// The kept calls.
    pub(in crate::policy) fn kept(&self) -> &[Told] {
        &self.kept
    }

    /// The answer for a shadow: the active generation's, or the store's current one. Nothing is
    /// stored.
    pub(in crate::policy) fn replay(&mut self, call: &Call, store: &Store) -> Answer {
        self.told(call).unwrap_or_else(|| call.pretend(store))
    }

    /// The answer for a policy offline: the recorded one, or that of its separate store. Recorded
    /// writes are repeated in that store, for calls that were not recorded.
    pub(in crate::policy) fn rehearse(&mut self, call: Call, store: &Store) -> Answer {
        match self.told(&call) {
            None => call.run(store),
            Some(answer) => {
                call.repeat(&answer, store);
                answer
            }
        }
    }

    fn told(&mut self, call: &Call) -> Option<Answer> {
        let like = self
            .kept
            .iter()
            .position(|kept| call.resembles(&kept.call))?;
        let Told { call: kept, told } = self.kept.remove(like);
        Some(call.as_told(&kept, told))
    }

    /// Does a call of the active generation.
    pub(in crate::policy) fn run(&mut self, call: Call, store: &Store) -> Answer {
        // No entry can be that long, so such a call always gets the same answer.
        let weight = call.weight();
        if self.kept.len() >= KEPT || !call.fits() || self.bytes + weight > KEPT_BYTES {
            return call.run(store);
        }
        let answer = call.clone().run(store);
        self.bytes += weight + answer.weight();
        self.kept.push(Told {
            call,
            told: answer.clone(),
        });
        answer
    }
}

impl Call {
    /// Whether the store could hold all that it names.
    fn fits(&self) -> bool {
        let (key, value, expected) = match self {
            Self::Get(key) | Self::Remove(key) | Self::Counter(key) => (key, 0, 0),
            Self::Increment(key, ..) | Self::Decrement(key, ..) => (key, 0, 0),
            Self::Set(key, value, _) => (key, value.len(), 0),
            Self::CompareAndSet(key, expected, value, _) => {
                (key, value.len(), expected.as_ref().map_or(0, Vec::len))
            }
        };
        key.len() <= MAX_KEY && value.max(expected) <= MAX_VALUE
    }

    /// About how many bytes of memory it takes.
    fn weight(&self) -> usize {
        match self {
            Self::Get(key)
            | Self::Remove(key)
            | Self::Increment(key, ..)
            | Self::Decrement(key, ..)
            | Self::Counter(key) => key.len(),
            Self::Set(key, value, _) => key.len() + value.len(),
            Self::CompareAndSet(key, expected, value, _) => {
                key.len() + value.len() + expected.as_ref().map_or(0, Vec::len)
            }
        }
    }

    /// Does it.
    pub(in crate::policy) fn run(self, store: &Store) -> Answer {
        match self {
            Self::Get(key) => Answer::Value(store.get(&key)),
            Self::Set(key, value, ttl) => store
                .set(key, value, ttl)
                .map_or_else(Answer::Error, |()| Answer::Done),
            Self::Remove(key) => Answer::Flag(store.remove(&key)),
            Self::CompareAndSet(key, expected, value, ttl) => store
                .compare_and_set(key, expected.as_deref(), value, ttl)
                .map_or_else(Answer::Error, Answer::Flag),
            Self::Increment(key, by, ttl) => Answer::counted(store.increment(key, by, ttl)),
            Self::Decrement(key, by, ttl) => Answer::counted(store.decrement(key, by, ttl)),
            Self::Counter(key) => Answer::Count(store.counter(&key)),
        }
    }

    /// The answer that it would get now.
    fn pretend(&self, store: &Store) -> Answer {
        let checked =
            |key: &str, length, answer: &dyn Fn() -> Answer| match store.check(key, length) {
                Ok(()) => answer(),
                Err(error) => Answer::Error(error),
            };
        match self {
            Self::Get(key) => Answer::Value(store.get(key)),
            Self::Set(key, value, _) => checked(key, value.len(), &|| Answer::Done),
            Self::Remove(key) => Answer::Flag(store.get(key).is_some()),
            Self::CompareAndSet(key, expected, value, _) => checked(key, value.len(), &|| {
                Answer::Flag(store.get(key) == *expected)
            }),
            Self::Increment(key, ..) | Self::Decrement(key, ..) => {
                let stands_at = || i128::from(store.counter(key).unwrap_or_default());
                checked(key, 0, &|| {
                    Answer::Count(Some(within(stands_at() + self.change())))
                })
            }
            Self::Counter(key) => Answer::Count(store.counter(key)),
        }
    }

    /// Brings a store into the state that gave this answer, as far as one answer shows it.
    fn repeat(self, answer: &Answer, store: &Store) {
        match (self, answer) {
            (Self::Set(key, value, ttl), Answer::Done) => _ = store.set(key, value, ttl),
            (Self::CompareAndSet(key, _, value, ttl), Answer::Flag(true)) => {
                _ = store.set(key, value, ttl)
            }
            (Self::Remove(key), _) => _ = store.remove(&key),
            (
                Self::Increment(key, _, ttl) | Self::Decrement(key, _, ttl),
                Answer::Count(Some(count)),
            ) => {
                _ = store.count(key, |_| *count, ttl);
            }
            _ => {}
        }
    }

    /// Whether the other call's answer fits this call: the same operation on the same entry. The
    /// stored value may differ.
    fn resembles(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Get(a), Self::Get(b))
            | (Self::Remove(a), Self::Remove(b))
            | (Self::Counter(a), Self::Counter(b))
            | (
                Self::Increment(a, ..) | Self::Decrement(a, ..),
                Self::Increment(b, ..) | Self::Decrement(b, ..),
            ) => a == b,
            (Self::Set(a, one, _), Self::Set(b, other, _)) => a == b && one.len() == other.len(),
            (
                Self::CompareAndSet(a, expected, one, _),
                Self::CompareAndSet(b, other_expected, other, _),
            ) => a == b && expected == other_expected && one.len() == other.len(),
            _ => false,
        }
    }

    /// The answer to a call that resembles this one, as this one would have got it.
    fn as_told(&self, kept: &Self, answer: Answer) -> Answer {
        match answer {
            Answer::Count(Some(count)) => Answer::Count(Some(within(
                i128::from(count) - kept.change() + self.change(),
            ))),
            answer => answer,
        }
    }

    /// The amount that it adds to a counter.
    fn change(&self) -> i128 {
        match self {
            Self::Increment(_, by, _) => i128::from(*by),
            Self::Decrement(_, by, _) => -i128::from(*by),
            _ => 0,
        }
    }
}

/// As near as a counter comes to this.
fn within(count: i128) -> i64 {
    let [low, high] = [i64::MIN, i64::MAX].map(i128::from);
    i64::try_from(count.clamp(low, high)).unwrap_or_default()
}

impl Told {
    /// Lets keys and values be changed. A key is text, so a change that makes it invalid UTF-8 is
    /// dropped.
    pub(in crate::policy) fn change_texts(&mut self, change: &mut dyn FnMut(&mut Vec<u8>)) {
        let mut values: Vec<&mut Vec<u8>> = Vec::new();
        let key = match &mut self.call {
            Call::Get(key)
            | Call::Remove(key)
            | Call::Increment(key, ..)
            | Call::Decrement(key, ..)
            | Call::Counter(key) => key,
            Call::Set(key, value, _) => {
                values.push(value);
                key
            }
            Call::CompareAndSet(key, expected, value, _) => {
                values.extend(expected);
                values.push(value);
                key
            }
        };
        let mut changed = key.as_bytes().to_vec();
        change(&mut changed);
        if let Ok(changed) = String::from_utf8(changed) {
            *key = changed;
        }
        if let Answer::Value(value) = &mut self.told {
            values.extend(value);
        }
        values.into_iter().for_each(change);
    }

    /// About how many bytes of memory it takes.
    pub(in crate::policy) fn weight(&self) -> usize {
        size_of::<Self>() + self.call.weight() + self.told.weight()
    }
}

impl Answer {
    /// About how many bytes of memory it takes beside itself.
    fn weight(&self) -> usize {
        if let Self::Value(Some(value)) = self {
            value.len()
        } else {
            0
        }
    }

    fn counted(count: Result<i64, StoreError>) -> Self {
        count.map_or_else(Self::Error, |count| Self::Count(Some(count)))
    }

    /// Of `get`.
    pub(in crate::policy) fn value(self) -> Option<Vec<u8>> {
        if let Self::Value(value) = self {
            value
        } else {
            None
        }
    }

    /// Of `set`.
    pub(in crate::policy) fn done(self) -> Result<(), StoreError> {
        if let Self::Error(error) = self {
            Err(error)
        } else {
            Ok(())
        }
    }

    /// Of `remove`.
    pub(in crate::policy) fn flag(self) -> bool {
        matches!(self, Self::Flag(true))
    }

    /// Of `compare-and-set`.
    pub(in crate::policy) fn was_set(self) -> Result<bool, StoreError> {
        if let Self::Error(error) = self {
            Err(error)
        } else {
            Ok(self.flag())
        }
    }

    /// Of `increment` and `decrement`.
    pub(in crate::policy) fn count(self) -> Result<i64, StoreError> {
        if let Self::Error(error) = self {
            Err(error)
        } else {
            Ok(self.counter().unwrap_or_default())
        }
    }

    /// Of `counter`.
    pub(in crate::policy) fn counter(self) -> Option<i64> {
        if let Self::Count(count) = self {
            count
        } else {
            None
        }
    }
}
