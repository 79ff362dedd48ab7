//! A pool with what is counted of its endpoints.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Backend;
use super::state::HEALTHY;
use crate::admin::backends::{EndpointStatus, FileStatus, PoolStatus};

/// One pool, as answers and statistics show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownPool {
    /// Its file; left out if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<FileStatus>,
    /// In the order in which policies see them.
    pub endpoints: Vec<ShownEndpoint>,
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownEndpoint {
    /// What was said of it.
    #[serde(flatten)]
    pub said: EndpointStatus,
    /// In a word, such as `healthy`: see `admin::report::state`.
    pub state: &'static str,
    /// Why, unless it is healthy.
    pub reason: Option<String>,
    /// Requests sent, in all pools.
    pub requests: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Requests sent and not yet answered in full.
    pub in_flight: u64,
    /// Connections open, in use or pooled.
    pub connections: u64,
}

impl ShownPool {
    /// The pool with the counts of these backends.
    pub(in crate::admin) fn new(pool: &PoolStatus, counted: &BTreeMap<String, Backend>) -> Self {
        let none = Backend::none();
        let shown = |endpoint: &EndpointStatus| {
            let counted = counted.get(&endpoint.label).unwrap_or(&none);
            ShownEndpoint::new(endpoint, counted)
        };
        Self {
            file: pool.file.clone(),
            endpoints: pool.endpoints.iter().map(shown).collect(),
        }
    }

    /// How many of its endpoints are healthy.
    pub(in crate::admin) fn healthy(&self) -> usize {
        let endpoints = self.endpoints.iter();
        endpoints.filter(|e| e.state == HEALTHY).count()
    }
}

impl ShownEndpoint {
    fn new(said: &EndpointStatus, counted: &Backend) -> Self {
        let (state, reason) = match (said.admin, said.weight) {
            ("up", 0) => ("draining", Some("its weight is 0".to_owned())),
            ("up", _) => {
                let reason = &counted.reason;
                (counted.state, (!reason.is_empty()).then(|| reason.clone()))
            }
            (state, _) => (state, Some("an operator said so".to_owned())),
        };
        Self {
            said: said.clone(),
            state,
            reason,
            requests: counted.requests,
            failures: counted.failures,
            in_flight: counted.in_flight,
            connections: counted.connections,
        }
    }
}
