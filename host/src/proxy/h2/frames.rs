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
