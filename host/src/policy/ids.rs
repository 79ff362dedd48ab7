//! Names for policies that stay the same for as long as anything uses them.

use std::collections::{BTreeSet, HashMap};

/// A policy, by the operator's name for it. It is the same for all its generations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyId(u32);

impl PolicyId {
    /// For tables by policy: small, since numbers are given in order.
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Gives policies their ids. A policy that leaves the configuration and comes back is the same one
/// again, unless it was forgotten meanwhile. Its id is given to another one only then.
#[derive(Debug, Default)]
pub struct PolicyIds {
    known: HashMap<String, PolicyId>,
    /// Of policies that were forgotten.
    free: BTreeSet<u32>,
}

impl PolicyIds {
    /// The id of the policy with this name.
    pub fn id(&mut self, name: &str) -> PolicyId {
        // More than four billion names don't fit into memory.
        let unused = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        let new = || PolicyId(self.free.pop_first().unwrap_or(unused));
        *self.known.entry(name.to_owned()).or_insert_with(new)
    }

    /// The names of all policies that have an id.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.known.keys().map(String::as_str)
    }

    /// Forgets this policy, whose id nothing uses any more.
    pub fn forget(&mut self, name: &str) {
        if let Some(PolicyId(number)) = self.known.remove(name) {
            self.free.insert(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_given_in_order_and_change_only_when_they_are_forgotten() {
        let mut ids = PolicyIds::default();
        let mut given = |names: [&str; 3]| names.map(|name| ids.id(name).index());
        assert_eq!(given(["a", "b", "c"]), [0, 1, 2]);
        assert_eq!(given(["c", "d", "a"]), [2, 3, 0]);
        ids.forget("b");
        ids.forget("never");
        let mut given = |names: [&str; 3]| names.map(|name| ids.id(name).index());
        assert_eq!(given(["a", "new", "b"]), [0, 1, 4]);
    }
}
