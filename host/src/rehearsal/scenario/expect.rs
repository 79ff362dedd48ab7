//! The expectations of a scenario.

use tracing::Level;

use super::values;
use super::ways;
use super::{Answer, Expect, ExpectedFault, ExpectedLine, ExpectedLog, Field, Pick};
use crate::document::{Findings, Node, Section};
use crate::rehearsal::harness::PoolSetup;

/// Selections that may be listed; each may mean a whole pool.
const MAX_PICKS: usize = 1_000;

/// What stands beside `expect.refused`.
pub(super) const NOT_ASKED: &str = "contradicts `expect.refused`: a refused policy gets no \
    request; remove it";

/// `expect`, for a question about one of these pools.
pub(super) fn expect(
    mut section: Section,
    (pool, pools): (u32, &[PoolSetup]),
    findings: &mut Findings,
) -> Expect {
    if let Some(node) = section.take("refused") {
        return refusal(node, section, findings);
    }
    let way = ways::expected(&mut section, pools, findings);
    // Backends are those of the pool that the policy is to choose.
    let pool = &pools[way.pool.flatten().unwrap_or(pool) as usize];
    let expect = Expect {
        refused: None,
        backend: section
            .take("backend")
            .map(|node| picks(node, pool, findings)),
        answer: section
            .take("answer")
            .and_then(|node| answer(node, findings)),
        request: fields(&mut section, "request-headers", findings),
        response: fields(&mut section, "response-headers", findings),
        way,
        range: section
            .take("range")
            .and_then(|n| n.parsed(findings, range))
            .map(|r| r.value),
        counters: counters(&mut section, findings),
        store: section
            .take("store")
            .map(|n| values::stored(n, findings))
            .unwrap_or_default(),
        log: section
            .take("log")
            .map(|n| log(n, findings))
            .unwrap_or_default(),
        setup_log: section
            .take("setup-log")
            .map(|n| log(n, findings))
            .unwrap_or_default(),
        faults: faults(&mut section, findings),
        share: shares(&mut section, pool, findings),
    };
    section.finish(findings);
    expect
}

/// `refused`, beside which nothing else is expected.
fn refusal(node: Node, beside: Section, findings: &mut Findings) -> Expect {
    let expect = Expect {
        refused: node.string(findings).map(|text| text.value),
        ..Expect::default()
    };
    for (_, node) in beside.into_entries() {
        findings.error(&node.place, NOT_ASKED);
    }
    expect
}

/// One selection, or a list of those that are all right.
fn picks(node: Node, pool: &PoolSetup, findings: &mut Findings) -> Vec<Pick> {
    let place = node.place.clone();
    let picks = node.one_or_many();
    if picks.len() > MAX_PICKS {
        findings.error(
            &place,
            format!("lists more than {MAX_PICKS}; write labels, or leave it out"),
        );
    }
    picks
        .into_iter()
        .take(MAX_PICKS)
        .filter_map(|node| values::pick(node, pool, findings))
        .collect()
}

fn fields(section: &mut Section, key: &'static str, findings: &mut Findings) -> Vec<Field> {
    section
        .take(key)
        .map(|n| values::expected_fields(n, findings))
        .unwrap_or_default()
}

fn counters(section: &mut Section, findings: &mut Findings) -> Vec<(String, u64)> {
    section
        .take_section("counters", findings)
        .into_entries()
        .into_iter()
        .filter_map(|(name, node)| Some((name, values::whole(node, findings)?)))
        .collect()
}

fn faults(section: &mut Section, findings: &mut Findings) -> Vec<ExpectedFault> {
    section
        .take("fault")
        .map(Node::one_or_many)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|node| fault(node, findings))
        .collect()
}

/// By selection, the least and the greatest share of all runs.
fn shares(
    section: &mut Section,
    pool: &PoolSetup,
    findings: &mut Findings,
) -> Vec<(Pick, f64, f64)> {
    let shares = section.take_section("share", findings);
    let (place, shares) = (shares.place.clone(), shares.into_entries());
    if shares.len() > MAX_PICKS {
        findings.error(
            &place,
            format!("expects more than {MAX_PICKS} shares; write labels, or leave it out"),
        );
    }
    let share = |(name, node): (String, Node)| {
        let place = node.place.clone();
        let pick = findings.accept(&place, values::pick_named(&name, pool));
        let (pick, (least, most)) = pick.zip(bounds(node, findings))?;
        Some((pick, least, most))
    };
    shares
        .into_iter()
        .take(MAX_PICKS)
        .filter_map(share)
        .collect()
}

/// A status, or a table of the parts to check.
fn answer(node: Node, findings: &mut Findings) -> Option<Answer> {
    let status =
        |node: Node, findings: &mut Findings| node.integer(findings, 200..=599u16).map(|n| n.value);
    if !node.is_table() {
        return Some(Answer {
            status: Some(status(node, findings)?),
            ..Answer::default()
        });
    }
    let mut section = node.section(findings)?;
    let answer = Answer {
        status: section.take("status").and_then(|n| status(n, findings)),
        headers: section
            .take("headers")
            .map(|n| values::expected_fields(n, findings))
            .unwrap_or_default(),
        body: section
            .take("body")
            .and_then(|n| values::bytes(n, findings)),
        body_contains: section
            .take("body-contains")
            .and_then(|n| n.string(findings))
            .map(|t| t.value),
        hook: section
            .take("hook")
            .and_then(|n| n.parsed(findings, str::parse))
            .map(|h| h.value),
    };
    section.finish(findings);
    Some(answer)
}

