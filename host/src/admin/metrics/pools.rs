//! The families of pools and of where their endpoints come from.

use std::collections::BTreeMap;
use std::fmt;

use super::Snapshot;
use super::families::{Families, Labels};
use crate::admin::backends::FileStatus;
use crate::admin::pools::{Mirror, Pool};
use crate::admin::report::ShownEndpoint;

/// Pools whose requests have series of their own; those of others are counted together.
const POOLS: usize = 1_000;
/// What the others are called.
const OTHERS: &str = "other";

impl Snapshot {
    pub(super) fn pools(&self, out: &mut Families<'_>) -> fmt::Result {
        out.counter(
            "pool_requests",
            "Requests that have ended, by the pool that took them and the class of their status",
            None,
            self.requests_of_pools(),
        )?;
        let each = |value: fn(&Pool) -> u64| {
            self.limited()
                .map(move |(name, pool)| ([("pool", name.as_str())], value(pool)))
        };
        out.gauge(
            "pool_queue_length",
            "Requests that wait for a connection",
            None,
            each(|p| p.queue_length),
        )?;
        out.counter(
            "pool_waits",
            "Requests that waited for a connection and got it",
            None,
            each(|p| p.waits),
        )?;
        out.counter(
            "pool_refused",
            "Requests that found the queue full or waited too long",
            None,
            each(|p| p.refused),
        )?;
        out.counter(
            "pool_slow_clients",
            "Requests aborted because their client was slow",
            None,
            each(|p| p.slow_clients),
        )
    }

    /// Pools where requests may wait or be copied.
    fn limited(&self) -> impl Iterator<Item = (&String, &Pool)> {
        let pools = self.0.pools.iter();
        pools.filter(|(_, pool)| pool.is_limited)
    }

    /// The first pools by name, and the sum of the rest.
    fn requests_of_pools(&self) -> BTreeMap<Labels<'_, 2>, u64> {
        let mut all = BTreeMap::new();
        for (at, (name, pool)) in self.0.pools.iter().enumerate() {
            let name = if at < POOLS { name.as_str() } else { OTHERS };
            for (class, n) in &pool.requests {
                *all.entry([("pool", name), ("status", *class)]).or_default() += n;
            }
        }
        all
    }

    pub(super) fn topology(&self, out: &mut Families<'_>) -> fmt::Result {
        let all = || {
            let pools = self.0.topology.iter();
            pools.flat_map(|(name, pool)| pool.endpoints.iter().map(move |e| (name.as_str(), e)))
        };
        fn labels<'l>(pool: &'l str, e: &'l ShownEndpoint) -> Labels<'l, 3> {
            let address = e.said.address.as_str();
            [
                ("pool", pool),
                ("backend", address),
                ("source", e.said.source),
            ]
        }
        let weights = all().filter(|(_, e)| e.said.weight != 1);
        out.gauge(
            "endpoint_weight",
            "The weight of a backend in a pool, also while it is drained, where it is not 1",
            None,
            weights.map(|(pool, e)| (labels(pool, e), u64::from(e.said.weight))),
        )?;
        let limits = all().filter_map(|(pool, e)| Some((labels(pool, e), e.said.request_limit?)));
        out.gauge(
            "endpoint_request_limit",
            "How many requests may be under way at a backend, where they are limited",
            None,
            limits.map(|(labels, limit)| (labels, limit as u64)),
        )?;
        let states = all().map(|(pool, e)| {
            let address = e.said.address.as_str();
            let labels = [("pool", pool), ("backend", address), ("state", e.state)];
            (labels, 1)
        });
        out.gauge(
            "endpoint_state",
            "1 for the state that a backend of a pool has; other states have no series",
            None,
            states,
        )?;
        self.files(out)
    }

    /// What pools get as copies of other pools' requests.
    pub(super) fn mirrors(&self, out: &mut Families<'_>) -> fmt::Result {
        let each = |value: fn(&Mirror) -> u64| {
            self.limited()
                .map(move |(name, pool)| ([("pool", name.as_str())], value(&pool.mirror)))
        };
        out.gauge(
            "pool_mirror_under_way",
            "Copies of other pools' requests that are under way",
            None,
            each(|mirror| mirror.under_way),
        )?;
        out.counter(
            "pool_mirror_sent",
            "Copies of other pools' requests",
            None,
            each(|mirror| mirror.sent),
        )?;
        out.counter(
            "pool_mirror_failed",
            "Copies of other pools' requests to which no response came",
            None,
            each(|mirror| mirror.failed),
        )?;
        out.counter(
            "pool_mirror_dropped",
            "Requests that were to be copied for a pool and were not",
            None,
            each(|mirror| mirror.dropped),
        )
    }

    fn files(&self, out: &mut Families<'_>) -> fmt::Result {
        let each = |value: fn(&FileStatus) -> u64| {
            let pools = self.0.topology.iter();
            let files = pools.filter_map(|(name, pool)| Some((name, pool.file.as_ref()?)));
            files.map(move |(name, file)| ([("pool", name.as_str())], value(file)))
        };
        out.counter(
            "pool_file_failures",
            "Changes of a pool's file that could not be used",
            None,
            each(|file| file.failures),
        )?;
        out.gauge(
            "pool_file_refused",
            "Whether a pool's file can't be used as it is now",
            None,
            each(|file| file.refused.is_some().into()),
        )
    }
}
