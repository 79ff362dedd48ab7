//! Answers that are not a backend's.

use http::Method;

use super::call;
use super::completion::failure;
use super::connection::Disposition;
use super::context::RequestContext;
use super::edits::change_answer;
use super::exchange::Exchange;
use super::refusal::{LocalReply, Refusal};
use super::reply::{Answer, ReplyTo};
use super::scratch::Scratch;
use super::snapshot::WorkerSnapshot;
use super::worker::Worker;
use crate::decision::RequestPolicyState;
use crate::message::Fields;
use crate::policy::LocalSource;

/// What says how a gRPC call has ended: for its caller that is the status, which policies don't
/// replace.
struct OfCall(Vec<(&'static str, Vec<u8>)>);

impl OfCall {
    const NAMES: [&'static str; 3] = ["content-type", "grpc-status", "grpc-message"];

    /// Nothing in an answer to another request.
    fn of(fields: &Fields) -> Self {
        let is_call = fields.contains("grpc-status");
        let names = Self::NAMES.into_iter().filter(|_| is_call);
        let kept = names.filter_map(|name| Some((name, fields.first(name)?.to_vec())));
        Self(kept.collect())
    }

    fn restore(self, fields: &mut Fields) {
        if self.0.is_empty() {
            return;
        }
        for name in Self::NAMES {
            fields.remove(name.as_bytes());
        }
        for (name, value) in self.0 {
            fields.append(name.as_bytes(), &value);
        }
    }
}

impl Exchange<'_> {
    /// Sends an answer that is not a backend's.
    pub(super) async fn answer(
        &mut self,
        worker: &Worker,
        (state, context): (&RequestPolicyState, Option<RequestContext<'_>>),
        local: Box<LocalReply>,
    ) -> Disposition {
        let (mut local, view) = (local, self.view);
        if self.scratch.head.upgrade.is_connect() && matches!(local.status(), 200..300) {
            local = Refusal::NotSwitched.into();
        }
        // A client that requests a tunnel continues in another protocol.
        let tunnel = self.scratch.head.method == Method::CONNECT;
        // Its unread bytes hide whether it has left, so the next requests may have no client.
        let hides = matches!(*local, LocalReply::Refusal(Refusal::HiddenClient));
        self.outcome.of_policy = local.is_of_policy();
        self.outcome.failure = Some(failure(&local));
        self.outcome.answered(local.status(), local.reason());
        let answer = answer_of(&local, view);
        let answer = match call::is_call(&self.scratch.head) {
            true => answer.for_call(call::status(&local)),
            false => answer,
        };
        let (mut fields, source) = (Fields::new(), local.source());
        let answer = self.edited(answer, (context, source), &mut fields);
        let trace = state.trace().map(|trace| trace.to_owned());
        self.reply(worker, !tunnel && !hides, trace.as_deref(), &answer)
            .await
    }

    /// An answer as policies and the route change it. The route has the last word, as in an answer
    /// of a backend.
    fn edited<'f>(
        &mut self,
        answer: Answer<'f>,
        (context, source): (Option<RequestContext<'_>>, LocalSource),
        fields: &'f mut Fields,
    ) -> Answer<'f> {
        let chain = context.map(RequestContext::chain);
        let chain = chain.filter(|chain| chain.edits_local_responses());
        let marks = self.view.settings.marks.as_deref();
        let marks = marks.filter(|marks| marks.responds().is_some());
        if self.edits.is_none() && chain.is_none() && marks.is_none() {
            return answer;
        }
        let (head, status) = (&mut self.scratch.head, answer.status());
        answer.changed(fields, |fields| {
            if let Some(chain) = chain {
                let of_call = OfCall::of(fields);
                chain.edit_local_response(head, (status, source), fields);
                of_call.restore(fields);
            }
            if let Some(marks) = marks {
                marks.respond(&head.id, fields);
            }
            if let Some(edits) = self.edits {
                change_answer(edits, head, fields);
            }
        })
    }

    /// The statistics, if this is their path.
    pub(super) fn stats_page(&self, worker: &Worker) -> Result<(), Box<LocalReply>> {
        let Some(path) = self.view.settings.stats_path.as_deref() else {
            return Ok(());
        };
        let head = &self.scratch.head;
        if head.path() != path || !matches!(head.method, Method::GET | Method::HEAD) {
            return Ok(());
        }
        let page = &worker.shared.stats_page;
        let (content_type, body) = page(head.fields.first("accept"));
        Err(Box::new(LocalReply::Page { content_type, body }))
    }

    /// Sends the answer. Another request follows if it may, and if the end of this one is
    /// known: a body that was not read as a whole would be taken for the next request.
    async fn reply(
        &mut self,
        worker: &Worker,
        may_follow: bool,
        trace: Option<&str>,
        answer: &Answer<'_>,
    ) -> Disposition {
        let in_hand = self.body_in_hand();
        let keep_alive = may_follow && in_hand.is_some() && self.keep_alive();
        self.client.consume(in_hand.unwrap_or_default());
        let Scratch { head, out, .. } = &mut *self.scratch;
        let body = answer.body(&head.method);
        self.outcome.response_bytes = body.map_or(0, |(body, _)| body.len() as u64);
        let to = ReplyTo {
            method: &head.method,
            version: head.version,
            keep_alive,
            date: &worker.date(),
            trace,
            item: self.view.settings.forwarding.item(),
        };
        let settings = &self.view.settings;
        match self.client.answer(settings, answer, to, out).await {
            Disposition::Close if keep_alive => Disposition::Next,
            disposition => disposition,
        }
    }
}

/// How a reply is written, before the route changes it.
fn answer_of<'l>(local: &'l LocalReply, view: &'l WorkerSnapshot) -> Answer<'l> {
    let item = view.settings.forwarding.item();
    match local {
        LocalReply::Reply { reply, .. } => Answer::reply(reply),
        LocalReply::Options => Answer::options(),
        LocalReply::Redirect(status, location) => Answer::redirect(*status, location),
        LocalReply::Fixed(_, index) => match view.snapshot.routes.response(*index) {
            Some(response) => Answer::fixed(response),
            None => Answer::refusal(&Refusal::NoBackend, item),
        },
        LocalReply::Preflight => Answer::preflight(),
        LocalReply::Page { content_type, body } => Answer::page(content_type, body),
        LocalReply::Refusal(refusal) => Answer::refusal(refusal, item),
    }
}
