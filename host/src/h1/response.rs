//! The head of a backend's response: RFC 9112 sections 4 to 6, strictly.

use http::Method;

use super::HeadLimits;
use super::head::{self, Control, Framing, Lengths};
use crate::message::{Keep, Malformed, Notes, ResponseHead, Side, Version, syntax};

/// What a response's head said about the connection and the body.
#[derive(Debug, Clone, Copy)]
pub struct ResponseMeta {
    /// Bytes of the head, line ends included.
    pub head_len: usize,
    /// The body's length.
    pub framing: Framing,
    /// The `Content-Length` even where there is no body (HEAD, 304).
    pub content_length: Option<u64>,
    /// What becomes of the connection.
    pub control: Control,
    /// Instructions for the proxy in the fields.
    pub notes: Notes,
}

/// Reads a head from the start of `bytes`; `None` if its end has not arrived. `method` is the
/// request's.
///
/// # Errors
///
/// Why the head is refused.
pub fn parse_response(
    head: &mut ResponseHead,
    bytes: &[u8],
    method: &Method,
    limits: HeadLimits,
) -> Result<Option<ResponseMeta>, Malformed> {
    head.clear();
    if !b"HTTP/1.".starts_with(&bytes[..bytes.len().min(7)]) {
        return Err(Malformed::StatusLine);
    }
    let first = head::first_line(bytes, limits, Malformed::StatusLine)?;
    let Some((line, after)) = first else {
        return Ok(None);
    };
    status_line(head, line)?;
    let mut read = Read::default();
    let after = field_lines(head, after, limits, &mut read)?;
    let head_len = bytes.len() - after.map_or(0, <[u8]>::len);
    if head_len > limits.bytes {
        return Err(Malformed::HeadTooLarge);
    }
    if after.is_none() {
        return Ok(None);
    }
    head::remove_named_by_connection(&read.lengths, &mut head.fields);
    if !(head.upgrade.is_empty() || (head.status == 101 && read.control.upgrade)) {
        head.upgrade.clear();
    }
    Ok(Some(ResponseMeta {
        head_len,
        framing: framing(head.status, &read.lengths, method)?,
        content_length: read.lengths.content_length,
        control: read.control,
        notes: read.notes,
    }))
}

/// What the fields of one head say, beside those that are forwarded.
#[derive(Debug, Default)]
struct Read {
    lengths: Lengths,
    control: Control,
    notes: Notes,
}

#[inline]
fn field_lines<'a>(
    head: &mut ResponseHead,
    rest: &'a [u8],
    limits: HeadLimits,
    read: &mut Read,
) -> Result<Option<&'a [u8]>, Malformed> {
    let ResponseHead {
        version,
        fields,
        upgrade,
        ..
    } = head;
    let version = *version;
    head::fields(rest, Side::Response, limits, fields, |name, value| {
        match name {
            b"content-length" => read.lengths.response_length(value)?,
            b"transfer-encoding" => read.lengths.transfer_encoding(value, version)?,
            b"connection" => return Ok(read.lengths.connection(value, &mut read.control)),
            b"upgrade" => upgrade.add(value),
            _ => return Ok(read.notes.response_field(name, value)),
        }
        Ok(Keep::No)
    })
}

fn status_line(head: &mut ResponseHead, line: &[u8]) -> Result<(), Malformed> {
    head.version = match line.get(..9) {
        Some(b"HTTP/1.1 ") => Version::Http11,
        Some(b"HTTP/1.0 ") => Version::Http10,
        Some([b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9', b' ']) => Version::Http11,
        _ => return Err(Malformed::StatusLine),
    };
    let (code, reason) = match &line[9..] {
        [a, b, c] => ([*a, *b, *c], &[][..]),
        [a, b, c, b' ', reason @ ..] => ([*a, *b, *c], reason),
        _ => return Err(Malformed::StatusLine),
    };
    if !code.iter().all(u8::is_ascii_digit)
        || !(b'1'..=b'9').contains(&code[0])
        || !syntax::is_value(reason)
    {
        return Err(Malformed::StatusLine);
    }
    head.status = code.iter().fold(0, |n, d| n * 10 + u16::from(d - b'0'));
    head.reason.extend_from_slice(reason);
    Ok(())
}

impl Lengths {
    /// Reads a `Content-Length` field of a response. Repeated but equal lengths may be read as one
    /// (RFC 9110 section 8.6).
    fn response_length(&mut self, value: &[u8]) -> Result<(), Malformed> {
        let n = equal_lengths(value).ok_or(Malformed::ContentLength)?;
        match self.content_length.replace(n) {
            Some(before) if before != n => Err(Malformed::ContentLengthRepeated),
            _ => Ok(()),
        }
    }
}

/// RFC 9112 section 6.3.
fn framing(status: u16, lengths: &Lengths, method: &Method) -> Result<Framing, Malformed> {
    if lengths.transfer_encoding && lengths.content_length.is_some() {
        return Err(Malformed::BothLengths);
    }
    if status < 200 || matches!(status, 204 | 304) || *method == Method::HEAD {
        return Ok(Framing::None);
    }
    Ok(match (lengths.transfer_encoding, lengths.content_length) {
        (true, _) => Framing::Chunked,
        (false, Some(n)) => Framing::Length(n),
        (false, None) => Framing::UntilClose,
    })
}

fn equal_lengths(value: &[u8]) -> Option<u64> {
    let mut members = value
        .split(|b| *b == b',')
        .map(|m| syntax::length(syntax::trim(m)));
    let first = members.next()??;
    members.all(|m| m == Some(first)).then_some(first)
}
