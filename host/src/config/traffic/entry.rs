//! What a route says of its traffic, as written.

use std::time::Duration;

use super::super::Timeouts;
use super::super::mirror::MirrorEntry;
use super::super::sections::{MAX_TIMEOUT, duration};
use super::super::timeouts;
use crate::document::{At, Findings, Node, Places, Section};

/// What a route says of its traffic, with its names not yet resolved.
#[derive(Debug, Default)]
pub(in super::super) struct TrafficEntry {
    pub pools: Vec<(At<String>, u32)>,
    pub mirror: Option<MirrorEntry>,
    pub timeouts: TimeoutsEntry,
    pub body_bytes: Option<u64>,
    places: Places,
}

/// What a route says of time-outs; the rest is as `[timeouts]` has it.
#[derive(Debug, Default)]
pub(in super::super) struct TimeoutsEntry {
    connect: Option<Duration>,
    response: Option<Duration>,
    body_read: Option<Duration>,
    send: Option<Duration>,
    tunnel_idle: Option<Duration>,
}

impl TrafficEntry {
    /// All of it to one pool, if there is one.
    pub(in super::super) fn to(pool: Option<At<String>>) -> Self {
        Self {
            pools: pool.map(|name| (name, 1)).into_iter().collect(),
            ..Self::default()
        }
    }

    /// The first of its pools.
    pub(in super::super) fn pool(&self) -> Option<At<String>> {
        self.pools.first().map(|(name, _)| name.clone())
    }

    /// Reads the keys of a route. It needs no pool if it `answers` itself.
    pub(in super::super) fn read(
        section: &mut Section,
        answers: bool,
        findings: &mut Findings,
    ) -> Self {
        let place = section.place.clone();
        let (pool, pools) = (section.take("pool"), section.take("pools"));
        let pools = match (pool, pools) {
            (None, None) if answers => Vec::new(),
            (None, None) => {
                findings.error(
                    &place,
                    "has no `pool`; name the section of `[pools]` that takes these requests, or \
                     write `redirect` or `respond`",
                );
                Vec::new()
            }
            (Some(_), Some(pools)) => {
                let message = "is given beside `pool`; remove one of them, and write all pools in \
                               `pools` if there are several";
                findings.error(&pools.place, message);
                Vec::new()
            }
            (Some(pool), None) => {
                let pool = pool.string(findings);
                pool.map(|name| (name, 1)).into_iter().collect()
            }
            (None, Some(pools)) => weighted(pools, findings),
        };
        let mirror = section.take("mirror");
        let timeouts = section.take("timeouts");
        let timeouts = timeouts.and_then(|n| n.section_such_as("{ response = \"5m\" }", findings));
        let body_bytes = section.take("body-bytes");
        let body_bytes = body_bytes.and_then(|n| n.size(findings, 0..=i64::MAX as u64));
        Self {
            pools,
            mirror: mirror.and_then(|n| MirrorEntry::read(n, findings)),
            places: timeouts.as_ref().map(Section::places).unwrap_or_default(),
            timeouts: timeouts.map_or_else(TimeoutsEntry::default, |section| {
                TimeoutsEntry::read(section, findings)
            }),
            body_bytes: body_bytes.map(|size| size.value),
        }
    }

    /// Says that `timeouts.tunnel-idle` does nothing in a route that allows no upgrade.
    pub(in super::super) fn check_upgrade(
        &self,
        upgrade: Option<&[String]>,
        findings: &mut Findings,
    ) {
        if let (Some(place), Some([])) = (self.places.of("tunnel-idle"), upgrade) {
            findings.warning(
                place,
                "has no effect, because the route allows no `upgrade`",
            );
        }
    }
}

/// Reads names, or tables of name and weight.
fn weighted(node: Node, findings: &mut Findings) -> Vec<(At<String>, u32)> {
    let place = node.place.clone();
    let before = findings.count();
    let nodes = node.list(findings).unwrap_or_default();
    let pools = nodes.into_iter().filter_map(|node| {
        if node.is_string() {
            return Some((node.string(findings)?, 1));
        }
        let mut section = node.section(findings)?;
        let place = section.place.clone();
        let pool = section.take("pool");
        if pool.is_none() {
            let message = "has no `pool`; write for example { pool = \"a\", weight = 9 }";
            findings.error(&place, message);
        }
        let pool = pool.and_then(|n| n.string(findings));
        let weight = section.take("weight");
        let weight = weight.and_then(|n| n.integer(findings, 0..=1_000_000u32));
        section.finish(findings);
        Some((pool?, weight.map_or(1, |weight| weight.value)))
    });
    let pools: Vec<_> = pools.collect();
    // Of what can't be read nothing more is said.
    if findings.count() == before {
        if pools.is_empty() {
            findings.error(&place, "is empty; name at least one section of `[pools]`");
        } else if pools.iter().all(|(_, weight)| *weight == 0) {
            findings.error(&place, "has no pool with a weight; write 1 or more for one");
        }
    }
    pools
}

impl TimeoutsEntry {
    fn read(mut section: Section, findings: &mut Findings) -> Self {
        let least = Duration::from_millis(1);
        let mut read = |key| {
            let node = section.take(key)?;
            duration(node, findings, &(least..=MAX_TIMEOUT))
        };
        let entry = Self {
            connect: read("connect"),
            response: read("response"),
            body_read: read("body-read"),
            send: read("send"),
            tunnel_idle: read("tunnel-idle"),
        };
        timeouts::explain_foreign(&mut section, findings);
        section.finish(findings);
        entry
    }

    /// The time-outs of the route that says this; `None` if it says nothing.
    pub(in super::super) fn over(&self, base: &Timeouts) -> Option<Box<Timeouts>> {
        let own = Timeouts {
            connect: self.connect.unwrap_or(base.connect),
            response: self.response.unwrap_or(base.response),
            body_read: self.body_read.unwrap_or(base.body_read),
            send: self.send.unwrap_or(base.send),
            tunnel_idle: self.tunnel_idle.unwrap_or(base.tunnel_idle),
            ..base.clone()
        };
        (own != *base).then(|| Box::new(own))
    }
}
