//! Which fields may come after a body.

use super::syntax::{self, TOKEN_LOWER};
use super::{Fields, names};

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

/// Leaves in `trailer` the names of fields that may follow: not of those that may never, nor of
/// those that were edited.
#[cold]
pub fn announce(fields: &mut Fields) {
    if !fields.contains("trailer") {
        return;
    }
    let mut announced = Fields::new();
    for name in fields.values("trailer").flat_map(syntax::list) {
        let name = name.to_ascii_lowercase();
        if syntax::is_token(&name) && may_trail(&name) {
            announced.append(&name, b"");
        }
    }
    fields.edited().keep_out_of(&mut announced);
    fields.remove(b"trailer");
    let names: Vec<&[u8]> = announced.iter().map(|(name, _)| name).collect();
    if !names.is_empty() {
        fields.append(b"trailer", &names.join(&b", "[..]));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends by a panic")]
mod tests {
    use super::*;

    #[test]
    fn fields_that_were_edited_or_may_not_follow_are_not_announced() {
        let announced = |names: &str| {
            let mut fields = Fields::new();
            fields.append(b"trailer", names.as_bytes());
            fields.note_edit(b"x-gone");
            announce(&mut fields);
            let left = fields.first("trailer").map(<[u8]>::to_vec);
            left.map(|left| String::from_utf8(left).unwrap())
        };
        let left = announced("X-Gone, Grpc-Status,content-length,, x-a, a b");
        assert_eq!(left.as_deref(), Some("grpc-status, x-a"));
        assert_eq!(announced("x-gone"), None);
    }
}
