//! `adaptive-requests` of a pool: a limit of requests that follows how long responses take.

use std::time::Duration;

use super::sections::duration;
use crate::document::{Findings, Node};

/// How the limit of requests under way at one backend follows its response times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdaptiveRequests {
    /// `least`: the limit is never lower, and begins there. Default 4.
    pub least: usize,
    /// `most`: it is never higher. Default 1,000.
    pub most: usize,
    /// `interval`: how often it changes at most. Default 100 ms.
    pub interval: Duration,
    /// `tolerance`: how many times the usual response time is not yet a sign of a queue. Default
    /// 1.5.
    pub tolerance: f64,
}

impl Default for AdaptiveRequests {
    fn default() -> Self {
        Self {
            least: 4,
            most: 1_000,
            interval: Duration::from_millis(100),
            tolerance: 1.5,
        }
    }
}

/// `true`, `false` or a table.
pub(super) fn adaptive(node: Node, findings: &mut Findings) -> Option<AdaptiveRequests> {
    let default = AdaptiveRequests::default();
    if node.is_boolean() {
        return node.boolean(findings)?.then_some(default);
    }
    let mut section = node.section(findings)?;
    let mut number = |key| {
        section
            .take(key)
            .and_then(|n| n.integer(findings, 1..=1_000_000u32))
    };
    let (least, most) = (number("least"), number("most"));
    let least = least.map_or(default.least, |n| n.value as usize);
    if let Some(most) = &most
        && (most.value as usize) < least
    {
        let message = format!("is less than `least`, which is {least}; write at least as much");
        findings.error(&most.place, message);
    }
    let most = most.map_or(default.most.max(least), |n| n.value as usize);
    let (from, to) = (Duration::from_millis(10), Duration::from_secs(60));
    let interval = section.take("interval");
    let interval = interval.and_then(|n| duration(n, findings, &(from..=to)));
    let tolerance = section.take("tolerance");
    let tolerance = tolerance.and_then(|n| n.number(findings, 1.0..=100.0));
    section.finish(findings);
    Some(AdaptiveRequests {
        least,
        most,
        interval: interval.unwrap_or(default.interval),
        tolerance: tolerance.map_or(default.tolerance, |n| n.value),
    })
}
