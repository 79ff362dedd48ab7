//! `retry`, `retry-buffer`, `request-buffering` and `hedge` of a pool or a route: when a request is
//! sent again, and what of it is kept for that.

use std::time::Duration;

use super::sections::{MAX_TIMEOUT, duration};
use crate::document::{Findings, Node, Section};
use crate::units::parse_duration;

/// A body of this size is held in memory for each request under way.
const MAX_BUFFER: u64 = 64 << 20;
/// What `request-buffering = true` means.
const BUFFERING: usize = 1 << 20;
/// A status is one bit of so many from 400 on.
const STATUSES: u16 = 200;

/// When a request is sent again, to whom, and what of it is kept for that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// `attempts`: how often a request is sent in all. Default 5.
    pub attempts: u32,
    /// `on`: which failures lead to another attempt.
    pub on: RetryOn,
    /// `try-timeout`: how long one attempt may take until its response head; `None` = as
    /// `[timeouts]` says.
    pub try_timeout: Option<Duration>,
    /// `back-off`: the longest pause before the second attempt at the same backend; doubled with
    /// each. Default 25 ms.
    pub back_off: Duration,
    /// What doubling ends at. Default ten times `back_off`.
    pub back_off_most: Duration,
    /// `budget`: how many attempts that repeat work may be under way.
    pub budget: RetryBudget,
    /// `retry-buffer`: how many bytes of a body are kept. Default 64 KiB.
    pub buffer: usize,
    /// `request-buffering`: how much of a body is read before a backend is chosen; 0 = none.
    pub buffering: usize,
    /// `hedge`: when a second backend is asked beside the first; `None` = never.
    pub hedge: Option<HedgeAfter>,
}

/// The failures after which another attempt is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryOn {
    /// No connection: refused, unreachable, or not in time.
    pub connect: bool,
    /// The connection or stream ended before the answer.
    pub reset: bool,
    /// The backend said that it did not process the request.
    pub refused: bool,
    /// No answer in time.
    pub timeout: bool,
    /// Statuses from 400 to 599, one bit each.
    statuses: [u64; STATUSES as usize / 64 + 1],
    /// Codes of gRPC, one bit each.
    grpc: u32,
}

/// How many attempts that repeat work one worker may have under way for one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryBudget {
    /// `share` of the requests under way, in thousandths. Default 200.
    pub thousandths: u32,
    /// `least`: so many at once may be in any case. Default 3.
    pub least: u32,
}

/// When a second backend is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HedgeAfter {
    /// After so long without a response head.
    Time(Duration),
    /// After the time in which this percentage of the pool's responses began.
    Percentile(u8),
}

impl RetryPolicy {
    /// Which status leads to another attempt.
    #[inline]
    pub fn repeats_status(&self, status: u16) -> bool {
        status >= 400 && self.on.has_status(status)
    }

    /// Which code of gRPC does.
    pub fn repeats_grpc(&self, code: &[u8]) -> bool {
        let code = std::str::from_utf8(code).ok();
        let code = code.and_then(|code| code.parse::<u32>().ok());
        code.is_some_and(|code| code < 32 && self.on.grpc >> code & 1 == 1)
    }

    /// Whether any code of gRPC does.
    #[inline]
    pub fn looks_at_grpc(&self) -> bool {
        self.on.grpc != 0
    }

    /// How many bytes of a body may be held.
    pub fn most_held(&self) -> usize {
        self.buffer.max(self.buffering)
    }
}

impl RetryOn {
    fn nothing() -> Self {
        Self {
            connect: false,
            reset: false,
            refused: false,
            timeout: false,
            statuses: Default::default(),
            grpc: 0,
        }
    }

    fn has_status(&self, status: u16) -> bool {
        let at = usize::from(status.wrapping_sub(400));
        let bits = self.statuses.get(at / 64);
        bits.is_some_and(|bits| bits >> (at % 64) & 1 == 1)
    }

    fn add_status(&mut self, status: u16) {
        let at = usize::from(status - 400);
        self.statuses[at / 64] |= 1 << (at % 64);
    }
}

impl Default for RetryOn {
    /// What repeats no work, or only work that the method allows to be done twice. A 502 or a 504
    /// is the answer of a proxy behind this one, which has tried others itself.
    fn default() -> Self {
        let mut on = Self {
            connect: true,
            reset: true,
            refused: true,
            timeout: true,
            ..Self::nothing()
        };
        on.add_status(503);
        on
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 5,
            on: RetryOn::default(),
            try_timeout: None,
            back_off: Duration::from_millis(25),
            back_off_most: Duration::from_millis(250),
            budget: RetryBudget {
                thousandths: 200,
                least: 3,
            },
            buffer: 64 * 1024,
            buffering: 0,
            hedge: None,
        }
    }
}

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
}

impl RetryEntry {
    /// Reads the keys of a pool or a route.
    pub(super) fn read(section: &mut Section, findings: &mut Findings) -> Self {
        let mut entry = Self::default();
        if let Some(retry) = section.take("retry").and_then(|n| n.section(findings)) {
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

    fn retry(&mut self, mut section: Section, findings: &mut Findings) {
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
    let code = match written {
        "connect" => return Ok(on.connect = true),
        "reset" => return Ok(on.reset = true),
        "refused" => return Ok(on.refused = true),
        "timeout" => return Ok(on.timeout = true),
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
    };
    on.grpc |= 1 << code;
    Ok(())
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
    if after.is_none() {
        let message = "has no `after`; write \"p95\", or a time such as \"30ms\"";
        findings.error(&place, message);
    }
    let after = after.and_then(|n| n.parsed_scalar(findings, hedge_after));
    let most = section.take("at-most");
    let most = most.and_then(|n| n.integer(findings, 0..=1u32));
    section.finish(findings);
    let after = after?.value;
    Some((most.is_none_or(|most| most.value > 0)).then_some(after))
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
