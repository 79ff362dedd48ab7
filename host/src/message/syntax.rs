//! Character classes and small grammars of RFC 9110, as tables.

use std::net::Ipv6Addr;

use super::Malformed;

/// For each byte: its lower-case form if it may stand in a token (RFC 9110 section 5.6.2), else 0.
pub const TOKEN_LOWER: [u8; 256] = token_table();

/// For each byte: whether it may stand in a field value (RFC 9110 section 5.5): HTAB, SP, visible
/// ASCII, obs-text.
pub const VALUE: [bool; 256] = value_table();

const fn token_table() -> [u8; 256] {
    let mut table = [0; 256];
    let mut b = 0usize;
    while b < 256 {
        let c = b as u8;
        let extra = matches!(
            c,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
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
    value_end(bytes, 0) == bytes.len()
}

/// A one in each of eight bytes.
const ONES: u64 = u64::MAX / 255;
/// The high bit of each.
const HIGH: u64 = ONES * 0x80;

/// How many of eight bytes, from the first on, are letters, digits or hyphens, of which the names
/// of nearly all fields consist; and the eight, with their letters lowered.
#[inline]
pub fn lower_name(eight: &[u8; 8]) -> (usize, [u8; 8]) {
    let eight = u64::from_le_bytes(*eight);
    // Without the high bit no sum below reaches into the next byte. The high bit of a sum says that
    // a byte is at least so large.
    let low = eight & !HIGH;
    let letter = low | (ONES * 0x20);
    let letters = (letter + ONES * 0x1f) & !(letter + ONES * 0x05);
    let digits = (low + ONES * 0x50) & !(low + ONES * 0x46);
    let others = (low ^ (ONES * 0x2d)) + ONES * 0x7f;
    let named = (letters | digits | !others) & !eight & HIGH;
    let lowered = eight | ((letters & !eight & HIGH) >> 2);
    let count = (!named & HIGH).trailing_zeros() as usize / 8;
    (count, lowered.to_le_bytes())
}

/// Where the bytes that may stand in a field value end, from `at` on. Eight bytes at a time: heads
/// are mostly values.
#[inline]
pub fn value_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(eight) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let eight = u64::from_le_bytes(*eight);
        let delete = eight ^ (ONES * 0x7f);
        // The high bit of each byte below 0x20, and of each DEL. A borrow can mark a byte in error,
        // but only above one that is marked rightly, so the lowest mark is right.
        let controls = eight.wrapping_sub(ONES * 0x20) & !eight;
        let deletes = delete.wrapping_sub(ONES) & !delete;
        let marks = (controls | deletes) & HIGH;
        if marks == 0 {
            at += 8;
            continue;
        }
        at += marks.trailing_zeros() as usize / 8;
        if bytes.get(at) != Some(&b'\t') {
            return at;
        }
        at += 1;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest
        .iter()
        .position(|b| !VALUE[usize::from(*b)])
        .unwrap_or(rest.len())
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
    value
        .split(|b| *b == b',')
        .map(trim)
        .filter(|m| !m.is_empty())
}

/// `1*DIGIT` that fits 64 bits: a `Content-Length` (RFC 9110 section 8.6). No sign, no space, no
/// list.
pub fn length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |n, b| {
        let digit = b.is_ascii_digit().then(|| u64::from(b - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    })
}

/// Bytes of a field name: more than any in use.
pub const MAX_NAME: usize = 256;

/// A request's target as text: visible ASCII only (RFC 3986 section 2), and no fragment, which is
/// never sent (RFC 9112 section 3.2).
pub fn target(bytes: &[u8]) -> Result<&str, Malformed> {
    if bytes.is_empty() || !bytes.iter().all(|b| b.is_ascii_graphic() && *b != b'#') {
        return Err(Malformed::Target);
    }
    std::str::from_utf8(bytes).map_err(|_| Malformed::Target)
}

/// Bytes of a host.
const MAX_HOST: usize = 255;
/// Bytes of a port and its colon.
const MAX_PORT: usize = 6;

/// Splits `host[:port]` (RFC 3986 section 3.2): returns the host and the length without the port,
/// if it is valid: a name of unreserved, sub-delim (but no comma) or percent characters, or a
/// bracketed IPv6 address; a port up to 65535, or empty. No host has more than 255 bytes (RFC 1035
/// section 2.3.4).
pub fn host_of_authority(authority: &str) -> Option<&str> {
    if authority.len() > MAX_HOST + MAX_PORT {
        return None;
    }
    let (host, port) = if authority.starts_with('[') {
        let end = authority.find(']')?;
        authority[1..end].parse::<Ipv6Addr>().ok()?;
        (&authority[..=end], &authority[end + 1..])
    } else {
        // The first byte that a name can't contain ends it, and has to be the port's colon.
        let end = authority
            .bytes()
            .position(|b| !REG_NAME[usize::from(b)])
            .unwrap_or(authority.len());
        let (host, port) = authority.split_at_checked(end)?;
        if host.is_empty() || host.len() > MAX_HOST {
            return None;
        }
        (host, port)
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

/// For each byte: whether it may stand in a host that is a name (RFC 3986 section 3.2.2, without
/// the comma).
const REG_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0usize;
    while b < 256 {
        let c = b as u8;
        table[b] = c.is_ascii_alphanumeric()
            || matches!(
                c,
                b'-' | b'.'
                    | b'_'
                    | b'~'
                    | b'%'
                    | b'!'
                    | b'$'
                    | b'&'
                    | b'\''
                    | b'('
                    | b')'
                    | b'*'
                    | b'+'
                    | b';'
                    | b'='
            );
        b += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_value_ends_at_the_first_byte_that_it_may_not_have() {
        // Every byte at every place of a word and behind it.
        for byte in 0..=u8::MAX {
            for at in 0..20 {
                let mut bytes = [b'a'; 20];
                bytes[at] = byte;
                let end = if byte == b'\t' || (byte >= 0x20 && byte != 0x7f) {
                    20
                } else {
                    at
                };
                assert_eq!(value_end(&bytes, 0), end, "{byte:#x} at {at}");
                assert_eq!(is_value(&bytes), end == 20);
            }
        }
        assert_eq!(value_end(b"", 0), 0);
        assert_eq!(value_end(b"ab", 2), 2);
    }

    #[test]
    fn ordinary_names_are_lowered_and_end_at_the_first_other_byte() {
        for byte in 0..=u8::MAX {
            for (at, others) in (0..8).flat_map(|at| [(at, b'a'), (at, b'Z'), (at, 0xff)]) {
                let mut eight = [others; 8];
                eight[at] = byte;
                let ordinary = |b: &u8| b.is_ascii_alphanumeric() || *b == b'-';
                let count = eight.iter().position(|b| !ordinary(b)).unwrap_or(8);
                let lowered = eight.map(|b| b.to_ascii_lowercase());
                assert_eq!(lower_name(&eight), (count, lowered), "{byte:#x} at {at}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_value_ends_where_looking_at_each_byte_finds_it(
            bytes in prop::collection::vec(prop_oneof![0x1eu8..0x22, 0x7du8..0x82, Just(0), Just(9), Just(0xff)], 0..64),
            from in 0usize..64,
        ) {
            let from = from.min(bytes.len());
            let found = bytes[from..].iter().position(|b| !VALUE[usize::from(*b)]);
            prop_assert_eq!(value_end(&bytes, from), found.map_or(bytes.len(), |at| from + at));
        }
    }

    #[test]
    fn a_host_may_have_a_port_and_nothing_else_behind_it() {
        for (authority, host) in [
            ("a.test", Some("a.test")),
            ("a.test:80", Some("a.test")),
            ("a.test:", Some("a.test")),
            ("a.test:65535", Some("a.test")),
            ("a.test:65536", None),
            ("a.test:8a", None),
            ("a.test:80:80", None),
            ("", None),
            (":80", None),
            ("a,b", None),
            ("a b", None),
            ("a/b", None),
            ("a@b", None),
            ("a\u{e4}b", None),
            ("\u{e4}", None),
            ("~!$&'()*+;=%41_-", Some("~!$&'()*+;=%41_-")),
            ("[::1]:80", Some("[::1]")),
            ("[::1]x", None),
            ("x[::1]", None),
        ] {
            assert_eq!(host_of_authority(authority), host, "{authority:?}");
        }
    }
}
