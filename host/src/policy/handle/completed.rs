//! What became of a request.

use super::super::answer::{Fault, Heard, RoutePools};
use super::super::contract::WitOutcome;
use super::super::hook::Hook;
use super::super::instance::request_handle;
use super::PolicyHandle;
use crate::config::Isolation;
use crate::message::RequestHead;
use crate::upstream::{Completion, FailedAttempt};

impl PolicyHandle {
    /// Tells the policy what became of a request. With an instance for each request it is one of
    /// its own: the instance of a request that is under way stays where it is.
    pub fn completed<'p>(
        &mut self,
        request: &mut RequestHead,
        pools: impl Into<RoutePools<'p>>,
        of: (&Completion, &[FailedAttempt]),
    ) -> Result<Heard, Fault> {
        if !self.hooks().completion {
            return Ok(Heard);
        }
        let pools = pools.into();
        if self.generation.isolation() == Isolation::Worker {
            return self.call_completed(request, pools, of);
        }
        let reserved = self.instance.take();
        let heard = self.call_completed(request, pools, of);
        self.let_go();
        self.instance = reserved;
        heard
    }

    fn call_completed(
        &mut self,
        request: &mut RequestHead,
        pools: RoutePools<'_>,
        (completion, failed): (&Completion, &[FailedAttempt]),
    ) -> Result<Heard, Fault> {
        let outcome = WitOutcome::new(pools.chosen, completion);
        self.call(Hook::Completion, request, None, pools, |exports, store| {
            let Some(completed) = &exports.completed else {
                return Ok(Heard);
            };
            store.data_mut().context.failed.extend_from_slice(failed);
            completed.call(store, (request_handle(), outcome))?;
            Ok(Heard)
        })
    }
}
