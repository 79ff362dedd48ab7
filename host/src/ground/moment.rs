//! Moments as the logs write them.

use std::time::{Duration, SystemTime};

/// The present moment less `ago`, as RFC 3339 in UTC.
pub fn stamp(ago: Duration) -> String {
    humantime::format_rfc3339_micros(SystemTime::now() - ago).to_string()
}
