//! What an operator writes. Each error says what is wrong and what to write.

use std::time::Duration;

/// "250ms", "1m 30s".
pub fn parse_duration(written: &str) -> Result<Duration, String> {
    humantime::parse_duration(written.trim()).map_err(|_| {
        let text = written.trim();
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            format!("{written:?} has no unit; write for example \"{text}s\" or \"{text}ms\"")
        } else {
            format!(
                "{written:?} is not a duration; write a number and a unit, such as \"250ms\", \
                 \"10s\" or \"1m 30s\""
            )
        }
    })
}

/// "16MiB", "64KiB", "1GiB", "512B" or plain bytes; also "kB", "MB" and "GB" as powers of ten.
pub fn parse_size(written: &str) -> Result<u64, String> {
    let text = written.trim();
    let digits = text
        .bytes()
        .take_while(|b| b.is_ascii_digit() || *b == b'_')
        .count();
    let (number, unit) = text.split_at(digits);
    let factor: Option<u64> = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "kib" | "k" => Some(1 << 10),
        "mib" | "m" => Some(1 << 20),
        "gib" | "g" => Some(1 << 30),
        "kb" => Some(1_000),
        "mb" => Some(1_000_000),
        "gb" => Some(1_000_000_000),
        _ => None,
    };
    let number: Option<u64> = number.replace('_', "").parse().ok();
    number
        .zip(factor)
        .and_then(|(number, factor)| number.checked_mul(factor))
        .ok_or_else(|| {
            format!(
                "{written:?} is not a size; write bytes such as 65536, or \"64KiB\", \"16MiB\", \
             \"1GiB\""
            )
        })
}
