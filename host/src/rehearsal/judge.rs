//! Compares the expectations of a step with the results.

mod way;

use self::way::way;
use super::decisions::Decisions;
use super::harness::PoolSetup;
use super::host::Host;
use super::scenario::{
    Answer, Expect, ExpectedFault, ExpectedLine, ExpectedLog, Field, Meant, Pick, Step,
};
use super::shown::{shown, shown_backend, shown_level, shown_lines, shown_reply, shown_values};
use crate::message::Fields;
use crate::policy::{Fault, FaultKind, Hook, LogLine, Reply, Selected};

/// One thing that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    /// Its subject.
    pub what: String,
    /// What should have come.
    pub expected: String,
    /// What came.
    pub actual: String,
}

impl Difference {
    pub(super) fn new(
        what: impl Into<String>,
        expected: impl Into<String>,
        actual: impl Into<String>,
    ) -> Self {
        Self {
            what: what.into(),
            expected: expected.into(),
            actual: actual.into(),
        }
    }
}

/// Compares one run of a step with the expectations for each run.
pub(super) fn judge(step: &Step, decisions: &Decisions, pools: &[PoolSetup]) -> Vec<Difference> {
    let mut found = Vec::new();
    let (expect, pool) = (&step.expect, &pools[step.final_pool()]);
    script(step, decisions, &mut found);
    faults(&expect.faults, decisions, &mut found);
    answer(expect, decisions, &mut found);
    if let Some(picks) = &expect.backend
        && !picks.iter().any(|pick| is(decisions, pick))
    {
        let wanted: Vec<String> = picks.iter().map(|pick| shown_pick(pick, pool)).collect();
        found.push(Difference::new(
            "backend",
            wanted.join(" or "),
            selection(decisions, pool),
        ));
    }
    if let Some(range) = &expect.range {
        let actual = match decisions.of(Hook::Range) {
            None => "not asked".to_owned(),
            Some(Ok(verdict)) => verdict.to_string(),
            Some(Err(fault)) => failed(fault),
        };
        if actual != *range {
            found.push(Difference::new("range", range, actual));
        }
    }
    way(step, decisions, pools, &mut found);
    fields(
        "request field",
        &expect.request,
        &decisions.head.fields,
        &mut found,
    );
    fields(
        "response field",
        &expect.response,
        &decisions.response_fields,
        &mut found,
    );
    log("log", &expect.log, &decisions.lines, &mut found);
    found
}

/// Whether the selection came to this.
pub(super) fn is(decisions: &Decisions, pick: &Pick) -> bool {
    match &pick.meant {
        Meant::Backends(backends) => decisions
            .backend()
            .is_some_and(|backend| backends.contains(&backend)),
        Meant::Nobody => matches!(decisions.selection(), Some(Ok(Selected::NoChoice))),
        Meant::Answer => decisions.answer().is_some(),
    }
}

/// Draws that were out of bounds, or not used.
fn script(step: &Step, decisions: &Decisions, found: &mut Vec<Difference>) {
    if let Some(complaint) = &decisions.complaint {
        found.push(Difference::new(
            "random",
            "draws within their bounds",
            complaint,
        ));
    } else if decisions.draws_left > 0 && decisions.faults().next().is_none() {
        let all = step.random.len();
        found.push(Difference::new(
            "random",
            draws(all),
            format!("{} asked for", draws(all - decisions.draws_left)),
        ));
    }
}

fn draws(count: usize) -> String {
    format!("{count} draw{}", if count == 1 { "" } else { "s" })
}

/// Those that are expected and did not come, and those that came and are not expected.
fn faults(expected: &[ExpectedFault], decisions: &Decisions, found: &mut Vec<Difference>) {
    let all: Vec<_> = decisions.faults().collect();
    let shown =
        |(hook, fault): &(Hook, &Fault)| format!("{} in {hook}: {}", fault.kind, fault.message);
    let missing: Vec<String> = expected
        .iter()
        .filter(|expected| !all.iter().any(|fault| is_it(expected, *fault)))
        .map(wanted)
        .collect();
    let mut others = all
        .iter()
        .filter(|fault| !expected.iter().any(|expected| is_it(expected, **fault)))
        .map(shown);
    if !missing.is_empty() {
        let actual: Vec<String> = others.by_ref().collect();
        let actual = if actual.is_empty() {
            "none".to_owned()
        } else {
            actual.join("; ")
        };
        found.push(Difference::new("fault", missing.join(" and "), actual));
    }
    let none = if expected.is_empty() {
        "none"
    } else {
        "none but what is expected"
    };
    found.extend(others.map(|other| Difference::new("fault", none, other)));
}

