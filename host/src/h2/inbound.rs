//! What arrives on a connection, on its way to the engine.
//!
//! The engine has limits that nothing configures, for frames that only cost it something: DATA that
//! is empty, and DATA of a few bytes that waits for its reader. Most of them don't reach it: what
//! arrives together goes on as one frame.

use std::io;
use std::task::{Poll, ready};

use tokio::io::ReadBuf;

use super::frames::{CONTINUATION, DATA, END_STREAM, Frame, Frames, HEAD, PADDED, SMALL};
use super::pseudo::Trailers;
use super::traffic::Traffic;

/// Frames are joined up to this, the largest that every peer takes.
const LARGEST: u32 = 16 * 1024;
/// The engine takes 100 empty DATA frames in a connection's life. It gets the first ones, which it
/// judges by their stream.
const EMPTY: u32 = 50;
/// A kind that has no meaning: the engine passes over such frames.
const UNKNOWN: u8 = 0xfe;

/// The direction towards the engine.
#[derive(Debug, Default)]
pub struct Inbound {
    frames: Frames,
    /// Empty DATA frames that the engine has.
    empty: u32,
    /// Bytes that have arrived and are not passed on yet, from `at` on.
    held: Vec<u8>,
    at: usize,
    /// Whether they are the beginning of a frame's head.
    is_part: bool,
    /// Trailers whose first field is to come.
    trailers: Option<Trailers>,
}

/// What of some bytes is passed on.
struct Passed {
    /// How many bytes were looked at.
    taken: usize,
    /// How many of them are left, at the beginning.
    kept: usize,
    /// Whether those that were not looked at are the beginning of a head.
    is_part: bool,
}

/// DATA that was passed on as a whole: where, and its head.
type Last = Option<(usize, Frame)>;

impl Inbound {
    /// From a client, whose preface comes first. `arrived` was read before.
    pub fn of_client(arrived: Vec<u8>) -> Self {
        Self {
            frames: Frames::after_preface(),
            held: arrived,
            ..Self::default()
        }
    }

    /// Whether the next byte that is passed on begins a frame.
    pub fn is_between(&self) -> bool {
        self.frames.is_between()
    }

    /// Whether bytes have arrived that may be passed on.
    fn holds(&self) -> bool {
        self.at < self.held.len() && !self.is_part
    }

