//! The encoders, each with memory that is bounded whatever the length of a body.

use std::io::{self, Write};

use brotli::CompressorWriter;
use brotli::enc::BrotliEncoderParams;
use flate2::write::ZlibEncoder;
use flate2::{Compress, Compression};
use zstd::stream::write::Encoder as ZstdEncoder;

use crate::config::Coding;
use crate::proxy::body::Encode;

/// Bits of the window of zstd and br: how far back an encoder looks, and what a decoder keeps.
/// Browsers take up to 23 (RFC 9659); text hardly repeats itself farther back, and the tables of an
/// encoder grow with it.
const WINDOW: u32 = 18;
/// The same of gzip, whose format allows no more.
const GZIP_WINDOW: u8 = 15;
/// Above this length, br takes tables of 4 MiB.
const BR_HINT: u64 = 1 << 19;
/// Bytes that br hands over at a time.
const BR_BUFFER: usize = 4 * 1024;

/// An encoder for a body of this length, if it is known.
pub(super) fn encoder(
    coding: Coding,
    level: u32,
    length: Option<u64>,
) -> io::Result<Box<dyn Encode>> {
    Ok(match coding {
        Coding::Zstd => Box::new(zstd(level, length)?),
        Coding::Br => Box::new(br(level, length)),
        Coding::Gzip => Box::new(gzip(level, length)),
    })
}

/// The bits of a window that holds all of a body, within bounds.
fn window(length: Option<u64>, least: u32, most: u32) -> u32 {
    let bits = length.map_or(most, |n| u64::BITS - n.leading_zeros());
    bits.clamp(least, most)
}

type Zstd = ZstdEncoder<'static, Vec<u8>>;

fn zstd(level: u32, length: Option<u64>) -> io::Result<Zstd> {
    let level = i32::try_from(level).unwrap_or(1);
    let mut encoder = ZstdEncoder::new(Vec::new(), level)?;
    // The tables of an encoder that knows the length are as small as that.
    encoder.set_pledged_src_size(length)?;
    encoder.window_log(window(length, 10, WINDOW))?;
    Ok(encoder)
}

impl Encode for Zstd {
    fn write(&mut self, content: &[u8]) -> io::Result<()> {
        self.write_all(content)
    }

    fn flush(&mut self) -> io::Result<()> {
        Write::flush(self)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.do_finish()
    }

    fn output(&self) -> &[u8] {
        self.get_ref()
    }

    fn clear(&mut self) {
        self.get_mut().clear();
    }
}

type Gzip = ZlibEncoder<Vec<u8>>;

fn gzip(level: u32, length: Option<u64>) -> Gzip {
    let bits = window(length, 9, GZIP_WINDOW.into());
    let bits = u8::try_from(bits).unwrap_or(GZIP_WINDOW);
    // The name of the type says zlib; the frame is gzip's.
    let compress = Compress::new_gzip(Compression::new(level), bits);
    ZlibEncoder::new_with_compress(Vec::new(), compress)
}

impl Encode for Gzip {
    fn write(&mut self, content: &[u8]) -> io::Result<()> {
        self.write_all(content)
    }

    fn flush(&mut self) -> io::Result<()> {
        Write::flush(self)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.try_finish()
    }

    fn output(&self) -> &[u8] {
        self.get_ref()
    }

    fn clear(&mut self) {
        self.get_mut().clear();
    }
}

/// An encoder of br, which gives its output away when it ends.
struct Br {
    open: Option<CompressorWriter<Vec<u8>>>,
    rest: Vec<u8>,
}

fn br(level: u32, length: Option<u64>) -> Br {
    let bits = window(length.map(|n| n.saturating_add(16)), 10, WINDOW);
    let hint = length.unwrap_or(0).min(BR_HINT);
    let params = BrotliEncoderParams {
        quality: i32::try_from(level).unwrap_or(1),
        lgwin: i32::try_from(bits).unwrap_or(10),
        size_hint: usize::try_from(hint).unwrap_or(0),
        ..BrotliEncoderParams::default()
    };
    Br {
        open: Some(CompressorWriter::with_params(
            Vec::new(),
            BR_BUFFER,
            &params,
        )),
        rest: Vec::new(),
    }
}

