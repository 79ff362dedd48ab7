//! What a request's head says beside what goes on.

use super::Notes;

/// What a request's head says of its body and its connection, whatever protocol carries it.
#[derive(Debug, Clone, Copy)]
pub struct RequestFacts {
    /// The body's length.
    pub body: BodyLength,
    /// Whether the client lets its connection carry another request.
    pub persists: bool,
    /// Instructions for the proxy in the fields.
    pub notes: Notes,
}

/// How long a request's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// There is no body, and no length was given.
    None,
    /// As many bytes as the head says.
    Known(u64),
    /// The body says itself where it ends.
    Unknown,
}
