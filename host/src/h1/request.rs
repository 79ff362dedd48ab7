//! The head of a request: RFC 9112 sections 2 to 6, strictly.

use http::Method;
use memchr::memchr;

use super::HeadLimits;
use super::head::{self, Control, Framing, Lengths};
use crate::message::{
    BodyLength, Keep, Malformed, Notes, RequestFacts, RequestHead, Scheme, Side, Version,
    read_length, syntax, take_authority,
};

/// Bytes of empty lines before a request line: more is not an old client's extra CRLF.
const MAX_EMPTY_LINES: usize = 32;

/// What a request's head said about the connection and the body.
#[derive(Debug, Clone, Copy)]
pub struct RequestMeta {
    /// Bytes of the head, line ends included.
    pub head_len: usize,
    /// The body's length.
    pub framing: Framing,
    /// What becomes of the connection.
    pub control: Control,
    /// Instructions for the proxy in the fields.
    pub notes: Notes,
}

impl RequestMeta {
    /// The same in terms that other protocols share, for a request of this version.
    pub fn facts(&self, version: Version) -> RequestFacts {
        let Control {
            close, keep_alive, ..
        } = self.control;
        RequestFacts {
            body: match self.framing {
                Framing::Length(n) => BodyLength::Known(n),
                Framing::Chunked => BodyLength::Unknown,
                Framing::None | Framing::UntilClose => BodyLength::None,
            },
            // RFC 9112 section 9.3.
            persists: !close && (version == Version::Http11 || keep_alive),
            notes: self.notes,
        }
    }
}

/// Reads a head from the start of `bytes`; `None` if its end has not arrived. What of it was
/// understood is in `head` in any case.
///
/// Fields that belong to this hop are taken out: what `head.fields` holds afterwards may cross.
///
/// # Errors
///
/// Why the head is refused.
pub fn parse_request(
    head: &mut RequestHead,
    bytes: &[u8],
    limits: HeadLimits,
) -> Result<Option<RequestMeta>, Malformed> {
    head.clear();
    let whole = without_empty_lines(bytes)?;
    if whole.is_empty() || whole == b"\r" {
        return Ok(None);
    }
    let first = head::first_line(whole, limits, Malformed::RequestLineTooLong)?;
    let Some((line, after)) = first else {
        return Ok(None);
    };
    let absolute = request_line(head, line)?;
    let mut read = Read::default();
    let Some(after) = field_lines(head, after, limits, absolute, &mut read)? else {
        return match whole.len() > limits.bytes {
            true => Err(Malformed::HeadTooLarge),
            false => Ok(None),
        };
    };
    if whole.len() - after.len() > limits.bytes {
        return Err(Malformed::HeadTooLarge);
    }
    head::remove_named_by_connection(&read.lengths, &mut head.fields);
    let framing = framing(&read.lengths)?;
    if !(head.upgrade.is_empty() || may_upgrade(head, &read.control, framing)) {
        head.upgrade.clear();
    }
    Ok(Some(RequestMeta {
        head_len: bytes.len() - after.len(),
        framing,
        control: read.control,
        notes: read.notes,
    }))
}

/// RFC 9112 section 2.2: empty lines before a request line are skipped.
fn without_empty_lines(bytes: &[u8]) -> Result<&[u8], Malformed> {
    let mut rest = bytes;
    while let [b'\r', b'\n', after @ ..] = rest {
        rest = after;
    }
    match bytes.len() - rest.len() > MAX_EMPTY_LINES {
        true => Err(Malformed::RequestLine),
        false => Ok(rest),
    }
}

/// Reads the request line. True if its target names the authority.
fn request_line(head: &mut RequestHead, line: &[u8]) -> Result<bool, Malformed> {
    let method_end = memchr(b' ', line).ok_or(Malformed::RequestLine)?;
    let target_end =
        memchr(b' ', &line[method_end + 1..]).ok_or(Malformed::RequestLine)? + method_end + 1;
    let (method, target) = (&line[..method_end], &line[method_end + 1..target_end]);
    if !syntax::is_token(method) {
        return Err(Malformed::Method);
    }
    head.method = Method::from_bytes(method).map_err(|_| Malformed::Method)?;
    head.version = match &line[target_end + 1..] {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        // RFC 9110 section 2.5: a higher minor version is read as the highest that is known.
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9'] => Version::Http11,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            return Err(Malformed::Version);
        }
        _ => return Err(Malformed::RequestLine),
    };
    read_target(head, target)
}

