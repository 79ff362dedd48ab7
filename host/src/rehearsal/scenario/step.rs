//! One step of a scenario: a request, and what goes with it.

use std::net::IpAddr;

use ipnet::IpNet;

use super::completion::completion;
use super::connection;
use super::expect::{NOT_ASKED, expect};
use super::request::{
    clients, host, method, nanoseconds, request_line, scheme, set_host, target, unix,
};
use super::state::{State, facts};
use super::values;
use super::ways;
use super::{Expect, Step};
use crate::document::{Findings, Node, Section};
use crate::message::RequestHead;
use crate::rehearsal::decisions::{Response, Ways};
use crate::rehearsal::facts::BackendState;
use crate::rehearsal::harness::PoolSetup;
use crate::units::parse_duration;
use crate::upstream::FailedAttempt;

/// Where time begins by default: some time after a proxy was started ...
const START_MONOTONIC: u64 = 1_000_000_000_000;
/// ... and 2026-01-01T00:00:00Z.
const START_UNIX: u64 = 1_767_225_600_000;
/// More runs than anyone waits for.
const MAX_REPEAT: u32 = 10_000_000;

/// More attempts than any request has.
const MAX_ATTEMPTS: u32 = 1_000;
/// The keys of a step about its request.
const OF_A_REQUEST: [&str; 15] = [
    "request",
    "pool",
    "route-pools",
    "policies-may-edit",
    "destination",
    "local-response",
    "pool-queue",
    "facts",
    "response",
    "completion",
    "failed",
    "attempt",
    "random",
    "store",
    "repeat",
];

/// What steps begin with: what stands beside a scenario's steps, or the defaults.
#[derive(Debug, Clone)]
pub(super) struct Base {
    head: RequestHead,
    clients: IpNet,
    pool: u32,
    ways: Ways,
    seed: u64,
    /// Nanoseconds of the monotonic clock when the scenario begins.
    monotonic: u64,
    /// Milliseconds since 1970 then.
    unix: u64,
    /// Instead of how the pools say they are: by pool and backend.
    facts: Vec<(u32, u32, State)>,
    response: Response,
    /// The pool that the response's backend is of.
    response_pool: u32,
    /// How long the client still waits, in nanoseconds.
    left: Option<u64>,
}

impl Default for Base {
    fn default() -> Self {
        let mut head = RequestHead {
            client: IpAddr::from([192, 0, 2, 1]),
            ..RequestHead::default()
        };
        head.set_target("/");
        set_host(&mut head, "example.com");
        Self {
            clients: head.client.into(),
            head,
            pool: 0,
            ways: Ways::default(),
            seed: 0,
            monotonic: START_MONOTONIC,
            unix: START_UNIX,
            facts: Vec::new(),
            response: Response {
                status: 200,
                ..Response::default()
            },
            response_pool: 0,
            left: None,
        }
    }
}

impl Base {
    /// Reads a scenario's defaults for its steps.
    pub(super) fn read(
        mut self,
        section: &mut Section,
        pools: &[PoolSetup],
        findings: &mut Findings,
    ) -> Self {
        if let Some(node) = section.take("request") {
            self.request(node, findings);
        }
        if let Some(node) = section.take("pool") {
            self.pool = node
                .parsed(findings, |name| ways::named(name, pools))
                .map_or(self.pool, |pool| pool.value);
        }
        self.seed = section
            .take("seed")
            .and_then(|n| values::whole(n, findings))
            .unwrap_or(self.seed);
        if let Some(node) = section.take("time") {
            self.time(node, findings);
        }
        let pool = self.pool(pools);
        if let Some(node) = section.take("facts") {
            self.facts.extend(
                facts(node, pool, findings)
                    .into_iter()
                    .map(|(at, state)| (self.pool, at, state)),
            );
        }
        if let Some(node) = section.take("response") {
            self.response(node, pool, findings);
        }
        if let Some(node) = section.take("local-response") {
            self.response(node, pool, findings);
            self.response.is_local = true;
        }
        ways::take(section, pools, &mut self.ways, findings);
        if self.response_pool != self.pool {
            self.response.backend = None;
        }
        self
    }

