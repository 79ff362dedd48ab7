//! Why a chain ends a request that no backend has answered, or takes a backend's answer away.

use crate::policy::Reply;

/// Why a chain ends a request. `proxy/refusal` says which status the client gets.
#[derive(Debug)]
pub enum Stop {
    /// A policy answers in place of a backend.
    Reply {
        /// The answer.
        reply: Reply,
        /// The policy.
        policy: String,
    },
    /// No generation of a policy is loaded, and that is to end the request.
    Absent {
        /// The policy.
        policy: String,
        /// The status for that; the configuration has a default.
        status: u16,
        /// Why none is loaded.
        reason: String,
    },
    /// A policy failed, and its failure mode is a status.
    Failed {
        /// The policy.
        policy: String,
        /// The status that the operator chose.
        status: u16,
    },
    /// A policy could not be asked, and it may be what guards the route.
    NotAsked {
        /// The policy.
        policy: String,
    },
    /// The pool has no backend that takes traffic.
    NoBackend,
}
