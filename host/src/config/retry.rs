//! `retry`, `retry-buffer`, `request-buffering` and `hedge` of a pool or a route.

use std::time::Duration;

use super::doubtful;
use super::retry_policy::{HedgeAfter, RetryBudget, RetryOn, RetryPolicy};
use super::sections::{MAX_TIMEOUT, duration};
use crate::document::{Findings, Node, Places, Section};
use crate::units::parse_duration;

/// A body of this size is held in memory for each request under way.
const MAX_BUFFER: u64 = 64 << 20;
/// What `request-buffering = true` means.
const BUFFERING: usize = 1 << 20;
/// What one section says; the rest is as another one has it.
#[derive(Debug, Default)]
pub(super) struct RetryEntry {
    attempts: Option<u32>,
    on: Option<RetryOn>,
    try_timeout: Option<Duration>,
    back_off: Option<(Duration, Duration)>,
    budget: (Option<u32>, Option<u32>),
    buffer: Option<usize>,
    buffering: Option<usize>,
    hedge: Option<Option<HedgeAfter>>,
    places: Places,
}

impl RetryEntry {
    /// Reads the keys of a pool or a route.
    pub(super) fn read(section: &mut Section, findings: &mut Findings) -> Self {
        let mut entry = Self {
            places: section.places(),
            ..Self::default()
        };
        if let Some(retry) = section
            .take("retry")
            .and_then(|n| n.section_such_as("{ attempts = 3 }", findings))
        {
            entry.retry(retry, findings);
        }
        let buffer = section.take("retry-buffer");
        let buffer = buffer.and_then(|n| n.size(findings, 0..=MAX_BUFFER));
        entry.buffer = buffer.map(|size| size.value as usize);
        let buffering = section.take("request-buffering");
        entry.buffering = buffering.and_then(|n| request_buffering(n, findings));
        entry.hedge = section.take("hedge").and_then(|n| hedge(n, findings));
        entry
    }

    /// `attempts` beside `retry`, as pools have it.
    pub(super) fn attempts_of_pool(&mut self, section: &mut Section, findings: &mut Findings) {
        let Some(node) = section.take("attempts") else {
            return;
        };
        let place = node.place.clone();
        let attempts = attempts(node, findings);
        if self.attempts.is_some() {
            let message = "is given in `retry` as well; remove one of them";
            findings.error(&place, message);
        }
        self.attempts = attempts.or(self.attempts);
    }

    /// Says what is hardly meant in any of the policies that routes have by this, where an answer
    /// may take so long in any case.
    pub(super) fn check(&self, policies: &[(&RetryPolicy, Duration)], findings: &mut Findings) {
        findings.warn_as_all(policies.iter().map(|(policy, response)| {
            let mut findings = Findings::default();
            doubtful::retry(policy, &self.places, *response, &mut findings);
            findings
        }));
    }

    fn retry(&mut self, mut section: Section, findings: &mut Findings) {
        let places = std::mem::take(&mut self.places);
        self.places = places.and(section.places());
        self.attempts = section.take("attempts").and_then(|n| attempts(n, findings));
        self.on = section.take("on").map(|n| conditions(n, findings));
        let least = Duration::from_millis(1);
        self.try_timeout = section
            .take("try-timeout")
            .and_then(|n| duration(n, findings, &(least..=MAX_TIMEOUT)));
        self.back_off = section.take("back-off").and_then(|n| back_off(n, findings));
        if let Some(mut budget) = section.take("budget").and_then(|n| n.section(findings)) {
            let share = budget.take("share");
            let share = share.and_then(|n| n.number(findings, 0.0..=1.0));
            let least = budget.take("least");
            let least = least.and_then(|n| n.integer(findings, 0..=100_000u32));
            budget.finish(findings);
            let thousandths = share.map(|share| (share.value * 1_000.0).round() as u32);
            self.budget = (thousandths, least.map(|least| least.value));
        }
        section.finish(findings);
    }

    /// The policy of what says this, and is as `base` in the rest.
    pub(super) fn over(&self, base: &RetryPolicy) -> RetryPolicy {
        let (thousandths, least) = self.budget;
        let (back_off, back_off_most) =
            self.back_off.unwrap_or((base.back_off, base.back_off_most));
        RetryPolicy {
            attempts: self.attempts.unwrap_or(base.attempts),
            on: self.on.clone().unwrap_or_else(|| base.on.clone()),
            try_timeout: self.try_timeout.or(base.try_timeout),
            back_off,
            back_off_most,
            budget: RetryBudget {
                thousandths: thousandths.unwrap_or(base.budget.thousandths),
                least: least.unwrap_or(base.budget.least),
            },
            buffer: self.buffer.unwrap_or(base.buffer),
            buffering: self.buffering.unwrap_or(base.buffering),
            hedge: self.hedge.unwrap_or(base.hedge),
        }
    }
}

