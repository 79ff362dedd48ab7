//! What the frames of a connection show, beyond what the engine shows of it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::frames::{
    ACK, CONTINUATION, DATA, END_STREAM, Frame, HEAD, HEADERS, PING, RST_STREAM, SMALL,
    WINDOW_UPDATE, number,
};

/// What both sides may send on a new connection.
const FIRST_WINDOW: i64 = 65_535;
/// A peer with less than this has to wait before it sends a frame of the usual size.
const FRAME: i64 = 16 * 1024;
/// The largest field that a few bytes can name: one of the table for it.
const INDEXED: usize = 4 * 1024 + 32;
/// Blocks of fields up to this have no larger one, even if each byte is written in 5 bits.
const SHORT: u32 = 2_500;
/// So many blocks of other lengths are remembered one by one.
const BLOCKS: usize = 256;
/// Bytes of the answer to a PING.
pub const ANSWER: usize = HEAD + 8;
/// So many small frames may wait for their readers at once, and so many more each second.
const CROWD: u64 = 2_000;
const PER_SECOND: u64 = 200;

/// What passes on a connection: its wire notes it, its task and its streams read it.
#[derive(Debug)]
pub struct Traffic {
    /// How much content the peer may send on the connection, as far as it knows.
    window: Cell<i64>,
    /// Since when that is too little, and for how long it was before.
    held: Cell<Option<Instant>>,
    held_before: Cell<Duration>,
    /// How much content the peer takes on the connection.
    room: Cell<i64>,
    /// Since when it has taken none.
    full: Cell<Option<Instant>>,
    /// Fields as the engine counts them: how much of a message it takes.
    most: usize,
    /// The block of fields that is arriving: its bytes so far, and whether they are trailers.
    block: Cell<(u32, bool)>,
    /// The newest stream whose head has come.
    newest: Cell<u32>,
    /// The lengths of long trailers that were not read yet, by their streams.
    long: RefCell<Vec<(u32, u32)>>,
    /// Streams whose trailers have shown a pseudo-field; and others whose responses end with their
    /// heads, which look the same.
    pseudo: RefCell<VecDeque<u32>>,
    /// The longest of those that were forgotten.
    forgotten: Cell<u32>,
    /// Small frames that the engine has, less those that time has forgiven.
    small: Cell<u64>,
    forgiven: Cell<Instant>,
    /// The PING that the peer was sent and has not answered.
    ping: Cell<Option<[u8; 8]>>,
}

impl Traffic {
    /// A new connection, whose engine takes so much of a message's fields.
    pub fn new(most: u32) -> Self {
        let now = Instant::now();
        Self {
            window: Cell::new(FIRST_WINDOW),
            held: Cell::new(None),
            held_before: Cell::default(),
            room: Cell::new(FIRST_WINDOW),
            full: Cell::new(None),
            most: most as usize,
            block: Cell::default(),
            newest: Cell::new(0),
            long: RefCell::default(),
            pseudo: RefCell::default(),
            forgotten: Cell::new(0),
            small: Cell::new(0),
            forgiven: Cell::new(now),
            ping: Cell::new(None),
        }
    }

    /// A frame of the peer, with the part of its payload that is shown. Whether trailers begin with
    /// it: those of a response may also be a head, if another stream is newer.
    pub fn received(&self, frame: Frame, payload: &[u8]) -> bool {
        match frame.kind {
            DATA => self.open(-i64::from(frame.length)),
            HEADERS => {
                let newest = self.newest.get();
                let is_trailers = frame.stream <= newest && frame.has(END_STREAM);
                self.newest.set(newest.max(frame.stream));
                self.block(frame.stream, (frame.length, is_trailers));
                return is_trailers;
            }
            CONTINUATION => {
                let (length, is_trailers) = self.block.get();
                let length = length.saturating_add(frame.length);
                self.block(frame.stream, (length, is_trailers));
            }
            WINDOW_UPDATE if frame.stream == 0 => {
                self.room.set(self.room.get() + increment(payload));
                if self.room.get() > 0 {
                    self.full.set(None);
                }
            }
            PING if frame.has(ACK) && self.ping.get().is_some_and(|ping| ping == payload) => {
                self.ping.set(None);
            }
            _ => {}
        }
        false
    }

    /// What may be the trailers of this stream has a pseudo-field.
    pub(super) fn note_pseudo(&self, stream: u32) {
        let mut pseudo = self.pseudo.borrow_mut();
        if pseudo.len() >= BLOCKS {
            pseudo.pop_front();
        }
        pseudo.push_back(stream);
    }

    /// Whether the trailers of this stream, which have come, had a pseudo-field: the engine has
    /// left it out without a word.
    pub fn had_pseudo(&self, stream: u32) -> bool {
        let mut pseudo = self.pseudo.borrow_mut();
        let at = pseudo.iter().position(|of| *of == stream);
        at.and_then(|at| pseudo.remove(at)).is_some()
    }

