//! What is counted of the recording.

use super::Counter;

/// Counters of the thread that writes the recording.
#[derive(Debug, Default)]
pub struct RecordingShard {
    /// Requests written.
    pub recorded: Counter,
    /// Bytes written.
    pub bytes: Counter,
    /// Requests that could not be written; those that were never handed over are in
    /// [`super::WorkerShard::records_dropped`].
    pub dropped: Counter,
    /// Writes that failed.
    pub errors: Counter,
}
