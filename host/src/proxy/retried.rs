//! A response in whose place another backend is asked, and what becomes of its rest.

use super::body::{BodyParts, Pieces, Progress, Ready, Sent, Waits};
use super::call;
use super::download::{Download, persists};
use super::end::ExchangeEnd;
use super::tries::is_idempotent;
use crate::h1::{Framing, ResponseMeta};

impl Download<'_> {
    /// Whether another backend is asked in place of this response, of which the client has been
    /// sent nothing. If none may be, it is passed on, since no answer of ours would say more.
    #[inline]
    pub(super) fn is_retried(&self) -> bool {
        let policy = self.to.tries.policy;
        (policy.repeats_status(self.response.status) || policy.looks_at_grpc())
            && self.is_wanted_elsewhere()
    }

    #[cold]
    pub(super) fn is_wanted_elsewhere(&self) -> bool {
        let tries = self.to.tries;
        // A call is a POST. An operator who lists its codes says that calls may be repeated.
        let wanted = match self.response.fields.first("grpc-status") {
            Some(code) if call::is_call(self.head) => tries.policy.repeats_grpc(code),
            _ => {
                tries.policy.repeats_status(self.response.status)
                    && is_idempotent(&self.head.method)
            }
        };
        wanted
            && self.duplex.is_in_hand()
            && tries.has_another(self.to.position)
            && tries.may_repeat()
    }

    /// Takes the rest of such a response out of the connection, as far as it has arrived. What is
    /// left unread there would be taken for the next response, so the connection is closed then.
    #[cold]
    pub(super) fn discard(&mut self, meta: &ResponseMeta) -> ExchangeEnd {
        let mut progress = self.upstream.progress_of_response(meta.framing);
        let reusable = self.is_read_up(&mut progress)
            && meta.framing != Framing::UntilClose
            && self.duplex.sent() == Sent::WHOLE
            && persists(meta, self.response.version);
        ExchangeEnd::Retried { reusable }
    }

    fn is_read_up(&mut self, progress: &mut Progress) -> bool {
        let half_close = self.to.context.view.settings.limits.half_close;
        let mut source = self.upstream.body(BodyParts {
            progress,
            trailers: self.trailers,
            edited: self.response.fields.edited(),
            duplex: self.duplex,
            waits: Waits::ForBackend(half_close),
        });
        loop {
            match source.ready() {
                Ok(Ready::Content(n)) => source.consume(n),
                Ok(Ready::End) => return source.is_drained(),
                Ok(Ready::Nothing) | Err(_) => return false,
            }
        }
    }
}
