//! Character classes and small grammars of RFC 9110 and RFC 9112, as tables.

use std::net::Ipv6Addr;

/// For each byte: its lower-case form if it may stand in a token (RFC 9110 section 5.6.2), else 0.
pub(super) const TOKEN_LOWER: [u8; 256] = token_table();

/// For each byte: whether it may stand in a field value (RFC 9110 section 5.5): HTAB, SP, visible ASCII, obs-text.
pub(super) const VALUE: [bool; 256] = value_table();

const fn token_table() -> [u8; 256] {
    let mut table = [0; 256];
    let mut b = 0usize;
    while b < 256 {
        let c = b as u8;
        let extra = matches!(
            c,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        );
        if c.is_ascii_alphanumeric() || extra {
            table[b] = c.to_ascii_lowercase();
        }
        b += 1;
    }
    table
}

const fn value_table() -> [bool; 256] {
    let mut table = [false; 256];
    let mut b = 0usize;
    while b < 256 {
        table[b] = b == 0x09 || (b >= 0x20 && b != 0x7f);
        b += 1;
    }
    table
}

/// Whether this is a token (RFC 9110 section 5.6.2).
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|b| TOKEN_LOWER[usize::from(*b)] != 0)
}

/// Whether this may be a field value: no control character but HTAB.
pub fn is_value(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| VALUE[usize::from(*b)])
}

/// Without the white space around it (OWS, RFC 9110 section 5.6.3).
pub fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The members of a comma-separated list (RFC 9110 section 5.6.1), empty ones left out.
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(trim).filter(|m| !m.is_empty())
}

/// `1*DIGIT` that fits 64 bits: a `Content-Length` (RFC 9110 section 8.6). No sign, no space, no list.
pub fn length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |n, b| {
        let digit = b.is_ascii_digit().then(|| u64::from(b - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    })
}

/// Bytes of a host.
const MAX_HOST: usize = 255;
/// Bytes of a port and its colon.
const MAX_PORT: usize = 6;

/// Splits `host[:port]` (RFC 3986 section 3.2) into the host and the length of what the port leaves, if it is sound:
/// a name of unreserved, sub-delim (but no comma) or percent characters, or a bracketed IPv6 address; a port up to 65535, or empty.
/// No host has more than 255 bytes (RFC 1035 section 2.3.4).
pub fn host_of_authority(authority: &str) -> Option<&str> {
    if authority.len() > MAX_HOST + MAX_PORT {
        return None;
    }
    let (host, port) = if authority.starts_with('[') {
        let end = authority.find(']')?;
        authority[1..end].parse::<Ipv6Addr>().ok()?;
        (&authority[..=end], &authority[end + 1..])
    } else {
        let end = authority.find(':').unwrap_or(authority.len());
        let host = &authority[..end];
        if host.is_empty() || host.len() > MAX_HOST || !host.bytes().all(is_reg_name_byte) {
            return None;
        }
        (host, &authority[end..])
    };
    match port.strip_prefix(':') {
        None if port.is_empty() => Some(host),
        Some("") => Some(host),
        Some(digits) if digits.len() <= 5 && digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse::<u16>().ok().map(|_| host)
        }
        _ => None,
    }
}

fn is_reg_name_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(
            b,
            b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'='
        )
}
