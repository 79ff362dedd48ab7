//! How is text written where it would mean something else?

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// All but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

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
    percent_encode(bytes, RESERVED).to_string()
}

/// The bytes that a percent-encoded text stands for; `None` where a `%` is not followed by two
/// hexadecimal digits.
pub(super) fn decoded(text: &str) -> Option<Vec<u8>> {
    let broken = text.split('%').skip(1).any(|after| {
        let digits = after.as_bytes().get(..2);
        !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    (!broken).then(|| percent_decode_str(text).collect())
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
