//! Figures and columns as people read them.

use std::fmt::Write as _;

use crate::units;

/// The digits of a digest that distinguish generations.
const SHORT: usize = 12;

/// A share of what was counted; `-` if nothing was.
pub(super) fn percent(part: u64, all: u64) -> String {
    match all {
        0 => "-".to_owned(),
        _ => units::percent(part, all),
    }
}

/// A time that was measured, as `shown` shows it; `-` if none was.
pub(super) fn time(n: u64, shown: fn(u64) -> String) -> String {
    match n {
        0 => "-".to_owned(),
        _ => shown(n),
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

pub(super) fn short(digest: &str) -> &str {
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    hex.get(..SHORT).unwrap_or(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_a_dash() {
        assert_eq!(
            [0, 1_500].map(|n| time(n, units::nanoseconds)),
            ["-", "1.5 us"]
        );
        assert_eq!([percent(1, 8), percent(0, 0)], ["12.50 %", "-"]);
    }
}