fn is_it(expected: &ExpectedFault, (hook, fault): (Hook, &Fault)) -> bool {
    kind(fault.kind) == expected.kind
        && expected.hook.is_none_or(|wanted| wanted == hook)
        && expected
            .contains
            .as_ref()
            .is_none_or(|text| fault.message.contains(text))
}

fn wanted(expected: &ExpectedFault) -> String {
    let mut wanted = expected.kind.clone();
    if let Some(hook) = expected.hook {
        wanted += &format!(" in {hook}");
    }
    if let Some(text) = &expected.contains {
        wanted += &format!(" that says {text:?}");
    }
    wanted
}

fn kind(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Trap => "trap",
        FaultKind::Deadline => "deadline",
        FaultKind::Invalid => "invalid",
        FaultKind::Rebuilding
        | FaultKind::Unavailable
        | FaultKind::Suspended
        | FaultKind::Paused => "unavailable",
    }
}

fn answer(expect: &Expect, decisions: &Decisions, found: &mut Vec<Difference>) {
    let may_come = expect
        .backend
        .iter()
        .flatten()
        .chain(expect.share.iter().map(|(pick, ..)| pick));
    match (&expect.answer, decisions.answer()) {
        (None, None) => {}
        (None, Some((hook, reply))) => {
            if !may_come.into_iter().any(|pick| pick.meant == Meant::Answer) {
                found.push(Difference::new(
                    "answer",
                    "none",
                    format!("{} by {hook}", shown_reply(reply)),
                ));
            }
        }
        (Some(wanted), None) => {
            let status = wanted
                .status
                .map_or_else(|| "an answer".to_owned(), |status| status.to_string());
            found.push(Difference::new("answer", status, "none"));
        }
        (Some(wanted), Some((hook, reply))) => {
            compare_reply(wanted, hook, reply, found);
            let given = || {
                let mut fields = Fields::new();
                let headers = reply.headers.iter();
                headers.for_each(|(name, value)| fields.append(name.as_bytes(), value));
                fields
            };
            let answered = decisions.answer_fields.clone().unwrap_or_else(given);
            fields("answer field", &wanted.headers, &answered, found);
        }
    }
}

fn compare_reply(wanted: &Answer, hook: Hook, reply: &Reply, found: &mut Vec<Difference>) {
    if let Some(status) = wanted.status.filter(|status| *status != reply.status) {
        found.push(Difference::new(
            "answer status",
            status.to_string(),
            shown_reply(reply),
        ));
    }
    if let Some(wanted) = wanted.hook.filter(|wanted| *wanted != hook) {
        found.push(Difference::new("answer by", wanted.name(), hook.name()));
    }
    if let Some(body) = wanted.body.as_ref().filter(|body| **body != reply.body) {
        found.push(Difference::new(
            "answer body",
            shown(body),
            shown(&reply.body),
        ));
    }
    if let Some(text) = &wanted.body_contains
        && memchr::memmem::find(&reply.body, text.as_bytes()).is_none()
    {
        found.push(Difference::new(
            "answer body",
            format!("contains {text:?}"),
            shown(&reply.body),
        ));
    }
}

fn fields(what: &str, expected: &[Field], actual: &Fields, found: &mut Vec<Difference>) {
    for field in expected {
        let values: Vec<&[u8]> = actual.values(&field.name).collect();
        if values != field.values {
            let wanted: Vec<&[u8]> = field.values.iter().map(Vec::as_slice).collect();
            found.push(Difference::new(
                format!("{what} {}", field.name),
                shown_values(&wanted),
                shown_values(&values),
            ));
        }
    }
}

