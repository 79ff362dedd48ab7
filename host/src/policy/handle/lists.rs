//! How a running instance receives changed lists of backends.

use std::sync::Arc;
use std::time::Instant;

use super::super::answer::Fault;
use super::super::instance::{Instance, fault};
use super::super::lists::Lists;
use super::PolicyHandle;
use crate::upstream::BackendFacts;

impl PolicyHandle {
    /// From now on these lists hold, and the facts are about them. A running instance receives the
    /// changed lists, within the time of a call. Where that is too short, an instance that was
    /// built beside the worker replaces it.
    pub fn adopt_lists(&mut self, lists: &Arc<Lists>, facts: &Arc<dyn BackendFacts>) {
        if Arc::ptr_eq(&self.lists, lists) && Arc::ptr_eq(&self.facts, facts) {
            return;
        }
        self.facts = Arc::clone(facts);
        if !Arc::ptr_eq(&self.lists, lists) {
            self.selections = self.shard.decisions.follow(lists.decided());
        }
        self.lists = Arc::clone(lists);
        self.generation.set_lists(lists);
        let Some(mut instance) = self.instance.take() else {
            return;
        };
        if !instance.told.covers(lists)
            && let Some(warm) = self.generation.take_warm(self.worker, lists)
        {
            self.generation.let_go(instance);
            instance = warm;
            instance.store.data_mut().adopt(&self.facts, &self.shard);
        } else {
            // It is counted already.
            instance.store.data_mut().facts = Some(Arc::clone(facts));
        }
        match self.told(instance) {
            Ok(instance) => self.instance = Some(instance),
            Err(fault) => tracing::warn!(
                target: "policy",
                policy = self.generation.name(),
                worker = self.worker,
                "the instance failed on a changed list of backends: {}",
                fault.message
            ),
        }
    }

    /// An instance that knows the lists of now.
    #[inline]
    pub(super) fn told(&mut self, instance: Box<Instance>) -> Result<Box<Instance>, Fault> {
        if Arc::ptr_eq(&instance.told, &self.lists) {
            return Ok(instance);
        }
        self.tell(instance)
    }

    #[cold]
    fn tell(&mut self, mut instance: Box<Instance>) -> Result<Box<Instance>, Fault> {
        if instance.told.is_after(&self.lists) {
            // It was built for a snapshot that this worker is about to adopt.
            return Ok(instance);
        }
        let Instance {
            store,
            exports,
            told,
            ..
        } = &mut *instance;
        store.data_mut().deadline.begin(self.deadline);
        store.set_epoch_deadline(self.deadline.ticks);
        let begun = Instant::now();
        match self.lists.tell(Some(told), exports, store) {
            Ok(()) => {
                *told = Arc::clone(&self.lists);
                Ok(instance)
            }
            Err(error) => {
                let fault = fault("backends-changed", &error, store.data(), begun);
                self.lost(&fault, instance);
                Err(fault)
            }
        }
    }
}
