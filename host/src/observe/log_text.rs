//! How facts are written in a line of text.

use std::io::Write as _;
use std::time::SystemTime;

use httpdate::fmt_http_date;

/// With six digits behind the point.
pub(super) fn seconds(to: &mut Vec<u8>, microseconds: u64) {
    let (seconds, rest) = (microseconds / 1_000_000, microseconds % 1_000_000);
    number(to, format_args!("{seconds}.{rest:06}"));
}

pub(super) fn number(to: &mut Vec<u8>, number: std::fmt::Arguments<'_>) {
    // Writing into memory can't fail.
    let _ = to.write_fmt(number);
}

/// As `common` has it: `30/Nov/2026:08:49:37 +0000`.
pub(super) fn common_time(time: SystemTime) -> String {
    let date = fmt_http_date(time);
    let parts: Vec<&str> = date.split(' ').collect();
    match parts[..] {
        [_, day, month, year, time, _] => format!("{day}/{month}/{year}:{time} +0000"),
        _ => date,
    }
}

/// A dash if there is nothing.
pub(super) fn shown(text: &[u8], to: &mut Vec<u8>) {
    match text {
        b"" => to.push(b'-'),
        text => escaped(text, to),
    }
}

/// Quotes, backslashes and whatever is not visible ASCII are written by their bytes.
fn escaped(text: &[u8], to: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b' '..=b'~' if !b"\"\\".contains(&byte) => to.push(byte),
            _ => number(to, format_args!("\\x{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_sends_ends_no_line_and_no_quoted_text() {
        let mut to = Vec::new();
        escaped(b"a \"b\"\\\n\xe9\x7f", &mut to);
        assert_eq!(to, br"a \x22b\x22\x5C\x0A\xE9\x7F");
    }

    #[test]
    fn a_date_is_written_as_in_the_common_format() {
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(784_111_777);
        assert_eq!(common_time(time), "06/Nov/1994:08:49:37 +0000");
    }
}
