//! Answers that are not a backend's.

use http::Method;

use super::connection::Disposition;
use super::exchange::Exchange;
use super::refusal::{LocalReply, Refusal};
use super::reply::{self, ReplyTo};
use super::scratch::Scratch;
use super::worker::Worker;
use crate::decision::RequestPolicyState;

impl Exchange<'_> {
    /// Sends an answer that is not a backend's.
    pub(super) async fn answer(
        &mut self,
        worker: &Worker,
        state: &RequestPolicyState,
        local: Box<LocalReply>,
    ) -> Disposition {
        // A client that requests a tunnel continues in another protocol.
        let tunnel = self.scratch.head.method == Method::CONNECT;
        // Its unread bytes hide whether it has left, so the next requests may have no client.
        let hides = matches!(*local, LocalReply::Refusal(Refusal::HiddenClient));
        let trace = state.trace().map(|trace| trace.to_owned());
        match &*local {
            LocalReply::Reply { reply, policy } => {
                self.record.status = reply.status;
                self.record.reason = Some(format!("answered by policy {policy:?}"));
            }
            LocalReply::Options => self.record.status = 200,
            LocalReply::Refusal(refusal) => {
                self.record.status = refusal.status();
                self.record.refused(refusal);
            }
        }
        let write = |to: ReplyTo<'_>, out: &mut Vec<u8>| match &*local {
            LocalReply::Reply { reply, .. } => reply::write_reply(reply, to, out),
            LocalReply::Options => reply::write_options(to, out),
            LocalReply::Refusal(refusal) => reply::write_refusal(refusal, to, out),
        };
        self.reply(worker, !tunnel && !hides, trace.as_deref(), write)
            .await
    }

    /// Serves the statistics, if this is their path.
    pub(super) async fn stats_page(&mut self, worker: &Worker) -> Option<Disposition> {
        let (path, page) = worker.settings.stats_page.as_ref()?;
        let head = &self.scratch.head;
        if head.path() != path || !matches!(head.method, Method::GET | Method::HEAD) {
            return None;
        }
        let (content_type, body) = page(head.fields.first("accept"));
        self.record.status = 200;
        let write = |to: ReplyTo<'_>, out: &mut Vec<u8>| {
            reply::write_page(content_type, &body, to, out);
        };
        Some(self.reply(worker, true, None, write).await)
    }

    /// Sends what `write` makes. Another request follows if it may, and if the end of this one is
    /// known: a body that was not read as a whole would be taken for the next request.
    async fn reply(
        &mut self,
        worker: &Worker,
        may_follow: bool,
        trace: Option<&str>,
        write: impl FnOnce(ReplyTo<'_>, &mut Vec<u8>),
    ) -> Disposition {
        let in_hand = self.body_in_hand();
        let keep_alive = may_follow && in_hand.is_some() && self.keep_alive();
        self.connection.input.consume(in_hand.unwrap_or_default());
        let Scratch { head, out, .. } = &mut *self.scratch;
        let to = ReplyTo {
            method: &head.method,
            version: head.version,
            keep_alive,
            date: &worker.date(),
            trace,
            item: worker.settings.forwarding.item(),
        };
        out.clear();
        write(to, out);
        match self.connection.send(out).await {
            Disposition::Close if keep_alive => Disposition::Next,
            disposition => disposition,
        }
    }
}
