//! What the control side knows of one policy name.

use std::sync::Arc;

use crate::rollout::{Fingerprint, History, Kept};

/// The state of one policy name.
#[derive(Default)]
pub(super) struct PolicyState {
    pub(super) history: History,
    /// The components of the active and the previous generation and of the one on trial, by
    /// generation, for the state directory.
    pub(super) components: Vec<(u64, Arc<[u8]>)>,
    /// The digest of the component that the configuration named when it was last read.
    pub(super) configured: Option<String>,
    /// What the state directory holds.
    pub(super) on_disk: Option<Fingerprint>,
    /// The first load has succeeded or failed.
    pub(super) settled: bool,
    /// Why the component promoted before the restart is not used, until another is deployed.
    pub(super) damage: Option<String>,
}

impl PolicyState {
    /// Keeps a component in memory for as long as its generation may become the one on disk.
    pub(super) fn remember(&mut self, number: u64, component: Arc<[u8]>) {
        self.components.push((number, component));
        self.forget();
    }

    /// Drops the components of generations that can't become active any more.
    pub(super) fn forget(&mut self) {
        let Self {
            history,
            components,
            ..
        } = self;
        let used = [
            history.active(),
            history.previous(),
            history.trial().map(|t| &t.generation),
        ];
        let used: Vec<u64> = used.into_iter().flatten().map(|g| g.number()).collect();
        components.retain(|(number, _)| used.contains(number));
    }

    /// What to write, unless the disk has it already.
    pub(super) fn to_keep(&self) -> Option<Kept> {
        let active = self.history.active()?;
        let (_, component) = self
            .components
            .iter()
            .find(|(number, _)| *number == active.number())?;
        let kept = Kept {
            component: Arc::clone(component),
            generation: active.number(),
            last_generation: self.history.last_number(),
            source: self
                .history
                .entry(active.number())
                .map(|e| e.source.clone())
                .unwrap_or_default(),
            configured: self.configured.clone(),
        };
        (self.on_disk.as_ref() != Some(&kept.fingerprint())).then_some(kept)
    }
}
