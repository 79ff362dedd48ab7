//! Pseudo-fields among trailers, which make a message malformed (RFC 9113 section 8.1).
//!
//! The engine refuses those that stand behind a field, and leaves out others without a word. So the
//! first field of a block is looked at as it passes. Its name may be one of the peer's own table,
//! which is not known here: to know it would take a second table beside the engine's.

use super::frames::{Frame, PADDED};

/// Of HEADERS: five bytes of a priority come first.
const PRIORITY: u8 = 0x20;
/// The entries of the static table from 1 to this are pseudo-fields (RFC 7541 appendix A).
const LAST: u8 = 14;

/// A block of trailers whose first field is to come.
#[derive(Debug)]
pub(super) struct Trailers {
    pub(super) stream: u32,
    /// Bytes in front of the block.
    skip: usize,
    at: At,
}

/// Where in the block it stands.
#[derive(Debug, Clone, Copy)]
enum At {
    /// A field begins, or a new size of the table.
    Begin,
    /// The size goes on.
    Size,
    /// A name's length begins.
    Length,
    /// It goes on.
    Longer { is_huffman: bool },
    /// A name begins.
    Name { is_huffman: bool },
}

impl Trailers {
    /// Of the frame that begins them.
    pub(super) fn begin(frame: Frame) -> Self {
        let padding = usize::from(frame.has(PADDED));
        let priority = if frame.has(PRIORITY) { 5 } else { 0 };
        Self {
            stream: frame.stream,
            skip: padding + priority,
            at: At::Begin,
        }
    }

    /// Looks at more of the block. Returns whether it begins with a pseudo-field, once that is
    /// known.
    pub(super) fn look(&mut self, bytes: &[u8]) -> Option<bool> {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        for byte in &bytes[skipped..] {
            let (byte, goes_on) = (*byte, byte & 0x80 != 0);
            self.at = match self.at {
                At::Begin => match field(byte) {
                    Field::Size { is_long: true } => At::Size,
                    Field::Size { is_long: false } => At::Begin,
                    Field::NewName => At::Length,
                    Field::Known { is_pseudo } => return Some(is_pseudo),
                },
                At::Size if !goes_on => At::Begin,
                At::Length => {
                    let is_huffman = goes_on;
                    match byte & 0x7f {
                        0x7f => At::Longer { is_huffman },
                        // The engine takes no empty name.
                        _ => At::Name { is_huffman },
                    }
                }
                At::Longer { is_huffman } if !goes_on => At::Name { is_huffman },
                // Huffman's code for a colon has 7 bits.
                At::Name { is_huffman: true } => return Some(byte >> 1 == 0b101_1100),
                At::Name { is_huffman: false } => return Some(byte == b':'),
                at @ (At::Size | At::Longer { .. }) => at,
            };
        }
        None
    }
}

/// What the first byte of a representation says (RFC 7541 section 6).
enum Field {
    Size { is_long: bool },
    NewName,
    Known { is_pseudo: bool },
}

fn field(first: u8) -> Field {
    let (index, may_be_new) = match first {
        0x80.. => (first & 0x7f, false),
        0x40.. => (first & 0x3f, true),
        0x20.. => {
            let is_long = first & 0x1f == 0x1f;
            return Field::Size { is_long };
        }
        _ => (first & 0x0f, true),
    };
    match index {
        0 if may_be_new => Field::NewName,
        _ => Field::Known {
            is_pseudo: (1..=LAST).contains(&index),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::HEADERS;
    use super::*;

    fn is_seen(flags: u8, block: &[u8], piece: usize) -> Option<bool> {
        let mut trailers = Trailers::begin(Frame {
            length: 0,
            kind: HEADERS,
            flags,
            stream: 1,
        });
        let mut pieces = block.chunks(piece);
        pieces.find_map(|bytes| trailers.look(bytes))
    }

    #[test]
    fn a_pseudo_field_that_comes_first_is_seen_however_it_is_named() {
        let fields: [&[u8]; 8] = [
            b"\x40\x01x\x01:",
            // Of the peer's own table, near and far behind.
            b"\xbe",
            b"\xff\x80\x01",
            b"\x7f\x80\x01\x02:a",
            b"\x0f\x01\x01:",
            b"\x00\x82\xf2\xb4\x00",
            b"\x90",
            &[&b"\x40\x7f\x81\x01"[..], &[b'x'; 256]].concat(),
        ];
        let pseudo: [&[u8]; 9] = [
            b"\x81",
            b"\x8e",
            b"\x44\x01/",
            b"\x04\x01/",
            b"\x17\x01x",
            b"\x40\x05:path\x01/",
            b"\x00\x01:\x00",
            // `:path` in Huffman's code.
            b"\x40\x84\xb9\x58\xd3\x3f\x01/",
            &[&b"\x40\x7f\x81\x01"[..], &[b':'; 256]].concat(),
        ];
        for piece in [1, 2, 3, 1_000] {
            // New sizes of the table may come first.
            for size in [&b""[..], b"\x20", b"\x3f\x81\x01\x20"] {
                for field in fields {
                    let block = [size, field].concat();
                    assert_eq!(is_seen(0, &block, piece), Some(false), "{block:x?}");
                }
                for field in pseudo {
                    let block = [size, field].concat();
                    assert_eq!(is_seen(0, &block, piece), Some(true), "{block:x?}");
                }
                assert_eq!(is_seen(0, size, piece), None);
            }
            // Padding and a priority come first.
            let (padded, both) = (b"\x02\x81\0\0", b"\x02\x84\x84\x84\x84\x84\x81\0\0");
            assert_eq!(is_seen(PADDED, padded, piece), Some(true));
            assert_eq!(is_seen(PADDED | PRIORITY, both, piece), Some(true));
            let before = b"\x84\x84\x84\x84\x84\x84\x90";
            assert_eq!(is_seen(PADDED | PRIORITY, before, piece), Some(false));
        }
    }
}
