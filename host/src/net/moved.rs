//! What has moved on a client's connection, for those that judge whether the client is slow.

use std::cell::Cell;

/// What has moved on a client's connection, and what it was asked to note of itself.
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
    /// Of what was written, the bytes that the client has not acknowledged; `None` if that was not
    /// noted.
    pub unsent: Cell<Option<u64>>,
    /// Whether so much lies unread in front of the end of the client's side that the end may be
    /// hidden.
    pub hidden: Cell<bool>,
    /// Whether the kernel has got more room for what the client sends.
    pub wide: Cell<bool>,
    /// Why the exchange was broken off.
    pub broken_off: Cell<Option<Slowness>>,
}

impl Moved {
    /// Bytes that have arrived at either end, where so many of those that were written have not.
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
    /// What it has sent and nobody can take yet hides whether it is there.
    Hides,
}
