//! What arrives on a connection, on its way to the engine.
//!
//! The engine has limits that nothing configures, for frames that only cost it something: DATA that
//! is empty, and DATA of a few bytes that waits for its reader. Most of them don't reach it: what
//! arrives together goes on as one frame.

use tokio::io::ReadBuf;

use super::frames::{DATA, END_STREAM, Frame, Frames, HEAD, PADDED, SMALL};
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
}

/// What of some bytes is passed on.
struct Passed {
    /// How many bytes were looked at.
    taken: usize,
    /// How many of them are left, at the beginning.
    kept: usize,
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

    /// Whether bytes have arrived that were not passed on.
    pub fn holds(&self) -> bool {
        self.at < self.held.len()
    }

    /// Passes on what is held. `go_on` as with [`Inbound::pass`].
    pub fn release(
        &mut self,
        into: &mut ReadBuf<'_>,
        traffic: &Traffic,
        go_on: impl FnMut(Frame) -> bool,
    ) {
        let before = into.filled().len();
        let n = (self.held.len() - self.at).min(into.remaining());
        into.put_slice(&self.held[self.at..self.at + n]);
        let passed = self.shape(&mut into.filled_mut()[before..], traffic, go_on);
        into.set_filled(before + passed.kept);
        self.at += passed.taken;
        if !self.holds() {
            (self.held, self.at) = (Vec::new(), 0);
        }
    }

    /// Passes on what was read into a buffer behind its first `before` bytes, while nothing is
    /// held. `go_on` sees each frame, and says whether one more may follow now; what may not is
    /// held. Something of what was read is always passed on.
    pub fn pass(
        &mut self,
        into: &mut ReadBuf<'_>,
        before: usize,
        traffic: &Traffic,
        go_on: impl FnMut(Frame) -> bool,
    ) {
        let new = &mut into.filled_mut()[before..];
        let passed = self.shape(new, traffic, go_on);
        if passed.taken < new.len() {
            self.held = new[passed.taken..].to_vec();
        }
        into.set_filled(before + passed.kept);
    }

    fn shape(
        &mut self,
        bytes: &mut [u8],
        traffic: &Traffic,
        mut go_on: impl FnMut(Frame) -> bool,
    ) -> Passed {
        let (mut taken, mut kept, mut going) = (0, 0, true);
        let mut last = None;
        while taken < bytes.len() {
            let n = (bytes.len() - taken).min(self.frames.payload as usize);
            if n > 0 {
                self.frames.payload -= n as u32;
                shift(bytes, &mut taken, &mut kept, n);
                continue;
            }
            if !going && self.frames.is_between() {
                break;
            }
            let rest = &bytes[taken..];
            if let Some(head) = rest.first_chunk().filter(|_| self.frames.is_between())
                && let frame = Frame::parse(head)
                && let Some(payload) = rest[HEAD..].get(..frame.shown())
            {
                traffic.received(frame, payload);
                going &= go_on(frame);
                let joined = self.take(bytes, (&mut taken, &mut kept), (frame, &mut last));
                traffic.passed(joined);
                continue;
            }
            // A head in parts: the engine has its beginning already.
            last = None;
            let before = self.frames.filled;
            let (n, whole) = self.frames.add(rest);
            if let Some((frame, payload)) = whole {
                traffic.received(frame, &payload[..frame.shown()]);
                going &= go_on(frame);
                traffic.passed((small(frame), 0));
                if before <= 3 && self.is_superfluous(frame) {
                    bytes[taken + 3 - before] = UNKNOWN;
                }
            }
            shift(bytes, &mut taken, &mut kept, n);
        }
        Passed { taken, kept }
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
        self.frames.payload = frame.length;
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
