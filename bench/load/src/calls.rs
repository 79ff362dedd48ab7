//! A backend that answers every call by HTTP/2 with the same small message, as a gRPC server does:
//! when the call has ended, and with trailers.

use std::collections::VecDeque;
use std::time::Instant;

use crate::Failure;
use crate::h2::{self, Frame};

/// As nginx has it; gRPC's own servers allow about as many.
const MAX_STREAMS: u32 = 128;
/// A message of 22 bytes with its prefix: not compressed, and its length.
const MESSAGE: &[u8] = b"\0\0\0\0\x11a signpost of 17";
/// How many streams a client may reset at once, and in each second after that, before it is sent
/// away: as nghttp2 has it.
const RESETS: f64 = 1000.0;
const RESETS_PER_SECOND: f64 = 33.0;
const ENHANCE_YOUR_CALM: [u8; 4] = [0, 0, 0, 0x0b];

/// One connection.
pub struct Calls {
    greeted: bool,
    head: Vec<u8>,
    trailers: Vec<u8>,
    /// Bytes of bodies that the client takes, of all streams together.
    window: i64,
    /// Streams that wait for it.
    waiting: VecDeque<u32>,
    resets: f64,
    reset: Instant,
}

impl Calls {
    pub fn new() -> Result<Self, Failure> {
        // `:status: 200` and the name of `content-type` are in HPACK's static table.
        let mut head = vec![0x88, 0x0f, 0x10];
        h2::literal(&mut head, "application/grpc")?;
        let mut trailers = vec![0];
        h2::literal(&mut trailers, "grpc-status")?;
        h2::literal(&mut trailers, "0")?;
        Ok(Calls {
            greeted: false,
            head,
            trailers,
            window: i64::from(h2::FIRST_WINDOW),
            waiting: VecDeque::new(),
            resets: RESETS,
            reset: Instant::now(),
        })
    }

    /// Takes what came, and leaves what isn't there in full.
    pub fn take(&mut self, input: &mut Vec<u8>, output: &mut Vec<u8>) -> Result<(), Failure> {
        let mut rest = input.as_slice();
        if !self.greeted {
            match rest.strip_prefix(h2::PREFACE) {
                Some(after) => rest = after,
                None if h2::PREFACE.starts_with(rest) => return Ok(()),
                None => return Err("not HTTP/2".into()),
            }
            self.greeted = true;
            h2::greet(output, Some(MAX_STREAMS));
        }
        while let Some((frame, after)) = Frame::first(rest)? {
            rest = after;
            self.frame(&frame, output)?;
        }
        let taken = input.len() - rest.len();
        input.drain(..taken);
        Ok(())
    }

    fn frame(&mut self, frame: &Frame<'_>, output: &mut Vec<u8>) -> Result<(), Failure> {
        match frame.kind {
            h2::SETTINGS if frame.flags & h2::ACK == 0 => {
                h2::put(output, h2::SETTINGS, h2::ACK, 0, &[]);
            }
            h2::PING if frame.flags & h2::ACK == 0 => {
                h2::put(output, h2::PING, h2::ACK, 0, frame.payload);
            }
            h2::WINDOW_UPDATE if frame.stream == 0 => {
                let more = frame.payload.try_into().map(u32::from_be_bytes)?;
                self.window += i64::from(more);
                self.answer(output);
            }
            h2::HEADERS | h2::DATA if frame.flags & h2::END_STREAM != 0 => {
                self.waiting.push_back(frame.stream);
                self.answer(output);
            }
            h2::RST_STREAM => {
                self.waiting.retain(|stream| *stream != frame.stream);
                self.count_reset(output)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Answers what waits, as far as the client takes it. Its window for a single stream is never
    /// smaller than the message.
    fn answer(&mut self, output: &mut Vec<u8>) {
        let length = MESSAGE.len() as i64;
        while self.window >= length
            && let Some(stream) = self.waiting.pop_front()
        {
            self.window -= length;
            h2::put(output, h2::HEADERS, h2::END_HEADERS, stream, &self.head);
            h2::put(output, h2::DATA, 0, stream, MESSAGE);
            let end = h2::END_HEADERS | h2::END_STREAM;
            h2::put(output, h2::HEADERS, end, stream, &self.trailers);
        }
    }

    fn count_reset(&mut self, output: &mut Vec<u8>) -> Result<(), Failure> {
        let since = self.reset.elapsed().as_secs_f64();
        self.reset = Instant::now();
        self.resets = (self.resets + since * RESETS_PER_SECOND).min(RESETS) - 1.0;
        if self.resets < 0.0 {
            // No stream was the last that we would answer: the rest is lost.
            let away = [[0; 4], ENHANCE_YOUR_CALM].concat();
            h2::put(output, h2::GOAWAY, 0, 0, &away);
            return Err("too many resets".into());
        }
        Ok(())
    }
}
