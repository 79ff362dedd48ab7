//! What a peer may cost by what brings nothing.
//!
//! The engine bounds what frames take of memory. It does not bound how many frames it reads that
//! neither carry a request nor content: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA, frames
//! of unknown types. Each costs little, and a connection can carry a million of them in a second.

use std::cell::Cell;
use std::time::Instant;

use super::frames::{
    CONTINUATION, DATA, END_STREAM, Frame, GOAWAY, HEADERS, PADDED, PING, RST_STREAM, SETTINGS,
    WINDOW_UPDATE,
};

/// This many bytes of content pay for a frame that brings nothing.
const CONTENT: u32 = 1024;
/// A request pays for this many frames that bring nothing, and so does each frame that the peer is
/// sent: it acknowledges them, opens windows, and measures how far away we are.
const REQUEST: u64 = 8;
const ANSWER: u64 = 4;
/// What a peer may do too often is forgiven at this rate.
const PER_SECOND: u64 = 100;

/// How often a peer may yet do what brings nothing: send such frames, reset its streams.
#[derive(Debug)]
pub struct Account {
    most: u64,
    left: Cell<u64>,
    /// Since when frames are forgiven.
    since: Cell<Instant>,
    overdrawn: Cell<bool>,
}

impl Account {
    /// With at most so many times at once.
    pub fn new(most: u64) -> Self {
        Self {
            most,
            left: Cell::new(most),
            since: Cell::new(Instant::now()),
            overdrawn: Cell::new(false),
        }
    }

    /// Whether the peer has done it more often than it may.
    pub fn is_overdrawn(&self) -> bool {
        self.overdrawn.get()
    }

    /// A frame of the peer.
    pub fn received(&self, frame: Frame) {
        match frame {
            // It pays once it is a request that was taken in.
            Frame { kind: HEADERS, .. } => {}
            Frame {
                kind: DATA, length, ..
            } if length >= CONTENT => {
                self.add(u64::from(length / CONTENT));
            }
            // Small pieces of content go on together. Padding is no content.
            Frame {
                kind: DATA,
                length: 1..,
                ..
            } if !frame.has(PADDED) => {}
            Frame { kind: DATA, .. } if frame.has(END_STREAM) => {}
            // Its head paid for it, and the engine bounds their number.
            Frame {
                kind: CONTINUATION, ..
            } => {}
            _ => self.take(),
        }
    }

    /// A frame for the peer. Answers to frames that bring nothing don't pay for them.
    pub fn sent(&self, frame: Frame) {
        match frame.kind {
            RST_STREAM | SETTINGS | PING | GOAWAY | WINDOW_UPDATE => {}
            _ => self.add(ANSWER),
        }
    }

    /// A request was taken in, or sent.
    pub fn request(&self) {
        self.add(REQUEST);
    }

    /// The peer may do it so many times more.
    pub fn add(&self, times: u64) {
        self.left.set((self.left.get() + times).min(self.most));
    }

    /// The peer has done it.
    pub fn take(&self) {
        if self.left.get() == 0 {
            self.forgive();
        }
        match self.left.get().checked_sub(1) {
            Some(left) => self.left.set(left),
            None => self.overdrawn.set(true),
        }
    }

    /// The clock is read only when nothing is left.
    #[cold]
    fn forgive(&self) {
        let (now, since) = (Instant::now(), self.since.get());
        let elapsed = now.saturating_duration_since(since).as_millis();
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
        let forgiven = elapsed.saturating_mul(PER_SECOND) / 1_000;
        if forgiven > 0 {
            self.since.set(now);
            self.add(forgiven);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING_FRAME: Frame = Frame {
        length: 8,
        kind: PING,
        flags: 0,
        stream: 0,
    };
    /// More than time can forgive while a test runs.
    const MANY: u64 = 100_000;

    fn data(length: u32, flags: u8) -> Frame {
        Frame {
            length,
            kind: DATA,
            flags,
            stream: 1,
        }
    }

    fn is_taken(account: &Account, frame: Frame, times: u64) -> bool {
        (0..times).for_each(|_| account.received(frame));
        !account.is_overdrawn()
    }

    #[test]
    fn frames_that_bring_nothing_are_taken_up_to_the_allowance() {
        for frame in [PING_FRAME, data(0, 0), data(9, PADDED)] {
            assert!(is_taken(&Account::new(1_000), frame, 1_000));
            assert!(!is_taken(&Account::new(1_000), frame, MANY), "{frame:?}");
        }
        for frame in [data(1, 0), data(0, END_STREAM), data(5_000, PADDED)] {
            assert!(is_taken(&Account::new(10), frame, 10_000), "{frame:?}");
        }
    }

    #[test]
    fn requests_content_and_answers_pay_for_frames_and_nothing_is_saved_up() {
        let account = Account::new(100);
        for _ in 0..1_000 {
            account.request();
            assert!(is_taken(&account, PING_FRAME, REQUEST));
            account.sent(data(10, 0));
            assert!(is_taken(&account, PING_FRAME, ANSWER));
            account.received(data(4 * CONTENT, 0));
            assert!(is_taken(&account, PING_FRAME, 4));
        }
        (0..1_000).for_each(|_| account.request());
        assert!(!is_taken(&account, PING_FRAME, MANY));
    }

    #[test]
    fn answers_to_what_brings_nothing_pay_for_nothing() {
        let account = Account::new(100);
        for _ in 0..MANY {
            account.received(PING_FRAME);
            account.sent(PING_FRAME);
        }
        assert!(account.is_overdrawn());
    }
}
