//! The cookie as it is written in the response (RFC 6265 section 4.1).

use crate::choice::Token;

/// What stands in `Set-Cookie` behind the name and the token; `attributes` begin with `; ` or are
/// empty.
pub fn write(name: &str, token: &Token, attributes: &str) -> Vec<u8> {
    [name.as_bytes(), b"=", token, attributes.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_with_its_attributes() {
        let written = write("waypost", b"0123456789abcdef", "; Path=/; HttpOnly");
        assert_eq!(written, b"waypost=0123456789abcdef; Path=/; HttpOnly");
    }
}
