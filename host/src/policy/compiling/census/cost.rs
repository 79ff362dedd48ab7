//! What is counted of a component, and its bounds.

use super::super::super::error::Refusal;

/// For each import: a pointer to the function, one to its instance, and the entry in the list of
/// imports.
pub(super) const IMPORT: u64 = 64;

/// The most bytes that the proxy keeps of a component in its own memory, independent of instances.
/// Python's components take 4.3 MB, and there may be three generations of a policy.
pub(super) const MAX_KEPT: u64 = 16 << 20;

/// What something takes each time that it is instantiated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::policy) struct Cost {
    /// Core instances.
    pub core_instances: u64,
    /// Instances of components.
    pub component_instances: u64,
    /// Bytes beside linear memory, about.
    pub beside_memory: u64,
}

impl Cost {
    pub(super) fn add(&mut self, other: Self) {
        self.core_instances = self.core_instances.saturating_add(other.core_instances);
        self.component_instances = self
            .component_instances
            .saturating_add(other.component_instances);
        self.beside_memory = self.beside_memory.saturating_add(other.beside_memory);
    }

    pub(super) fn take(&mut self, count: u64, each: u64) {
        self.beside_memory = self
            .beside_memory
            .saturating_add(count.saturating_mul(each));
    }
}

/// Counts that are bounded over the whole file.
#[derive(Default)]
pub(super) struct Totals {
    pub components: u64,
    pub modules: u64,
    pub functions: u64,
    /// Bytes that are kept of all of it.
    kept: u64,
}

impl Totals {
    pub(in crate::policy) fn keep(&mut self, count: u64, each: u64) -> Result<(), Refusal> {
        self.kept = self.kept.saturating_add(count.saturating_mul(each));
        at_most(
            "bytes that the proxy would keep of its types, names, globals and segments",
            MAX_KEPT,
            self.kept,
        )
    }
}

pub(super) fn at_most(what: &'static str, limit: u64, count: u64) -> Result<(), Refusal> {
    if count <= limit {
        Ok(())
    } else {
        Err(Refusal::TooMany {
            what: what.to_owned(),
            limit,
        })
    }
}