    /// Reads a step. Keys that it does not set have these defaults.
    pub(super) fn step(
        &self,
        section: &mut Section,
        pools: &[PoolSetup],
        findings: &mut Findings,
    ) -> Step {
        let line = values::line(&section.place);
        let expected = expected(section, findings);
        let base = self.clone().read(section, pools, findings);
        let pool = base.pool(pools);
        let failed = failed(section, pool, findings);
        let attempt = section
            .take("attempt")
            .and_then(|n| n.integer(findings, 1..=MAX_ATTEMPTS));
        let random = random(section, findings);
        let store = section
            .take("store")
            .map(|n| values::stored(n, findings))
            .unwrap_or_default();
        let attempt = attempt.map_or(failed.len() as u32 + 1, |n| n.value);
        let pool_queue = section
            .take("pool-queue")
            .and_then(|n| n.integer(findings, 0..=u32::MAX));
        let completion = section
            .take("completion")
            .and_then(|n| completion(n, (pool, &base.response, attempt), findings));
        let repeat = section
            .take("repeat")
            .and_then(|n| n.integer(findings, 1..=MAX_REPEAT));
        let of = (base.pool, pools);
        let expect = expected.map_or_else(Expect::default, |s| expect(s, of, findings));
        if !expect.share.is_empty() && repeat.is_none() {
            findings.error(
                &section.place,
                "expects shares of one run; write `repeat` and the number of runs",
            );
        }
        Step {
            name: String::new(),
            line,
            attempt,
            failed,
            completion,
            pool_queue: pool_queue.map_or(0, |n| n.value),
            left: base.left,
            states: base.states(pool),
            head: base.head,
            clients: base.clients,
            pool: base.pool,
            ways: base.ways,
            response: base.response,
            random,
            seed: base.seed,
            monotonic: base.monotonic,
            unix: base.unix,
            store,
            repeat: repeat.map_or(1, |n| n.value),
            expect,
        }
    }

    /// The states of the pool's backends, by what the pool says and by the facts.
    fn states(&self, pool: &PoolSetup) -> Vec<BackendState> {
        let mut states = pool.states.clone();
        for (of, backend, said) in &self.facts {
            if let (true, Some(state)) = (*of == self.pool, states.get_mut(*backend as usize)) {
                said.apply(state);
            }
        }
        states
    }

    /// How many facts about backends are set.
    pub(super) fn facts(&self) -> usize {
        self.facts.len()
    }

