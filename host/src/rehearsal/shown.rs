//! How answers and values are shown to the author of a scenario.

use tracing::Level;

use super::harness::PoolSetup;
use crate::policy::{LogLine, Reply};
use crate::units::hex;

/// Bytes of a value or a body that are shown.
const SHOWN: usize = 200;
/// Lines of a log that are shown.
const SHOWN_LINES: usize = 8;

pub(super) fn shown_lines(lines: &[LogLine]) -> String {
    if lines.is_empty() {
        return "nothing".to_owned();
    }
    let some = lines.iter().take(SHOWN_LINES);
    let some = some.map(|line| {
        format!(
            "{} {}",
            shown_level(line.level),
            shown(line.text.as_bytes())
        )
    });
    let more = lines.len().saturating_sub(SHOWN_LINES);
    let more = (more > 0).then(|| format!("{more} more"));
    some.chain(more).collect::<Vec<_>>().join("; ")
}

pub(super) fn shown_level(level: Level) -> String {
    level.as_str().to_ascii_lowercase()
}

pub(super) fn shown_backend(backend: u32, pool: &PoolSetup) -> String {
    let address = pool
        .backends
        .get(backend as usize)
        .map_or("?", |b| b.address.as_str());
    format!("backend {backend} ({address})")
}

pub(super) fn shown_reply(reply: &Reply) -> String {
    let mut text = reply.status.to_string();
    for (name, value) in &reply.headers {
        text += &format!(", {name}: {}", shown(value));
    }
    if !reply.body.is_empty() {
        text += &format!(", body {}", shown(&reply.body));
    }
    text
}

pub(super) fn shown_values(values: &[&[u8]]) -> String {
    match values {
        [] => "not there".to_owned(),
        values => values
            .iter()
            .map(|value| shown(value))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// In quotes if it is text, else in hexadecimal; cut if it is long.
pub(super) fn shown(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(SHOWN)];
    let more = if cut.len() < bytes.len() {
        format!(" and {} bytes more", bytes.len() - cut.len())
    } else {
        String::new()
    };
    match std::str::from_utf8(cut) {
        Ok(text) => format!("{text:?}{more}"),
        Err(_) => format!("hex {}{more}", hex(cut)),
    }
}
