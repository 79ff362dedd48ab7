//! Numbers, times and columns as people read them.

use std::fmt::Write as _;
use std::time::Duration;

/// The digits of a digest that distinguish generations.
const SHORT: usize = 12;
/// `1 request`, `1,234 requests`
pub(super) fn counted(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", number(n), if n == 1 { "" } else { "s" })
}

/// `1,234,567`
pub(super) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub(super) fn percent(part: u64, all: u64) -> String {
    match all {
        0 => "-".to_owned(),
        _ => format!("{:.1} %", part as f64 * 100.0 / all as f64),
    }
}

pub(super) fn bytes(n: u64) -> String {
    match n {
        0..1024 => counted(n, "byte"),
        1024..1_048_576 => format!("{} KiB", n / 1024),
        _ => format!("{} MiB", n >> 20),
    }
}

pub(super) fn time(nanoseconds: u64) -> String {
    match nanoseconds {
        0 => "-".to_owned(),
        1..1_000 => format!("{nanoseconds} ns"),
        1_000..1_000_000 => format!("{:.1} us", nanoseconds as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", nanoseconds as f64 / 1e6),
        _ => format!("{:.1} s", nanoseconds as f64 / 1e9),
    }
}

/// Rows in columns as wide as their widest cell, with numbers aligned right.
pub(super) fn columns(rows: &[Vec<String>], indent: &str) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|r| r.get(column))
            .map(|c| c.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..count)
        .map(|column| width(column).unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = indent.to_owned();
        for (cell, width) in row.iter().zip(&widths) {
            match cell.starts_with(|c: char| c.is_ascii_digit()) && cell.len() < 11 {
                true => _ = write!(line, "{cell:>width$}  "),
                false => _ = write!(line, "{cell:<width$}  "),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A duration for people, to the second.
pub(super) fn duration(duration: Duration) -> String {
    humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
}

pub(super) fn short(digest: &str) -> &str {
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    hex.get(..SHORT).unwrap_or(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_read_well() {
        assert_eq!(
            [0, 12, 123, 1234, 1_234_567].map(number),
            ["0", "12", "123", "1,234", "1,234,567"]
        );
        assert_eq!(
            [0, 1, 1500, 2_500_000, 3_000_000_000].map(time),
            ["-", "1 ns", "1.5 us", "2.5 ms", "3.0 s"]
        );
        assert_eq!(
            [1, 2048, 16 << 20].map(bytes),
            ["1 byte", "2 KiB", "16 MiB"]
        );
        assert_eq!(
            (percent(1, 8), percent(0, 0)),
            ("12.5 %".to_owned(), "-".to_owned())
        );
    }
}
