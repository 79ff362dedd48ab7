//! Connections that are passed on as they are.

use std::sync::Arc;

use serde::Serialize;

use crate::stats::{Layer4Shard, WorkerShard};

/// Connections of TLS and TCP that are passed on as they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Layer4 {
    /// Those that have reached a backend, since counting began.
    pub opened: u64,
    /// Open now.
    pub active: u64,
    /// Closed because no backend was reached, or because a policy refused them.
    pub refused: u64,
    /// Bytes read from their clients.
    pub bytes_from_clients: u64,
    /// Bytes written to their clients.
    pub bytes_to_clients: u64,
}

impl Layer4 {
    pub(super) fn new(workers: &[Arc<WorkerShard>]) -> Self {
        let sum = |value: fn(&Layer4Shard) -> u64| workers.iter().map(|w| value(&w.layer4)).sum();
        Self {
            opened: sum(|s| s.connections.value()),
            active: sum(|s| s.active.value()),
            refused: sum(|s| s.refused.value()),
            bytes_from_clients: sum(|s| s.bytes_from_clients.value()),
            bytes_to_clients: sum(|s| s.bytes_to_clients.value()),
        }
    }
}
