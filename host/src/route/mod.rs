//! Route: which route takes a request?
//!
//! Exact host, then the longest `*.suffix`, then `*`; within the host, exact paths, then regular
//! expressions in the file's order, then the longest path prefix at a segment border; of routes
//! with the same path those with more conditions first. A host of which no route matches falls
//! through to the next best host. Built by `app` when the configuration is read, asked by `proxy`
//! for each request. Pure: no I/O. Finding a rule allocates nothing; only comparing the readings of
//! an ambiguous path does, and decoding what an expression or a condition of the query looks at.

mod action;
mod candidates;
mod layer4;
mod rewrite;
mod rule;
mod target;
mod values;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use memchr::{memchr_iter, memrchr_iter};
use smallvec::SmallVec;

pub use self::action::{Action, Answer};
use self::candidates::{Asked, Candidate, Facts, OfHost, best, in_order};
use self::layer4::Layer4Table;
pub use self::rewrite::{fill, rewritten};
pub use self::rule::{Handling, Rule};
use self::rule::{Known, edits};
pub use self::target::{RuleMirror, RuleTarget, numbers};
pub use self::values::field_value;
use crate::config::{FixedResponse, HostPattern, Route, RouteAnswer, TcpForward};
use crate::message::RequestHead;
use crate::message::path::{self, PathNotes};
use crate::policy::PolicyId;
use crate::stats::{CountedRoute, RouteSlot};
use crate::upstream::PoolId;

/// All routes, ordered for look-up. The cost of an answer does not grow with the number of hosts.
#[derive(Debug, Default)]
pub struct RouteTable {
    exact: HashMap<Name, OfHost, RandomState>,
    /// By suffix, with its leading dot.
    suffix: HashMap<Name, OfHost, RandomState>,
    /// Labels of the longest suffix.
    suffix_labels: usize,
    any: OfHost,
    /// What becomes of the requests of each route, in the order of the routes.
    actions: Vec<Action>,
    layer4: Layer4Table,
    /// While they are here, the places of their counters are theirs.
    _counted: Vec<Option<Arc<CountedRoute>>>,
}

/// A host or a suffix, which stands in the table itself unless it is long: of ten thousand that are
/// asked for in turns, none is in the processor's caches.
type Name = SmallVec<[u8; 31]>;

/// Bytes of an ambiguous path that expressions look at: they look at all of each of its readings.
const MOST_AMBIGUOUS: usize = 1_024;

/// How far it is sure that every server reads an ambiguous path as one of its route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sureness {
    /// In the form that is meant to be sent.
    AsMeant,
    /// In the normal form.
    NormalForm,
    /// In neither.
    Neither,
}

impl RouteTable {
    /// The rule of the route with this number.
    pub fn of_number(&self, number: u32) -> Option<&Rule> {
        // At this place, or before it if the table lacks a route.
        let up_to = self.actions.iter().take(number as usize + 1);
        let rules = up_to.rev().filter_map(|action| match action {
            Action::Forward(rule) => Some(rule),
            Action::Answer(_) => None,
        });
        let mut rules = rules.skip_while(|rule| rule.number > number);
        rules.next().filter(|rule| rule.number == number)
    }

    /// Orders the routes of a configuration, whose pools and policies have these ids, and which are
    /// counted so.
    pub fn new(
        routes: &[Route],
        pools: &[PoolId],
        policies: &[PolicyId],
        counted: Vec<Option<Arc<CountedRoute>>>,
    ) -> Self {
        let (mut table, mut known) = (Self::default(), Known::default());
        for (number, route) in (0..).zip(routes) {
            let slot = slot(&counted, number);
            // The configuration has no route to a pool or a policy that is not there; without its
            // policies it would serve what they guard.
            let index = table.actions.len();
            let action = match &route.answer {
                None => Handling::new(route, pools, policies).map(|handling| {
                    Action::Forward(Rule::new(number, slot, known.share(handling)))
                }),
                Some(answer) => Some(Action::Answer(Arc::new(Answer {
                    index,
                    number,
                    slot,
                    answer: answer.clone(),
                    edits: edits(route),
                }))),
            };
            let Some(action) = action else { continue };
            table.actions.push(action.clone());
            if let Some(layer4) = &route.layer4 {
                table.layer4.add(route, layer4, index);
                continue;
            }
            let candidate = Candidate::new(route, action);
            let of_host = match &route.host {
                HostPattern::Exact(host) => table.exact.entry(host.as_bytes().into()).or_default(),
                HostPattern::Suffix(suffix) => {
                    table.suffix.entry(suffix.as_bytes().into()).or_default()
                }
                HostPattern::Any => &mut table.any,
            };
            of_host.push(candidate);
        }
        let labels = table
            .suffix
            .keys()
            .map(|suffix| memchr_iter(b'.', suffix).count());
        table.suffix_labels = labels.max().unwrap_or(0);
        let hosts = table.exact.values_mut().chain(table.suffix.values_mut());
        let hosts = hosts.chain([&mut table.any]);
        hosts.for_each(|of_host| in_order(of_host));
        table._counted = counted;
        table
    }

    /// Whether any connection with TLS is passed on by the name that its client asks for.
    pub fn passes_through(&self) -> bool {
        self.layer4.has_names()
    }

