//! The report on the forward proxy.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::stats::{Counter, ForwardRefused, ForwardShard, WorkerShard};

/// What the forward proxy has done.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Forward {
    /// Requests, refused ones included.
    pub requests: u64,
    /// Tunnels that were opened.
    pub tunnels: u64,
    /// Those of them that are open now.
    pub tunnels_active: u64,
    /// Bytes that tunnels which have ended carried from their clients.
    pub tunnel_bytes_from_clients: u64,
    /// The same to their clients.
    pub tunnel_bytes_to_clients: u64,
    /// Bytes of the bodies of requests with a whole URL that were passed on.
    pub request_bytes_from_clients: u64,
    /// The same of their responses.
    pub request_bytes_to_clients: u64,
    /// Requests that were not served, by reason.
    pub refused: BTreeMap<&'static str, u64>,
}

impl Forward {
    pub(super) fn new(workers: &[Arc<WorkerShard>]) -> Self {
        let shards = || workers.iter().map(|worker| &worker.forward);
        let sum = |counter: fn(&ForwardShard) -> &Counter| -> u64 {
            shards().map(|shard| counter(shard).value()).sum()
        };
        let refused = |reason| shards().map(|s| s.refused(reason).value()).sum();
        Self {
            requests: sum(|s| &s.requests),
            tunnels: sum(|s| &s.tunnels),
            tunnels_active: shards().map(|s| s.tunnels_active.value()).sum(),
            tunnel_bytes_from_clients: sum(|s| &s.tunnel_bytes_from_clients),
            tunnel_bytes_to_clients: sum(|s| &s.tunnel_bytes_to_clients),
            request_bytes_from_clients: sum(|s| &s.request_bytes_from_clients),
            request_bytes_to_clients: sum(|s| &s.request_bytes_to_clients),
            refused: ForwardRefused::ALL
                .map(|reason| (reason.as_str(), refused(reason)))
                .into(),
        }
    }
}
