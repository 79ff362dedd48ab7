//! What is counted of responses that are compressed on their way.

use super::{Counter, Gauge};

/// One worker's counters of compressed responses.
#[derive(Debug, Default)]
pub struct CompressionShard {
    /// Responses that were compressed, whole or not.
    pub responses: Counter,
    /// Those that are under way now.
    pub active: Gauge,
    /// Bytes of their bodies, as the backends sent them.
    pub bytes_in: Counter,
    /// The same as the clients got them.
    pub bytes_out: Counter,
}
