//! Pseudo-fields among trailers, which make a message malformed (RFC 9113 section 8.1) and which
//! the engine leaves out without a word.
//!
//! A block of fields is walked through as it passes, without unpacking it: a pseudo-field is seen
//! where the static table or the block itself has its name. One whose name an entry of the peer's
//! own table has is not: to know that would take a second table beside the engine's.

use super::frames::{Frame, PADDED};

/// Of HEADERS: five bytes of a priority come first.
const PRIORITY: u8 = 0x20;
/// The entries of the static table from 1 to this are pseudo-fields (RFC 7541 appendix A).
const PSEUDO: u8 = 14;
/// A length beyond so many bits is none that the engine takes.
const LONGEST: u32 = 21;

/// A block of trailers on its way.
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
    /// A field begins.
    Field,
    /// An index goes on, and then comes a value or the next field.
    Index { has_value: bool },
    /// A text's length begins.
    Length(Text),
    /// It goes on: the length so far, and how many bits it has.
    Longer(Text, u32, u32),
    /// A text of so many bytes begins.
    Text(Text, u32),
    /// So many bytes of it are left.
    Rest(Text, u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    Name { is_huffman: bool },
    Value,
}

impl Trailers {
    /// Of the frame that begins them.
    pub(super) fn begin(frame: Frame) -> Self {
        let padding = usize::from(frame.has(PADDED));
        let priority = if frame.has(PRIORITY) { 5 } else { 0 };
        Self {
            stream: frame.stream,
            skip: padding + priority,
            at: At::Field,
        }
    }

    /// Walks through more of the block; whether it shows a pseudo-field.
    pub(super) fn walk(&mut self, bytes: &[u8]) -> bool {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        let mut rest = &bytes[skipped..];
        while let Some(first) = rest.first().copied() {
            let is_pseudo;
            let mut taken = 1;
            (self.at, is_pseudo) = match self.at {
                At::Field => field(first),
                At::Index { .. } if first & 0x80 != 0 => (self.at, false),
                At::Index { has_value: true } => (At::Length(Text::Value), false),
                At::Index { has_value: false } => (At::Field, false),
                At::Length(text) => (length(text, first), false),
                At::Longer(text, so_far, bits) => (longer(text, so_far, bits, first), false),
                At::Text(text, left) => (At::Rest(text, left - 1).settled(), text.is_pseudo(first)),
                At::Rest(text, left) => {
                    taken = rest.len().min(left as usize);
                    (At::Rest(text, left - taken as u32).settled(), false)
                }
            };
            if is_pseudo {
                return true;
            }
            rest = &rest[taken..];
        }
        false
    }
}

/// What follows the first byte of a field, and whether that is a pseudo-field.
fn field(first: u8) -> (At, bool) {
    let (prefix, has_value) = match first {
        0x80.. => (0x7f, false),
        0x40.. => (0x3f, true),
        // A new size of the table.
        0x20.. => match first & 0x1f {
            0x1f => return (At::Index { has_value: false }, false),
            _ => return (At::Field, false),
        },
        _ => (0x0f, true),
    };
    let index = first & prefix;
    let at = match (index, has_value) {
        (0, true) => At::Length(Text::Name { is_huffman: false }),
        (index, has_value) if index == prefix => At::Index { has_value },
        (_, true) => At::Length(Text::Value),
        (_, false) => At::Field,
    };
    (at, (1..=PSEUDO).contains(&index))
}

fn length(text: Text, first: u8) -> At {
    let text = match text {
        Text::Name { .. } => Text::Name {
            is_huffman: first & 0x80 != 0,
        },
        Text::Value => text,
    };
    match first & 0x7f {
        0x7f => At::Longer(text, 0x7f, 0),
        length => At::Text(text, length.into()).settled(),
    }
}

fn longer(text: Text, so_far: u32, bits: u32, next: u8) -> At {
    if bits > LONGEST {
        // The engine ends the connection.
        return At::Rest(text, u32::MAX);
    }
    let length = so_far.saturating_add(u32::from(next & 0x7f) << bits);
    match next & 0x80 {
        0 => At::Text(text, length).settled(),
        _ => At::Longer(text, length, bits + 7),
    }
}

impl At {
    /// What follows a text that has nothing left.
    fn settled(self) -> Self {
        match self {
            Self::Text(Text::Name { .. }, 0) | Self::Rest(Text::Name { .. }, 0) => {
                Self::Length(Text::Value)
            }
            Self::Text(Text::Value, 0) | Self::Rest(Text::Value, 0) => Self::Field,
            at => at,
        }
    }
}

impl Text {
    /// Whether it is a name that begins with a colon, whose code in Huffman's has 7 bits.
    fn is_pseudo(self, first: u8) -> bool {
        match self {
            Self::Name { is_huffman: true } => first >> 1 == 0b101_1100,
            Self::Name { is_huffman: false } => first == b':',
            Self::Value => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::HEADERS;
    use super::*;

    fn is_seen(flags: u8, block: &[u8], piece: usize) -> bool {
        let mut trailers = Trailers::begin(Frame {
            length: 0,
            kind: HEADERS,
            flags,
            stream: 1,
        });
        block.chunks(piece).any(|bytes| trailers.walk(bytes))
    }

    #[test]
    fn a_pseudo_field_is_seen_however_it_is_named_and_wherever_it_stands() {
        let long = [&[0x40, 1, b'x', 0x7f, 0x81, 1][..], &[b':'; 256]].concat();
        let others: [&[u8]; 7] = [
            b"",
            b"\x40\x01x\x01:",
            // An entry of the peer's own table, far behind; the same as the name of a value.
            b"\xff\x80\x01\x7f\x80\x01\x02:a\x0f\x01\x01:",
            // The table's size, in one byte and in two.
            b"\x3f\x81\x01\x20",
            // A name in Huffman's code, and one without anything.
            b"\x00\x82\xf2\xb4\x00\x40\x00\x00",
            b"\xbe\x90\x8f",
            &long,
        ];
        let pseudo: [&[u8]; 8] = [
            b"\x81",
            b"\x8e",
            b"\x44\x01/",
            b"\x04\x01/",
            b"\x17\x01x",
            b"\x40\x05:path\x01/",
            b"\x00\x01:\x00",
            // `:path` in Huffman's code.
            b"\x40\x84\xb9\x58\xd3\x3f\x01/",
        ];
        for piece in [1, 2, 3, 1_000] {
            for before in others {
                assert!(!is_seen(0, before, piece), "{before:x?}");
                for seen in pseudo {
                    let block = [before, seen].concat();
                    assert!(is_seen(0, &block, piece), "{block:x?}");
                }
            }
            // Padding and a priority come first.
            assert!(is_seen(
                PADDED | PRIORITY,
                b"\x02\x80\0\0\0\x81\x84\0\0",
                piece
            ));
            let pad = b"\x04\x84\x84\x84\x84\x84\x0f\x01\x01a";
            assert!(!is_seen(PADDED | PRIORITY, pad, piece));
        }
        let endless = b"\x00\xff\xff\xff\xff\xff\xff\xff\xff\x81\x81\x81\x81";
        assert!(!is_seen(0, endless, 1), "the engine refuses it");
    }
}
