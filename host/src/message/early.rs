//! Fields of interim responses (RFC 9110 section 15.2).

/// Whether a field may stand in an interim response with this status: the fields of early hints
/// (RFC 8297) and of resumable uploads. All others belong in the final response, where policies see
/// them; in an interim one they could change a state of the client.
///
/// Where policies `edit` final responses, only the links of early hints are left.
pub fn may_come_before(status: u16, name: &[u8], edit: bool) -> bool {
    match (status, name) {
        (103, b"link") => true,
        _ if edit => false,
        (
            103,
            b"content-security-policy"
            | b"content-security-policy-report-only"
            | b"referrer-policy",
        ) => true,
        (104, b"location") => true,
        (104, name) => name.starts_with(b"upload-"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_hints_are_made_of_comes_before_a_response() {
        for name in [
            &b"set-cookie"[..],
            b"x-secret",
            b"date",
            b"location",
            b"alt-svc",
            b"clear-site-data",
            b"link2",
        ] {
            for status in [100, 102, 103, 199] {
                assert!(!may_come_before(status, name, false), "{status} {name:?}");
            }
        }
        assert!(
            may_come_before(103, b"link", true)
                && may_come_before(103, b"content-security-policy", false)
        );
        assert!(
            !may_come_before(102, b"link", false)
                && !may_come_before(103, b"content-security-policy", true)
        );
        assert!(
            may_come_before(104, b"location", false)
                && may_come_before(104, b"upload-offset", false)
        );
        assert!(
            !may_come_before(104, b"location", true) && !may_come_before(104, b"set-cookie", false)
        );
    }
}
