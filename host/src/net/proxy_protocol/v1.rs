//! Version 1: a line of text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Announced, HeaderError, announced};

pub(super) const BEGINNING: &[u8] = b"PROXY ";
/// The longest line, its end included.
const LONGEST: usize = 107;

pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Announced, usize)>, HeaderError> {
    let within = &bytes[..bytes.len().min(LONGEST)];
    let Some(end) = within.iter().position(|b| *b == b'\r') else {
        return match bytes.len() < LONGEST {
            true => Ok(None),
            false => Err(HeaderError::TooLong),
        };
    };
    let line = bytes.get(BEGINNING.len()..end).ok_or(HeaderError::Line)?;
    let announced = text(line).ok_or(HeaderError::Line)?;
    match within.get(end + 1) {
        Some(b'\n') => Ok(Some((announced, end + 2))),
        Some(_) => Err(HeaderError::Line),
        None if within.len() == LONGEST => Err(HeaderError::TooLong),
        None => Ok(None),
    }
}

/// What follows `PROXY `.
fn text(line: &[u8]) -> Option<Announced> {
    let line = std::str::from_utf8(line).ok()?;
    // Whatever follows it has to be skipped.
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return Some(Announced::Nothing);
    }
    let mut parts = line.split(' ');
    let read = match parts.next()? {
        "TCP4" => |text: &str| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => |text: &str| text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => return None,
    };
    let (source, destination) = (read(parts.next()?)?, read(parts.next()?)?);
    let (from, to) = (port(parts.next()?)?, port(parts.next()?)?);
    let ends = parts.next().is_none();
    ends.then(|| {
        announced(
            SocketAddr::new(source, from),
            SocketAddr::new(destination, to),
        )
    })
}

/// Decimal digits without a sign and without leading zeros.
fn port(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    let leads = text.len() > 1 && text.starts_with('0');
    text.parse().ok().filter(|_| is_number && !leads)
}
