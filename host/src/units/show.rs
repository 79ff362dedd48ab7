//! What a person reads: the same number, time or size looks the same everywhere.

use std::fmt::Display;
use std::time::Duration;

/// `1234567` as `1,234,567`.
pub fn number(n: u64) -> String {
    grouped(&n.to_string())
}

/// A number and its noun: `1 error`, `2 errors`, `1,234 requests`.
pub fn counted<N: Copy + Display + PartialEq + From<u8>>(n: N, noun: &str) -> String {
    let plural = if n == N::from(1) { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(&n.to_string()))
}

fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `33.33 %`, rounded down: only all is `100 %`.
pub fn percent(part: u64, all: u64) -> String {
    if part == all {
        return "100 %".to_owned();
    }
    let hundredths = (u128::from(part) * 10_000)
        .checked_div(u128::from(all))
        .unwrap_or(10_000);
    format!("{}.{:02} %", hundredths / 100, hundredths % 100)
}

/// `1536` as `1.5 KiB`, `2048` as `2 KiB`.
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    let tenths = (value * 10.0).round() / 10.0;
    format!("{tenths} {unit}")
}

/// `1500` as `1.5 us`.
pub fn nanoseconds(n: u64) -> String {
    match n {
        0..1_000 => format!("{n} ns"),
        1_000..1_000_000 => format!("{:.1} us", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", n as f64 / 1e6),
        _ => format!("{:.1} s", n as f64 / 1e9),
    }
}

/// `1500` as `1.5 ms`.
pub fn microseconds(n: u64) -> String {
    match n {
        0..1_000 => format!("{n} us"),
        _ => nanoseconds(n.saturating_mul(1_000)),
    }
}

/// To the second: `1d 2h 3m 4s`, `10m`, `0s`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let shown: Vec<String> = parts
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, unit)| format!("{n}{unit}"))
        .collect();
    match shown.is_empty() {
        true => "0s".to_owned(),
        false => shown.join(" "),
    }
}

/// To the nanosecond, as [`parse_duration`](super::parse_duration) reads it: `1m 30s`, `250ms`.
pub fn exact_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_one_is_singular() {
        assert_eq!(
            [0, 12, 999, 1_000, 1_234_567].map(number),
            ["0", "12", "999", "1,000", "1,234,567"]
        );
        assert_eq!(counted(1_u64, "error"), "1 error");
        assert_eq!(counted(0_usize, "error"), "0 errors");
        assert_eq!(counted(1_234_u64, "request"), "1,234 requests");
    }

    #[test]
    fn a_hundred_percent_is_all() {
        assert_eq!(percent(999_999, 1_000_000), "99.99 %");
        assert_eq!(
            [(5, 5), (0, 0), (0, 3), (1, 3)].map(|(part, all)| percent(part, all)),
            ["100 %", "100 %", "0.00 %", "33.33 %"]
        );
        assert_eq!(percent(u64::MAX - 1, u64::MAX), "99.99 %");
    }

    #[test]
    fn sizes_have_a_unit_that_fits() {
        assert_eq!(
            [0, 1_023, 1_536, 2_048, 16 << 20, (5 << 30) + (1 << 29)].map(size),
            ["0 B", "1023 B", "1.5 KiB", "2 KiB", "16 MiB", "5.5 GiB"]
        );
    }

    #[test]
    fn times_have_a_unit_that_fits() {
        assert_eq!(
            [0, 999, 1_500, 2_000_000, 3_000_000_000].map(nanoseconds),
            ["0 ns", "999 ns", "1.5 us", "2.0 ms", "3.0 s"]
        );
        assert_eq!(
            [999, 1_500, 2_500_000].map(microseconds),
            ["999 us", "1.5 ms", "2.5 s"]
        );
    }

    #[test]
    fn durations_leave_out_what_is_zero() {
        assert_eq!(
            [0, 4, 60, 64, 3_600, 93_784].map(|s| duration(Duration::from_secs(s))),
            ["0s", "4s", "1m", "1m 4s", "1h", "1d 2h 3m 4s"]
        );
    }
}
