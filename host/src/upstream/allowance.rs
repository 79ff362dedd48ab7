//! What an endpoint may cost on a connection of HTTP/2 by frames that bring nothing.
//!
//! Only one that means harm comes near it. What it is for is a flood: of PINGs, of heads and of
//! content on streams that are over. Each such frame costs time, and the last ones a reset that the
//! engine keeps for as long as the endpoint does not read it.

use std::collections::VecDeque;

use crate::h2::{Account, DATA, END_STREAM, Frame, HEADERS, PADDED, RST_STREAM};

/// How many bytes of a response an endpoint may send before they are taken: what a client that does
/// not read costs. More would only help one response that comes from far away.
pub(super) const STREAM_WINDOW: u32 = 64 * 1024;
/// Frames that bring nothing, at once.
const MOST: u64 = 10_000;
/// DATA below this pays for one of them: servers flush a message by an empty frame.
const SMALL: u32 = 1_024;
/// Padding and its length have no more bytes than this.
const PADDING: u32 = 256;
/// So many streams that we have reset are remembered: those of a second.
const RESETS: usize = 256;

/// What an endpoint may yet send.
#[derive(Debug)]
pub(super) struct Allowance {
    account: Account,
    /// The newest stream.
    newest: u32,
    /// Streams on which it may go on.
    open: Vec<u32>,
    /// Streams that were reset, and how much content may be on its way: their windows.
    reset: VecDeque<(u32, u32)>,
}

impl Allowance {
    pub(super) fn new() -> Self {
        Self {
            account: Account::new(MOST),
            newest: 0,
            open: Vec::new(),
            reset: VecDeque::new(),
        }
    }

    /// Whether it has sent more than it may.
    pub(super) fn is_used_up(&self) -> bool {
        self.account.is_overdrawn()
    }

    /// A frame of the endpoint.
    pub(super) fn received(&mut self, frame: Frame) {
        match frame {
            // Its request has paid for it.
            Frame { kind: HEADERS, .. } => self.account.take(),
            Frame { kind: DATA, .. } if !self.is_expected(frame) => self.account.take(),
            Frame {
                kind: DATA,
                length: 1..SMALL,
                ..
            } if !frame.has(PADDED) => self.account.add(1),
            // It has content, at least.
            Frame {
                kind: DATA,
                length: PADDING..,
                ..
            } if frame.length > PADDING && frame.length < SMALL => {}
            _ => self.account.received(frame),
        }
        let ends = matches!(frame.kind, DATA | HEADERS) && frame.has(END_STREAM);
        if ends || frame.kind == RST_STREAM {
            self.forget(frame.stream);
            self.reset.retain(|(stream, _)| *stream != frame.stream);
        }
    }

    /// A frame for the endpoint.
    pub(super) fn sent(&mut self, frame: Frame) {
        self.account.sent(frame);
        match frame.kind {
            HEADERS if frame.stream > self.newest => {
                self.newest = frame.stream;
                self.open.push(frame.stream);
                self.account.request();
            }
            // The endpoint says how much it takes by the piece.
            DATA => self.account.add((frame.length / SMALL).into()),
            RST_STREAM if self.forget(frame.stream) => {
                if self.reset.len() == RESETS {
                    self.reset.pop_front();
                }
                self.reset.push_back((frame.stream, STREAM_WINDOW));
            }
            _ => {}
        }
    }

    /// Whether DATA may come on its stream.
    fn is_expected(&mut self, frame: Frame) -> bool {
        if self.open.contains(&frame.stream) {
            return true;
        }
        let mut reset = self.reset.iter_mut();
        let Some((_, left)) = reset.find(|(stream, _)| *stream == frame.stream) else {
            return false;
        };
        let rest = left.checked_sub(frame.length);
        *left = rest.unwrap_or_default();
        rest.is_some()
    }

    /// Nothing more may come on a stream; whether it might have before.
    fn forget(&mut self, stream: u32) -> bool {
        let at = self.open.iter().position(|open| *open == stream);
        at.map(|at| self.open.swap_remove(at)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: u64 = 40_000;

    fn frame(kind: u8, length: u32, flags: u8, stream: u32) -> Frame {
        Frame {
            length,
            kind,
            flags,
            stream,
        }
    }

    fn takes(allowance: &mut Allowance, frame: Frame, times: u64) -> bool {
        (0..times).for_each(|_| allowance.received(frame));
        !allowance.is_used_up()
    }

    fn with_stream(stream: u32) -> Allowance {
        let mut allowance = Allowance::new();
        allowance.sent(frame(HEADERS, 10, END_STREAM, stream));
        allowance
    }

    #[test]
    fn content_on_open_streams_costs_nothing_and_pays_for_empty_frames() {
        for (length, flags) in [(1, 0), (1_000, PADDED), (16_384, 0), (16_384, PADDED)] {
            let content = frame(DATA, length, flags, 1);
            assert!(takes(&mut with_stream(1), content, MANY), "{content:?}");
        }
        let mut allowance = with_stream(1);
        for _ in 0..MANY {
            allowance.received(frame(DATA, 7, 0, 1));
            allowance.received(frame(DATA, 0, 0, 1));
        }
        assert!(!allowance.is_used_up());
    }

    #[test]
    fn content_on_streams_that_are_over_costs_what_frames_without_any_do() {
        for (end, by_us) in [
            (frame(DATA, 0, END_STREAM, 1), false),
            (frame(HEADERS, 9, END_STREAM, 1), false),
            (frame(RST_STREAM, 4, 0, 1), false),
            (frame(RST_STREAM, 4, 0, 1), true),
        ] {
            for length in [1, 16_384] {
                let mut allowance = with_stream(1);
                match by_us {
                    true => allowance.sent(end),
                    false => allowance.received(end),
                }
                let late = frame(DATA, length, 0, 1);
                assert!(takes(&mut allowance, late, MOST / 2), "{end:?}");
                assert!(!takes(&mut allowance, late, 2 * MANY), "{end:?}");
            }
        }
        let idle = frame(DATA, 1, 0, 9);
        assert!(!takes(&mut with_stream(1), idle, MANY));
    }

    #[test]
    fn content_that_was_under_way_when_its_stream_was_reset_is_expected() {
        let mut allowance = Allowance::new();
        for n in 0..2 * RESETS as u32 {
            let stream = 2 * n + 1;
            allowance.sent(frame(HEADERS, 10, END_STREAM, stream));
            allowance.sent(frame(RST_STREAM, 4, 0, stream));
            let late = frame(DATA, 512, 0, stream);
            assert!(takes(&mut allowance, late, 128), "{n}");
        }
        assert!(allowance.reset.len() == RESETS && allowance.open.is_empty());
    }

    #[test]
    fn requests_and_their_bodies_pay_for_heads_and_windows() {
        let mut allowance = Allowance::new();
        for n in 0..MANY as u32 {
            let stream = 2 * n + 1;
            allowance.sent(frame(HEADERS, 10, 0, stream));
            allowance.sent(frame(DATA, 16_384, END_STREAM, stream));
            // Two windows, each opened by four kilobytes, and two PINGs.
            assert!(takes(&mut allowance, frame(8, 4, 0, stream), 10));
            assert!(takes(&mut allowance, frame(HEADERS, 9, 0, stream), 2));
            allowance.received(frame(HEADERS, 9, END_STREAM, stream));
        }
        assert!(allowance.open.is_empty());
    }
}
