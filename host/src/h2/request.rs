//! The head of a request: RFC 9113 section 8.3, strictly.

use h2::ext::Protocol;
use http::Method;
use http::request::Parts;

use super::fields::FRAMING;
use crate::message::{
    BodyLength, HeadLimits, Keep, Malformed, Notes, RequestFacts, RequestHead, Scheme, Version,
    read_length, syntax,
};

/// What is known of a request beside its fields.
#[derive(Debug, Clone, Copy)]
pub struct Arrived {
    /// The scheme of its connection, where the request has to have the same; `None` if the peer is
    /// a proxy that speaks for its clients, or we are one.
    pub scheme: Option<Scheme>,
    /// Whether the head has ended the stream.
    pub is_end: bool,
}

/// Reads a head. What of it was understood is in `head` in any case.
///
/// Fields that belong to this hop are taken out: what `head.fields` holds afterwards may cross.
///
/// # Errors
///
/// Why the head is refused.
pub fn read_request(
    head: &mut RequestHead,
    parts: &Parts,
    arrived: Arrived,
    limits: HeadLimits,
) -> Result<RequestFacts, Malformed> {
    head.clear();
    head.version = Version::Http2;
    read_method(head, &parts.method)?;
    if let Some(protocol) = parts.extensions.get::<Protocol>() {
        // By HTTP/1.1, that is a GET with an offer to change the protocol (RFC 8441 section 5).
        head.method = Method::GET;
        head.upgrade.connect(protocol.as_str());
    }
    let target = parts.uri.path_and_query().map_or("", |path| path.as_str());
    if target.len() > limits.first_line {
        return Err(Malformed::RequestLineTooLong);
    }
    read_target(head, target)?;
    if let (Some(expected), Some(scheme)) = (arrived.scheme, parts.uri.scheme_str())
        && Scheme::parse(scheme.as_bytes()) != Some(expected)
    {
        return Err(Malformed::Scheme);
    }
    if let Some(authority) = parts.uri.authority() {
        head.take_authority(authority.as_str())?;
    }
    let read = read_fields(head, parts, limits);
    let (length, notes) = read?;
    if head.authority.is_empty() {
        return Err(Malformed::HostMissing);
    }
    let body = match (length, arrived.is_end) {
        // What follows is no content: it waits for the other protocol.
        (None, _) if head.upgrade.is_connect() => BodyLength::None,
        (Some(_), _) if head.upgrade.is_connect() => return Err(Malformed::ConnectLength),
        // The same: it is the tunnel's (RFC 9113 section 8.5), and the engine would count it.
        (None, _) if head.method == Method::CONNECT => BodyLength::None,
        (Some(_), _) if head.method == Method::CONNECT => return Err(Malformed::ConnectLength),
        // The engine has compared the two.
        (Some(n), _) => BodyLength::Known(n),
        (None, true) => BodyLength::None,
        (None, false) => BodyLength::Unknown,
    };
    Ok(RequestFacts {
        body,
        persists: true,
        notes,
    })
}

fn read_method(head: &mut RequestHead, method: &Method) -> Result<(), Malformed> {
    if !syntax::is_token(method.as_str().as_bytes()) {
        return Err(Malformed::Method);
    }
    head.method.clone_from(method);
    Ok(())
}

fn read_target(head: &mut RequestHead, target: &str) -> Result<(), Malformed> {
    if head.method == Method::CONNECT && target.is_empty() {
        // It names an authority and nothing else; `proxy` refuses the method itself.
        head.set_target("/");
        return Ok(());
    }
    let target = syntax::target(target.as_bytes())?;
    match head.take_path(target)? {
        true => Ok(()),
        false => Err(Malformed::Target),
    }
}

/// Reads all fields; returns the length of the body, if they say one.
fn read_fields(
    head: &mut RequestHead,
    parts: &Parts,
    limits: HeadLimits,
) -> Result<(Option<u64>, Notes), Malformed> {
    let (mut length, mut notes, mut hosts, mut cookie) = (None, Notes::default(), 0, None);
    let mut bytes = head.target.len() + head.authority.len();
    let mut count = 0;
    for (name, value) in &parts.headers {
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        bytes += name.len() + value.len() + FRAMING;
        if bytes > limits.bytes {
            return Err(Malformed::HeadTooLarge);
        }
        // Browsers send each cookie by itself (RFC 9113 section 8.2.3).
        count += usize::from(name != b"cookie" || cookie.is_none());
        if count > limits.fields {
            return Err(Malformed::TooManyFields);
        }
        check(name, value)?;
        match name {
            b"host" => read_host(head, value, &mut hosts)?,
            b"content-length" => read_length(&mut length, value)?,
            b"cookie" => add_cookie(&mut cookie, value),
            _ => add(head, &mut notes, name, value)?,
        }
    }
    if let Some(cookie) = cookie {
        add(head, &mut notes, b"cookie", &cookie)?;
    }
    Ok((length, notes))
}

/// The rules for every field; the engine has seen to some of them.
fn check(name: &[u8], value: &[u8]) -> Result<(), Malformed> {
    if name.len() > syntax::MAX_NAME || name.iter().any(u8::is_ascii_uppercase) {
        return Err(Malformed::FieldName);
    }
    if !syntax::is_value(value) {
        return Err(Malformed::FieldValue);
    }
    // RFC 9113 section 8.2.1.
    if syntax::trim(value).len() != value.len() {
        return Err(Malformed::FieldSpace);
    }
    match name {
        b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => {
            Err(Malformed::ConnectionField)
        }
        b"te" if !value.eq_ignore_ascii_case(b"trailers") => Err(Malformed::ConnectionField),
        _ => Ok(()),
    }
}

/// `host` says the same as `:authority`, or stands in its place.
fn read_host(head: &mut RequestHead, value: &[u8], hosts: &mut u32) -> Result<(), Malformed> {
    *hosts += 1;
    if *hosts > 1 {
        return Err(Malformed::HostRepeated);
    }
    let host = std::str::from_utf8(value).map_err(|_| Malformed::Host)?;
    if head.authority.is_empty() {
        return head.take_authority(host);
    }
    syntax::host_of_authority(host).ok_or(Malformed::Host)?;
    match head.authority.eq_ignore_ascii_case(host) {
        true => Ok(()),
        false => Err(Malformed::HostDiffers),
    }
}

/// Joins cookies. One that is empty is none: a separator before or behind it would be all of it.
fn add_cookie(cookie: &mut Option<Vec<u8>>, value: &[u8]) {
    match cookie {
        Some(_) if value.is_empty() => {}
        None => *cookie = Some(value.to_vec()),
        Some(cookie) if cookie.is_empty() => cookie.extend_from_slice(value),
        Some(cookie) => {
            cookie.extend_from_slice(b"; ");
            cookie.extend_from_slice(value);
        }
    }
}

fn add(
    head: &mut RequestHead,
    notes: &mut Notes,
    name: &[u8],
    value: &[u8],
) -> Result<(), Malformed> {
    let fields = &mut head.fields;
    let draft = fields.draft(name).ok_or(Malformed::FieldName)?;
    match notes.request_field(fields.drafted(draft), value, Version::Http2) {
        Ok(Keep::Yes) => fields.keep(draft, value),
        Ok(Keep::No) => fields.discard(draft),
        Err(reason) => {
            fields.discard(draft);
            return Err(reason);
        }
    }
    Ok(())
}
