//! What the operator decided about what requests are called.

use std::sync::Arc;

use crate::config::{AcceptTraces, Config, RequestIds};
use crate::message::Fields;
use crate::message::names::is_alike;

/// What requests are called.
#[derive(Debug)]
pub(super) struct Marks {
    /// `None` for no ids.
    pub ids: Option<RequestIds>,
    /// `None` for no traces.
    pub traces: Option<Traces>,
}

/// Which requests belong to a trace.
#[derive(Debug)]
pub(super) struct Traces {
    /// Whose traces are continued.
    pub accept: AcceptTraces,
    /// A trace that begins here is sampled if its random number of 32 bits is below this.
    pub threshold: u64,
    /// Whether the spans of sampled requests go anywhere, and those of requests that fail.
    pub exports: (bool, bool),
}

impl Marks {
    /// `None` if requests are not called anything.
    pub(super) fn new(config: &Config) -> Option<Arc<Self>> {
        let traces = config.tracing.as_ref().map(|tracing| Traces {
            accept: tracing.accept,
            threshold: (tracing.sample.clamp(0.0, 1.0) * (u64::from(u32::MAX) + 1) as f64) as u64,
            exports: (
                tracing.export.is_some(),
                tracing.export.is_some() && tracing.errors,
            ),
        });
        let ids = config.request_id.clone();
        (ids.is_some() || traces.is_some()).then(|| Arc::new(Self { ids, traces }))
    }

    /// Whether spans are exported, and those of requests that fail, sampled or not.
    pub(super) fn exports(&self) -> (bool, bool) {
        let traces = self.traces.as_ref();
        traces.map(|traces| traces.exports).unwrap_or_default()
    }

    /// The field that says to clients what their request is called, if any does.
    pub(super) fn responds(&self) -> Option<&str> {
        let ids = self.ids.as_ref().filter(|ids| ids.respond);
        ids.map(|ids| ids.header.as_str())
    }

    /// Says to a client what its request is called.
    pub(super) fn respond(&self, id: &str, fields: &mut Fields) {
        if let Some(name) = self.responds().filter(|_| !id.is_empty()) {
            let name = name.as_bytes();
            fields.note_edit(name);
            // To programs that can't tell `_` from `-`, one that looks like it is the same.
            fields.retain(|field, _| !is_alike(field, name));
            fields.append(name, id.as_bytes());
        }
    }
}
