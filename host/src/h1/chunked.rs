//! Chunked bodies (RFC 9112 section 7.1): a strict decoder that is fed what arrives, and the
//! encoding's pieces.

use super::HeadLimits;
use super::arrival::Arrival;
use super::head;
use crate::message::syntax::VALUE;
use crate::message::{Fields, Keep, Malformed, Side, may_trail};

/// Bytes of chunk extensions that one body may carry; they are read and dropped.
const EXTENSION_BYTES: usize = 16 * 1024;

/// Where in a chunked body the decoder stands.
#[derive(Debug)]
pub struct ChunkedDecoder {
    state: State,
    size: u64,
    digits: u8,
    extension_bytes: usize,
    /// The trailers, as far as they have come.
    trailers: Arrival,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    /// White space that only an extension may follow.
    Space,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
    End,
}

/// The decoder's result for some bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    /// `skip` bytes of framing, then `data` bytes of content. `data` is 0 if more is needed to go
    /// on.
    Data {
        /// Framing to pass over.
        skip: usize,
        /// Content after it.
        data: usize,
    },
    /// The body ended after this many bytes, trailers included.
    End(usize),
}

impl Default for ChunkedDecoder {
    fn default() -> Self {
        Self {
            state: State::Size,
            size: 0,
            digits: 0,
            extension_bytes: 0,
            trailers: Arrival::default(),
        }
    }
}

impl ChunkedDecoder {
    /// Reads from `bytes`: framing up to the next piece of content, and that piece. Trailer fields
    /// are collected in `trailers`.
    pub fn decode(
        &mut self,
        bytes: &[u8],
        limits: HeadLimits,
        trailers: &mut Fields,
    ) -> Result<Decoded, Malformed> {
        let mut at = 0;
        while at < bytes.len() {
            match self.state {
                State::Data => {
                    let data =
                        (bytes.len() - at).min(usize::try_from(self.size).unwrap_or(usize::MAX));
                    self.size -= data as u64;
                    if self.size == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok(Decoded::Data { skip: at, data });
                }
                State::Trailers => return self.trailers(bytes, at, limits, trailers),
                State::End => return Ok(Decoded::End(at)),
                _ => {
                    self.framing_byte(bytes[at])?;
                    at += 1;
                }
            }
        }
        Ok(Decoded::Data { skip: at, data: 0 })
    }

    /// Whether more was announced than has come: between two chunks nothing was.
    pub fn owes(&self) -> bool {
        self.state != State::Size || self.digits > 0
    }

    /// How many bytes of trailers were parsed so far, each time counted.
    #[cfg(test)]
    pub(super) fn parsed(&self) -> usize {
        self.trailers.total()
    }

    fn framing_byte(&mut self, byte: u8) -> Result<(), Malformed> {
        self.state = match (self.state, byte) {
            (State::Size, b) if b.is_ascii_hexdigit() => {
                let digit = (b as char).to_digit(16).unwrap_or_default();
                // 16 digits fill 64 bits; leading zeros are bounded with them.
                if self.digits == 16 {
                    return Err(Malformed::Chunk);
                }
                self.digits += 1;
                self.size = self.size << 4 | u64::from(digit);
                State::Size
            }
            (State::Size, b'\r') if self.digits > 0 => State::SizeLf,
            (State::Size, b' ' | b'\t') if self.digits > 0 => State::Space,
            (State::Space, b' ' | b'\t') => self.extension(byte).map(|_| State::Space)?,
            (State::Size, b';') if self.digits > 0 => State::Extension,
            (State::Space, b';') => State::Extension,
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, b) => self.extension(b)?,
            (State::SizeLf, b'\n') => {
                self.digits = 0;
                if self.size == 0 {
                    State::Trailers
                } else {
                    State::Data
                }
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size,
            _ => return Err(Malformed::Chunk),
        };
        Ok(())
    }

    fn extension(&mut self, byte: u8) -> Result<State, Malformed> {
        self.extension_bytes += 1;
        match VALUE[usize::from(byte)] && self.extension_bytes <= EXTENSION_BYTES {
            true => Ok(State::Extension),
            false => Err(Malformed::Chunk),
        }
    }

    fn trailers(
        &mut self,
        bytes: &[u8],
        at: usize,
        limits: HeadLimits,
        trailers: &mut Fields,
    ) -> Result<Decoded, Malformed> {
        let rest = &bytes[at..];
        // Trailers are parsed as a whole: until then the bytes stay in the caller's buffer.
        let incomplete = Ok(Decoded::Data { skip: at, data: 0 });
        if !self.trailers.is_due(rest, limits) {
            return incomplete;
        }
        trailers.clear();
        let after = head::fields(rest, Side::Request, limits, trailers, |name, _| {
            Ok(if may_trail(name) { Keep::Yes } else { Keep::No })
        })?;
        match after {
            Some(after) if rest.len() - after.len() > limits.bytes => Err(Malformed::HeadTooLarge),
            Some(after) => {
                self.state = State::End;
                Ok(Decoded::End(bytes.len() - after.len()))
            }
            None if rest.len() > limits.bytes => Err(Malformed::HeadTooLarge),
            None => incomplete,
        }
    }
}

/// Writes the line before a chunk of this size; the content and CRLF follow.
pub fn write_chunk_size(size: usize, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        out.push(HEX[size >> (place * 4) & 15]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the end of a chunked body.
pub fn write_last_chunk(trailers: &Fields, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    trailers.write_to(out);
    out.extend_from_slice(b"\r\n");
}
