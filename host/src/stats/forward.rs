//! What is counted of a forward proxy.

use super::{Counter, Gauge};

/// Why a request to a forward proxy was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardRefused {
    /// It is no request for a forward proxy.
    Request,
    /// The client has not said who it is, or not rightly.
    Authentication,
    /// Its passwords were wrong too often, or too many were being checked.
    Unchecked,
    /// Host and port are not allowed.
    Destination,
    /// A policy has given an answer, or failed.
    Policy,
    /// None of the host's addresses is allowed.
    Address,
    /// No address was found.
    Name,
    /// There are as many tunnels as there may be.
    Tunnels,
    /// The destination could not be reached, or did not answer.
    Unreachable,
}

impl ForwardRefused {
    /// All of them, in order.
    pub const ALL: [Self; 9] = [
        Self::Request,
        Self::Authentication,
        Self::Unchecked,
        Self::Destination,
        Self::Policy,
        Self::Address,
        Self::Name,
        Self::Tunnels,
        Self::Unreachable,
    ];

    /// Its name in statistics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Authentication => "authentication",
            Self::Unchecked => "unchecked",
            Self::Destination => "destination",
            Self::Policy => "policy",
            Self::Address => "address",
            Self::Name => "name",
            Self::Tunnels => "tunnels",
            Self::Unreachable => "unreachable",
        }
    }
}

/// One worker's counters of its forward proxy.
#[derive(Debug, Default)]
pub struct ForwardShard {
    /// Requests, refused ones included.
    pub requests: Counter,
    /// Tunnels that were opened.
    pub tunnels: Counter,
    /// Those of them that are open now.
    pub tunnels_active: Gauge,
    /// Bytes that tunnels which have ended carried from their clients.
    pub tunnel_bytes_from_clients: Counter,
    /// The same to their clients.
    pub tunnel_bytes_to_clients: Counter,
    /// Bytes of the bodies of requests with a whole URL that were passed on.
    pub request_bytes_from_clients: Counter,
    /// The same of their responses.
    pub request_bytes_to_clients: Counter,
    refused: [Counter; ForwardRefused::ALL.len()],
}

impl ForwardShard {
    /// Requests that were refused for this reason.
    pub fn refused(&self, reason: ForwardRefused) -> &Counter {
        &self.refused[reason as usize]
    }
}