impl Encode for Br {
    fn write(&mut self, content: &[u8]) -> io::Result<()> {
        match &mut self.open {
            Some(open) => open.write_all(content),
            None => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.open {
            Some(open) => open.flush(),
            None => Ok(()),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        if let Some(open) = self.open.take() {
            self.rest = open.into_inner();
        }
        Ok(())
    }

    fn output(&self) -> &[u8] {
        self.open.as_ref().map_or(&self.rest, |open| open.get_ref())
    }

    fn clear(&mut self) {
        match &mut self.open {
            Some(open) => open.get_mut().clear(),
            None => self.rest.clear(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn decoded(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        match coding {
            Coding::Zstd => zstd::Decoder::new(bytes).unwrap().read_to_end(&mut text),
            Coding::Br => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut text),
            Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut text),
        }
        .unwrap();
        text
    }

    /// Text that repeats itself, but not only.
    fn text(length: usize) -> Vec<u8> {
        let mut state = 1u32;
        let mut words = std::iter::from_fn(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Some(format!("{} ", state >> 20))
        });
        let mut text = String::new();
        while text.len() < length {
            text.push_str(&words.next().unwrap());
        }
        text.into_bytes()[..length].to_vec()
    }

    #[test]
    fn each_level_of_each_coding_gives_the_content_back_whatever_was_flushed() {
        let all = text(100_000);
        for (coding, most) in [(Coding::Zstd, 9), (Coding::Br, 6), (Coding::Gzip, 9)] {
            for level in 1..=most {
                for length in [0, 1, 30, 5_000, 100_000] {
                    for known in [None, Some(length as u64)] {
                        let mut encoder = encoder(coding, level, known).unwrap();
                        let mut sent = Vec::new();
                        for (at, piece) in all[..length].chunks(7_001).enumerate() {
                            encoder.write(piece).unwrap();
                            if at % 3 == 0 {
                                encoder.flush().unwrap();
                                assert!(!encoder.output().is_empty());
                            }
                            sent.extend_from_slice(encoder.output());
                            encoder.clear();
                        }
                        encoder.finish().unwrap();
                        sent.extend_from_slice(encoder.output());
                        assert!(
                            decoded(coding, &sent) == all[..length],
                            "{coding:?} {level}"
                        );
                        assert!(
                            length < 5_000 || sent.len() < length * 9 / 10,
                            "{coding:?} {level} {length}: {}",
                            sent.len()
                        );
                    }
                }
            }
        }
    }

    /// It is all there, and decodes so far.
    #[test]
    fn what_was_flushed_can_be_decoded_before_the_end() {
        for coding in Coding::ALL {
            let mut encoder = encoder(coding, 4, None).unwrap();
            let mut sent = Vec::new();
            for event in ["data: one\n\n", "data: two\n\n", "data: three\n\n"] {
                encoder.write(event.as_bytes()).unwrap();
                encoder.flush().unwrap();
                sent.extend_from_slice(encoder.output());
                encoder.clear();
                let mut text = vec![0; event.len()];
                let mut decoder: Box<dyn Read> = match coding {
                    Coding::Zstd => Box::new(zstd::Decoder::new(&sent[..]).unwrap()),
                    Coding::Br => Box::new(brotli::Decompressor::new(&sent[..], 4096)),
                    Coding::Gzip => Box::new(flate2::read::GzDecoder::new(&sent[..])),
                };
                let mut whole = String::new();
                while !whole.ends_with(event) {
                    let n = decoder.read(&mut text).unwrap();
                    assert!(n > 0, "{coding:?}: {whole:?}");
                    whole.push_str(std::str::from_utf8(&text[..n]).unwrap());
                }
            }
        }
    }
}
