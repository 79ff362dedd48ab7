//! The cookie: found in the request (RFC 6265 section 4.2), and written in the response (section 4.1).

use crate::choice::Token;

/// The value of the first cookie of this name in the request's `Cookie` field; a client sends one field at most.
pub fn find<'a>(field: &'a [u8], name: &str) -> Option<&'a [u8]> {
    field.split(|&byte| byte == b';').find_map(|pair| {
        let pair = pair.trim_ascii();
        let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        Some(quoted.unwrap_or(value))
    })
}

/// What stands in `Set-Cookie` behind the name and the token; `attributes` begin with `; ` or are empty.
pub fn write(name: &str, token: &Token, attributes: &str) -> Vec<u8> {
    [name.as_bytes(), b"=", token, attributes.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(field: &str, name: &str) -> Option<String> {
        find(field.as_bytes(), name).map(|value| String::from_utf8(value.to_vec()).unwrap())
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        assert_eq!(found("", "a"), None);
        assert_eq!(found("a=1", "a").as_deref(), Some("1"));
        assert_eq!(found("b=2; a=1; a=3", "a").as_deref(), Some("1"));
        assert_eq!(found("b=2;a=1", "a").as_deref(), Some("1"));
        assert_eq!(found("b=2; a=\"1\"", "a").as_deref(), Some("1"));
        assert_eq!(found("aa=1; xa=2; A=3; a", "a"), None);
        assert_eq!(found("x=a=1", "a"), None);
        assert_eq!(found("a=", "a").as_deref(), Some(""));
        assert_eq!(found("a=\"", "a").as_deref(), Some("\""));
        assert_eq!(found(";;; ;a=b=c;", "a").as_deref(), Some("b=c"));
    }

    #[test]
    fn it_is_written_with_its_attributes() {
        let written = write("waypost", b"0123456789abcdef", "; Path=/; HttpOnly");
        assert_eq!(written, b"waypost=0123456789abcdef; Path=/; HttpOnly");
    }
}
