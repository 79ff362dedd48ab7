//! How is text written where it would mean something else?

/// Text for HTML, also within a quoted attribute.
pub(super) fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Bytes as one segment of a path: all but the unreserved characters of RFC 3986 are
/// percent-encoded.
pub(super) fn segment(bytes: &[u8]) -> String {
    let mut encoded = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The bytes that a percent-encoded text stands for; `None` where a `%` is not followed by two
/// hexadecimal digits.
pub(super) fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_decodes_to_itself() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decoded(&segment(&all)).unwrap(), all);
        assert_eq!(segment(b"a b/c%.txt"), "a%20b%2Fc%25.txt");
    }

    #[test]
    fn a_broken_escape_is_refused() {
        for text in ["%", "%4", "%zz", "a%+1", "%%41"] {
            assert_eq!(decoded(text), None, "{text}");
        }
    }

    #[test]
    fn html_is_inert() {
        assert_eq!(
            html("<a href='x'>\"&\"</a>"),
            "&lt;a href=&#39;x&#39;&gt;&quot;&amp;&quot;&lt;/a&gt;"
        );
    }
}
