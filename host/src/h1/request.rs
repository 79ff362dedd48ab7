//! The head of a request: RFC 9112 sections 2 to 6, strictly.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Method;
use memchr::memchr;

use super::head::{self, Control, Framing, HeadLimits, Keep, Lengths, Side};
use super::path::{self, PathNotes};
use super::refused::Malformed;
use super::{Fields, syntax};

/// The client's HTTP version; both speak the syntax of RFC 9112.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// HTTP/1.0: closes by default, knows neither chunked bodies nor 1xx.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
}

/// Bytes of empty lines before a request line: more is not an old client's extra CRLF.
const MAX_EMPTY_LINES: usize = 32;

/// A request head. One per connection, reused for each request, so that its buffers stay warm.
#[derive(Debug, Clone)]
pub struct RequestHead {
    /// The method, case and all.
    pub method: Method,
    /// Path and query in origin form, such as `/a?b=c`, or `*`.
    pub target: String,
    /// Length of the path within `target`; a `?` follows if there is a query.
    pub path_len: usize,
    /// The path in normal form; empty if it is as it was received.
    pub normal_path: String,
    /// What is in the path that servers read differently.
    pub path_notes: PathNotes,
    /// Whether a backend gets the normal form.
    pub forward_normal: bool,
    /// Host and port as the client gave them, for the upstream's `Host`. Empty if there was none
    /// (HTTP/1.0).
    pub authority: String,
    /// The host for matching: lower case, without port, without trailing dot.
    pub host: String,
    /// The client's version.
    pub version: Version,
    /// `http` or `https`: how the client reached the proxy.
    pub scheme: &'static str,
    /// The client: the connection's peer, or what a trusted proxy in front said.
    pub client: IpAddr,
    /// The header fields.
    pub fields: Fields,
}

/// What a request's head said about the connection and the body.
#[derive(Debug, Clone, Copy)]
pub struct RequestMeta {
    /// Bytes of the head, line ends included.
    pub head_len: usize,
    /// The body's length.
    pub framing: Framing,
    /// What the hop-by-hop fields said.
    pub control: Control,
}

impl RequestHead {
    /// The path in normal form, without the query: what routes and policies go by
    /// ([`super::path`]).
    pub fn path(&self) -> &str {
        if self.normal_path.is_empty() {
            self.raw_path()
        } else {
            &self.normal_path
        }
    }

    /// The path as it was received.
    pub fn raw_path(&self) -> &str {
        &self.target[..self.path_len]
    }

    /// The path that a backend gets.
    pub fn forwarded_path(&self) -> &str {
        if self.forward_normal {
            self.path()
        } else {
            self.raw_path()
        }
    }

    /// Makes this path, and perhaps a query, what is asked for.
    pub fn set_target(&mut self, target: &str) {
        self.target.clear();
        self.origin_form(target);
    }

    /// The query without its `?`.
    pub fn query(&self) -> Option<&str> {
        self.target.get(self.path_len + 1..)
    }

    /// Reads a head from the start of `bytes` into `self`; `None` if its end has not arrived.
    ///
    /// Fields that belong to this hop are taken out: what `self.fields` holds afterwards may cross.
    pub fn parse(
        &mut self,
        bytes: &[u8],
        limits: HeadLimits,
    ) -> Result<Option<RequestMeta>, Malformed> {
        self.clear();
        // RFC 9112 section 2.2: empty lines before a request line are skipped.
        let mut rest = bytes;
        while let [b'\r', b'\n', after @ ..] = rest {
            rest = after;
        }
        if bytes.len() - rest.len() > MAX_EMPTY_LINES {
            return Err(Malformed::RequestLine);
        }
        let whole = rest;
        if rest.is_empty() || rest == b"\r" {
            return Ok(None);
        }
        let Some((line, after)) = head::line(rest)? else {
            return match rest.len() > limits.first_line {
                true => Err(Malformed::RequestLineTooLong),
                false => Ok(None),
            };
        };
        if line.len() > limits.first_line {
            return Err(Malformed::RequestLineTooLong);
        }
        let absolute = self.request_line(line)?;
        let mut control = Control::default();
        let mut lengths = Lengths::default();
        let Some(after) = self.field_lines(after, limits, absolute, &mut lengths, &mut control)?
        else {
            self.normalise_host();
            return match whole.len() > limits.bytes {
                true => Err(Malformed::HeadTooLarge),
                false => Ok(None),
            };
        };
        if whole.len() - after.len() > limits.bytes {
            return Err(Malformed::HeadTooLarge);
        }
        head::remove_named_by_connection(&lengths, &mut self.fields);
        let framing = framing(&lengths)?;
        self.normalise_host();
        Ok(Some(RequestMeta {
            head_len: bytes.len() - after.len(),
            framing,
            control,
        }))
    }

    fn clear(&mut self) {
        self.target.clear();
        self.authority.clear();
        self.host.clear();
        self.fields.clear();
        self.path_len = 0;
        self.normal_path.clear();
        self.path_notes = PathNotes::default();
        self.forward_normal = false;
        self.client = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    }

