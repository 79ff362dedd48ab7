//! Instances that are built beside the workers before they are needed, and the lists that they
//! know.

use std::sync::{Arc, MutexGuard, PoisonError};

use super::super::deadline::Allowance;
use super::super::instance::{BuildError, Instance};
use super::super::lists::Lists;
use super::{Generation, Slot};
use crate::config::Isolation;

impl Generation {
    /// The lists that its instances receive when they are built beside the workers.
    pub fn lists(&self) -> Arc<Lists> {
        self.spec.lists()
    }

    /// From now on instances that are built beside the workers receive these lists. Running
    /// instances receive them from their [`PolicyHandle`](crate::policy::PolicyHandle).
    pub fn set_lists(&self, lists: &Arc<Lists>) {
        let now = &self.spec.lists;
        *now.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(lists);
    }

    /// Builds an instance with these lists for each worker, unless running instances can take them
    /// in the time of a call. Call it before workers get the lists, and not on a worker: it takes
    /// as long as the instances take to build.
    ///
    /// # Errors
    ///
    /// Why an instance could not be built.
    pub fn warm_for(&self, lists: &Arc<Lists>) -> Result<(), String> {
        let told_in_time = self.telling.saturating_mul(2) <= self.deadline.thread_time();
        if told_in_time || self.isolation == Isolation::Request || self.lists().covers(lists) {
            return Ok(());
        }
        (0..self.slots.len()).try_for_each(|worker| self.build_beside(worker, lists))
    }

    /// An instance that was built beside this worker and knows these lists.
    pub(in crate::policy) fn take_warm(
        &self,
        worker: usize,
        lists: &Lists,
    ) -> Option<Box<Instance>> {
        let mut slot = self.slot(worker)?;
        match std::mem::replace(&mut *slot, Slot::Empty) {
            Slot::Ready(instance) if instance.told.covers(lists) => Some(instance),
            other => {
                *slot = other;
                None
            }
        }
    }

    fn build_beside(&self, worker: usize, lists: &Arc<Lists>) -> Result<(), String> {
        let _one_at_a_time = self.spec.setting_up();
        let time = Allowance::on_wall(self.spec.setup);
        let built = self.spec.build(lists, &self.shard(usize::MAX), time);
        let built = built.map_err(BuildError::into_message)?;
        if let Some(mut slot) = self.slot(worker) {
            *slot = Slot::Ready(built);
        }
        Ok(())
    }

    /// Builds the instances that workers have taken, so that the generation can be published again.
    /// Takes as long as its instances take to build, and is not for a worker.
    pub fn warm(&self) -> Result<(), String> {
        if self.isolation == Isolation::Request {
            return Ok(());
        }
        let lists = self.lists();
        let is_warm = |slot: MutexGuard<'_, Slot>| match &*slot {
            Slot::Ready(instance) => instance.told.covers(&lists),
            _ => false,
        };
        (0..self.slots.len())
            .filter(|worker| !self.slot(*worker).is_some_and(is_warm))
            .try_for_each(|worker| self.build_beside(worker, &lists))
    }
}
