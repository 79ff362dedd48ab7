//! The spans of a request: its attempts while it is served, and all of it when it has ended.

use std::rc::Rc;
use std::time::Instant;

use rand::Rng;

use super::context::{RequestContext, Target, settled};
use super::end::ExchangeEnd;
use super::exchange::{Attempted, Exchange};
use super::marks::Marks;
use super::run::Awaited;
use super::tries::Race;
use crate::decision::RequestPolicyState;
use crate::message::trace_context::{TRACEPARENT, TRACESTATE};
use crate::message::{RequestHead, TraceContext};
use crate::observe::Outcome;
use crate::observe::spans::{AttemptNote, RequestTrace, SpanNotes, clipped, unix_nanoseconds};
use crate::stats::Exemplar;
use crate::upstream::{AttemptOutcome, RequestFailure, Verdict, WorkerEndpoint};

/// Of a `tracestate` this much is exported; what is longer is only passed on.
const STATE: usize = 512;
/// Longer than all that are registered.
const METHOD: usize = 32;

/// An attempt at this endpoint begins, before which the request was sent this often. If its span is
/// noted, it is what the backend continues.
#[inline]
pub(super) fn begin(
    context: RequestContext<'_>,
    head: &mut RequestHead,
    to: (&Rc<WorkerEndpoint>, u32),
) -> Option<usize> {
    if head.trace.is_none() && !context.state.keeps_spans() {
        return None;
    }
    begin_noted(context, head, to)
}

#[cold]
fn begin_noted(
    context: RequestContext<'_>,
    head: &mut RequestHead,
    (endpoint, resent): (&Rc<WorkerEndpoint>, u32),
) -> Option<usize> {
    let span = context.worker.rng.borrow_mut().next_u64().max(1);
    let number = context.state.begin_attempt(|| AttemptNote {
        span,
        resent,
        name: endpoint.name.as_str().into(),
        address: endpoint.address,
        began: Instant::now(),
        ended: None,
    });
    let Some(of) = head.trace else {
        return number;
    };
    // One that is not noted has the request's span as its parent.
    let parent = match number {
        Some(_) => TraceContext { span, ..of },
        None => of,
    };
    // A policy may have removed it.
    if head.fields.contains(TRACEPARENT) {
        head.fields.set(TRACEPARENT.as_bytes(), &parent.value());
    }
    number
}

impl Exchange<'_> {
    #[inline]
    pub(super) fn begin_span(&mut self, to: Target<'_>) -> Option<usize> {
        let resent = to.tries.sent.get().saturating_sub(1);
        begin(to.context, &mut self.scratch.head, (to.endpoint, resent))
    }

    /// The attempt has ended so.
    #[inline]
    pub(super) fn end_span(
        &self,
        state: &RequestPolicyState,
        span: Option<usize>,
        attempted: &Attempted,
    ) {
        if let Some(number) = span {
            self.end_noted(state, number, attempted);
        }
    }

    #[cold]
    fn end_noted(&self, state: &RequestPolicyState, number: usize, attempted: &Attempted) {
        let (status, error) = match attempted {
            Attempted::Ended(_) => (self.outcome.status, error_of(&self.outcome)),
            Attempted::Failed(AttemptOutcome::Unavailable) => {
                let status = self.scratch.response.status;
                (status, Some(status.to_string()))
            }
            Attempted::Failed(outcome)
            | Attempted::Unread(_, outcome)
            | Attempted::Local(_, outcome) => {
                let failed = outcome.verdict() == Verdict::Failed || outcome.is_own_limit();
                (0, failed.then(|| failure_word(*outcome)))
            }
        };
        state.note_spans(|notes| notes.end(number, status, error.as_deref()));
    }

    /// The second of two attempts was taken and has ended so. The first one was given up.
    pub(super) fn ended_second(
        &mut self,
        (context, race): (RequestContext<'_>, Option<&Race>),
        (end, status): (ExchangeEnd, u16),
        outcome: AttemptOutcome,
    ) -> Attempted {
        let attempted = self.ended(end, status, true, outcome);
        let span = race.and_then(|race| race.span.get());
        context.state.note_spans(|notes| notes.give_up_but(span));
        self.end_span(context.state, span, &attempted);
        attempted
    }
}

/// Why an attempt has failed, in a word.
pub(super) fn failure_word(outcome: AttemptOutcome) -> String {
    match outcome {
        AttemptOutcome::NoResponse | AttemptOutcome::TookNothing => "timeout".to_owned(),
        outcome => outcome.failure().to_string(),
    }
}

/// What has failed of a request, in a word: its status, or what has ended it.
pub(super) fn error_of(outcome: &Outcome) -> Option<String> {
    match outcome.failure {
        _ if outcome.status >= 500 => Some(outcome.status.to_string()),
        Some(failure) if outcome.broken || outcome.status == 0 => Some(failure.to_string()),
        _ => None,
    }
}

/// Whether a request has failed, and not by what its client has done.
fn has_failed(outcome: &Outcome) -> bool {
    let failures = [RequestFailure::Backend, RequestFailure::Timeout];
    let is_one = outcome
        .failure
        .is_some_and(|failure| failures.contains(&failure));
    outcome.status >= 500 || (outcome.broken || outcome.status == 0) && is_one
}

