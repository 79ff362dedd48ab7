//! Bytes as hexadecimal digits, two for each.

use std::fmt::Write as _;

/// In lower case.
pub fn hex(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

/// `None` if there is anything but pairs of digits, in either case.
pub fn parse_hex(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let pairs = digits.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| match pair {
        [high, low] => Some((digit(*high)? << 4) | digit(*low)?),
        _ => None,
    });
    bytes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_become_the_bytes_again() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(parse_hex(&hex(&bytes)), Some(bytes));
        assert_eq!(hex(b"\x00\xff"), "00ff");
        assert_eq!(parse_hex("0aF0"), Some(vec![0x0a, 0xf0]));
        for mistake in ["f", "zz", "+1", "\u{e4}"] {
            assert_eq!(parse_hex(mistake), None, "{mistake}");
        }
    }
}
