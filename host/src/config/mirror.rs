//! `mirror` of a route: the pool that gets copies of its requests.

use crate::document::{At, Findings, Node, Place, Section};

/// A copy of each request under way is held in memory.
const MOST: u32 = 10_000;
/// The same of each body.
const MOST_BODY: u64 = 16 << 20;

/// Where copies of a route's requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// Index into [`super::Config::pools`].
    pub pool: usize,
    /// `share`, in millionths: which part of the requests is mirrored. Default: all.
    pub millionths: u32,
    /// `at-most`: copies under way to the pool, for each worker. Default 64.
    pub at_most: u32,
    /// `body`: requests with a longer body are not mirrored. Default 64 KiB.
    pub body: usize,
}

/// The same with its name not yet resolved.
#[derive(Debug)]
pub(super) struct MirrorEntry {
    pub pool: At<String>,
    pub mirror: Mirror,
    pub share_place: Option<Place>,
}

impl MirrorEntry {
    /// Reads a name, or a table.
    pub(super) fn read(node: Node, findings: &mut Findings) -> Option<Self> {
        if node.is_string() {
            return Some(Self {
                pool: node.string(findings)?,
                mirror: Mirror::default(),
                share_place: None,
            });
        }
        let example = "{ pool = \"trial\", share = 0.1 }";
        Self::read_table(node.section_such_as(example, findings)?, findings)
    }

    fn read_table(mut section: Section, findings: &mut Findings) -> Option<Self> {
        let default = Mirror::default();
        let place = section.place.clone();
        let pool = section.take("pool");
        if pool.is_none() {
            let message = "has no `pool`; name the section of `[pools]` that gets the copies";
            findings.error(&place, message);
        }
        let pool = pool.and_then(|n| n.string(findings));
        let share = section.take("share");
        let share = share.and_then(|n| n.number(findings, 0.0..=1.0));
        let at_most = section.take("at-most");
        let at_most = at_most.and_then(|n| n.integer(findings, 1..=MOST));
        let body = section.take("body");
        let body = body.and_then(|n| n.size(findings, 0..=MOST_BODY));
        section.finish(findings);
        let millionths = share
            .as_ref()
            .map(|share| (share.value * 1e6).round() as u32);
        Some(Self {
            pool: pool?,
            mirror: Mirror {
                pool: default.pool,
                millionths: millionths.unwrap_or(default.millionths),
                at_most: at_most.map_or(default.at_most, |most| most.value),
                body: body.map_or(default.body, |size| size.value as usize),
            },
            share_place: share.map(|share| share.place),
        })
    }
}

impl Default for Mirror {
    fn default() -> Self {
        Self {
            pool: 0,
            millionths: 1_000_000,
            at_most: 64,
            body: 64 << 10,
        }
    }
}
