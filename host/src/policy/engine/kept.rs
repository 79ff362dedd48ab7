//! What an engine keeps beside generations: stores by policy, and compiled components on disk.

use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use super::super::store::StoredEntry;
use super::{Cache, Engine, Generation, PolicyError, Store};

impl Engine {
    /// The store of this generation is the one of its policy's name from now on: one whose limits
    /// have changed is another one.
    pub fn keep_store(&self, generation: &Generation) {
        let mut stores = self
            .core
            .stores
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        stores.insert(generation.name().to_owned(), Arc::clone(generation.store()));
    }

    /// Keeps compiled components in this folder from now on, or nowhere.
    ///
    /// # Errors
    ///
    /// It can't be used; what there was stays.
    pub fn keep_compiled_in(&self, folder: Option<&Path>) -> Result<(), PolicyError> {
        let cache = open_cache(folder)?;
        *self
            .core
            .cache
            .write()
            .unwrap_or_else(PoisonError::into_inner) = cache;
        Ok(())
    }

    /// The moment from which policies' monotonic clock counts.
    pub fn clock_began(&self) -> Instant {
        self.core.epoch
    }

    /// The entries of the store of this policy name; none without a store.
    pub fn stored(&self, policy: &str) -> Vec<StoredEntry> {
        self.store_of(policy)
            .map_or_else(Vec::new, |store| store.entries())
    }

    /// Adds entries to the store of this policy name, if there is one.
    pub fn restore(&self, policy: &str, entries: Vec<StoredEntry>) {
        if let Some(store) = self.store_of(policy) {
            store.restore(entries);
        }
    }

    fn store_of(&self, policy: &str) -> Option<Arc<Store>> {
        let stores = self.core.stores.lock();
        let stores = stores.unwrap_or_else(PoisonError::into_inner);
        stores.get(policy).map(Arc::clone)
    }

    /// Forgets the store of this policy name: its current users keep it, and the next policy of
    /// this name gets a new one.
    pub fn forget_store(&self, policy: &str) {
        self.core
            .stores
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(policy);
    }

    /// Keeps nothing more of this policy, which left long ago: its store and its places go.
    pub fn forget(&self, policy: &str) {
        self.forget_store(policy);
        self.core.places.forget(policy);
    }
}

pub(super) fn open_cache(folder: Option<&Path>) -> Result<Option<Arc<Cache>>, PolicyError> {
    let Some(folder) = folder else {
        return Ok(None);
    };
    let opened = Cache::open(folder).map_err(|reason| PolicyError::Cache {
        folder: folder.to_owned(),
        reason,
    });
    Ok(Some(Arc::new(opened?)))
}