    /// A frame for the peer.
    pub fn sent(&self, frame: Frame, payload: &[u8]) {
        match frame.kind {
            DATA => {
                self.room.set(self.room.get() - i64::from(frame.length));
                if self.room.get() <= 0 && self.full.get().is_none() {
                    self.full.set(Some(Instant::now()));
                }
            }
            WINDOW_UPDATE if frame.stream == 0 => {
                self.open(increment(payload));
            }
            PING if !frame.has(ACK) => self.ping.set(payload.first_chunk().copied()),
            _ => {}
        }
    }

    /// The engine has so many small frames more, and less.
    pub(super) fn passed(&self, (more, less): (u32, u32)) {
        let small = self.small.get() + u64::from(more);
        self.small.set(small.saturating_sub(less.into()));
    }

    /// A stream has taken content that the engine had as a frame of this length, which did not end
    /// it if `go_on` says so.
    pub fn taken(&self, length: usize, go_on: impl FnOnce() -> bool) {
        if length < SMALL as usize && self.small.get() > 0 && go_on() {
            self.small.set(self.small.get() - 1);
        }
    }

    /// Whether more small frames wait for their readers than may: each costs the engine some
    /// hundred bytes.
    pub fn is_crowded(&self) -> bool {
        self.small.get() > CROWD && self.forgive()
    }

    #[cold]
    fn forgive(&self) -> bool {
        let elapsed = self.forgiven.get().elapsed();
        let elapsed = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let forgiven = elapsed.min(1_000) * PER_SECOND / 1_000;
        if forgiven > 0 {
            self.forgiven.set(Instant::now());
            self.small.set(self.small.get().saturating_sub(forgiven));
        }
        self.small.get() > CROWD
    }

    /// How much content the peer may send on the connection, whatever its streams allow.
    pub fn window(&self) -> i64 {
        self.window.get()
    }

    fn open(&self, by: i64) {
        let window = self.window.get() + by;
        self.window.set(window);
        match (self.held.get(), window < FRAME) {
            (None, true) => self.held.set(Some(Instant::now())),
            (Some(_), false) => {
                self.held_before.set(self.held_for());
                self.held.set(None);
            }
            _ => {}
        }
    }

    /// For how long in all the connection's window has kept the peer from sending content.
    pub fn held_for(&self) -> Duration {
        let held = self.held.get().map(|since| since.elapsed());
        self.held_before.get() + held.unwrap_or_default()
    }

    /// For how long the peer has taken no content on the connection at all.
    pub fn full_for(&self) -> Option<Duration> {
        self.full.get().map(|since| since.elapsed())
    }

    /// The engine leaves out the fields of trailers from the first on that is too much. What it
    /// took of this stream's is all that came if it is less than this.
    pub fn whole_below(&self, stream: u32) -> usize {
        let mut length = self.forgotten.get();
        self.long.borrow_mut().retain(|(of, its)| {
            if *of == stream {
                length = length.max(*its);
            }
            *of != stream
        });
        // The shortest codes have 5 bits (RFC 7541 appendix B).
        let longest = length as usize * 8 / 5 + 32;
        self.most.saturating_sub(longest.max(INDEXED))
    }

    fn block(&self, stream: u32, (length, is_trailers): (u32, bool)) {
        self.block.set((length, is_trailers));
        if !is_trailers || length <= SHORT {
            return;
        }
        let mut long = self.long.borrow_mut();
        match long.last_mut() {
            Some((of, its)) if *of == stream => *its = length,
            _ => long.push((stream, length)),
        }
        if long.len() > BLOCKS {
            let (_, length) = long.remove(0);
            self.forgotten.set(self.forgotten.get().max(length));
        }
    }

    /// The answer to the PING that has none, as if it had come: the frame.
    pub fn answer(&self) -> Option<[u8; ANSWER]> {
        let ping = self.ping.take()?;
        let mut frame = [0; ANSWER];
        (frame[2], frame[3], frame[4]) = (8, PING, ACK);
        frame[HEAD..].copy_from_slice(&ping);
        Some(frame)
    }
}

fn increment(payload: &[u8]) -> i64 {
    number(payload).map_or(0, |number| i64::from(number & (u32::MAX >> 1)))
}

/// Whether a reset says that its receiver has broken the rules.
pub fn is_reset_for_an_error(frame: Frame, payload: &[u8]) -> bool {
    let errors = [
        h2::Reason::PROTOCOL_ERROR,
        h2::Reason::FLOW_CONTROL_ERROR,
        h2::Reason::STREAM_CLOSED,
        h2::Reason::FRAME_SIZE_ERROR,
    ];
    let reason = number(payload).map(h2::Reason::from);
    frame.kind == RST_STREAM && reason.is_some_and(|reason| errors.contains(&reason))
}

/// Whether a reset says that the stream was not looked at.
pub fn is_refusal(frame: Frame, payload: &[u8]) -> bool {
    frame.kind == RST_STREAM && number(payload) == Some(h2::Reason::REFUSED_STREAM.into())
}