    /// The rule by which a connection is passed on whose client asks for this server, in lower
    /// case.
    pub fn passthrough(&self, name: Option<&str>) -> Option<&Rule> {
        self.passed_on(self.layer4.of_name(name)?)
    }

    /// The rule of the connections of a listener.
    pub fn of_listener(&self, tcp: &TcpForward) -> Option<&Rule> {
        self.passed_on(self.layer4.of_listener(tcp)?)
    }

    fn passed_on(&self, index: usize) -> Option<&Rule> {
        match self.actions.get(index)? {
            Action::Forward(rule) => Some(rule),
            Action::Answer(_) => None,
        }
    }

    /// What becomes of a request, whose host and path are in normal form.
    pub fn find(&self, head: &RequestHead) -> Option<&Action> {
        let found = self.locate(&head.host, &Facts::new(head), head.path());
        found.map(|(_, action)| action)
    }

    /// The response that stands at this place of the table.
    pub fn response(&self, index: usize) -> Option<&FixedResponse> {
        match self.actions.get(index)? {
            Action::Answer(answer) => match &answer.answer {
                RouteAnswer::Fixed(response) => Some(response),
                RouteAnswer::Redirect(_) => None,
            },
            Action::Forward(_) => None,
        }
    }

    /// The same for another path.
    fn locate<'t>(
        &'t self,
        host: &str,
        facts: &Facts<'_>,
        path: &str,
    ) -> Option<(&'t Candidate, &'t Action)> {
        let asked = Asked::new(path);
        let best = |of_host: &'t OfHost| best(of_host, facts, &asked);
        // Nearly every request has a host that is named and a path that is one of its.
        let found = self.exact.get(host.as_bytes()).and_then(best);
        let found = found.or_else(|| self.wider(host).find_map(best));
        found.map(|candidate| (candidate, &candidate.action))
    }

    /// In which form a path may be sent, so that every server that may be behind a route would read
    /// it so that it still is the path's route. `sent` is the form that is meant to be sent.
    ///
    /// `/x/..%2Fadmin` is `/admin` to some: if that has another route, neither the one nor the
    /// other can be right.
    ///
    /// An unusual reading may have the route of a path above: `/admin//../x` and `//g/admin` must
    /// not pass that of `/admin`, and `//admin` has it. But then only the normal form is sent: the
    /// route above may be the guard, which `//open/secret` must not pass either.
    pub fn sureness(
        &self,
        action: &Action,
        head: &RequestHead,
        sent: &str,
        notes: PathNotes,
    ) -> Sureness {
        // An expression looks at all of each reading.
        let mut of_hosts = self.by_host(&head.host).flat_map(|of_host| &**of_host);
        if sent.len() > MOST_AMBIGUOUS && of_hosts.any(Candidate::is_expression) {
            return Sureness::Neither;
        }
        let Some(readings) = path::readings(sent, notes) else {
            return Sureness::Neither;
        };
        // The first is the normal form.
        let (mut own, mut sure) = (None, Sureness::AsMeant);
        let (facts, mut seen) = (Facts::remembered(head), HashSet::new());
        for reading in readings {
            let Some(reading) = reading else {
                return Sureness::Neither;
            };
            if !seen.insert((reading.unusual, reading.path.clone())) {
                continue;
            }
            let found = self.locate(&head.host, &facts, &reading.path);
            let is_above = |candidate: &Candidate| own.is_some_and(|own| candidate.is_above(own));
            match found {
                Some((_, other)) if std::ptr::eq(other, action) => {}
                Some((candidate, _)) if reading.unusual && is_above(candidate) => {
                    sure = Sureness::NormalForm;
                }
                None if reading.unusual => sure = Sureness::NormalForm,
                _ => return Sureness::Neither,
            }
            own = own.or(found.map(|(candidate, _)| candidate));
        }
        sure
    }

    /// The candidates for a host, best first.
    fn by_host<'t, 'h>(&'t self, host: &'h str) -> impl Iterator<Item = &'t OfHost> + use<'t, 'h> {
        let exact = self.exact.get(host.as_bytes());
        exact.into_iter().chain(self.wider(host))
    }

    /// Those that aren't for this host alone. A name has as many suffixes as labels, but only those
    /// can be known that have no more labels than the longest that is.
    fn wider<'t, 'h>(&'t self, host: &'h str) -> impl Iterator<Item = &'t OfHost> + use<'t, 'h> {
        let start = memrchr_iter(b'.', host.as_bytes())
            .take(self.suffix_labels)
            .last()
            .unwrap_or(host.len());
        let dots = memchr_iter(b'.', &host.as_bytes()[start..]);
        let suffix = dots.filter_map(move |dot| self.suffix.get(&host.as_bytes()[start + dot..]));
        suffix.chain([&self.any])
    }
}

/// Where the route with this number is counted.
fn slot(counted: &[Option<Arc<CountedRoute>>], number: u32) -> RouteSlot {
    let counted = counted.get(number as usize).and_then(Option::as_ref);
    counted.map_or_else(RouteSlot::default, |route| route.slot())
}

#[cfg(test)]
mod tests;
