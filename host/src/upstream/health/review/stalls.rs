//! Endpoints that take requests and answer none of them.

use std::collections::HashSet;
use std::time::Duration;

use super::super::marks::Marks;
use super::super::shared::milliseconds;
use super::Review;
use super::seen::Seen;
use crate::upstream::{EndpointId, PoolTopology, Topology};

/// How many times longer than usual a wait is that seems to be a stall.
const LONGER: u64 = 8;
/// A request that waits alone says less than several: it may be one that takes long.
const ALONE: u64 = 5;
/// Requests that were given up because another endpoint was quicker say less again: whether it
/// answered a moment later can't be seen any more.
const GIVEN_UP: u64 = 3;
/// How long a stalled endpoint is left alone before a request may try it, in milliseconds, and how
/// long that grows to. Where requests are given up it costs nobody anything.
const INVITES_AFTER: u64 = 5_000;
const INVITES_SOON: u64 = 250;
const INVITES_SELDOM: u64 = 60_000;

impl Review {
    /// Marks the endpoints that are stalled. Where more than half of a pool is, none is better than
    /// another.
    pub(super) fn note_stalls(&mut self, topology: &Topology, now: u64) {
        let mut found: HashSet<EndpointId> = HashSet::new();
        for pool in topology.pools.iter().filter(|pool| pool.has_choice()) {
            found.extend(self.stalled(pool, now));
        }
        for pool in topology.pools.iter().filter(|pool| pool.has_choice()) {
            let ids: HashSet<EndpointId> = pool.taking().map(|e| e.id).collect();
            let stalled = ids.iter().filter(|id| found.contains(id)).count();
            if stalled * 2 > ids.len() {
                found.retain(|id| !ids.contains(id));
            }
        }
        for (id, seen) in &mut self.endpoints {
            seen.note_stall(found.contains(id), now);
        }
    }

    fn stalled(&self, pool: &PoolTopology, now: u64) -> Vec<EndpointId> {
        let least = milliseconds(pool.health.ejection.stalled_after);
        if least == 0 {
            return Vec::new();
        }
        let seen = || {
            pool.taking()
                .filter_map(|e| Some((e.id, self.endpoints.get(&e.id)?)))
        };
        // One that has never answered is measured by the others.
        let usual = seen().map(|(_, seen)| seen.latency()).max().unwrap_or(0);
        let stalled = seen().filter(|(_, seen)| seen.is_stalled(least, usual, now));
        stalled.map(|(id, _)| id).collect()
    }
}

impl Seen {
    fn is_stalled(&self, least: u64, usual: u64, now: u64) -> bool {
        let Some(since) = self.waits_since else {
            return false;
        };
        let latency = match self.latency() {
            0 => usual,
            latency => latency,
        };
        let usual = latency.div_ceil(1_000).saturating_mul(LONGER);
        let patience = match self.waiting.saturating_sub(self.given_up) {
            0 if self.given_up < GIVEN_UP => return false,
            1.. if self.suspect => least.max(usual) / 2,
            0 | 1 => least.max(usual).saturating_mul(ALONE),
            _ => least.max(usual),
        };
        now.saturating_sub(since) >= patience
    }

    fn note_stall(&mut self, stalled: bool, now: u64) {
        let shared = &self.health.shared;
        let was = shared.marks().has(Marks::STALLED);
        if stalled && !was {
            let (waiting, since) = (self.waiting, self.waits_since.unwrap_or(now));
            shared.change(Marks::STALLED, Marks::NONE, || {
                let waits = Duration::from_millis(now.saturating_sub(since));
                let requests = match waiting {
                    1 => "a request waits".to_owned(),
                    n => format!("{n} requests wait"),
                };
                format!("{requests}, and it has answered none for {waits:?}")
            });
            self.suspect = true;
            let after = match self.waiting > self.given_up {
                true => INVITES_AFTER,
                false => INVITES_SOON,
            };
            self.invites = Some((now + after, after));
        } else if was && !stalled {
            shared.change(Marks::NONE, Marks::STALLED.and(Marks::INVITES), String::new);
            self.invites = None;
        } else if let Some((at, wait)) = self.invites.filter(|(at, _)| now >= *at) {
            let wait = (wait * 2).min(INVITES_SELDOM);
            self.invites = Some((at + wait, wait));
            shared.change(Marks::INVITES, Marks::NONE, String::new);
        }
    }
}

impl PoolTopology {
    /// Whether requests can go to one endpoint rather than to another.
    pub(super) fn has_choice(&self) -> bool {
        self.taking().nth(1).is_some()
    }
}
