//! Reads the request of a scenario.

use std::net::IpAddr;
use std::time::Duration;

use http::Method;
use ipnet::IpNet;

use crate::config::normalise_host;
use crate::message::{RequestHead, Scheme, syntax};

/// Method, authority if there is one, and target.
pub(super) type RequestLine = (Method, Option<String>, String);

pub(super) fn request_line(written: &str) -> Result<RequestLine, String> {
    let wrong = || {
        format!(
            "{written:?} is not a request; write for example \"GET /path?query\" or \"GET \
             http://host/path\""
        )
    };
    let mut words = written.split_whitespace();
    let (first, second) = (words.next().ok_or_else(wrong)?, words.next());
    if words.next().is_some() {
        return Err(wrong());
    }
    let (verb, url) = match second {
        Some(url) => (method(first)?, url),
        None => (Method::GET, first),
    };
    let Some((_, rest)) = url.split_once("://") else {
        return Ok((verb, None, target(url)?));
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let path = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    };
    Ok((verb, Some(host(authority)?), target(&path)?))
}

pub(super) fn method(written: &str) -> Result<Method, String> {
    Method::from_bytes(written.as_bytes())
        .map_err(|_| format!("{written:?} is not a method; write for example \"GET\""))
}

pub(super) fn host(written: &str) -> Result<String, String> {
    match written.is_empty() || syntax::host_of_authority(written).is_some() {
        true => Ok(written.to_owned()),
        false => Err(format!(
            "{written:?} is not a host; write for example \"example.com\""
        )),
    }
}

pub(super) fn target(written: &str) -> Result<String, String> {
    let sound = written.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    match sound && (written.starts_with('/') || written == "*") {
        true => Ok(written.to_owned()),
        false => Err(format!(
            "{written:?} is not a path; it starts with `/`, and is percent-encoded where necessary"
        )),
    }
}

pub(super) fn clients(written: &str) -> Result<IpNet, String> {
    written
        .parse()
        .or_else(|_| written.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| {
            format!(
                "{written:?} is not a client; write an IP address, or a network whose addresses \
            take turns, such as \"10.0.0.0/8\""
            )
        })
}

pub(super) fn scheme(written: &str) -> Result<Scheme, String> {
    match written {
        "http" => Ok(Scheme::Http),
        "https" => Ok(Scheme::Https),
        _ => Err(format!(
            "{written:?} is not a scheme; write \"http\" or \"https\""
        )),
    }
}

/// Milliseconds since 1970, or a date such as `2026-11-21T10:00:00Z`.
pub(super) fn unix(written: &str) -> Result<u64, String> {
    let date = || {
        humantime::parse_rfc3339_weak(written)
            .ok()?
            .duration_since(std::time::UNIX_EPOCH)
            .ok()
    };
    let parsed = written
        .parse()
        .ok()
        .or_else(|| u64::try_from(date()?.as_millis()).ok());
    parsed.ok_or_else(|| {
        format!(
            "{written:?} is not a time; write for example \"2026-11-21T10:00:00Z\", or \
            milliseconds since 1970"
        )
    })
}

pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Sets the authority, and the host that it contains.
pub(super) fn set_host(head: &mut RequestHead, authority: &str) {
    authority.clone_into(&mut head.authority);
    head.host = normalise_host(authority).map_or_else(String::new, |host| host.into_owned());
}