/// As a verdict reads: `bytes=0-99,-5`, in any spacing.
fn range(written: &str) -> Result<String, String> {
    let compact: String = written
        .chars()
        .filter(|c| !c.is_ascii_whitespace())
        .collect();
    let spec = |spec: &str| match spec.split_once('-') {
        Some((first, last)) => {
            let number = |text: &str| text.is_empty() || text.parse::<u64>().is_ok();
            number(first) && number(last) && spec.len() > 1
        }
        None => false,
    };
    let ranges = compact
        .strip_prefix("bytes=")
        .is_some_and(|specs| specs.split(',').all(spec));
    match ranges || matches!(compact.as_str(), "untouched" | "ignore") {
        true => Ok(compact),
        false => Err(format!(
            "{written:?} is not a verdict; write \"untouched\", \"ignore\" or \"bytes=0-99\""
        )),
    }
}

/// `false`, or lines: part of the text, or `{ level = "warn", contains = "no backend" }`.
fn log(node: Node, findings: &mut Findings) -> ExpectedLog {
    if node.is_boolean() {
        let place = node.place.clone();
        if node.boolean(findings) == Some(true) {
            findings.error(
                &place,
                "does not say which lines; write parts of them, or `false` if no lines are \
                 expected",
            );
        }
        return ExpectedLog::Nothing;
    }
    let place = node.place.clone();
    let nodes = node.one_or_many();
    if nodes.is_empty() {
        findings.error(&place, "is empty; write `false` if no lines are expected");
    }
    ExpectedLog::Lines(
        nodes
            .into_iter()
            .filter_map(|node| log_line(node, findings))
            .collect(),
    )
}

fn log_line(node: Node, findings: &mut Findings) -> Option<ExpectedLine> {
    if !node.is_table() {
        return Some(ExpectedLine {
            level: None,
            contains: node.string(findings)?.value,
        });
    }
    let mut section = node.section(findings)?;
    if !section.has("level") && !section.has("contains") {
        findings.error(
            &section.place,
            "has neither `level` nor `contains`; write one or both",
        );
    }
    let level = section
        .take("level")
        .and_then(|n| n.parsed(findings, level))
        .map(|l| l.value);
    let contains = section
        .take("contains")
        .and_then(|n| n.string(findings))
        .map(|t| t.value)
        .unwrap_or_default();
    section.finish(findings);
    Some(ExpectedLine { level, contains })
}

fn level(written: &str) -> Result<Level, String> {
    match written {
        "debug" => Ok(Level::DEBUG),
        "info" => Ok(Level::INFO),
        "warn" => Ok(Level::WARN),
        "error" => Ok(Level::ERROR),
        _ => Err(format!(
            "{written:?} is not a level; write \"debug\", \"info\", \"warn\" or \"error\""
        )),
    }
}

/// A kind, or `{ kind = "trap", hook = "selection", contains = "unreachable" }`.
fn fault(node: Node, findings: &mut Findings) -> Option<ExpectedFault> {
    if !node.is_table() {
        let kind = node.parsed(findings, kind)?.value;
        return Some(ExpectedFault {
            kind,
            hook: None,
            contains: None,
        });
    }
    let mut section = node.section(findings)?;
    if !section.has("kind") {
        findings.error(
            &section.place,
            "has no `kind`; write \"trap\", \"deadline\", \"invalid\" or \"unavailable\"",
        );
    }
    let wanted = section.take("kind").and_then(|n| n.parsed(findings, kind));
    let hook = section
        .take("hook")
        .and_then(|n| n.parsed(findings, str::parse))
        .map(|h| h.value);
    let contains = section
        .take("contains")
        .and_then(|n| n.string(findings))
        .map(|t| t.value);
    section.finish(findings);
    Some(ExpectedFault {
        kind: wanted?.value,
        hook,
        contains,
    })
}

fn kind(written: &str) -> Result<String, String> {
    match written {
        "trap" | "deadline" | "invalid" | "unavailable" => Ok(written.to_owned()),
        _ => Err(format!(
            "{written:?} is not a kind of fault; write \"trap\", \"deadline\", \"invalid\" or \
             \"unavailable\""
        )),
    }
}

/// `[0.2, 0.3]`
fn bounds(node: Node, findings: &mut Findings) -> Option<(f64, f64)> {
    let place = node.place.clone();
    let numbers: Option<Vec<f64>> = node
        .list(findings)?
        .into_iter()
        .map(|n| n.number(findings, 0.0..=1.0).map(|n| n.value))
        .collect();
    match numbers?.as_slice() {
        [least, most] if least <= most => Some((*least, *most)),
        _ => {
            findings.error(
                &place,
                "is not a range of shares; write the least and the most, such as [0.2, 0.3]",
            );
            None
        }
    }
}
