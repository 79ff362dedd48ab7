//! As much of HTTP/2 as it takes to send a GET and to see its answer's end, and to answer calls
//! that are all alike (RFC 9113).

use crate::Failure;
use crate::options::Options;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEAD: usize = 9;
/// No proxy sends a larger one, as we don't allow it to.
const MAX_FRAME: usize = 16 * 1024;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// Of SETTINGS and PING.
pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
const MAX_CONCURRENT_STREAMS: [u8; 2] = [0, 3];
const INITIAL_WINDOW_SIZE: [u8; 2] = [0, 4];
/// Nobody waits for our windows.
const WINDOW: u32 = (1 << 31) - 1;
pub const FIRST_WINDOW: u32 = (1 << 16) - 1;

pub struct Frame<'a> {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The first frame, if it is there in full, and what comes behind it.
    pub fn first(bytes: &'a [u8]) -> Result<Option<(Self, &'a [u8])>, Failure> {
        let Some((head, after)) = bytes.split_first_chunk::<FRAME_HEAD>() else {
            return Ok(None);
        };
        let [high, middle, low, kind, flags, a, b, c, d] = *head;
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        if length > MAX_FRAME {
            return Err("a frame of more than 16 KiB".into());
        }
        let Some((payload, rest)) = after.split_at_checked(length) else {
            return Ok(None);
        };
        let stream = u32::from_be_bytes([a & 0x7f, b, c, d]);
        let frame = Frame {
            kind,
            flags,
            stream,
            payload,
        };
        Ok(Some((frame, rest)))
    }
}

pub fn put(to: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    // All of ours are short.
    let [_, _, high, low] = (payload.len() as u32).to_be_bytes();
    to.extend_from_slice(&[0, high, low, kind, flags]);
    to.extend_from_slice(&stream.to_be_bytes());
    to.extend_from_slice(payload);
}

/// What a side says first: its settings, and that it takes all that comes. A client says its
/// preface before; a server can limit the streams of a connection.
pub fn greet(to: &mut Vec<u8>, streams: Option<u32>) {
    let mut settings = Vec::new();
    if let Some(streams) = streams {
        settings.extend_from_slice(&MAX_CONCURRENT_STREAMS);
        settings.extend_from_slice(&streams.to_be_bytes());
    }
    settings.extend_from_slice(&INITIAL_WINDOW_SIZE);
    settings.extend_from_slice(&WINDOW.to_be_bytes());
    put(to, SETTINGS, 0, 0, &settings);
    let more = WINDOW - FIRST_WINDOW;
    put(to, WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
}

/// A GET without a body.
pub fn request(to: &mut Vec<u8>, stream: u32, options: &Options) -> Result<(), Failure> {
    // By number in HPACK's static table (RFC 7541, appendix A): `:method: GET`, `:scheme`.
    let mut block = vec![0x82, if options.tls { 0x87 } else { 0x86 }];
    // Literals that enter no table, with `:authority` and `:path` by number.
    for (name, value) in [(1, &options.host), (4, &options.path)] {
        block.push(name);
        literal(&mut block, value)?;
    }
    put(to, HEADERS, END_STREAM | END_HEADERS, stream, &block);
    Ok(())
}

/// A text in HPACK, as it is.
pub fn literal(to: &mut Vec<u8>, text: &str) -> Result<(), Failure> {
    // A longer one takes more than one byte for its length.
    let length = u8::try_from(text.len()).ok().filter(|length| *length < 127);
    to.push(length.ok_or("a field of more than 126 bytes")?);
    to.extend_from_slice(text.as_bytes());
    Ok(())
}

/// An answer as it comes in, among what else comes.
pub struct Answer {
    stream: u32,
    frames: Vec<u8>,
    /// Whether the fields were there, and with them the status.
    head: bool,
    /// Fields had the flag that ends the answer; they may go on in further frames.
    ended: bool,
    settings: bool,
}

impl Answer {
    pub fn new(stream: u32) -> Self {
        Answer {
            stream,
            frames: Vec::new(),
            head: false,
            ended: false,
            settings: false,
        }
    }

    /// Whether settings came that are to be acknowledged; once for each.
    pub fn settings(&mut self) -> bool {
        std::mem::take(&mut self.settings)
    }

    /// Takes what was read; whether the answer is there in full.
    pub fn take(&mut self, bytes: &[u8]) -> Result<bool, Failure> {
        self.frames.extend_from_slice(bytes);
        let frames = std::mem::take(&mut self.frames);
        let mut rest = frames.as_slice();
        let mut done = false;
        while let Some((frame, after)) = Frame::first(rest)? {
            rest = after;
            done |= self.frame(&frame)?;
        }
        self.frames = rest.to_vec();
        Ok(done)
    }

    fn frame(&mut self, frame: &Frame<'_>) -> Result<bool, Failure> {
        let ours = frame.stream == self.stream;
        let ends = frame.flags & END_STREAM != 0;
        match frame.kind {
            SETTINGS if frame.flags & ACK == 0 => self.settings = true,
            GOAWAY => return Err("the connection is to be closed (GOAWAY)".into()),
            RST_STREAM if ours => return Err("the stream was reset".into()),
            HEADERS if ours => {
                if !self.head {
                    successful(frame.payload)?;
                    self.head = true;
                }
                self.ended |= ends;
                return Ok(self.ended && frame.flags & END_HEADERS != 0);
            }
            CONTINUATION if ours => return Ok(self.ended && frame.flags & END_HEADERS != 0),
            DATA if ours => return Ok(ends),
            _ => {}
        }
        Ok(false)
    }
}

/// Whether a block of fields begins with `:status: 200`, perhaps after a new size of the table.
fn successful(block: &[u8]) -> Result<(), Failure> {
    let status = block.iter().find(|byte| **byte & 0xe0 != 0x20);
    match status {
        Some(0x88) => Ok(()),
        Some(other) => Err(format!("an answer whose fields begin with {other:#x}").into()),
        None => Err("an answer without fields".into()),
    }
}
