//! The report on the process itself.

use std::sync::atomic::Ordering::Relaxed;

use serde::Serialize;

use crate::ground;

/// Failures in the process that no request shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Process {
    /// Lines of the operational log that standard error did not accept.
    pub log_lines_lost: u64,
    /// Panics of any thread; each is a bug of the proxy.
    pub panics: u64,
    /// The last panic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_panic: Option<String>,
}

impl Process {
    /// The counters' present values.
    pub fn new() -> Self {
        let counters = ground::counters();
        Self {
            log_lines_lost: counters.log_lines_lost.load(Relaxed),
            panics: counters.panics.load(Relaxed),
            last_panic: ground::last_panic(),
        }
    }

    /// Lines of the access log that could not be written.
    pub fn access_log_lines_lost() -> u64 {
        ground::counters().access_log_lines_lost.load(Relaxed)
    }
}
