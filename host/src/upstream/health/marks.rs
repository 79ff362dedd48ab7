//! What may be the matter with an endpoint, and what an operator calls that.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is known of an endpoint's health.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendHealth {
    /// Nothing speaks against it.
    Healthy,
    /// It answers nothing at the moment, takes much longer than others, or fails as others do.
    Degraded,
    /// Its requests have failed.
    Ejected,
    /// Its weight is 0.
    Draining,
    /// Its probes have failed; also what is not known at all.
    #[default]
    Down,
}

impl BackendHealth {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Healthy,
        Self::Degraded,
        Self::Ejected,
        Self::Draining,
        Self::Down,
    ];

    /// What an operator calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Ejected => "ejected",
            Self::Draining => "draining",
            Self::Down => "down",
        }
    }
}

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
    /// It is ejected, and nobody can connect to it.
    pub(super) const UNREACHED: Self = Self(1 << 8);
    /// It is ejected because its connections ended: it may have ended as well.
    pub(super) const CUT_OFF: Self = Self(1 << 9);

    /// A connection beside the traffic is to show whether it can be reached.
    pub(super) const SOUGHT: Self = Self(Self::UNREACHED.0 | Self::CUT_OFF.0);
    /// All that ends with an ejection.
    pub(super) const EJECTION: Self = Self(Self::EJECTED.0 | Self::SOUGHT.0);

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

/// What follows from a mark; what stands first is what is shown.
pub(super) const STATES: [(Marks, BackendHealth); 7] = [
    (Marks::DOWN, BackendHealth::Down),
    (Marks::EJECTED, BackendHealth::Ejected),
    (Marks::DRAINING, BackendHealth::Draining),
    (Marks::STALLED, BackendHealth::Degraded),
    (Marks::SLOW, BackendHealth::Degraded),
    (Marks::FAILING, BackendHealth::Degraded),
    (Marks::RAMPS, BackendHealth::Healthy),
];

impl Marks {
    pub(super) fn state(self) -> BackendHealth {
        let shown = STATES.iter().find(|(mark, _)| self.has(*mark));
        shown.map_or(BackendHealth::Healthy, |(_, state)| *state)
    }
}

impl fmt::Debug for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#b} ({})", self.0, self.state().name())
    }
}
