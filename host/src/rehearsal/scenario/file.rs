//! The file: settings, pools and scenarios.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;

use super::room::{self, Room};
use super::state::State;
use super::step::Base;
use super::values::line;
use super::{Scenario, ScenarioFile, Step};
use crate::config::{
    Isolation, StoreLimits, duration_within, parse_backend, parse_isolation, store_limits,
};
use crate::document::{self, ConfigError, ConfigErrors, Findings, Node, Place, Section};
use crate::policy::BackendSpec;
use crate::rehearsal::RehearsalError;
use crate::rehearsal::facts::BackendState;
use crate::rehearsal::harness::{PoolSetup, Setup};
use crate::rehearsal::source::{self, LARGEST_TEXT};

/// Long, because this is about decisions: a busy machine must not fail a test.
const DEADLINE: Duration = Duration::from_secs(1);
/// The longest that a hook may be given.
const LONGEST: Duration = Duration::from_secs(60);
/// A policy's default memory, as in the proxy's configuration.
const MEMORY: u64 = 16 << 20;

/// More backends than a pool has.
const MAX_BACKENDS: usize = 10_000;

/// Reads a scenario file. All mistakes are reported together, each with its key and line.
pub(in crate::rehearsal) fn read(path: &Path) -> Result<ScenarioFile, RehearsalError> {
    let name = path.display().to_string();
    let bytes = source::read(path, LARGEST_TEXT)?;
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => {
            let line = e.as_bytes()[..e.utf8_error().valid_up_to()]
                .iter()
                .filter(|b| **b == b'\n')
                .count()
                + 1;
            let place = Place::File {
                file: name.into(),
                line,
                column: 1,
                key: String::new(),
            };
            let message = "is not UTF-8; write such bytes as { hex = \"00ff\" }".to_owned();
            return Err(ConfigErrors::from(ConfigError { place, message }).into());
        }
    };
    parse(&name, &text).map_err(RehearsalError::from)
}

/// The same of a text.
pub(in crate::rehearsal) fn parse(name: &str, text: &str) -> Result<ScenarioFile, ConfigErrors> {
    let mut findings = Findings::default();
    let file: Arc<str> = name.into();
    let Some(mut section) = document::parse(&file, text, &mut findings) else {
        return Err(findings.into_errors());
    };
    let setup = setup(&mut section, default_setup(), &mut findings);
    let nodes = section
        .take("scenario")
        .and_then(|node| tables(node, &mut findings));
    if nodes.as_ref().is_none_or(Vec::is_empty) {
        findings.error(
            &section.place,
            "has no scenario; write [[scenario]], a name and what is expected below it",
        );
    }
    let (mut room, mut scenarios) = (Room::default(), Vec::new());
    for node in nodes.unwrap_or_default() {
        let place = node.place.clone();
        scenarios.extend(scenario(node, &setup, &mut room, &mut findings));
        if room.is_spent() {
            findings.error(&place, room::SPENT);
        }
        if findings.are_plenty() || room.is_spent() {
            break;
        }
    }
    section.finish(&mut findings);
    findings.conclude()?;
    Ok(ScenarioFile {
        name: name.to_owned(),
        scenarios,
    })
}

/// By default, four healthy backends.
pub(in crate::rehearsal) fn default_setup() -> Setup {
    let backend = |n: u32| BackendSpec {
        address: format!("10.0.0.{n}:80"),
        weight: 1,
        labels: Vec::new(),
    };
    let pool = PoolSetup {
        name: "web".to_owned(),
        backends: (1..=4).map(backend).collect(),
        states: vec![BackendState::default(); 4],
    };
    Setup {
        settings: Json::Null,
        pools: vec![pool],
        deadline: DEADLINE,
        memory: MEMORY,
        isolation: Isolation::Worker,
        store: StoreLimits::default(),
    }
}

fn scenario(
    node: Node,
    setup: &Setup,
    room: &mut Room,
    findings: &mut Findings,
) -> Option<Scenario> {
    let mut section = node.section(findings)?;
    let (place, line) = (section.place.clone(), line(&section.place));
    if !section.has("name") {
        findings.error(&section.place, "has no `name`; write what it is about");
    }
    let name = name(&mut section, findings).unwrap_or_default();
    let setup = self::setup(&mut section, setup.clone(), findings);
    room.take_setup(&setup);
    let mut steps = steps(&mut section, &setup, room, findings);
    section.finish(findings);
    let setup_script = steps.first().map(Step::setup_script).unwrap_or_default();
    let refused = steps.iter_mut().find_map(|step| step.expect.refused.take());
    match (&refused, steps.as_slice()) {
        (Some(_), [step]) if step.name.is_empty() => steps.clear(),
        (Some(_), _) => findings.error(
            &place,
            "expects a refusal and has steps; a refused policy gets no request",
        ),
        (None, _) => {}
    }
    Some(Scenario {
        name,
        line,
        setup,
        setup_script,
        refused,
        steps,
    })
}

