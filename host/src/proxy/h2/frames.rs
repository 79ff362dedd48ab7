//! Frames as they pass, and what a client may cost by frames that bring nothing.
//!
//! The engine bounds what frames take of memory. It does not bound how many frames it reads that
//! neither carry a request nor content: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA, frames
//! of unknown types. Each costs little, and a connection can carry a million of them in a second.

use std::cell::Cell;
use std::time::Instant;

/// Bytes of a frame's head.
const HEAD: usize = 9;
/// Bytes in front of a client's first frame.
const PREFACE: u32 = 24;
/// This many bytes of content pay for a frame that brings nothing.
const CONTENT: u32 = 1024;
/// A request pays for this many frames that bring nothing, and so does each frame that the client
/// is sent: it acknowledges them, opens windows, and measures how far away we are.
const REQUEST: u64 = 8;
const ANSWER: u64 = 4;
/// What a client may do too often is forgiven at this rate.
const PER_SECOND: u64 = 100;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const PADDED: u8 = 8;

/// A frame's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    length: u32,
    kind: u8,
    flags: u8,
}

/// Where in a sequence of frames a direction stands.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// Bytes of the present frame's payload that are still to come.
    payload: u32,
    head: [u8; HEAD],
    /// How much of the next head is there.
    filled: usize,
}

impl Frames {
    /// A client's, which begins with its preface.
    pub(super) fn after_preface() -> Self {
        Self {
            payload: PREFACE,
            ..Self::default()
        }
    }

    /// Shows each frame whose head ends in these bytes.
    pub(super) fn each(&mut self, mut bytes: &[u8], mut show: impl FnMut(Frame)) {
        while !bytes.is_empty() {
            let skipped = bytes.len().min(self.payload as usize);
            self.payload -= skipped as u32;
            bytes = &bytes[skipped..];
            let n = bytes.len().min(HEAD - self.filled);
            self.head[self.filled..self.filled + n].copy_from_slice(&bytes[..n]);
            self.filled += n;
            bytes = &bytes[n..];
            if self.filled == HEAD {
                self.filled = 0;
                let [a, b, c, kind, flags, ..] = self.head;
                self.payload = u32::from_be_bytes([0, a, b, c]);
                show(Frame {
                    length: self.payload,
                    kind,
                    flags,
                });
            }
        }
    }
}

/// How often a client may yet do what brings nothing: send such frames, reset its streams.
#[derive(Debug)]
pub(super) struct Account {
    most: u64,
    left: Cell<u64>,
    /// Since when frames are forgiven.
    since: Cell<Instant>,
    overdrawn: Cell<bool>,
}

impl Account {
    /// With at most so many times at once.
    pub(super) fn new(most: u64) -> Self {
        Self {
            most,
            left: Cell::new(most),
            since: Cell::new(Instant::now()),
            overdrawn: Cell::new(false),
        }
    }

    /// Whether the client has done it more often than it may.
    pub(super) fn is_overdrawn(&self) -> bool {
        self.overdrawn.get()
    }

    /// A frame of the client.
    pub(super) fn received(&self, frame: Frame) {
        match frame {
            Frame { kind: HEADERS, .. } => self.add(REQUEST),
            Frame {
                kind: DATA, length, ..
            } if length >= CONTENT => {
                self.add(u64::from(length / CONTENT));
            }
            // Small pieces of content are bounded by the engine. Padding is no content.
            Frame {
                kind: DATA,
                length: 1..,
                flags,
            } if flags & PADDED == 0 => {}
            Frame {
                kind: DATA, flags, ..
            } if flags & END_STREAM != 0 => {}
            // Its head paid for it, and the engine bounds their number.
            Frame {
                kind: CONTINUATION, ..
            } => {}
            _ => self.take(),
        }
    }

    /// A frame for the client. Answers to frames that bring nothing don't pay for them.
    pub(super) fn sent(&self, frame: Frame) {
        match frame.kind {
            RST_STREAM | SETTINGS | PING | GOAWAY | WINDOW_UPDATE => {}
            _ => self.add(ANSWER),
        }
    }

    /// The client may do it so many times more.
    pub(super) fn add(&self, times: u64) {
        self.left.set((self.left.get() + times).min(self.most));
    }

    /// The client has done it.
    pub(super) fn take(&self) {
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
    use proptest::prelude::*;

    use super::*;

    const PING_FRAME: Frame = Frame {
        length: 8,
        kind: PING,
        flags: 0,
    };
    const REQUEST_FRAME: Frame = Frame {
        length: 30,
        kind: HEADERS,
        flags: 5,
    };

    /// More than time can forgive while a test runs.
    const MANY: u64 = 100_000;

    fn data(length: u32, flags: u8) -> Frame {
        Frame {
            length,
            kind: DATA,
            flags,
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
            account.received(REQUEST_FRAME);
            assert!(is_taken(&account, PING_FRAME, REQUEST));
            account.sent(data(10, 0));
            assert!(is_taken(&account, PING_FRAME, ANSWER));
            account.received(data(4 * CONTENT, 0));
            assert!(is_taken(&account, PING_FRAME, 4));
        }
        (0..1_000).for_each(|_| account.received(REQUEST_FRAME));
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

    proptest! {
        #[test]
        fn frames_are_found_in_any_pieces(
            frames in prop::collection::vec((0u32..300, any::<u8>(), any::<u8>()), 0..20),
            pieces in prop::collection::vec(1usize..40, 1..20),
        ) {
            let mut bytes = vec![0xee; PREFACE as usize];
            for (length, kind, flags) in &frames {
                bytes.extend_from_slice(&length.to_be_bytes()[1..]);
                bytes.extend_from_slice(&[*kind, *flags, 0, 0, 0, 1]);
                bytes.extend(std::iter::repeat_n(0xff, *length as usize));
            }
            let (mut found, mut reader) = (Vec::new(), Frames::after_preface());
            let (mut rest, mut pieces) = (&bytes[..], pieces.iter().cycle());
            while !rest.is_empty() {
                let n = pieces.next().map_or(1, |n| (*n).min(rest.len()));
                reader.each(&rest[..n], |f| found.push((f.length, f.kind, f.flags)));
                rest = &rest[n..];
            }
            prop_assert_eq!(found, frames);
        }
    }
}
