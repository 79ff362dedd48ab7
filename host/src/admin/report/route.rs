//! The counts of routes.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::stats::{RouteSums, Stats};

/// One route.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CountedRoute {
    /// Requests that took it, or connections that are passed on.
    pub requests: u64,
    /// Those of them whose client got a status from 500 on or only a part of the answer, or that
    /// were not passed on.
    pub errors: u64,
    /// When the last one came, in seconds since 1970; 0 if none has.
    pub last_unix: u64,
}

impl From<RouteSums> for CountedRoute {
    fn from(sums: RouteSums) -> Self {
        Self {
            requests: sums.requests,
            errors: sums.errors,
            last_unix: sums.last.unwrap_or(0),
        }
    }
}

/// Those that are counted, by name.
pub(in crate::admin) fn routes(stats: &Stats) -> BTreeMap<String, CountedRoute> {
    let all = stats.read_routes().into_iter();
    all.map(|(name, sums)| (name, sums.into())).collect()
}
