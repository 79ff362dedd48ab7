//! Copies of a route's requests for another pool: which are made, and of what.

use std::rc::Rc;
use std::sync::Arc;

use rand::RngExt;
use tokio::task::spawn_local;

use super::context::RequestContext;
use super::exchange::Exchange;
use super::mirrored::Mirrored;
use super::second::Copied;
use super::under_way::{CopiedBody, UnderWay};
use crate::message::BodyLength;
use crate::route::RuleMirror;
use crate::upstream::WorkerPool;

impl Exchange<'_> {
    /// Has a copy of the request sent, if it is one of those that are mirrored. A body that is not
    /// there yet is kept while it passes, and the copy sent after it: nothing waits for it.
    #[cold]
    pub(super) fn begin_mirror(&mut self, context: RequestContext<'_>, mirror: &RuleMirror) {
        let lot = context.worker.rng.borrow_mut().random_range(0..1_000_000);
        let head = &self.scratch.head;
        // What follows a change of protocol is no request.
        if lot >= mirror.bounds.millionths || !head.upgrade.is_empty() {
            return;
        }
        let Some(pool) = context.view.pools.pool(mirror.pool) else {
            return;
        };
        let is_too_long =
            matches!(self.facts.body, BodyLength::Known(n) if n > mirror.bounds.body as u64);
        if is_too_long || !has_room(pool, mirror) {
            pool.shard.mirror.dropped.increment();
        } else if self.body_in_hand().is_some() {
            let under_way = UnderWay::new(Arc::clone(&pool.shard));
            self.mirror(context, mirror, under_way);
        } else {
            self.copied_body = Some(Box::new(CopiedBody {
                most: mirror.bounds.body,
                under_way: UnderWay::new(Arc::clone(&pool.shard)),
            }));
            let room = context.target.retry.buffer;
            self.begin_body(context, Some(room));
        }
    }

    /// Has the copy sent whose body has passed meanwhile.
    #[cold]
    pub(super) fn end_mirror(
        &mut self,
        context: RequestContext<'_>,
        mirror: &RuleMirror,
        copied: CopiedBody,
    ) {
        self.mirror(context, mirror, copied.under_way);
    }

    /// Sends a copy, if its body is there.
    fn mirror(&self, context: RequestContext<'_>, mirror: &RuleMirror, under_way: UnderWay) {
        let body = self.whole_body();
        let Some((body, length)) = body.filter(|(body, _)| body.len() <= mirror.bounds.body) else {
            return under_way.dropped();
        };
        under_way.sent();
        let copy = Mirrored {
            worker: Rc::clone(self.client.worker()),
            view: Rc::clone(self.view),
            route: context.rule.number,
            request: Copied {
                head: self.scratch.head.clone(),
                body: body.to_vec(),
                length,
            },
            under_way,
        };
        spawn_local(copy.run());
    }
}

/// Whether another copy may be under way.
fn has_room(pool: &WorkerPool, mirror: &RuleMirror) -> bool {
    pool.shard.mirror.under_way.value() < mirror.bounds.at_most.into()
}
