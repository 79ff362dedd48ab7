//! Cookies in header fields.

/// The value of the first cookie of this name in a `Cookie` field (RFC 6265 section 4.2), without
/// quotes.
pub fn find<'a>(field: &'a [u8], name: &str) -> Option<&'a [u8]> {
    field.split(|&byte| byte == b';').find_map(|pair| {
        let value = pair
            .trim_ascii()
            .strip_prefix(name.as_bytes())?
            .strip_prefix(b"=")?;
        let quoted = value
            .strip_prefix(b"\"")
            .and_then(|value| value.strip_suffix(b"\""));
        Some(quoted.unwrap_or(value))
    })
}

/// Whether this can be a cookie's name: a token (RFC 9110 section 5.6.2), and not so long that it
/// fills the field.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 128 && name.bytes().all(is_token)
}

pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        for (field, expected) in [
            ("", None),
            ("a=1", Some("1")),
            ("b=2; a=1; a=3", Some("1")),
            ("b=2;a=\"1\"", Some("1")),
            ("aa=1; xa=2; A=3; a; x=a=1", None),
            ("a=\"", Some("\"")),
            (";;; ;a=b=c;", Some("b=c")),
        ] {
            assert_eq!(
                find(field.as_bytes(), "a"),
                expected.map(str::as_bytes),
                "{field}"
            );
        }
    }

    #[test]
    fn names_are_tokens() {
        assert!(is_name("waypost_1"));
        for name in ["", "a b", "a=b", "a;b", "\u{e4}", &"a".repeat(129)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
