//! What a request is called: its id, and its span of a trace.

use rand::{Rng, RngExt};

use super::edits::new_id;
use super::exchange::Exchange;
use super::marks::{Marks, Traces};
use crate::config::{AcceptTraces, RequestIds};
use crate::decision::RequestPolicyState;
use crate::message::TraceContext;
use crate::message::names::is_alike;
use crate::message::trace_context::{TRACEPARENT, TRACESTATE, has_good_state};

/// The most bytes of an id that another proxy has given: as long as those that are in use, and no
/// more than a line of the log can bear.
const LONGEST: usize = 128;

impl Exchange<'_> {
    /// Gives the request its id and its span.
    #[cold]
    pub(super) fn mark(&mut self, marks: &Marks, state: &mut RequestPolicyState) {
        let peer = self.client.info().peer.ip();
        let trusted = self.view.settings.forwarding.trusts(peer);
        if let Some(ids) = &marks.ids {
            self.identify(ids, trusted);
        }
        if let Some(traces) = &marks.traces {
            self.trace(traces, trusted, state);
        }
    }

    /// One id is what logs and backends call the request by: a client that is not trusted has no
    /// say in it, in no spelling.
    fn identify(&mut self, ids: &RequestIds, trusted: bool) {
        let head = &mut self.scratch.head;
        let name = ids.header.as_bytes();
        if ids.accept && trusted {
            let mut given = head.fields.values(&ids.header);
            let only = given.next().filter(|_| given.next().is_none());
            let good = only.filter(|id| (1..=LONGEST).contains(&id.len()));
            if let Some(id) = good.filter(|id| id.iter().all(u8::is_ascii_graphic)) {
                head.id.push_str(str::from_utf8(id).unwrap_or_default());
            }
        }
        if head.id.is_empty() {
            new_id(self.client.worker(), &mut head.id);
        }
        head.fields.retain(|field, _| !is_alike(field, name));
        head.fields.append(name, head.id.as_bytes());
        // Nor in trailers.
        head.fields.note_edit(name);
    }

    /// Continues the trace that a peer has begun, or begins one.
    fn trace(&mut self, traces: &Traces, trusted: bool, state: &mut RequestPolicyState) {
        let worker = self.client.worker();
        let fields = &mut self.scratch.head.fields;
        let accepts = match traces.accept {
            AcceptTraces::None => false,
            AcceptTraces::Trusted => trusted,
            AcceptTraces::All => true,
        };
        let parent = TraceContext::read(fields).filter(|_| accepts);
        fields.remove(TRACEPARENT.as_bytes());
        // What belongs to another trace says nothing of this one (section 3.3).
        if parent.is_none() || !has_good_state(fields) {
            fields.remove(TRACESTATE.as_bytes());
        }
        let mut rng = worker.rng.borrow_mut();
        let sampled = match parent {
            Some(parent) if trusted => parent.sampled,
            _ => u64::from(rng.next_u32()) < traces.threshold,
        };
        let context = TraceContext {
            trace: parent.map_or_else(|| rng.random::<u128>().max(1), |parent| parent.trace),
            span: rng.next_u64().max(1),
            sampled,
        };
        fields.append(TRACEPARENT.as_bytes(), &context.value());
        for name in [TRACEPARENT, TRACESTATE] {
            fields.note_edit(name.as_bytes());
        }
        self.scratch.head.trace = Some(context);
        let (exports, errors) = traces.exports;
        if exports && (sampled || errors) {
            state.keep_spans(parent.map(|parent| parent.span));
        }
    }
}
