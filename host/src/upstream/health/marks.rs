//! What may be the matter with an endpoint, and what an operator calls that.

use std::fmt;

/// What is the matter with an endpoint; a set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Marks(u32);

impl Marks {
    /// Its requests have failed.
    pub(super) const EJECTED: Self = Self(1);
    /// Its probes have failed.
    pub(super) const DOWN: Self = Self(1 << 1);
    /// All its requests wait.
    pub(super) const STALLED: Self = Self(1 << 2);
    /// It takes several times longer than others.
    pub(super) const SLOW: Self = Self(1 << 3);
    /// Its share grows.
    pub(super) const RAMPS: Self = Self(1 << 4);
    /// It fails, and is not ejected.
    pub(super) const FAILING: Self = Self(1 << 5);
    /// Its weight is 0 in all pools.
    pub(super) const DRAINING: Self = Self(1 << 6);
    /// Although it is stalled, one request may try it.
    pub(super) const INVITES: Self = Self(1 << 7);

    /// Requests go elsewhere.
    pub(super) const AVOIDED: Self = Self(Self::EJECTED.0 | Self::DOWN.0 | Self::STALLED.0);
    /// It gets less than its whole share.
    pub(super) const THINNED: Self = Self(Self::SLOW.0 | Self::RAMPS.0);
    pub(super) const NONE: Self = Self(0);

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[inline]
    pub(super) fn has(self, any: Self) -> bool {
        self.0 & any.0 != 0
    }

    pub(super) fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    #[inline]
    pub(super) fn of_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub(super) fn bits(self) -> u32 {
        self.0
    }
}

pub(super) const HEALTHY: &str = "healthy";

/// What an operator calls a mark; what stands first is what is shown.
pub(super) const STATES: [(Marks, &str); 7] = [
    (Marks::DOWN, "down"),
    (Marks::EJECTED, "ejected"),
    (Marks::DRAINING, "draining"),
    (Marks::STALLED, "degraded"),
    (Marks::SLOW, "degraded"),
    (Marks::FAILING, "degraded"),
    (Marks::RAMPS, HEALTHY),
];

impl Marks {
    pub(super) fn state(self) -> &'static str {
        let shown = STATES.iter().find(|(mark, _)| self.has(*mark));
        shown.map_or(HEALTHY, |(_, state)| state)
    }
}

impl fmt::Debug for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#b} ({})", self.0, self.state())
    }
}
