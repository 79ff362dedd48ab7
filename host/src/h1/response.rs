//! The head of a backend's response: RFC 9112 sections 4 to 6, strictly.

use http::Method;

use super::head::{self, Control, Framing, HeadLimits, Keep, Lengths, Side};
use super::refused::Malformed;
use super::{Fields, Version, syntax};

/// A response head, reused for each response of a connection.
#[derive(Debug, Default)]
pub struct ResponseHead {
    /// The status code, 100 to 999: from 600 on it is none that RFC 9110 knows, and counts as one
    /// from 500 on.
    pub status: u16,
    /// The reason phrase; may be empty.
    pub reason: Vec<u8>,
    /// The backend's version.
    pub version: Version,
    /// The header fields that may cross.
    pub fields: Fields,
}

/// What a response's head said about the connection and the body.
#[derive(Debug, Clone, Copy)]
pub struct ResponseMeta {
    /// Bytes of the head, line ends included.
    pub head_len: usize,
    /// The body's length.
    pub framing: Framing,
    /// The `Content-Length` even where there is no body (HEAD, 304).
    pub content_length: Option<u64>,
    /// What the hop-by-hop fields said.
    pub control: Control,
}

impl ResponseHead {
    /// Reads a head from the start of `bytes` into `self`; `None` if its end has not arrived.
    /// `method` is the request's.
    pub fn parse(
        &mut self,
        bytes: &[u8],
        method: &Method,
        limits: HeadLimits,
    ) -> Result<Option<ResponseMeta>, Malformed> {
        self.reason.clear();
        self.fields.clear();
        if !b"HTTP/1.".starts_with(&bytes[..bytes.len().min(7)]) {
            return Err(Malformed::StatusLine);
        }
        let Some((line, after)) = head::line(bytes)? else {
            return if bytes.len() > limits.first_line {
                Err(Malformed::StatusLine)
            } else {
                Ok(None)
            };
        };
        if line.len() > limits.first_line {
            return Err(Malformed::StatusLine);
        }
        self.status_line(line)?;
        let mut control = Control::default();
        let mut lengths = Lengths::default();
        let version = self.version;
        let after = head::fields(
            after,
            Side::Response,
            limits,
            &mut self.fields,
            |name, value| {
                if name != b"content-length" {
                    return head::hop_by_hop(
                        name,
                        value,
                        (version, Side::Response),
                        &mut lengths,
                        &mut control,
                    );
                }
                // RFC 9110 section 8.6: repeated but equal lengths may be read as one.
                let n = equal_lengths(value).ok_or(Malformed::ContentLength)?;
                if lengths.content_length.is_some_and(|before| before != n) {
                    return Err(Malformed::ContentLengthRepeated);
                }
                lengths.content_length = Some(n);
                Ok(Keep::No)
            },
        )?;
        let Some(after) = after else {
            return if bytes.len() > limits.bytes {
                Err(Malformed::HeadTooLarge)
            } else {
                Ok(None)
            };
        };
        if bytes.len() - after.len() > limits.bytes {
            return Err(Malformed::HeadTooLarge);
        }
        head::remove_named_by_connection(&lengths, &mut self.fields);
        let framing = self.framing(&lengths, method)?;
        Ok(Some(ResponseMeta {
            head_len: bytes.len() - after.len(),
            framing,
            content_length: lengths.content_length,
            control,
        }))
    }

    fn status_line(&mut self, line: &[u8]) -> Result<(), Malformed> {
        self.version = match line.get(..9) {
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
        self.status = code.iter().fold(0, |n, d| n * 10 + u16::from(d - b'0'));
        self.reason.extend_from_slice(reason);
        Ok(())
    }

    /// RFC 9112 section 6.3.
    fn framing(&self, lengths: &Lengths, method: &Method) -> Result<Framing, Malformed> {
        if lengths.transfer_encoding && lengths.content_length.is_some() {
            return Err(Malformed::BothLengths);
        }
        if self.status < 200 || matches!(self.status, 204 | 304) || *method == Method::HEAD {
            return Ok(Framing::None);
        }
        Ok(match (lengths.transfer_encoding, lengths.content_length) {
            (true, _) => Framing::Chunked,
            (false, Some(n)) => Framing::Length(n),
            (false, None) => Framing::UntilClose,
        })
    }
}

fn equal_lengths(value: &[u8]) -> Option<u64> {
    let mut members = value
        .split(|b| *b == b',')
        .map(|m| syntax::length(syntax::trim(m)));
    let first = members.next()??;
    members.all(|m| m == Some(first)).then_some(first)
}