impl Awaited<'_, '_> {
    /// What was noted of a request that has ended goes to watchers, and as spans to the
    /// exporter, if they are to have it.
    #[cold]
    pub(super) fn export(&mut self, mut notes: SpanNotes) {
        // One that was under way when another one answered, or when the request was cancelled.
        notes.give_up_but(None);
        if notes.tapped {
            self.offer(&notes);
        }
        let exchange = &*self.exchange;
        let (head, outcome) = (&exchange.scratch.head, &exchange.outcome);
        let marks = exchange.view.settings.marks.as_deref();
        let (exports, errors) = marks.map(Marks::exports).unwrap_or_default();
        let Some(context) = head.trace else { return };
        if exports && context.sampled || errors && has_failed(outcome) {
            let trace = self.trace(context, notes);
            let took = u64::try_from(outcome.took.as_nanos()).unwrap_or(u64::MAX);
            self.worker.shard.exemplars.note(Exemplar {
                ended_unix: trace.began_unix.saturating_add(took),
                trace: context.trace,
                microseconds: outcome.microseconds(),
            });
            self.worker.traces.record(trace);
        }
    }

    fn trace(&self, context: TraceContext, notes: SpanNotes) -> RequestTrace {
        let exchange = &*self.exchange;
        let (head, outcome) = (&exchange.scratch.head, &exchange.outcome);
        let (route, pool) = self.names();
        let authority = match head.authority.as_str() {
            "" => &head.host,
            authority => authority,
        };
        RequestTrace {
            context,
            notes,
            state: state(head),
            began: outcome.began,
            began_unix: unix_nanoseconds(outcome.began),
            took: outcome.took,
            method: method(head),
            scheme: head.scheme.as_str(),
            authority: clipped(authority),
            path: clipped(head.raw_path()),
            version: head.version.number(),
            client: match head.client.is_unspecified() {
                true => exchange.client.info().peer.ip(),
                false => head.client,
            },
            status: outcome.status,
            id: clipped(&head.id),
            route,
            pool,
            error: error_of(outcome).map(Into::into),
            reason: outcome.reason.as_deref().map(clipped),
        }
    }

    /// Those of the route and of the pool that took the request.
    pub(super) fn names(&self) -> (Box<str>, Box<str>) {
        let (view, outcome) = (self.exchange.view, &self.exchange.outcome);
        if let Some(logged) = &outcome.logged {
            return (clipped(&logged.route), clipped(&logged.pool));
        }
        let number = self.exchange.route.map(|(number, _)| number as usize);
        let route = number.and_then(|number| view.snapshot.config.routes.get(number));
        let route = route.map(|route| clipped(&route.to_string()));
        let pool = self
            .route
            .map(|(rule, target)| settled(rule, target, &self.state).pool);
        let pool = pool.and_then(|pool| view.pools.pool(pool));
        let pool = pool.map(|pool| clipped(&pool.topology.name.to_string()));
        (route.unwrap_or_default(), pool.unwrap_or_default())
    }
}

/// Of a method that a client has made up this much.
pub(super) fn method(head: &RequestHead) -> Box<str> {
    let method = head.method.as_str();
    method.get(..METHOD).unwrap_or(method).into()
}

/// What the caller's tracing system has written.
fn state(head: &RequestHead) -> Box<str> {
    let all: Vec<&[u8]> = head.fields.values(TRACESTATE).collect();
    let all = String::from_utf8(all.join(&b","[..])).unwrap_or_default();
    match all.len() {
        0..=STATE => all.into(),
        _ => Box::default(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::policy::FaultKind;
    use crate::upstream::Failure;

    /// What `error.type` can be beside a status, with the span that has it.
    fn all() -> BTreeSet<(&'static str, String)> {
        let failures = [
            Failure::Connect,
            Failure::ConnectTimeout,
            Failure::Closed,
            Failure::Other,
        ];
        let faults = [
            FaultKind::Trap,
            FaultKind::Deadline,
            FaultKind::Invalid,
            FaultKind::Rebuilding,
            FaultKind::Unavailable,
            FaultKind::Suspended,
            FaultKind::Paused,
        ];
        // A new one does not compile before it is in the lists above.
        for failure in failures {
            match failure {
                Failure::Connect | Failure::ConnectTimeout | Failure::Closed | Failure::Other => {}
            }
        }
        for fault in faults {
            match fault {
                FaultKind::Trap | FaultKind::Deadline | FaultKind::Invalid => {}
                FaultKind::Rebuilding | FaultKind::Unavailable => {}
                FaultKind::Suspended | FaultKind::Paused => {}
            }
        }
        let of_attempts = failures.map(|failure| ("attempt", failure.to_string()));
        let of_policies = faults.map(|fault| ("policy", fault.to_string()));
        let of_requests = RequestFailure::ALL.map(|failure| ("request", failure.to_string()));
        let more = [
            failure_word(AttemptOutcome::NoResponse),
            "given-up".to_owned(),
        ];
        let more = more.map(|word| ("attempt", word));
        let all = of_attempts.into_iter().chain(of_policies);
        all.chain(of_requests).chain(more).collect()
    }

    #[test]
    fn the_page_has_every_value_of_error_type_and_no_other() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/tracing.md");
        let page = std::fs::read_to_string(page).unwrap();
        let (_, section) = page.split_once("### Values of `error.type`").unwrap();
        let (section, _) = section.split_once("\n### ").unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| "));
        let cells = rows.filter_map(|row| row.split_once('|'));
        let values = cells.filter_map(|(span, rest)| {
            let value = rest.trim().strip_prefix('`')?.split_once('`')?.0;
            Some((span.trim(), value.to_owned()))
        });
        let listed: BTreeSet<(&str, String)> = values
            .filter(|(span, value)| *span != "span" && value != "500")
            .collect();
        assert_eq!(listed, all());
    }
}