fn read_target(head: &mut RequestHead, target: &[u8]) -> Result<bool, Malformed> {
    let target = syntax::target(target)?;
    if head.method == Method::CONNECT {
        // Authority form; `proxy` refuses the method itself.
        head.take_authority(target).map_err(|_| Malformed::Target)?;
        head.set_target("/");
        return Ok(true);
    }
    if head.take_path(target)? {
        return Ok(false);
    }
    absolute_form(head, target)?;
    Ok(true)
}

/// RFC 9112 section 3.2.2: the authority replaces `Host`, and the rest goes on in origin form.
fn absolute_form(head: &mut RequestHead, target: &str) -> Result<(), Malformed> {
    let (scheme, rest) = target.split_once("://").ok_or(Malformed::Target)?;
    Scheme::parse(scheme.as_bytes()).ok_or(Malformed::Target)?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    head.take_authority(authority)
        .map_err(|_| Malformed::Target)?;
    if path.is_empty() && head.method == Method::OPTIONS {
        head.set_target("*");
    } else if path.starts_with('/') {
        head.set_target(path);
    } else {
        head.set_target("/");
        head.target.push_str(path);
    }
    Ok(())
}

/// What the fields of one head say, beside those that are forwarded.
#[derive(Debug, Default)]
struct Read {
    hosts: u32,
    lengths: Lengths,
    control: Control,
    notes: Notes,
}

fn field_lines<'a>(
    head: &mut RequestHead,
    rest: &'a [u8],
    limits: HeadLimits,
    absolute: bool,
    read: &mut Read,
) -> Result<Option<&'a [u8]>, Malformed> {
    let &mut RequestHead {
        version,
        ref mut authority,
        host: ref mut named,
        ref mut fields,
        ref mut upgrade,
        ..
    } = head;
    let after = head::fields(rest, Side::Request, limits, fields, |name, value| {
        match name {
            b"host" => {
                let host = only_host(value, &mut read.hosts)?;
                if absolute {
                    syntax::host_of_authority(host).ok_or(Malformed::Host)?;
                } else {
                    take_authority(host, authority, named)?;
                }
            }
            b"content-length" => read_length(&mut read.lengths.content_length, value)?,
            b"transfer-encoding" => read.lengths.transfer_encoding(value, version)?,
            b"connection" => return Ok(read.lengths.connection(value, &mut read.control)),
            b"upgrade" => upgrade.add(value),
            _ => return read.notes.request_field(name, value, version),
        }
        Ok(Keep::No)
    })?;
    if after.is_some() && read.hosts == 0 && version == Version::Http11 {
        return Err(Malformed::HostMissing);
    }
    Ok(after)
}

/// The value of a `Host` field, of which a head has one.
fn only_host<'v>(value: &'v [u8], hosts: &mut u32) -> Result<&'v str, Malformed> {
    *hosts += 1;
    if *hosts > 1 {
        return Err(Malformed::HostRepeated);
    }
    std::str::from_utf8(value).map_err(|_| Malformed::Host)
}

/// Whether a request can ask for another protocol (RFC 9110 section 7.8). Not one with a body,
/// which would have to be sent before the protocol changes.
fn may_upgrade(head: &RequestHead, control: &Control, framing: Framing) -> bool {
    control.upgrade && head.version == Version::Http11 && framing == Framing::None
}

fn framing(lengths: &Lengths) -> Result<Framing, Malformed> {
    match (lengths.transfer_encoding, lengths.content_length) {
        (true, Some(_)) => Err(Malformed::BothLengths),
        (true, None) => Ok(Framing::Chunked),
        (false, Some(n)) => Ok(Framing::Length(n)),
        (false, None) => Ok(Framing::None),
    }
}
