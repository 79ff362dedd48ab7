//! Which fields may come after a body.

use super::names;
use super::syntax::TOKEN_LOWER;

/// Whether a field of this name, which is in lower case, may be a trailer. Fields that would change
/// framing, routing, authentication, control or a client's state may not (RFC 9110 section 6.5.1).
pub fn may_trail(name: &[u8]) -> bool {
    debug_assert!(name.iter().all(|b| TOKEN_LOWER[usize::from(*b)] != 0));
    !matches!(
        name,
        b"age"
            | b"authorization"
            | b"cache-control"
            | b"clear-site-data"
            | b"content-encoding"
            | b"content-range"
            | b"content-security-policy"
            | b"content-type"
            | b"cookie"
            | b"date"
            | b"expires"
            | b"location"
            | b"max-forwards"
            | b"range"
            | b"refresh"
            | b"retry-after"
            | b"set-cookie"
            | b"strict-transport-security"
            | b"vary"
            | b"www-authenticate"
    ) && !name.starts_with(b"access-control-")
        && names::owned(name).is_none()
        && !name.starts_with(b"if-")
        && !name.contains(&b'_')
}