/// The first line that did not come where it was expected.
fn log(what: &str, expected: &ExpectedLog, lines: &[LogLine], found: &mut Vec<Difference>) {
    match expected {
        ExpectedLog::Anything => {}
        ExpectedLog::Nothing if lines.is_empty() => {}
        ExpectedLog::Nothing => found.push(Difference::new(what, "nothing", shown_lines(lines))),
        ExpectedLog::Lines(expected) => {
            let mut rest = lines;
            for (at, wanted) in expected.iter().enumerate() {
                if let Some(here) = rest.iter().position(|line| is_line(wanted, line)) {
                    rest = &rest[here + 1..];
                    continue;
                }
                let (after, actual) = match at {
                    0 => ("", shown_lines(lines)),
                    // Before these it may well be.
                    _ => (
                        " after those before it",
                        format!("after those: {}", shown_lines(rest)),
                    ),
                };
                found.push(Difference::new(what, wanted_line(wanted) + after, actual));
                return;
            }
        }
    }
}

fn is_line(expected: &ExpectedLine, line: &LogLine) -> bool {
    expected.level.is_none_or(|level| level == line.level) && line.text.contains(&expected.contains)
}

fn wanted_line(expected: &ExpectedLine) -> String {
    let level = expected.level.map_or_else(
        || "a line".to_owned(),
        |level| format!("a line at {}", shown_level(level)),
    );
    if expected.contains.is_empty() {
        level
    } else {
        format!("{level} that says {:?}", expected.contains)
    }
}

/// Compares the log lines of the setup.
pub(super) fn set_up(step: &Step, host: &Host) -> Vec<Difference> {
    let mut found = Vec::new();
    log(
        "set-up log",
        &step.expect.setup_log,
        host.heard_at_setup(),
        &mut found,
    );
    found
}

/// Compares the counters and the store after all runs.
pub(super) fn left(step: &Step, host: &Host) -> Vec<Difference> {
    let mut found = Vec::new();
    let counters = if step.expect.counters.is_empty() {
        Default::default()
    } else {
        host.counters()
    };
    for (name, wanted) in &step.expect.counters {
        match counters.get(name) {
            Some(actual) if actual == wanted => {}
            Some(actual) => found.push(Difference::new(
                format!("counter {name}"),
                wanted.to_string(),
                actual.to_string(),
            )),
            None => {
                let known: Vec<&str> = counters.keys().map(String::as_str).collect();
                let actual = format!("it defines no such counter, but: {}", known.join(", "));
                found.push(Difference::new(
                    format!("counter {name}"),
                    wanted.to_string(),
                    actual,
                ));
            }
        }
    }
    for (key, wanted) in &step.expect.store.values {
        let actual = host.store().get(key);
        if actual != *wanted {
            let shown = |value: &Option<Vec<u8>>| {
                value
                    .as_ref()
                    .map_or_else(|| "nothing".to_owned(), |v| shown(v))
            };
            found.push(Difference::new(
                format!("store {key:?}"),
                shown(wanted),
                shown(&actual),
            ));
        }
    }
    for (key, wanted) in &step.expect.store.counters {
        let actual = host.store().counter(key).unwrap_or_default();
        if actual != *wanted {
            found.push(Difference::new(
                format!("store counter {key:?}"),
                wanted.to_string(),
                actual.to_string(),
            ));
        }
    }
    found
}

/// The result of the selection.
pub(super) fn selection(decisions: &Decisions, pool: &PoolSetup) -> String {
    match decisions.selection() {
        Some(Ok(Selected::Backend(backend))) => shown_backend(*backend, pool),
        Some(Ok(Selected::NoChoice)) => "none".to_owned(),
        Some(Ok(Selected::Answer(reply))) => shown_reply(reply),
        Some(Err(fault)) => failed(fault),
        None => match decisions.answer() {
            Some((hook, reply)) => format!("not asked: {hook} gave {}", shown_reply(reply)),
            None => "not asked: it exports no `selection`".to_owned(),
        },
    }
}

fn failed(fault: &Fault) -> String {
    format!("failed: {}", fault.message)
}

fn shown_pick(pick: &Pick, pool: &PoolSetup) -> String {
    match &pick.meant {
        Meant::Backends(backends) => match backends.as_slice() {
            [backend] => shown_backend(*backend, pool),
            _ => pick.written.clone(),
        },
        Meant::Nobody | Meant::Answer => pick.written.clone(),
    }
}
