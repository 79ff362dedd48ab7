//! What is counted of the process itself.

use std::sync::atomic::AtomicU64;

/// Counters of the process itself. Any thread may write them, and only when something goes wrong.
#[derive(Debug, Default)]
pub struct Counters {
    /// Lines of the operational log that were lost.
    pub log_lines_lost: AtomicU64,
    /// Lines of the access log that its thread could not write.
    pub access_log_lines_lost: AtomicU64,
    /// Panics, of whatever thread.
    pub panics: AtomicU64,
}

static COUNTERS: Counters = Counters {
    log_lines_lost: AtomicU64::new(0),
    access_log_lines_lost: AtomicU64::new(0),
    panics: AtomicU64::new(0),
};

/// The counters of this process.
pub fn counters() -> &'static Counters {
    &COUNTERS
}
