//! Host names: how they are written, and the normal form in which they are compared.

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The longest host name (RFC 1035 section 2.3.4), without its trailing dot.
const MAX_HOST_LEN: usize = 253;

/// A route's host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// This host, normalised (lower case, no port, no trailing dot).
    Exact(String),
    /// `*.example.com`: any host with this ending. Stored with its leading dot: `.example.com`.
    Suffix(String),
    /// `*`: any other host.
    Any,
}

impl HostPattern {
    /// Whether a host in normal form is one of these.
    pub(super) fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == host,
            Self::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
            Self::Any => true,
        }
    }
}

/// The form in which hosts are compared: lower case, without port, trailing dot and surrounding
/// white space.
/// Accepts a name, an IPv4 address or a bracketed IPv6 address, each with or without a port; the
/// port may be empty (RFC 9110 section 4.2.1). Labels consist of letters, digits, `-` and `_`.
/// `None` for anything else. Allocates only if the case changes. The normal form of a normal form
/// is itself.
pub fn normalise_host(host: &str) -> Option<Cow<'_, str>> {
    let host = host.trim_matches([' ', '\t']);
    if host.starts_with('[') {
        let (address, port) = host.split_once(']')?;
        if !(port.is_empty() || port.strip_prefix(':').is_some_and(is_port)) {
            return None;
        }
        let address: Ipv6Addr = address[1..].parse().ok()?;
        let canonical = format!("[{address}]");
        return Some(if host == canonical {
            Cow::Borrowed(host)
        } else {
            Cow::Owned(canonical)
        });
    }
    let name = match host.split_once(':') {
        Some((name, port)) if is_port(port) => name,
        Some(_) => return None,
        None => host,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.len() > MAX_HOST_LEN || !name.split('.').all(is_label) {
        return None;
    }
    Some(if name.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    })
}

/// The port behind a host that was read.
pub(super) fn port_of(written: &str) -> Option<&str> {
    let (before, port) = written.trim().rsplit_once(':')?;
    let is_behind_host = !before.contains(':') || before.ends_with(']');
    (!port.is_empty() && is_port(port) && is_behind_host).then_some(port)
}

/// Reads a host where a port would count, which is refused with what to do about it.
pub(super) fn parse_without_port(written: &str, advice: &str) -> Result<HostPattern, String> {
    let port = written.trim().rsplit_once(':').map(|(_, port)| port);
    match port.is_some_and(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())) {
        true if !written.trim_end().ends_with(']') && !is_bare_ipv6(written) => Err(format!(
            "{written:?} has a port, which is no part of a host here; {advice}"
        )),
        _ => parse_pattern(written),
    }
}

/// Whether it ends in a number, as addresses do (WHATWG URL, "ends in a number checker"), and is
/// none.
pub(super) fn is_number(pattern: &HostPattern) -> bool {
    let HostPattern::Exact(name) = pattern else {
        return false;
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_hex = |digits: &str| digits.bytes().all(|b| b.is_ascii_hexdigit());
    let is_number =
        last.bytes().all(|b| b.is_ascii_digit()) || last.strip_prefix("0x").is_some_and(is_hex);
    is_number && name.parse::<Ipv4Addr>().is_err()
}

fn is_bare_ipv6(written: &str) -> bool {
    written.trim().parse::<Ipv6Addr>().is_ok()
}

/// Reads a route's host: a name, `*.suffix` or `*`.
pub(super) fn parse_pattern(written: &str) -> Result<HostPattern, String> {
    let host = written.trim();
    if host == "*" {
        return Ok(HostPattern::Any);
    }
    if let Some(rest) = host.strip_prefix("*.") {
        return match normalise_host(rest) {
            Some(suffix) if !suffix.starts_with('[') => {
                Ok(HostPattern::Suffix(format!(".{suffix}")))
            }
            _ => Err(format!(
                "{written:?} is not a host pattern; write a name after `*.`, such as \
                 `*.example.com`"
            )),
        };
    }
    if host.contains('*') {
        return Err(format!(
            "{written:?} is not a host pattern; write the star alone (`*`: any other host) or as \
             the first label (`*.example.com`)"
        ));
    }
    if host.starts_with('.') {
        return Err(format!(
            "{written:?} is not a host; to match all hosts with this ending, write \"*{host}\""
        ));
    }
    if host.contains("://") {
        return Err(format!(
            "{written:?} is a URL; write only its host, such as \"www.example.com\""
        ));
    }
    if host.starts_with(['~', '^']) {
        return Err(format!(
            "{written:?} is a regular expression, which hosts can't be; write names, \
             \"*.example.com\" or \"*\""
        ));
    }
    if host.contains([' ', ',']) {
        return Err(format!(
            "{written:?} is not a host; write several as a list in `[[routes]]`, such as \
             host = [\"a.example.com\", \"b.example.com\"], and in `[hosts]` on a line each"
        ));
    }
    if !host.is_ascii() {
        return Err(format!(
            "{written:?} is not ASCII; write the `xn--` form of the name"
        ));
    }
    normalise_host(host)
        .map(|h| HostPattern::Exact(h.into_owned()))
        .ok_or_else(|| {
            format!(
                "{written:?} is not a host; write a name such as \"www.example.com\", \
             \"*.example.com\" or \"*\""
            )
        })
}

impl fmt::Display for HostPattern {
    /// The pattern as the configuration spells it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Suffix(suffix) => write!(f, "*{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}

/// Digits only, and few enough for a port; RFC 9110 allows it to be empty.
fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && (text.is_empty() || text.parse::<u16>().is_ok())
}

/// One label of a host name (RFC 1123 section 2.1), and `_` as it occurs in practice.
pub(super) fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        && !label.starts_with('-')
        && !label.ends_with('-')
}
