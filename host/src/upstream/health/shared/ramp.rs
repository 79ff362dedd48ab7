//! The share of the traffic that an endpoint gets, which grows after its return.

use std::sync::atomic::Ordering::Relaxed;

use super::{FULL, LEAST_SHARE, Marks, Shared};

impl Shared {
    /// Its share grows from now on, if there is a slow start here. These marks go.
    pub(in crate::upstream::health) fn begin_slow_start(&self, clear: Marks) {
        if self.slow_start() == 0 {
            return self.change(Marks::NONE, clear, String::new);
        }
        self.returned_at.store(self.now(), Relaxed);
        self.share.store(LEAST_SHARE, Relaxed);
        self.change(Marks::RAMPS, clear, || "slow start".to_owned());
    }

    pub(in crate::upstream::health) fn slow_start(&self) -> u64 {
        self.slow_start.load(Relaxed)
    }

    /// How long a slow start takes here, in milliseconds.
    pub(in crate::upstream::health) fn set_slow_start(&self, milliseconds: u64) {
        self.slow_start.store(milliseconds, Relaxed);
    }

    /// How far its slow start has come, of [`FULL`].
    pub(in crate::upstream::health) fn ramp(&self) -> u32 {
        if !self.marks().has(Marks::RAMPS) {
            return FULL;
        }
        let since = self.now().saturating_sub(self.returned_at.load(Relaxed));
        let whole = u64::from(FULL);
        let grown = (since * whole).checked_div(self.slow_start());
        let grown = grown.unwrap_or(whole).min(whole);
        u32::try_from(grown).unwrap_or(FULL).max(LEAST_SHARE)
    }

    pub(in crate::upstream::health) fn share(&self) -> u32 {
        match self.marks().has(Marks::THINNED) {
            true => self.share.load(Relaxed),
            false => FULL,
        }
    }

    pub(in crate::upstream::health) fn set_share(&self, share: u32) {
        self.share.store(share.min(FULL), Relaxed);
    }
}
