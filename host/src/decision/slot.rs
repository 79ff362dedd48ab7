//! What answers under a policy's name: for all workers, and on one of them.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::config::OnFailure;
use crate::policy::{Generation, Hook, Lists, PolicyHandle, PolicyId, Trial};
use crate::stats::{PolicyShard, Stats, TrialShard};
use crate::upstream::BackendFacts;

/// What answers under a policy's name, as a snapshot publishes it.
#[derive(Debug, Clone)]
pub struct PolicyEntry {
    /// The same for as long as anything uses it.
    pub id: PolicyId,
    /// The name.
    pub name: Arc<str>,
    /// What becomes of a request when the policy fails.
    pub on_failure: OnFailure,
    /// The same while no generation of it is loaded.
    pub while_absent: OnFailure,
    /// The backends of its pools.
    pub lists: Arc<Lists>,
    /// The generation that decides, or why there is none: it is being loaded, or was refused.
    pub active: Result<Arc<Generation>, Arc<str>>,
    /// The generation on trial.
    pub trial: Option<Arc<Trial>>,
}

impl PolicyEntry {
    /// What faults of the generation that decides are logged as, apart from those of others.
    pub(super) fn fault_key(&self) -> (&str, u64) {
        let generation = self.active.as_ref().map_or(0, |active| active.number());
        (&self.name, generation)
    }

    /// The generations that are asked.
    fn generations(&self) -> impl Iterator<Item = &Arc<Generation>> {
        let on_trial = self.trial.as_ref().map(|trial| &trial.generation);
        self.active.iter().chain(on_trial)
    }
}

/// One worker's side of a [`PolicyEntry`].
#[derive(Debug, Clone)]
pub struct PolicySlot {
    /// The entry.
    pub entry: PolicyEntry,
    /// The handle of the active generation.
    pub active: Option<Rc<RefCell<PolicyHandle>>>,
    /// The generation on trial.
    pub(super) trial: Option<TrialSlot>,
    /// This worker's counters of the policy's name.
    pub shard: Arc<PolicyShard>,
}

/// One worker's side of a [`Trial`].
#[derive(Debug, Clone)]
pub(super) struct TrialSlot {
    pub trial: Arc<Trial>,
    /// The handle of the candidate.
    pub handle: Rc<RefCell<PolicyHandle>>,
    /// This worker's counters of the trial.
    pub shard: Arc<TrialShard>,
}

/// One worker's slots for all policies.
#[derive(Debug, Default)]
pub struct WorkerPolicies {
    /// By id. An id may be of a policy that is not there.
    slots: Vec<Option<PolicySlot>>,
    /// Whether any policy has a generation on trial.
    pub(super) on_trial: bool,
    /// Whether it is noted when a backend's answer begins: for a trial, or for a policy that hears
    /// what becomes of requests.
    pub(super) notes_answers: bool,
    /// Whether any policy has no generation that decides.
    pub(super) absent: bool,
    /// The hooks that any generation exports, by their positions as bits.
    exported: u16,
}

/// What handles of one worker share.
#[derive(Clone, Copy)]
pub struct WorkerSide<'a> {
    /// What the worker knows of backends.
    pub facts: &'a Arc<dyn BackendFacts>,
    /// All counters.
    pub stats: &'a Stats,
    /// The worker's number.
    pub worker: usize,
}

impl WorkerPolicies {
    /// The slots for these entries. What answers as before keeps its handle, and so its instance,
    /// which is told the lists of backends that changed.
    pub fn new(entries: &[PolicyEntry], former: Option<&Self>, side: WorkerSide<'_>) -> Self {
        let slot = |entry: &PolicyEntry| {
            let former = former.and_then(|former| former.slot(entry.id));
            let former = former.filter(|former| former.entry.name == entry.name);
            PolicySlot::new(entry, former, side)
        };
        Self::from_slots(entries.iter().map(slot))
    }

