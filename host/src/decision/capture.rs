//! What is captured of one request while its policies are asked.

use std::cell::RefCell;
use std::fmt::Display;
use std::time::Instant;

use super::explain::{Trace, TracedCall};
use super::record::RecordedRequest;
use crate::observe::PolicyTime;
use crate::observe::spans::{CallNote, SpanNotes, clipped};
use crate::policy::{Fault, Hook, PolicyHandle};
use crate::recording::Role;

/// What is captured of one request. Nothing is of most, and those pay for a look at one pointer.
#[derive(Debug, Default)]
pub(super) struct Capture {
    /// For the client that sent it.
    pub trace: Option<RefCell<Trace>>,
    /// For a replay.
    pub record: Option<RefCell<RecordedRequest>>,
    /// For the collector of traces.
    pub spans: Option<RefCell<SpanNotes>>,
    /// What policies took, for the access log.
    pub times: Option<RefCell<Vec<PolicyTime>>>,
}

impl Capture {
    /// The record, if it is to hold calls of this policy.
    pub(super) fn record_of(&self, handle: &PolicyHandle) -> Option<&RefCell<RecordedRequest>> {
        let record = self.record.as_ref();
        record.filter(|record| record.borrow().wants(handle))
    }

    /// Notes what a call of this handle has come to.
    pub(super) fn note(
        &self,
        (handle, hook, role): (&PolicyHandle, Hook, Role),
        answer: &Result<impl Display, Fault>,
    ) {
        let answer: Result<&dyn Display, &dyn Display> = match answer {
            Ok(answer) => Ok(answer),
            Err(fault) => Err(&fault.kind),
        };
        let call = traced(handle, hook, role);
        if let Some(trace) = &self.trace {
            let said = answer.unwrap_or_else(|fault| fault);
            trace.borrow_mut().asked(&call, said);
        }
        // Nobody waits for a shadow.
        if let Some(times) = self.times.as_ref().filter(|_| role != Role::Shadow) {
            add(&mut times.borrow_mut(), &call);
        }
        if let Some(spans) = &self.spans {
            spans.borrow_mut().called(|| noted(&call, answer));
        }
    }
}

/// A route has few policies, and each has few hooks.
fn add(times: &mut Vec<PolicyTime>, call: &TracedCall<'_>) {
    match times.iter_mut().find(|asked| &*asked.name == call.policy) {
        Some(asked) => asked.took += call.took,
        None => times.push(PolicyTime {
            name: call.policy.into(),
            took: call.took,
        }),
    }
}

/// The same for the collector of traces.
fn noted(call: &TracedCall<'_>, answer: Result<&dyn Display, &dyn Display>) -> CallNote {
    let text = |said: &dyn Display| clipped(&said.to_string());
    CallNote {
        hook: call.hook.name(),
        policy: call.policy.into(),
        generation: call.generation,
        role: call.role,
        ended: Instant::now(),
        took: call.took,
        answer: answer.map(text).map_err(text),
    }
}

/// The call of this handle that has just ended, as a trace names it.
fn traced(handle: &PolicyHandle, hook: Hook, role: Role) -> TracedCall<'_> {
    let generation = handle.generation();
    TracedCall {
        hook,
        policy: generation.name(),
        generation: generation.number(),
        role: match role {
            Role::Active => None,
            Role::Canary => Some("canary"),
            Role::Shadow => Some("shadow"),
        },
        took: handle.took(),
    }
}
