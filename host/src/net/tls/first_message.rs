//! The first message of a client, read before it is decided who answers it.
//!
//! Read by its own framing and no further, so that what was read can be handed on as it came: to a
//! backend, or to this side's own handshake.

use std::future::poll_fn;

use super::below::Below;
use super::handshake::HandshakeError;

/// As much as this side's own handshake takes of a first message.
const MOST: usize = 64 * 1024;
const RECORD_HEAD: usize = 5;
/// The longest record without encryption (RFC 8446 section 5.1).
const LONGEST_RECORD: usize = 16 * 1024;
/// The longest name of DNS.
const LONGEST_NAME: usize = 253;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: usize = 0;

/// What a first message asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// This server (SNI), in lower case and without a dot at its end. With an encrypted hello (ECH)
    /// it is the name that can be read.
    Name(Box<str>),
    /// No server by name.
    NoName,
    /// It is no first message of TLS.
    Unreadable,
}

/// What has arrived of a first message.
#[derive(Debug, Default)]
struct Arriving {
    /// All of it, as it came.
    bytes: Vec<u8>,
    /// Where the record begins that is being read.
    record: usize,
    /// The content of the records before that one.
    content: Vec<u8>,
}

enum Next {
    /// So many bytes are certain to follow.
    Wants(usize),
    Known(Asked),
}

/// Reads a first message. The caller limits the time.
pub(super) async fn read(below: &Below) -> Result<(Vec<u8>, Asked), HandshakeError> {
    let (socket, mut arriving) = (below.socket(), Arriving::default());
    loop {
        let wanted = match arriving.next() {
            Next::Known(asked) => return Ok((arriving.bytes, asked)),
            Next::Wants(n) => n,
        };
        let bytes = &mut arriving.bytes;
        let before = bytes.len();
        bytes.resize(before + wanted, 0);
        let n = poll_fn(|cx| socket.poll_read(cx, &mut bytes[before..])).await;
        let n = n.map_err(HandshakeError::Socket)?;
        if n == 0 {
            return Err(HandshakeError::Left);
        }
        bytes.truncate(before + n);
    }
}

impl Arriving {
    /// Takes up the records that are whole.
    fn next(&mut self) -> Next {
        loop {
            let begun = &self.bytes[self.record..];
            let Some(&[kind, major, _, high, low]) = begun.first_chunk::<RECORD_HEAD>() else {
                // A client that speaks something else may send less than a record's head.
                return match begun {
                    [kind, ..] if *kind != HANDSHAKE => Next::Known(Asked::Unreadable),
                    begun => Next::Wants(RECORD_HEAD - begun.len()),
                };
            };
            let length = usize::from(u16::from_be_bytes([high, low]));
            let end = self.record + RECORD_HEAD + length;
            let is_fit = kind == HANDSHAKE && major == 3 && (1..=LONGEST_RECORD).contains(&length);
            if !is_fit || end > MOST {
                return Next::Known(Asked::Unreadable);
            }
            let Some(content) = self.bytes.get(self.record + RECORD_HEAD..end) else {
                return Next::Wants(end - self.bytes.len());
            };
            self.content.extend_from_slice(content);
            self.record = end;
            if let Some(asked) = whole(&self.content) {
                return Next::Known(asked);
            }
        }
    }
}

/// What the message asks for, if it is whole.
fn whole(content: &[u8]) -> Option<Asked> {
    let mut octets = Octets(content);
    if octets.number::<1>()? != usize::from(CLIENT_HELLO) {
        return Some(Asked::Unreadable);
    }
    let length = octets.number::<3>()?;
    if length > MOST {
        return Some(Asked::Unreadable);
    }
    let hello = octets.take(length)?;
    // Nothing may follow it before it is answered.
    match octets.is_empty() {
        true => Some(asked(hello).unwrap_or(Asked::Unreadable)),
        false => Some(Asked::Unreadable),
    }
}

/// RFC 8446 section 4.1.2, which all versions since TLS 1.0 share; `None` if it is something else.
fn asked(hello: &[u8]) -> Option<Asked> {
    let mut octets = Octets(hello);
    let (version, random) = (2, 32);
    octets.take(version + random)?;
    let _session = octets.listed::<1>()?;
    let _suites = octets.listed::<2>()?;
    let _compressions = octets.listed::<1>()?;
    if octets.is_empty() {
        return Some(Asked::NoName);
    }
    let mut extensions = Octets(octets.listed::<2>()?);
    if !octets.is_empty() {
        return None;
    }
    let mut found = None;
    while !extensions.is_empty() {
        let kind = extensions.number::<2>()?;
        let content = extensions.listed::<2>()?;
        // A second name could be the one that the backend reads.
        if kind == SERVER_NAME && found.replace(name(content)?).is_some() {
            return None;
        }
    }
    Some(found.map_or(Asked::NoName, Asked::Name))
}

/// The one name of the one kind that there is (RFC 6066 section 3).
fn name(content: &[u8]) -> Option<Box<str>> {
    let mut content = Octets(content);
    let mut list = Octets(content.listed::<2>()?);
    let (kind, name) = (list.number::<1>()?, list.listed::<2>()?);
    if kind != 0 || !list.is_empty() || !content.is_empty() {
        return None;
    }
    let name = name.strip_suffix(b".").unwrap_or(name);
    let is_name = (1..=LONGEST_NAME).contains(&name.len());
    if !is_name || !name.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    Some(std::str::from_utf8(name).ok()?.to_ascii_lowercase().into())
}

/// Bytes that are read from the front.
struct Octets<'a>(&'a [u8]);

impl<'a> Octets<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of N bytes.
    fn number<const N: usize>(&mut self) -> Option<usize> {
        let bytes = self.take(N)?.iter();
        Some(bytes.fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// Bytes with their number, of N bytes, in front.
    fn listed<const N: usize>(&mut self) -> Option<&'a [u8]> {
        let length = self.number::<N>()?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests;
