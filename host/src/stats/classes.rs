//! Answers by the class of their status.

use super::Counter;

/// What the classes are called, in the order in which they are counted. `none` is for requests that
/// ended without an answer, because their client had left.
pub const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Requests by the class of their answer's status.
#[derive(Debug, Default)]
pub struct ByClass([Counter; CLASSES.len()]);

impl ByClass {
    /// One more with this status; 0 is none.
    #[inline]
    pub fn count(&self, status: u16) {
        // A backend may answer 999, which clients take for 5xx (RFC 9110 section 15).
        let class = usize::from(status / 100).min(CLASSES.len() - 1);
        self.0[class].increment();
    }

    /// In the order of [`CLASSES`].
    pub fn values(&self) -> [u64; CLASSES.len()] {
        std::array::from_fn(|class| self.0[class].value())
    }

    /// Adds the counts of another one that is no longer written.
    pub(super) fn fold(&self, other: &Self) {
        let pairs = self.0.iter().zip(&other.0);
        pairs.for_each(|(sum, more)| sum.add(more.value()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_a_class_and_folding_loses_none() {
        let counted = ByClass::default();
        for status in [0, 101, 200, 204, 302, 404, 502, 999] {
            counted.count(status);
        }
        assert_eq!(counted.values(), [1, 1, 2, 1, 1, 2]);
        let sum = ByClass::default();
        sum.fold(&counted);
        sum.fold(&counted);
        assert_eq!(sum.values(), [2, 2, 4, 2, 2, 4]);
    }
}