    /// These slots.
    pub fn from_slots(slots: impl IntoIterator<Item = PolicySlot>) -> Self {
        let mut policies = Self::default();
        for slot in slots {
            policies.on_trial |= slot.entry.trial.is_some();
            let active = slot.entry.active.as_ref();
            policies.notes_answers |= slot.entry.trial.is_some()
                || active.is_ok_and(|generation| generation.hooks().completion);
            policies.absent |= slot.entry.active.is_err();
            for generation in slot.entry.generations() {
                let exported = |hook: &Hook| generation.hooks().has(*hook);
                let hooks = Hook::ALL.into_iter().filter(exported);
                policies.exported |= hooks.fold(0, |bits, hook| bits | 1 << hook.index());
            }
            let (index, by_id) = (slot.entry.id.index(), &mut policies.slots);
            by_id.resize_with(by_id.len().max(index + 1), || None);
            by_id[index] = Some(slot);
        }
        policies
    }

    /// Whether any policy has this hook. Where none has, no chain is walked through for it.
    #[inline]
    pub(super) fn any_exports(&self, hook: Hook) -> bool {
        self.exported & (1 << hook.index()) != 0
    }

    /// The slot of the policy with this id, if it is there. A route of the same snapshot has no
    /// other policies.
    #[inline]
    pub(super) fn slot(&self, id: PolicyId) -> Option<&PolicySlot> {
        self.slots.get(id.index())?.as_ref()
    }
}

impl PolicySlot {
    fn new(entry: &PolicyEntry, former: Option<&Self>, side: WorkerSide<'_>) -> Self {
        let shard = match former {
            Some(former) => Arc::clone(&former.shard),
            None => Arc::clone(&side.stats.policy(&entry.name).shards[side.worker]),
        };
        let active = entry.active.as_ref().ok().map(|generation| {
            let kept = former.and_then(|former| former.active.as_ref());
            match kept.filter(|kept| Arc::ptr_eq(kept.borrow().generation(), generation)) {
                Some(kept) => Rc::clone(kept),
                None => Rc::new(RefCell::new(PolicyHandle::adopt(
                    Arc::clone(generation),
                    side.worker,
                    Arc::clone(side.facts),
                    Arc::clone(&shard),
                ))),
            }
        });
        let trial = entry.trial.as_ref().map(|trial| {
            let kept = former.and_then(|former| former.trial.as_ref());
            match kept.filter(|kept| Arc::ptr_eq(&kept.trial, trial)) {
                Some(kept) => kept.clone(),
                None => TrialSlot::new(trial, side),
            }
        });
        let slot = Self {
            entry: entry.clone(),
            active,
            trial,
            shard,
        };
        for handle in slot.handles() {
            handle.borrow_mut().adopt_lists(&entry.lists, side.facts);
        }
        slot
    }

    /// A slot for a handle whose generation always decides, as a rehearsal has it.
    pub fn of_one(
        id: PolicyId,
        handle: Rc<RefCell<PolicyHandle>>,
        shard: Arc<PolicyShard>,
    ) -> Self {
        let generation = Arc::clone(handle.borrow().generation());
        let entry = PolicyEntry {
            id,
            name: generation.name().into(),
            on_failure: generation.on_failure(),
            while_absent: generation.on_failure(),
            lists: generation.lists(),
            active: Ok(generation),
            trial: None,
        };
        Self {
            entry,
            active: Some(handle),
            trial: None,
            shard,
        }
    }

    /// The handles, that of the active generation first.
    pub(super) fn handles(&self) -> impl Iterator<Item = &Rc<RefCell<PolicyHandle>>> {
        let on_trial = self.trial.as_ref().map(|trial| &trial.handle);
        self.active.iter().chain(on_trial)
    }
}

impl TrialSlot {
    fn new(trial: &Arc<Trial>, side: WorkerSide<'_>) -> Self {
        Self {
            trial: Arc::clone(trial),
            handle: Rc::new(RefCell::new(
                trial.handle(side.worker, Arc::clone(side.facts)),
            )),
            shard: Arc::clone(&trial.shards[side.worker]),
        }
    }
}
