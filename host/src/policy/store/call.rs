//! A call of the store, and what becomes of it while two generations are compared.
//!
//! The active generation's calls are done and their answers kept. The shadow's are not done: a call like one of the
//! active's is told what that was told, so that both see the same; any other is told what the store would say now. So a shadow
//! changes nothing, however often it is asked.

use super::{Store, StoreError};

/// Calls that are kept in one call of a hook; what goes on and on is told what the store says.
const KEPT: usize = 64;

/// A call of the store.
#[derive(Debug, Clone)]
pub(in crate::policy) enum Call {
    Get(String),
    Set(String, Vec<u8>, u64),
    Remove(String),
    CompareAndSet(String, Option<Vec<u8>>, Vec<u8>, u64),
    Increment(String, i64, u64),
    Counter(String),
}

/// What it is told.
#[derive(Debug, Clone)]
pub(in crate::policy) enum Answer {
    Value(Option<Vec<u8>>),
    Done(Result<(), StoreError>),
    Flag(bool),
    Set(Result<bool, StoreError>),
    Count(Result<i64, StoreError>),
}

/// The calls of a comparison.
#[derive(Debug, Default)]
pub(in crate::policy) struct Calls {
    kept: Vec<(Call, Answer)>,
}

impl Calls {
    /// What a shadow is told: what the active generation was, or what the store says now. Nothing is stored.
    pub fn replay(&mut self, call: &Call, store: &Store) -> Answer {
        let like = self.kept.iter().position(|(kept, _)| call.resembles(kept));
        match like.map(|at| self.kept.remove(at)) {
            Some((kept, answer)) => call.as_told(&kept, answer),
            None => call.pretend(store),
        }
    }

    /// Does a call of the active generation.
    pub fn run(&mut self, call: Call, store: &Store) -> Answer {
        if self.kept.len() >= KEPT {
            return call.run(store);
        }
        let answer = call.clone().run(store);
        self.kept.push((call, answer.clone()));
        answer
    }
}

impl Call {
    /// Does it.
    pub fn run(self, store: &Store) -> Answer {
        match self {
            Self::Get(key) => Answer::Value(store.get(&key)),
            Self::Set(key, value, ttl) => Answer::Done(store.set(key, value, ttl)),
            Self::Remove(key) => Answer::Flag(store.remove(&key)),
            Self::CompareAndSet(key, expected, value, ttl) => {
                Answer::Set(store.compare_and_set(key, expected.as_deref(), value, ttl))
            }
            Self::Increment(key, by, ttl) => Answer::Count(store.increment(key, by, ttl)),
            Self::Counter(key) => Answer::Count(Ok(store.counter(&key))),
        }
    }

    /// What it would be told now.
    fn pretend(&self, store: &Store) -> Answer {
        match self {
            Self::Get(key) => Answer::Value(store.get(key)),
            Self::Set(key, value, _) => Answer::Done(store.check(key, value.len())),
            Self::Remove(key) => Answer::Flag(store.get(key).is_some()),
            Self::CompareAndSet(key, expected, value, _) => {
                Answer::Set(store.check(key, value.len()).map(|()| store.get(key) == *expected))
            }
            Self::Increment(key, by, _) => {
                Answer::Count(store.check(key, 0).map(|()| store.counter(key).saturating_add(*by)))
            }
            Self::Counter(key) => Answer::Count(Ok(store.counter(key))),
        }
    }

    /// Whether the answer to the other is the answer to this: the same is asked of the same entry. What is stored may differ.
    fn resembles(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Get(a), Self::Get(b))
            | (Self::Remove(a), Self::Remove(b))
            | (Self::Increment(a, ..), Self::Increment(b, ..))
            | (Self::Counter(a), Self::Counter(b)) => a == b,
            (Self::Set(a, one, _), Self::Set(b, other, _)) => a == b && one.len() == other.len(),
            (Self::CompareAndSet(a, expected, one, _), Self::CompareAndSet(b, other_expected, other, _)) => {
                a == b && expected == other_expected && one.len() == other.len()
            }
            _ => false,
        }
    }

    /// The answer to a call that resembles this one, as this one would have got it.
    fn as_told(&self, kept: &Self, answer: Answer) -> Answer {
        match (self, kept, answer) {
            (Self::Increment(_, by, _), Self::Increment(_, other, _), Answer::Count(Ok(count))) => {
                Answer::Count(Ok(count.saturating_sub(*other).saturating_add(*by)))
            }
            (_, _, answer) => answer,
        }
    }
}

impl Answer {
    /// Of `get`.
    pub fn value(self) -> Option<Vec<u8>> {
        if let Self::Value(value) = self { value } else { None }
    }

    /// Of `set`.
    pub fn done(self) -> Result<(), StoreError> {
        if let Self::Done(done) = self { done } else { Ok(()) }
    }

    /// Of `remove`.
    pub fn flag(self) -> bool {
        matches!(self, Self::Flag(true))
    }

    /// Of `compare-and-set`.
    pub fn was_set(self) -> Result<bool, StoreError> {
        if let Self::Set(set) = self { set } else { Ok(false) }
    }

    /// Of `increment` and `counter`.
    pub fn count(self) -> Result<i64, StoreError> {
        if let Self::Count(count) = self { count } else { Ok(0) }
    }
}
