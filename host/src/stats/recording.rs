//! The counters of the recording.

use super::Counter;

/// Counters of the thread that writes the recording.
#[derive(Debug, Default)]
pub struct RecordingShard {
    /// Requests written.
    pub recorded: Counter,
    /// Bytes written.
    pub bytes: Counter,
    /// Requests that could not be written. [`super::WorkerShard::records_dropped`] counts those
    /// that the writer never got.
    pub dropped: Counter,
    /// Writes that failed.
    pub errors: Counter,
}