    /// Passes on what is held, or else what `read` gets. A frame's head is passed on as a whole, as
    /// far as there is room. `go_on` sees each frame, and says whether one more may follow now:
    /// what may not is held. Nothing is passed on only at the end.
    pub fn poll(
        &mut self,
        into: &mut ReadBuf<'_>,
        traffic: &Traffic,
        mut go_on: impl FnMut(Frame) -> bool,
        mut read: impl FnMut(&mut ReadBuf<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        loop {
            // What was held goes first, and is not read behind.
            let may_hold = !self.is_part || into.remaining() > self.held.len();
            if self.holds() || !may_hold {
                self.release(into, traffic, &mut go_on, may_hold);
            } else {
                let part = std::mem::take(&mut self.held);
                into.put_slice(&part);
                let with_part = into.filled().len();
                let read = read(into);
                if read.is_pending() {
                    into.set_filled(before);
                    self.held = part;
                }
                ready!(read)?;
                self.is_part = false;
                if into.filled().len() == with_part {
                    return Poll::Ready(Ok(()));
                }
                self.pass(into, before, traffic, &mut go_on);
            }
            if into.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Passes on what is held, also the beginning of a head unless that may be held on.
    fn release(
        &mut self,
        into: &mut ReadBuf<'_>,
        traffic: &Traffic,
        go_on: impl FnMut(Frame) -> bool,
        may_hold: bool,
    ) {
        let (before, rest) = (into.filled().len(), self.held.len() - self.at);
        let n = rest.min(into.remaining());
        into.put_slice(&self.held[self.at..self.at + n]);
        let new = &mut into.filled_mut()[before..];
        let passed = self.shape(new, traffic, go_on, may_hold && n == rest);
        into.set_filled(before + passed.kept);
        self.at += passed.taken;
        self.is_part = passed.is_part;
        if self.is_part || !self.holds() {
            self.held = self.held.split_off(self.at);
            self.at = 0;
        }
    }

    /// Passes on what was read into a buffer behind its first `before` bytes, while nothing is
    /// held. Something is, unless it is the beginning of a head.
    fn pass(
        &mut self,
        into: &mut ReadBuf<'_>,
        before: usize,
        traffic: &Traffic,
        go_on: impl FnMut(Frame) -> bool,
    ) {
        let new = &mut into.filled_mut()[before..];
        let passed = self.shape(new, traffic, go_on, true);
        if passed.taken < new.len() {
            self.held = new[passed.taken..].to_vec();
        }
        self.is_part = passed.is_part;
        into.set_filled(before + passed.kept);
    }

    /// Leaves of these bytes what is passed on. If `may_hold` says so, the beginning of a head at
    /// their end is not.
    fn shape(
        &mut self,
        bytes: &mut [u8],
        traffic: &Traffic,
        mut go_on: impl FnMut(Frame) -> bool,
        may_hold: bool,
    ) -> Passed {
        let (mut taken, mut kept, mut going) = (0, 0, true);
        let mut last = None;
        while taken < bytes.len() {
            let n = (bytes.len() - taken).min(self.frames.payload as usize);
            if n > 0 {
                self.frames.payload -= n as u32;
                self.look(&bytes[taken..taken + n], traffic);
                shift(bytes, &mut taken, &mut kept, n);
                continue;
            }
            if !going && self.frames.is_between() {
                break;
            }
            let rest = &bytes[taken..];
            if let Some(head) = rest.first_chunk().filter(|_| self.frames.filled == 0)
                && let frame = Frame::parse(head)
                && let Some(payload) = rest[HEAD..].get(..frame.shown())
            {
                self.arrived(frame, payload, traffic);
                going &= go_on(frame);
                let joined = self.take(bytes, (&mut taken, &mut kept), (frame, &mut last));
                traffic.passed(joined);
                continue;
            }
            if may_hold && self.frames.filled == 0 {
                let is_part = true;
                return Passed {
                    taken,
                    kept,
                    is_part,
                };
            }
            // A head in parts: the engine has its beginning already.
            last = None;
            let before = self.frames.filled;
            let (n, whole) = self.frames.add(rest);
            if let Some((frame, payload)) = whole {
                self.arrived(frame, &payload[..frame.shown()], traffic);
                going &= go_on(frame);
                traffic.passed((small(frame), 0));
                if before <= 3 && self.is_superfluous(frame) {
                    bytes[taken + 3 - before] = UNKNOWN;
                }
            }
            shift(bytes, &mut taken, &mut kept, n);
        }
        let is_part = false;
        Passed {
            taken,
            kept,
            is_part,
        }
    }

    fn arrived(&mut self, frame: Frame, payload: &[u8], traffic: &Traffic) {
        if traffic.received(frame, payload) {
            self.trailers = Some(Trailers::begin(frame));
        } else if frame.kind != CONTINUATION {
            self.trailers = None;
        }
    }

    /// Looks for a pseudo-field at the beginning of trailers.
    fn look(&mut self, payload: &[u8], traffic: &Traffic) {
        let Some(trailers) = &mut self.trailers else {
            return;
        };
        if let Some(is_pseudo) = trailers.look(payload) {
            if is_pseudo {
                traffic.note_pseudo(trailers.stream);
            }
            self.trailers = None;
        }
    }

    /// Passes on the head of a frame, unless its payload goes to the one before. Returns how many
    /// small frames the engine has more, and less.
    fn take(
        &mut self,
        bytes: &mut [u8],
        (taken, kept): (&mut usize, &mut usize),
        (frame, last): (Frame, &mut Last),
    ) -> (u32, u32) {
        let length = frame.length as usize;
        let is_whole = bytes.len() - *taken >= HEAD + length;
        let is_plain = frame.kind == DATA && !frame.has(PADDED) && is_whole;
        if let Some((at, first)) = *last
            && let Some(joined) = join(first, frame).filter(|_| is_plain)
        {
            bytes[at..at + 3].copy_from_slice(&joined.length.to_be_bytes()[1..]);
            bytes[at + 4] = joined.flags;
            *taken += HEAD;
            shift(bytes, taken, kept, length);
            *last = (!joined.has(END_STREAM)).then_some((at, joined));
            return (small(joined), small(first));
        }
        let superfluous = self.is_superfluous(frame);
        if superfluous {
            bytes[*taken + 3] = UNKNOWN;
        }
        *last = (is_plain && !superfluous && !frame.has(END_STREAM)).then_some((*kept, frame));
        shift(bytes, taken, kept, HEAD);
        self.frames.begin(frame, 0);
        (small(frame), 0)
    }

    /// Whether the engine need not see it: DATA without content that ends nothing.
    fn is_superfluous(&mut self, frame: Frame) -> bool {
        let is_empty = frame.kind == DATA && frame.length == 0 && frame.stream != 0;
        if !is_empty || frame.has(END_STREAM | PADDED) {
            return false;
        }
        self.empty = self.empty.saturating_add(1);
        self.empty > EMPTY
    }
}

/// One frame that is as good as these two.
fn join(first: Frame, second: Frame) -> Option<Frame> {
    let length = first.length + second.length;
    let fits = first.length.min(second.length) < SMALL && length <= LARGEST;
    (fits && first.stream == second.stream).then_some(Frame {
        length,
        flags: first.flags | second.flags & END_STREAM,
        ..first
    })
}

/// Whether the engine counts it, as 1 or 0: DATA of a few bytes that does not end its stream.
fn small(frame: Frame) -> u32 {
    let is_small = frame.kind == DATA && (1..SMALL).contains(&frame.length);
    u32::from(is_small && !frame.has(END_STREAM))
}

fn shift(bytes: &mut [u8], taken: &mut usize, kept: &mut usize, n: usize) {
    if taken != kept {
        bytes.copy_within(*taken..*taken + n, *kept);
    }
    *taken += n;
    *kept += n;
}

#[cfg(test)]
mod tests;
