//! Numbers and text for the page.

use std::fmt;

/// Text made safe for HTML, in elements and in quoted attributes.
pub(super) struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
            let (before, from) = rest.split_at(at);
            f.write_str(before)?;
            f.write_str(match from.as_bytes()[0] {
                b'&' => "&amp;",
                b'<' => "&lt;",
                b'>' => "&gt;",
                b'"' => "&quot;",
                _ => "&#39;",
            })?;
            rest = &from[1..];
        }
        f.write_str(rest)
    }
}

/// `1234567` as `1,234,567`.
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1536` as `1.5 KiB`.
pub(super) fn bytes(n: u64) -> String {
    let mut value = n as f64;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    if unit == "B" {
        format!("{n} B")
    } else {
        format!("{value:.1} {unit}")
    }
}

/// `1500` as `1.5 µs`.
pub(super) fn nanoseconds(n: u64) -> String {
    match n {
        0..1_000 => format!("{n} ns"),
        1_000..1_000_000 => format!("{:.1} µs", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", n as f64 / 1e6),
        _ => format!("{:.2} s", n as f64 / 1e9),
    }
}

/// `1500` as `1.5 ms`.
pub(super) fn microseconds(n: u64) -> String {
    match n {
        0..1_000 => format!("{n} µs"),
        _ => nanoseconds(n.saturating_mul(1_000)),
    }
}

/// `93784` as `1d 2h 3m 4s`.
pub(super) fn uptime(seconds: u64) -> String {
    let (d, h, m, s) = (
        seconds / 86_400,
        seconds / 3_600 % 24,
        seconds / 60 % 60,
        seconds % 60,
    );
    match seconds {
        0..60 => format!("{s}s"),
        60..3_600 => format!("{m}m {s}s"),
        3_600..86_400 => format!("{h}h {m}m {s}s"),
        _ => format!("{d}d {h}h {m}m {s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_becomes_text() {
        let hostile = r#"<script>alert("a" & 'b')</script>é"#;
        let safe = Escaped(hostile).to_string();
        assert_eq!(
            safe,
            "&lt;script&gt;alert(&quot;a&quot; &amp; &#39;b&#39;)&lt;/script&gt;é"
        );
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [count(0), count(999), count(1_000), count(1_234_567)],
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [bytes(1_023), bytes(1_536), bytes(16 << 20)],
            ["1023 B", "1.5 KiB", "16.0 MiB"]
        );
        assert_eq!(
            [nanoseconds(999), nanoseconds(1_500), nanoseconds(2_000_000)],
            ["999 ns", "1.5 µs", "2.0 ms"]
        );
        assert_eq!(
            [
                microseconds(999),
                microseconds(1_500),
                microseconds(2_500_000)
            ],
            ["999 µs", "1.5 ms", "2.50 s"]
        );
        assert_eq!(
            [uptime(4), uptime(64), uptime(93_784)],
            ["4s", "1m 4s", "1d 2h 3m 4s"]
        );
    }
}
