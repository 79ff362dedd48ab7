//! Times as text.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serializer;

pub(super) fn rfc3339_of<S: Serializer>(
    time: &SystemTime,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&timestamp(*time))
}

pub(super) fn rfc3339<S: Serializer>(
    time: &Option<SystemTime>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.serialize_str(&timestamp(*time)),
        None => serializer.serialize_none(),
    }
}

/// RFC 3339 in UTC, to the second.
pub(super) fn timestamp(time: SystemTime) -> String {
    let mut text = String::new();
    // Formatting fails for clocks beyond the year 9999.
    if write!(
        text,
        "{}",
        humantime::format_rfc3339_seconds(time.max(UNIX_EPOCH))
    )
    .is_err()
    {
        return "unknown".to_owned();
    }
    text
}