fn attempts(node: Node, findings: &mut Findings) -> Option<u32> {
    node.integer::<u32>(findings, 1..=100).map(|n| n.value)
}

fn conditions(node: Node, findings: &mut Findings) -> RetryOn {
    let mut on = RetryOn::nothing();
    for node in node.one_or_many() {
        if node.is_integer() {
            if let Some(status) = node.integer(findings, 400..=599u16) {
                on.add_status(status.value);
            }
            continue;
        }
        if let Some(written) = node.string(findings) {
            findings.accept(&written.place, condition(&mut on, &written.value));
        }
    }
    on
}

fn condition(on: &mut RetryOn, written: &str) -> Result<(), String> {
    let named = match written {
        "connect" => &mut on.connect,
        "reset" => &mut on.reset,
        "refused" => &mut on.refused,
        "timeout" => &mut on.timeout,
        _ => {
            on.add_code(grpc_code(written)?);
            return Ok(());
        }
    };
    *named = true;
    Ok(())
}

fn grpc_code(written: &str) -> Result<u32, String> {
    Ok(match written {
        "grpc-cancelled" => 1,
        "grpc-deadline-exceeded" => 4,
        "grpc-resource-exhausted" => 8,
        "grpc-aborted" => 10,
        "grpc-internal" => 13,
        "grpc-unavailable" => 14,
        _ => {
            return Err(format!(
                "{written:?} is not known; write \"connect\", \"reset\", \"refused\", \
                 \"timeout\", a status from 400 to 599 without quotes, or a code of gRPC such as \
                 \"grpc-unavailable\""
            ));
        }
    })
}

/// The base, or a table of the base and what doubling it ends at.
fn back_off(node: Node, findings: &mut Findings) -> Option<(Duration, Duration)> {
    let range = Duration::ZERO..=Duration::from_secs(60);
    if !node.is_table() {
        let base = duration(node, findings, &range)?;
        return Some((base, base.saturating_mul(10)));
    }
    let mut section = node.section(findings)?;
    let mut time = |key, findings: &mut Findings| {
        let node = section.take(key)?;
        let place = node.place.clone();
        Some((duration(node, findings, &range)?, place))
    };
    let base = time("base", findings);
    let most = time("most", findings);
    section.finish(findings);
    let base = base.map_or(Duration::from_millis(25), |(base, _)| base);
    let Some((most, place)) = most else {
        return Some((base, base.saturating_mul(10)));
    };
    if most < base {
        findings.error(&place, "is less than `base`; write at least as much");
    }
    Some((base, most))
}

/// `true`, `false` or how much.
fn request_buffering(node: Node, findings: &mut Findings) -> Option<usize> {
    if node.is_boolean() {
        let on = node.boolean(findings)?;
        return Some(if on { BUFFERING } else { 0 });
    }
    let size = node.size(findings, 1..=MAX_BUFFER)?;
    Some(size.value as usize)
}

/// `false`, or a table.
fn hedge(node: Node, findings: &mut Findings) -> Option<Option<HedgeAfter>> {
    let place = node.place.clone();
    if node.is_boolean() {
        if node.boolean(findings)? {
            let message = "needs to know when; write { after = \"p95\" } or { after = \"30ms\" }";
            findings.error(&place, message);
        }
        return Some(None);
    }
    let mut section = node.section(findings)?;
    let after = section.take("after");
    let most = section.take("at-most");
    let most = most.and_then(|n| n.integer(findings, 0..=1u32));
    let none = most.is_some_and(|most| most.value == 0);
    if after.is_none() && !none {
        let message = "has no `after`; write \"p95\", or a time such as \"30ms\"";
        findings.error(&place, message);
    }
    let after = after.and_then(|n| n.parsed_scalar(findings, hedge_after));
    section.finish(findings);
    if none {
        return Some(None);
    }
    Some(Some(after?.value))
}

fn hedge_after(written: &str) -> Result<HedgeAfter, String> {
    if let Some(percentile) = written.strip_prefix('p') {
        return match percentile.parse() {
            Ok(percentile @ 50..=99) => Ok(HedgeAfter::Percentile(percentile)),
            _ => Err(format!(
                "{written:?} is not a percentile; write \"p50\" to \"p99\", or a time such as \
                 \"30ms\""
            )),
        };
    }
    let time = parse_duration(written)?;
    match time >= Duration::from_millis(1) && time <= MAX_TIMEOUT {
        true => Ok(HedgeAfter::Time(time)),
        false => Err(format!("{written:?} is out of range; write 1ms to 24h")),
    }
}
