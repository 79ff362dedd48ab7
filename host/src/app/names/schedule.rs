//! When a name is looked up again.

use std::time::Duration;

use super::answer::Answer;
use crate::config::ResolverConfig;
use crate::upstream::Outcome;

/// The longest time between two look-ups that fail, or find nothing.
const MOST: Duration = Duration::from_secs(30);

/// The look-ups of one family of a name.
pub(super) struct Schedule {
    least: Duration,
    most: Duration,
    /// Look-ups in a row that failed.
    failures: u32,
}

impl Schedule {
    pub(super) fn new(settings: &ResolverConfig) -> Self {
        Self {
            least: settings.min_ttl,
            most: settings.max_ttl,
            failures: 0,
        }
    }

    /// How long to wait after this answer.
    pub(super) fn next(&mut self, answer: &Answer) -> Duration {
        let failing = MOST.clamp(self.least, self.most);
        match answer.outcome {
            Outcome::Found { ttl, .. } => {
                self.failures = 0;
                ttl.clamp(self.least, self.most)
            }
            // A name that was just entered is to be found soon.
            Outcome::Absent(_) => {
                self.failures = 0;
                let valid = answer.absent_for.unwrap_or(self.least);
                valid.clamp(self.least, failing)
            }
            Outcome::Failed(_) => {
                let doubled = 1u32.checked_shl(self.failures).unwrap_or(u32::MAX);
                self.failures = (self.failures + 1).min(31);
                self.least.saturating_mul(doubled).min(failing)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(seconds: u64) -> Answer {
        Answer {
            outcome: Outcome::Found {
                records: Vec::new(),
                ttl: Duration::from_secs(seconds),
            },
            absent_for: None,
        }
    }

    #[test]
    fn an_answer_is_used_for_its_time_to_live_within_the_limits() {
        let mut schedule = Schedule::new(&ResolverConfig::default());
        let waits = [0, 1, 60, 300, 86_400].map(|ttl| schedule.next(&found(ttl)).as_secs());
        assert_eq!(waits, [1, 1, 60, 300, 300]);
    }

    #[test]
    fn failures_are_tried_again_less_and_less_often_until_there_is_an_answer() {
        let mut schedule = Schedule::new(&ResolverConfig::default());
        let failed = || Answer::failed(String::new());
        let waits: Vec<u64> = (0..40)
            .map(|_| schedule.next(&failed()).as_secs())
            .collect();
        assert_eq!(waits[..7], [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(waits[39], 30);
        schedule.next(&found(1));
        assert_eq!(schedule.next(&failed()).as_secs(), 1);
    }

    #[test]
    fn a_name_that_is_absent_is_asked_for_again_within_half_a_minute() {
        let mut schedule = Schedule::new(&ResolverConfig::default());
        let mut absent = |seconds: Option<u64>| {
            let answer = Answer {
                outcome: Outcome::Absent(String::new()),
                absent_for: seconds.map(Duration::from_secs),
            };
            schedule.next(&answer).as_secs()
        };
        assert_eq!(
            [absent(None), absent(Some(7)), absent(Some(3_600))],
            [1, 7, 30]
        );
    }
}
