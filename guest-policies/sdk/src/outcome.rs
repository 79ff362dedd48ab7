//! What became of a request.

use std::time::Duration;

use crate::{FailedAttempt, export::past};

/// What became of a request, as [`Completed`](crate::Completed) hears it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The pool of its route.
    pub pool: u32,
    /// The backend of the last attempt, or of the one that has answered.
    pub backend: Chosen,
    /// The status that the client was sent, whoever made it; `None` if it was sent none.
    pub status: Option<u16>,
    /// Why it has not ended with the whole response of a backend; `None` if it has, whatever the
    /// status is.
    pub failure: Option<RequestFailure>,
    /// How often it was sent to a backend, or was to be: 1 if the first attempt was the last.
    pub attempts: u32,
    /// From the arrival of the request's head to that of the response's; `None` if no backend has
    /// answered.
    pub first_byte: Option<Duration>,
    /// The same of the last attempt alone: from when the backend had all of the request. `None`
    /// also if it answered before it had.
    pub latency: Option<Duration>,
    /// From the arrival of the request's head to the end of the response.
    pub duration: Duration,
    /// Bytes of the request's body that were passed on.
    pub request_bytes: u64,
    /// Bytes of the response's body that were passed on; of an answer that the proxy or a policy
    /// made all of it.
    pub response_bytes: u64,
}

/// The backend of a request that is over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Chosen {
    /// None was chosen.
    #[default]
    Nobody,
    /// This one, by its index in the pool.
    Backend(u32),
    /// One that has left the pool's list since.
    Left,
}

/// Why a request has not ended with the whole response of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestFailure {
    /// The client left, was too slow, or sent a body that is malformed or too large.
    Client,
    /// A policy gave the answer, or it failed and its `on-failure` is a status.
    Policy,
    /// The proxy refused it, and no backend is to blame.
    Refused,
    /// The backend could not be reached, broke off, or answered something that is not HTTP.
    Backend,
    /// The backend did not take the connection or answer in time.
    Timeout,
    /// The proxy gave the request up.
    Cancelled,
}

impl Outcome {
    /// The failed attempts at the request, oldest first: the last one is among them, if it failed
    /// without a response.
    #[inline]
    pub fn failed(&self) -> Vec<FailedAttempt> {
        past()
    }
}

/// The index that stands for a backend that has left.
const LEFT: u32 = u32::MAX;

impl From<Option<u32>> for Chosen {
    #[inline]
    fn from(backend: Option<u32>) -> Self {
        match backend {
            None => Chosen::Nobody,
            Some(LEFT) => Chosen::Left,
            Some(backend) => Chosen::Backend(backend),
        }
    }
}

impl Chosen {
    /// Its index, if it has one.
    #[inline]
    pub fn index(self) -> Option<u32> {
        match self {
            Chosen::Backend(backend) => Some(backend),
            Chosen::Nobody | Chosen::Left => None,
        }
    }
}