    /// Reads the request line and tells whether its target named the authority.
    fn request_line(&mut self, line: &[u8]) -> Result<bool, Malformed> {
        let method_end = memchr(b' ', line).ok_or(Malformed::RequestLine)?;
        let target_end =
            memchr(b' ', &line[method_end + 1..]).ok_or(Malformed::RequestLine)? + method_end + 1;
        let (method, target) = (&line[..method_end], &line[method_end + 1..target_end]);
        if !syntax::is_token(method) {
            return Err(Malformed::Method);
        }
        self.method = Method::from_bytes(method).map_err(|_| Malformed::Method)?;
        self.version = match &line[target_end + 1..] {
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
        self.target(target)
    }

    fn target(&mut self, target: &[u8]) -> Result<bool, Malformed> {
        // Visible ASCII only (RFC 3986 section 2); a fragment is never sent (RFC 9112 section 3.2).
        if target.is_empty() || !target.iter().all(|b| b.is_ascii_graphic() && *b != b'#') {
            return Err(Malformed::Target);
        }
        let target = std::str::from_utf8(target).map_err(|_| Malformed::Target)?;
        if self.method == Method::CONNECT {
            // Authority form; `proxy` refuses the method with an answer of its own.
            syntax::host_of_authority(target).ok_or(Malformed::Target)?;
            self.authority.push_str(target);
            self.origin_form("/");
            return Ok(true);
        }
        if target.starts_with('/') {
            self.origin_form(target);
            return Ok(false);
        }
        if target == "*" {
            return match self.method == Method::OPTIONS {
                true => {
                    self.origin_form(target);
                    Ok(false)
                }
                false => Err(Malformed::Target),
            };
        }
        self.absolute_form(target)?;
        Ok(true)
    }

    /// RFC 9112 section 3.2.2: the authority replaces `Host`, and the rest goes on in origin form.
    fn absolute_form(&mut self, target: &str) -> Result<(), Malformed> {
        let (scheme, rest) = target.split_once("://").ok_or(Malformed::Target)?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return Err(Malformed::Target);
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        syntax::host_of_authority(authority).ok_or(Malformed::Target)?;
        self.authority.push_str(authority);
        if path.is_empty() && self.method == Method::OPTIONS {
            self.origin_form("*");
        } else if path.starts_with('/') {
            self.origin_form(path);
        } else {
            self.target.push('/');
            self.target.push_str(path);
            self.path_len = 1;
        }
        Ok(())
    }

    fn origin_form(&mut self, target: &str) {
        self.target.push_str(target);
        self.path_len = memchr(b'?', target.as_bytes()).unwrap_or(target.len());
        self.path_notes = path::normalise(&target[..self.path_len], &mut self.normal_path);
    }

    fn field_lines<'a>(
        &mut self,
        rest: &'a [u8],
        limits: HeadLimits,
        absolute: bool,
        lengths: &mut Lengths,
        control: &mut Control,
    ) -> Result<Option<&'a [u8]>, Malformed> {
        let version = self.version;
        let authority = &mut self.authority;
        let mut hosts = 0;
        let after = head::fields(
            rest,
            Side::Request,
            limits,
            &mut self.fields,
            |name, value| {
                match name {
                    b"host" => {
                        hosts += 1;
                        if hosts > 1 {
                            return Err(Malformed::HostRepeated);
                        }
                        let host = std::str::from_utf8(value).map_err(|_| Malformed::Host)?;
                        syntax::host_of_authority(host).ok_or(Malformed::Host)?;
                        if !absolute {
                            authority.push_str(host);
                        }
                        return Ok(Keep::No);
                    }
                    b"expect" => {
                        // RFC 9110 section 10.1.1: HTTP/1.0 has no expectations. The proxy itself
                        // passes them on.
                        if version == Version::Http11 {
                            let mut members = syntax::list(value);
                            control.expect_continue =
                                members.next().is_some_and(is_continue) && members.all(is_continue);
                            if !control.expect_continue {
                                return Err(Malformed::Expect);
                            }
                        }
                        return Ok(Keep::No);
                    }
                    b"range" => control.range = true,
                    _ => {
                        return head::hop_by_hop(
                            name,
                            value,
                            (version, Side::Request),
                            lengths,
                            control,
                        );
                    }
                }
                Ok(Keep::Yes)
            },
        )?;
        if after.is_some() && hosts == 0 && version == Version::Http11 {
            return Err(Malformed::HostMissing);
        }
        Ok(after)
    }

    fn normalise_host(&mut self) {
        let host = syntax::host_of_authority(&self.authority).unwrap_or_default();
        // One IPv6 address has many spellings; routes are written in the canonical one.
        let address = host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .and_then(|h| h.parse::<Ipv6Addr>().ok());
        match address {
            Some(address) => self.host = format!("[{address}]"),
            None => self.host.push_str(host.strip_suffix('.').unwrap_or(host)),
        }
        self.host.make_ascii_lowercase();
    }
}

fn is_continue(expectation: &[u8]) -> bool {
    expectation.eq_ignore_ascii_case(b"100-continue")
}

fn framing(lengths: &Lengths) -> Result<Framing, Malformed> {
    match (lengths.transfer_encoding, lengths.content_length) {
        (true, Some(_)) => Err(Malformed::BothLengths),
        (true, None) => Ok(Framing::Chunked),
        (false, Some(n)) => Ok(Framing::Length(n)),
        (false, None) => Ok(Framing::None),
    }
}

impl Default for RequestHead {
    fn default() -> Self {
        Self {
            method: Method::GET,
            target: String::new(),
            path_len: 0,
            normal_path: String::new(),
            path_notes: PathNotes::default(),
            forward_normal: false,
            authority: String::new(),
            host: String::new(),
            version: Version::Http11,
            scheme: "http",
            client: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            fields: Fields::new(),
        }
    }
}
