//! Names for policies that stay the same for the life of the process.

use std::collections::HashMap;

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

/// Gives policies their ids. An id is never given twice: a policy that leaves the configuration and
/// comes back is the same one again.
#[derive(Debug, Default)]
pub struct PolicyIds {
    known: HashMap<String, PolicyId>,
}

impl PolicyIds {
    /// The id of the policy with this name.
    pub fn id(&mut self, name: &str) -> PolicyId {
        // More than four billion names don't fit into memory.
        let next = PolicyId(u32::try_from(self.known.len()).unwrap_or(u32::MAX));
        *self.known.entry(name.to_owned()).or_insert(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_given_in_order_and_never_change() {
        let mut ids = PolicyIds::default();
        let mut given = |names: [&str; 3]| names.map(|name| ids.id(name).index());
        assert_eq!(given(["a", "b", "c"]), [0, 1, 2]);
        assert_eq!(given(["c", "d", "a"]), [2, 3, 0]);
    }
}
