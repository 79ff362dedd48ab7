//! Which entry goes first: a binary heap over the times of a shard's entries, which knows where
//! each entry is in it.

/// Not in the heap.
pub(super) const NOT_DUE: u32 = u32::MAX;

/// An entry and the earliest moment at which its time can be up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    /// Nanoseconds of the store's clock.
    pub at: u64,
    /// The entry's slot.
    pub slot: u32,
}

/// The heap. Each method reports by `moved(slot, place)` where an entry is now.
#[derive(Debug, Clone)]
pub(super) struct DueHeap(Vec<Due>);

impl DueHeap {
    /// With room for this many, so that it never grows later.
    pub(in crate::policy) fn with_capacity(entries: usize) -> Self {
        Self(Vec::with_capacity(entries))
    }

    /// The entry that goes first.
    pub(in crate::policy) fn first(&self) -> Option<Due> {
        self.0.first().copied()
    }

    /// Adds an entry.
    pub(in crate::policy) fn push(&mut self, due: Due, moved: impl FnMut(u32, u32)) {
        self.0.push(due);
        self.up(self.0.len() - 1, moved);
    }

    /// Takes an entry out.
    pub(in crate::policy) fn remove(&mut self, place: u32, mut moved: impl FnMut(u32, u32)) {
        let place = place as usize;
        if place >= self.0.len() {
            return;
        }
        let gone = self.0.swap_remove(place);
        moved(gone.slot, NOT_DUE);
        if place < self.0.len() {
            let risen = self.up(place, &mut moved);
            self.down(risen, moved);
        }
    }

    /// Gives an entry another time.
    pub(in crate::policy) fn set_time(
        &mut self,
        place: u32,
        at: u64,
        mut moved: impl FnMut(u32, u32),
    ) {
        if let Some(due) = self.0.get_mut(place as usize) {
            due.at = at;
            let risen = self.up(place as usize, &mut moved);
            self.down(risen, moved);
        }
    }

    /// The entry at this place is now in another slot.
    pub(in crate::policy) fn set_slot(&mut self, place: u32, slot: u32) {
        if let Some(due) = self.0.get_mut(place as usize) {
            due.slot = slot;
        }
    }

    /// The time by which the heap orders the entry at this place.
    pub(in crate::policy) fn time(&self, place: u32) -> Option<u64> {
        self.0.get(place as usize).map(|due| due.at)
    }

    fn up(&mut self, mut place: usize, mut moved: impl FnMut(u32, u32)) -> usize {
        let due = self.0[place];
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.0[parent].at <= due.at {
                break;
            }
            self.0[place] = self.0[parent];
            moved(self.0[place].slot, place as u32);
            place = parent;
        }
        self.0[place] = due;
        moved(due.slot, place as u32);
        place
    }

    fn down(&mut self, mut place: usize, mut moved: impl FnMut(u32, u32)) {
        let due = self.0[place];
        loop {
            let left = 2 * place + 1;
            let right = left + 1;
            let Some(mut child) = self.0.get(left).map(|_| left) else {
                break;
            };
            if self
                .0
                .get(right)
                .is_some_and(|right| right.at < self.0[left].at)
            {
                child = right;
            }
            if self.0[child].at >= due.at {
                break;
            }
            self.0[place] = self.0[child];
            moved(self.0[place].slot, place as u32);
            place = child;
        }
        self.0[place] = due;
        moved(due.slot, place as u32);
    }
}