    fn pool<'a>(&self, pools: &'a [PoolSetup]) -> &'a PoolSetup {
        // There is one at least, and the id was looked up in them.
        &pools[self.pool as usize]
    }

    /// `"GET http://host/path"`, `"GET /path"` or `"/path"`, or a table.
    fn request(&mut self, node: Node, findings: &mut Findings) {
        if !node.is_table() {
            if let Some(line) = node.parsed(findings, request_line) {
                let (method, host, target) = line.value;
                self.head.method = method;
                if let Some(host) = host {
                    set_host(&mut self.head, &host);
                }
                self.head.set_target(&target);
            }
            return;
        }
        let Some(mut section) = node.section(findings) else {
            return;
        };
        if let Some(method) = section
            .take("method")
            .and_then(|n| n.parsed(findings, method))
        {
            self.head.method = method.value;
        }
        if let Some(host) = section.take("host").and_then(|n| n.parsed(findings, host)) {
            set_host(&mut self.head, &host.value);
        }
        if let Some(path) = section
            .take("path")
            .and_then(|n| n.parsed(findings, target))
        {
            self.head.set_target(&path.value);
        }
        if let Some(clients) = section
            .take("client")
            .and_then(|n| n.parsed(findings, clients))
        {
            self.clients = clients.value;
        }
        connection::take(&mut section, &mut self.head, findings);
        if let Some(scheme) = section
            .take("scheme")
            .and_then(|n| n.parsed(findings, scheme))
        {
            self.head.scheme = scheme.value;
        }
        if let Some(left) = section
            .take("time-left")
            .and_then(|n| n.parsed_scalar(findings, parse_duration))
        {
            self.left = Some(nanoseconds(left.value));
        }
        if let Some(node) = section.take("headers") {
            self.head.fields = values::fields(node, findings);
        }
        section.finish(findings);
    }

    /// A duration since the scenario began, or a table of where the clocks are.
    fn time(&mut self, node: Node, findings: &mut Findings) {
        if !node.is_table() {
            if let Some(since) = node.parsed_scalar(findings, parse_duration) {
                self.monotonic = self.monotonic.saturating_add(nanoseconds(since.value));
                self.unix = self
                    .unix
                    .saturating_add(nanoseconds(since.value) / 1_000_000);
            }
            return;
        }
        let Some(mut section) = node.section(findings) else {
            return;
        };
        if let Some(since) = section
            .take("monotonic")
            .and_then(|n| n.parsed_scalar(findings, parse_duration))
        {
            self.monotonic = nanoseconds(since.value);
        }
        if let Some(unix) = section
            .take("unix")
            .and_then(|n| n.parsed_scalar(findings, unix))
        {
            self.unix = unix.value;
        }
        section.finish(findings);
    }

    /// A status, or a table.
    fn response(&mut self, node: Node, pool: &PoolSetup, findings: &mut Findings) {
        let status = |node: Node, findings: &mut Findings| {
            node.integer(findings, 200..=599u16).map(|n| n.value)
        };
        if !node.is_table() {
            self.response.status = status(node, findings).unwrap_or(200);
            return;
        }
        let Some(mut section) = node.section(findings) else {
            return;
        };
        if let Some(status) = section.take("status").and_then(|n| status(n, findings)) {
            self.response.status = status;
        }
        if let Some(node) = section.take("headers") {
            self.response.fields = values::fields(node, findings);
        }
        if let Some((_, found)) = section
            .take("backend")
            .and_then(|n| values::backends(n, pool, findings))
        {
            (self.response.backend, self.response_pool) = (found.first().copied(), self.pool);
        }
        section.finish(findings);
    }
}

/// `expect`. What a step says of its request is an error beside `expect.refused`.
fn expected(section: &mut Section, findings: &mut Findings) -> Option<Section> {
    let expected = section.take("expect")?.section(findings)?;
    if expected.has("refused") {
        let beside = OF_A_REQUEST.into_iter().filter_map(|key| section.take(key));
        beside.for_each(|node| findings.error(&node.place, NOT_ASKED));
    }
    Some(expected)
}

/// The draws that are listed.
fn random(section: &mut Section, findings: &mut Findings) -> Vec<u64> {
    let nodes = section.take("random").map(Node::one_or_many);
    let nodes = nodes.into_iter().flatten();
    nodes
        .filter_map(|node| values::whole(node, findings))
        .collect()
}

/// The attempts that failed before.
fn failed(section: &mut Section, pool: &PoolSetup, findings: &mut Findings) -> Vec<FailedAttempt> {
    let Some(node) = section.take("failed") else {
        return Vec::new();
    };
    let place = node.place.clone();
    let most = MAX_ATTEMPTS as usize;
    let nodes = node.one_or_many().into_iter().take(most + 1);
    let failed: Vec<_> = nodes
        .flat_map(|node| values::failed(node, pool, findings))
        .take(most + 1)
        .collect();
    if failed.len() > most {
        findings.error(
            &place,
            format!("is more than {MAX_ATTEMPTS} attempts; write fewer"),
        );
    }
    failed
}
