//! As much of HTTP/2 as it takes to send a GET and to see its answer's end (RFC 9113).

use crate::Failure;
use crate::options::Options;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEAD: usize = 9;
/// No proxy sends a larger one, as we don't allow it to.
const MAX_FRAME: usize = 16 * 1024;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// Of SETTINGS.
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const INITIAL_WINDOW_SIZE: [u8; 2] = [0, 4];
/// Nobody waits for our windows.
const WINDOW: u32 = (1 << 31) - 1;
const FIRST_WINDOW: u32 = (1 << 16) - 1;

/// That the settings of the other side were taken.
pub const SETTINGS_TAKEN: [u8; FRAME_HEAD] = [0, 0, 0, SETTINGS, ACK, 0, 0, 0, 0];

/// What comes before the first request.
pub fn greet(to: &mut Vec<u8>) {
    to.extend_from_slice(PREFACE);
    let mut settings = INITIAL_WINDOW_SIZE.to_vec();
    settings.extend_from_slice(&WINDOW.to_be_bytes());
    frame(to, SETTINGS, 0, 0, &settings);
    let more = WINDOW - FIRST_WINDOW;
    frame(to, WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
}

/// A GET without a body.
pub fn request(to: &mut Vec<u8>, stream: u32, options: &Options) -> Result<(), Failure> {
    // By number in HPACK's static table (RFC 7541, appendix A): `:method: GET`, `:scheme`.
    let mut block = vec![0x82, if options.tls { 0x87 } else { 0x86 }];
    // Literals that enter no table, with `:authority` and `:path` by number.
    for (name, value) in [(1, &options.host), (4, &options.path)] {
        // A longer one takes more than one byte for its length.
        let length = u8::try_from(value.len())
            .ok()
            .filter(|length| *length < 127);
        block.push(name);
        block.push(length.ok_or("a path or host of more than 126 bytes")?);
        block.extend_from_slice(value.as_bytes());
    }
    frame(to, HEADERS, END_STREAM | END_HEADERS, stream, &block);
    Ok(())
}

fn frame(to: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    // All of ours are short.
    let [_, _, high, low] = (payload.len() as u32).to_be_bytes();
    to.extend_from_slice(&[0, high, low, kind, flags]);
    to.extend_from_slice(&stream.to_be_bytes());
    to.extend_from_slice(payload);
}

/// An answer as it comes in, among what else comes.
pub struct Answer {
    stream: u32,
    frames: Vec<u8>,
    /// Whether the fields were there, and with them the status.
    head: bool,
    /// The next HEADERS or DATA that carries the flag ends the answer; HEADERS may go on.
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
        while let Some((head, after)) = rest.split_first_chunk::<FRAME_HEAD>() {
            let [_, _, _, kind, flags, a, b, c, d] = *head;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            if length > MAX_FRAME {
                return Err("a frame of more than 16 KiB".into());
            }
            let Some((payload, after)) = after.split_at_checked(length) else {
                break;
            };
            rest = after;
            let stream = u32::from_be_bytes([a & 0x7f, b, c, d]);
            done |= self.frame(kind, flags, stream, payload)?;
        }
        self.frames = rest.to_vec();
        Ok(done)
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Result<bool, Failure> {
        match kind {
            SETTINGS if flags & ACK == 0 => self.settings = true,
            GOAWAY => return Err("the connection is to be closed (GOAWAY)".into()),
            RST_STREAM if stream == self.stream => return Err("the stream was reset".into()),
            HEADERS if stream == self.stream => {
                if !self.head {
                    successful(payload)?;
                    self.head = true;
                }
                self.ended |= flags & END_STREAM != 0;
                return Ok(self.ended && flags & END_HEADERS != 0);
            }
            CONTINUATION if stream == self.stream => {
                return Ok(self.ended && flags & END_HEADERS != 0);
            }
            DATA if stream == self.stream => return Ok(flags & END_STREAM != 0),
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
