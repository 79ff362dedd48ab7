//! Frames as they pass: what their heads say.
//!
//! The engine reads and writes them. What it does not count or does not show is seen here.

/// Bytes of a frame's head.
pub(super) const HEAD: usize = 9;
/// The most bytes of a payload that are shown.
const SHOWN: usize = 8;
/// DATA below this costs the engine more than its content: it is joined with its neighbour, and the
/// engine counts what it has of it.
pub(super) const SMALL: u32 = 256;
/// Bytes in front of a client's first frame.
const PREFACE: u32 = 24;

/// Content.
pub const DATA: u8 = 0;
/// The head of a message, or its trailers.
pub const HEADERS: u8 = 1;
/// The end of a stream before its time.
pub const RST_STREAM: u8 = 3;
/// What its sender can take.
pub const SETTINGS: u8 = 4;
/// A question whether the other side is there, and the answer.
pub const PING: u8 = 6;
/// The end of a connection.
pub const GOAWAY: u8 = 7;
/// The right to send more content.
pub const WINDOW_UPDATE: u8 = 8;
/// More of what HEADERS began.
pub const CONTINUATION: u8 = 9;

/// Of DATA and HEADERS: the last frame of a stream.
pub const END_STREAM: u8 = 1;
/// Of HEADERS and CONTINUATION: the head ends with it.
const END_HEADERS: u8 = 4;
/// Of PING and SETTINGS: an answer.
pub(super) const ACK: u8 = 1;
/// Of DATA and HEADERS: some of the payload is padding.
pub const PADDED: u8 = 8;

/// A frame's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Bytes of its payload.
    pub length: u32,
    /// What it is.
    pub kind: u8,
    /// What holds for it.
    pub flags: u8,
    /// Its stream; 0 is the connection.
    pub stream: u32,
}

/// Where in a sequence of frames a direction stands.
#[derive(Debug, Default)]
pub struct Frames {
    /// Bytes of the present frame's payload that are still to come and are not shown.
    pub(super) payload: u32,
    /// The next frame's head, and the payload that is shown with it.
    shown: [u8; HEAD + SHOWN],
    /// How much of them is there.
    pub(super) filled: usize,
    /// A head has begun, and only its CONTINUATION may follow (RFC 9113 section 4.3).
    in_head: bool,
}

impl Frame {
    pub(super) fn parse(head: &[u8; HEAD]) -> Self {
        let [a, b, c, kind, flags, stream @ ..] = *head;
        Self {
            length: u32::from_be_bytes([0, a, b, c]),
            kind,
            flags,
            stream: u32::from_be_bytes(stream) & (u32::MAX >> 1),
        }
    }

    /// Whether it has this flag.
    pub fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Bytes of its payload that are shown with it: short ones that are a number.
    pub(super) fn shown(self) -> usize {
        match self.kind {
            RST_STREAM | PING | WINDOW_UPDATE => (self.length as usize).min(SHOWN),
            _ => 0,
        }
    }
}

impl Frames {
    /// A client's, which begins with its preface.
    pub fn after_preface() -> Self {
        Self {
            payload: PREFACE,
            ..Self::default()
        }
    }

    /// Whether the next byte begins a frame, of any kind.
    pub fn is_between(&self) -> bool {
        self.payload == 0 && self.filled == 0 && !self.in_head
    }

    /// Shows each frame whose head ends in these bytes, with the payload that is shown.
    pub fn each(&mut self, mut bytes: &[u8], mut show: impl FnMut(Frame, &[u8])) {
        while !bytes.is_empty() {
            let skipped = bytes.len().min(self.payload as usize);
            self.payload -= skipped as u32;
            bytes = &bytes[skipped..];
            let (n, shown) = self.add(bytes);
            bytes = &bytes[n..];
            if let Some((frame, payload)) = shown {
                show(frame, &payload[..frame.shown()]);
            }
        }
    }

    /// Adds bytes to the next head. Returns how many it took, and the frame once it is known.
    pub(super) fn add(&mut self, bytes: &[u8]) -> (usize, Option<(Frame, [u8; SHOWN])>) {
        let mut taken = self.fill(bytes, HEAD);
        if self.filled < HEAD {
            return (taken, None);
        }
        let Some(head) = self.shown.first_chunk() else {
            return (taken, None);
        };
        let frame = Frame::parse(head);
        taken += self.fill(&bytes[taken..], HEAD + frame.shown());
        if self.filled < HEAD + frame.shown() {
            return (taken, None);
        }
        let mut shown = [0; SHOWN];
        shown.copy_from_slice(&self.shown[HEAD..]);
        self.begin(frame, frame.shown());
        (taken, Some((frame, shown)))
    }

    /// A frame begins, of whose payload so many bytes have been seen.
    pub(super) fn begin(&mut self, frame: Frame, seen: usize) {
        self.payload = frame.length - seen as u32;
        self.filled = 0;
        if matches!(frame.kind, HEADERS | CONTINUATION) {
            self.in_head = !frame.has(END_HEADERS);
        }
    }

    fn fill(&mut self, bytes: &[u8], to: usize) -> usize {
        let n = bytes.len().min(to.saturating_sub(self.filled));
        self.shown[self.filled..self.filled + n].copy_from_slice(&bytes[..n]);
        self.filled += n;
        n
    }
}

/// The number in the payload of a RST_STREAM or a WINDOW_UPDATE.
pub(super) fn number(payload: &[u8]) -> Option<u32> {
    payload.first_chunk().copied().map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_between_a_head_and_its_continuation() {
        let frame = |kind, flags| [0, 0, 1, kind, flags, 0, 0, 0, 1, 0xff];
        let mut frames = Frames::default();
        let mut then = |kind, flags| {
            frames.each(&frame(kind, flags), |_, _| {});
            frames.is_between()
        };
        assert!(then(DATA, 0));
        assert!(!then(HEADERS, END_STREAM));
        assert!(!then(CONTINUATION, 0));
        assert!(then(CONTINUATION, END_HEADERS));
        assert!(then(HEADERS, END_HEADERS));
    }
}
