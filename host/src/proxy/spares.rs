//! What was used and is kept for the next request.

use std::cell::{Cell, RefCell};

/// This many are kept at most.
const MOST: usize = 1_024;
/// This many are kept although nobody has needed them for a while.
const LEAST: usize = 64;
/// Of those that nobody has needed, this part goes at a time.
const PART: usize = 64;

/// Things of a worker that are costly to make, and not in use. The one that was used last is used
/// next: it is in the processor's caches still.
#[derive(Debug)]
pub(super) struct Spares<T> {
    kept: RefCell<Vec<T>>,
    /// The fewest that were left at any time since the last look.
    fewest: Cell<usize>,
}

impl<T> Default for Spares<T> {
    fn default() -> Self {
        Self {
            kept: RefCell::default(),
            fewest: Cell::default(),
        }
    }
}

impl<T> Spares<T> {
    /// One of them, if there is one.
    pub(super) fn take(&self) -> Option<T> {
        let mut kept = self.kept.borrow_mut();
        let taken = kept.pop();
        self.fewest.set(self.fewest.get().min(kept.len()));
        taken
    }

    /// Keeps one, unless there are enough: then it is given back.
    pub(super) fn keep(&self, one: T) -> Option<T> {
        let mut kept = self.kept.borrow_mut();
        if kept.len() >= MOST {
            return Some(one);
        }
        kept.push(one);
        None
    }

    /// Lets go of a part of those that were not needed since the last time.
    pub(super) fn trim(&self) {
        let mut kept = self.kept.borrow_mut();
        let unneeded = self.fewest.get().min(kept.len()).saturating_sub(LEAST);
        let gone: Vec<T> = kept.drain(..unneeded.div_ceil(PART)).collect();
        self.fewest.set(kept.len());
        drop(kept);
        drop(gone);
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn the_one_that_was_used_last_is_used_next() {
        let spares = Spares::default();
        assert_eq!(spares.take(), None);
        assert!(spares.keep(1).is_none() && spares.keep(2).is_none());
        assert_eq!((spares.take(), spares.take()), (Some(2), Some(1)));
    }

    #[test]
    fn no_more_are_kept_than_a_burst_needs() {
        let spares = Spares::default();
        let given_back = (0..2 * MOST).filter_map(|i| spares.keep(i)).count();
        assert_eq!(given_back, MOST);
    }

    #[test]
    fn what_a_burst_has_left_behind_goes_with_time_and_what_is_needed_stays() {
        let (spares, counted) = (Spares::default(), Rc::new(()));
        let kept = || Rc::strong_count(&counted) - 1;
        for _ in 0..MOST {
            spares.keep(Rc::clone(&counted));
        }
        spares.trim();
        assert_eq!(kept(), MOST, "they have just come");
        for _ in 0..1_000 {
            let used: Vec<_> = (0..500).map_while(|_| spares.take()).collect();
            assert_eq!(used.len(), 500);
            used.into_iter().for_each(|one| drop(spares.keep(one)));
            spares.trim();
        }
        assert_eq!(kept(), 500 + LEAST);
        (0..1_000).for_each(|_| spares.trim());
        assert_eq!(kept(), LEAST);
    }
}
