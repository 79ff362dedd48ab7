//! What became of a request, as policies hear it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What became of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Completion {
    /// The backend of the last attempt, by its position in the request's list of the pool; `None`
    /// if none was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<u32>,
    /// The status that the client was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why it has not ended with the whole response of a backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<RequestFailure>,
    /// How often it was sent, or was to be.
    pub attempts: u32,
    /// From the arrival of its head to that of a backend's response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte_microseconds: Option<u64>,
    /// From when the backend had all of the request to then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_microseconds: Option<u64>,
    /// From the arrival of its head to the end of the response.
    pub duration_microseconds: u64,
    /// Bytes of its body that were passed on.
    pub request_bytes: u64,
    /// Bytes of the response's body that were passed on.
    pub response_bytes: u64,
}

/// Why a request has not ended with the whole response of a backend, in the contract's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestFailure {
    /// The client left, was too slow, or sent a body that is malformed or too large.
    Client,
    /// A policy gave the answer, or the answer for its failure.
    Policy,
    /// The proxy refused it, and no backend is to blame.
    Refused,
    /// The backend could not be reached, broke off, or answered something that is not HTTP.
    Backend,
    /// The backend did not take the connection or answer in time.
    Timeout,
    /// The proxy gave it up.
    Cancelled,
}

impl RequestFailure {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Client,
        Self::Policy,
        Self::Refused,
        Self::Backend,
        Self::Timeout,
        Self::Cancelled,
    ];

    /// Its name in the contract.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Policy => "policy",
            Self::Refused => "refused",
            Self::Backend => "backend",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for RequestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_one_name() {
        for failure in RequestFailure::ALL {
            let recorded = serde_json::to_value(failure).unwrap();
            assert_eq!(recorded, failure.name(), "in recordings");
        }
    }
}
