//! What has moved on a client's connection, for those that judge whether the client is slow.

use std::cell::Cell;

/// The bytes that moved on a client's connection, and notes that the connection takes on request.
#[derive(Debug, Default)]
pub struct Moved {
    /// Bytes read from the client.
    pub read: Cell<u64>,
    /// Bytes that the socket took for the client.
    pub written: Cell<u64>,
    /// How long writes to the client have waited for it to read, in milliseconds.
    pub waited: Cell<u64>,
    /// Set by the sweep: what waits is to note what follows, with its next poll.
    pub asked: Cell<bool>,
    /// Written bytes that the client has not acknowledged; `None` if that was not noted.
    pub unsent: Cell<Option<u64>>,
    /// Whether so many unread bytes precede the end of the client's side that they may hide it.
    pub hidden: Cell<bool>,
    /// Whether the kernel's receive buffer was enlarged.
    pub wide: Cell<bool>,
    /// Why the exchange was broken off.
    pub broken_off: Cell<Option<Slowness>>,
}

impl Moved {
    /// Bytes that have arrived at either end, if `unsent` of the written ones have not.
    pub fn arrived(&self, unsent: u64) -> u64 {
        let both = self.read.get().wrapping_add(self.written.get());
        both.wrapping_sub(unsent)
    }
}

/// In which way a client keeps others waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slowness {
    /// It does not send its request.
    Sends,
    /// It does not take its response.
    Takes,
    /// Unread bytes that it has sent hide whether it has left.
    Hides,
}
