//! Counts what is open.

use crate::stats::Gauge;

/// Counts a connection or a stream as open until it is dropped, also by a panic.
#[derive(Debug)]
pub(super) struct Open<'a>(&'a Gauge);

impl<'a> Open<'a> {
    pub(super) fn new(gauge: &'a Gauge) -> Self {
        gauge.increment();
        Self(gauge)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.decrement();
    }
}