/// The steps of a scenario; where it lists none, it is the one step itself.
fn steps(
    section: &mut Section,
    setup: &Setup,
    room: &mut Room,
    findings: &mut Findings,
) -> Vec<Step> {
    let Some(node) = section.take("step") else {
        let step = Base::default().step(section, &setup.pools, findings);
        room.take_step(&step, 0);
        return vec![step];
    };
    let base = Base::default().read(section, &setup.pools, findings);
    let beside = node.place.clone();
    let nodes = tables(node, findings);
    if nodes.as_ref().is_some_and(Vec::is_empty) {
        findings.error(
            &beside,
            "is empty, so there is nothing to run; write [[scenario.step]] below the scenario",
        );
    }
    let mut steps = Vec::new();
    for (at, node) in (1..).zip(nodes.unwrap_or_default()) {
        let Some(mut section) = node.section(findings) else {
            continue;
        };
        let named = name(&mut section, findings);
        let mut step = base.step(&mut section, &setup.pools, findings);
        step.name = named.unwrap_or_else(|| format!("step {at}"));
        section.finish(findings);
        room.take_step(&step, base.facts());
        steps.push(step);
        if room.is_spent() || findings.are_plenty() {
            break;
        }
    }
    steps
}

fn name(section: &mut Section, findings: &mut Findings) -> Option<String> {
    let node = section.take("name")?;
    node.string(findings).map(|name| name.value)
}

/// `settings`, `policy` and `pools`, which replace the given ones.
fn setup(section: &mut Section, mut setup: Setup, findings: &mut Findings) -> Setup {
    if let Some(node) = section.take("settings") {
        match node.is_table() {
            true => setup.settings = node.json(findings).unwrap_or_default(),
            false => findings.error(
                &node.place,
                "is not a table; write [settings] and its keys below",
            ),
        }
    }
    if let Some(mut section) = section
        .take("policy")
        .and_then(|node| node.section(findings))
    {
        let deadline = section.take("deadline");
        let range = Duration::from_micros(100)..=LONGEST;
        setup.deadline = deadline
            .and_then(|n| duration_within(n, findings, &range))
            .unwrap_or(setup.deadline);
        let memory = section
            .take("memory")
            .and_then(|n| n.size(findings, 64 << 10..=4 << 30));
        setup.memory = memory.map_or(setup.memory, |memory| memory.value);
        let isolation = section
            .take("isolation")
            .and_then(|n| n.parsed(findings, parse_isolation));
        setup.isolation = isolation.map_or(setup.isolation, |isolation| isolation.value);
        if let Some(section) = section
            .take("store")
            .and_then(|node| node.section(findings))
        {
            setup.store = store_limits(section, findings);
        }
        section.finish(findings);
    }
    if let Some(node) = section.take("pools") {
        let place = node.place.clone();
        let nodes = tables(node, findings).unwrap_or_default();
        let pools: Vec<PoolSetup> = nodes
            .into_iter()
            .filter_map(|node| pool(node, findings))
            .collect();
        match pools.is_empty() {
            true => findings.error(&place, "has no pool that can be used"),
            false => setup.pools = pools,
        }
    }
    setup
}

/// One of `[[pools]]`.
fn pool(node: Node, findings: &mut Findings) -> Option<PoolSetup> {
    let mut section = node.section(findings)?;
    let name = name(&mut section, findings);
    let backends = match section.take("backends") {
        Some(node) => {
            let place = node.place.clone();
            let nodes = node.one_or_many();
            if nodes.len() > MAX_BACKENDS {
                findings.error(
                    &place,
                    format!("lists more than {MAX_BACKENDS}; write fewer"),
                );
            }
            nodes
                .into_iter()
                .take(MAX_BACKENDS)
                .filter_map(|node| backend(node, findings))
                .collect()
        }
        None => {
            findings.error(
                &section.place,
                "has no `backends`; write a list of addresses, which may be empty",
            );
            Vec::new()
        }
    };
    section.finish(findings);
    let (backends, states) = backends.into_iter().unzip();
    Some(PoolSetup {
        name: name.unwrap_or_else(|| "web".to_owned()),
        backends,
        states,
    })
}

/// An address, or a table with an address, the operator's attributes and its state.
fn backend(node: Node, findings: &mut Findings) -> Option<(BackendSpec, BackendState)> {
    let mut state = BackendState::default();
    if !node.is_table() {
        let address = node.parsed(findings, parse_backend)?.value;
        return Some((
            BackendSpec {
                address,
                weight: 1,
                labels: Vec::new(),
            },
            state,
        ));
    }
    let mut section = node.section(findings)?;
    if !section.has("address") {
        findings.error(
            &section.place,
            "has no `address`; write for example { address = \"10.0.0.1:80\", weight = 2 }",
        );
    }
    let address = section
        .take("address")
        .and_then(|n| n.parsed(findings, parse_backend));
    let weight = section
        .take("weight")
        .and_then(|n| n.integer(findings, 0..=65_535u32))
        .map_or(1, |n| n.value);
    let labels = section.take_section("labels", findings).into_entries();
    let labels = labels
        .into_iter()
        .filter_map(|(name, n)| Some((name, n.string(findings)?.value)))
        .collect();
    // As the proxy passes it to policies.
    state.healthy = weight > 0;
    State::take(&mut section, findings).apply(&mut state);
    section.finish(findings);
    Some((
        BackendSpec {
            address: address?.value,
            weight,
            labels,
        },
        state,
    ))
}

/// Tables of this name: `[[name]]`.
fn tables(node: Node, findings: &mut Findings) -> Option<Vec<Node>> {
    if node.is_list() {
        return node.list(findings);
    }
    let key = match &node.place {
        Place::File { key, .. } => key.clone(),
        Place::Json { .. } | Place::Environment(_) | Place::Flag(_) | Place::Default(_) => {
            String::new()
        }
    };
    findings.error(
        &node.place,
        format!("is one table; write [[{key}]] with two pairs of brackets, once for each"),
    );
    None
}
