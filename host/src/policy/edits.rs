//! Which header fields a policy may write.

use super::bindings::waypost::policy::types::HeaderError;
use crate::message::names::{self, Owned, Owner};
use crate::message::{Fields, syntax};

/// The longest name that a policy may write.
const MAX_NAME: usize = 256;
/// The longest value.
const MAX_VALUE: usize = 8 * 1024;
/// How often one call may edit: far above any real policy, and a bound on the work for the host.
const MAX_EDITS: u32 = 64;
/// How many bytes one call may add.
const MAX_EDIT_BYTES: usize = 32 * 1024;

/// What one call has spent of its edits.
#[derive(Debug, Default)]
pub(super) struct EditBudget {
    edits: u32,
    bytes: usize,
}

impl EditBudget {
    /// Counts one edit of this many bytes, if it is still allowed.
    pub(super) fn spend(&mut self, bytes: usize) -> Result<(), HeaderError> {
        if self.edits >= MAX_EDITS || bytes > MAX_EDIT_BYTES - self.bytes {
            return Err(HeaderError::TooMany);
        }
        self.edits += 1;
        self.bytes += bytes;
        Ok(())
    }
}

/// Checks a name that a policy wants to write.
pub(super) fn check_name(name: &[u8]) -> Result<(), HeaderError> {
    if name.len() > MAX_NAME || !syntax::is_token(name) {
        return Err(HeaderError::InvalidName);
    }
    // What no client may say for the host, no policy may say either.
    match names::owned(name) {
        None
        | Some(Owned {
            owner: Owner::Reach,
            look_alike: false,
        }) => Ok(()),
        Some(_) => Err(HeaderError::Forbidden),
    }
}

/// Checks a value that a policy wants to write (RFC 9110 section 5.5).
pub(super) fn check_value(value: &[u8]) -> Result<(), HeaderError> {
    if value.len() > MAX_VALUE || !syntax::is_value(value) {
        return Err(HeaderError::InvalidValue);
    }
    Ok(())
}

/// Whether the message's own `connection` field names this field, which makes it hop-by-hop.
pub(super) fn named_by_connection(fields: &Fields, name: &[u8]) -> bool {
    fields
        .values("connection")
        .flat_map(syntax::list)
        .any(|option| option.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_host_owns_are_forbidden_in_any_case() {
        for name in [
            "Content-Length",
            "transfer-encoding",
            "HOST",
            "te",
            "transfer_encoding",
            "Content_Length",
            "x_forwarded_for",
            "X-Forwarded-For",
            "X-Forwarded-Anything",
            "Forwarded",
            "X-Real-IP",
            "proxy-authorization",
            "Proxy_Connection",
            "Proxy",
            "Proxy-Status",
            "Via",
            "cdn-loop",
            "X-Waypost-Trace",
            "x_waypost_explain",
            "trailer",
        ] {
            assert!(
                matches!(check_name(name.as_bytes()), Err(HeaderError::Forbidden)),
                "{name}"
            );
        }
        for name in [
            "x-te",
            "date",
            "max-forwards",
            "x-tenant",
            "host-id",
            "x_under",
        ] {
            assert!(check_name(name.as_bytes()).is_ok(), "{name}");
        }
    }

    #[test]
    fn names_are_tokens_and_values_have_no_controls() {
        for name in ["", "a b", "a:b", "a\r\nb", "\u{e4}", &"a".repeat(257)] {
            assert!(
                matches!(check_name(name.as_bytes()), Err(HeaderError::InvalidName)),
                "{name:?}"
            );
        }
        for value in [&b"a\r\nx: y"[..], b"a\nb", b"a\0", b"\x7f", &[b'a'; 8193]] {
            assert!(
                matches!(check_value(value), Err(HeaderError::InvalidValue)),
                "{value:?}"
            );
        }
        assert!(check_value(b"tab\tand \xff bytes").is_ok());
        assert!(check_value(b"").is_ok());
    }

    #[test]
    fn the_budget_ends_by_count_and_by_bytes() {
        let mut budget = EditBudget::default();
        assert!((0..64).all(|_| budget.spend(1).is_ok()));
        assert!(budget.spend(0).is_err());
        let mut budget = EditBudget::default();
        assert!(budget.spend(32 * 1024).is_ok());
        assert!(budget.spend(1).is_err());
    }

    #[test]
    fn connection_makes_a_field_hop_by_hop() {
        let mut fields = Fields::new();
        fields.append(b"Connection", b"close, X-Hop");
        assert!(named_by_connection(&fields, b"x-hop"));
        assert!(!named_by_connection(&fields, b"x-other"));
    }
}
