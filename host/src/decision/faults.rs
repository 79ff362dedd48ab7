//! Log lines about faults.

use std::cell::RefCell;

use crate::policy::Fault;

/// Faults of policies are warned of this often, in milliseconds.
const EVERY: u64 = 1_000;

/// Generations whose faults are known apart.
const KNOWN: usize = 64;

/// One warning a second for each generation of a policy, so that one that always fails can neither
/// flood the log nor hide the faults of others.
#[derive(Debug, Default)]
pub struct FaultLog {
    known: RefCell<Vec<Known>>,
}

#[derive(Debug)]
struct Known {
    policy: Box<str>,
    generation: u64,
    /// No fault is a warning before this moment.
    next: u64,
    unlogged: u64,
}

impl FaultLog {
    /// Logs a fault of a policy's generation at this moment, in milliseconds of a clock that never
    /// goes back.
    #[cold]
    pub fn log(&self, now: u64, of: (&str, u64), line: impl Fn() -> String) {
        tracing::debug!(target: "policy", "{}", line());
        match self.due(now, of) {
            None => {}
            Some(0) => tracing::warn!(target: "policy", "{}", line()),
            Some(more) => tracing::warn!(
                target: "policy",
                "{} ({more} more faults of it since the last such line)",
                line()
            ),
        }
    }

    /// Whether a fault at this moment is a warning; if so, how many were none since the last.
    fn due(&self, now: u64, (policy, generation): (&str, u64)) -> Option<u64> {
        let mut all = self.known.borrow_mut();
        let is_it = |known: &Known| known.generation == generation && *known.policy == *policy;
        if let Some(known) = all.iter_mut().find(|known| is_it(known)) {
            if now < known.next {
                known.unlogged += 1;
                return None;
            }
            known.next = now + EVERY;
            return Some(std::mem::take(&mut known.unlogged));
        }
        if all.len() >= KNOWN {
            // It has been quiet for the longest.
            let oldest = all.iter().enumerate().min_by_key(|(_, known)| known.next);
            if let Some(at) = oldest.map(|(at, _)| at) {
                all.swap_remove(at);
            }
        }
        all.push(Known {
            policy: policy.into(),
            generation,
            next: now + EVERY,
            unlogged: 0,
        });
        Some(0)
    }
}

/// The line for a policy's fault, in the same words everywhere.
pub(super) fn fault_line(policy: &str, fault: &Fault) -> String {
    format!("policy {policy:?}: {:?}: {}", fault.kind, fault.message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::FaultKind;

    #[test]
    fn each_generation_of_a_policy_has_its_own_line_a_second() {
        let log = FaultLog::default();
        for (now, of, due) in [
            (0, ("a", 1), Some(0)),
            (1, ("a", 1), None),
            (1, ("b", 1), Some(0)),
            (2, ("a", 2), Some(0)),
            (999, ("a", 1), None),
            (1_000, ("a", 1), Some(2)),
        ] {
            assert_eq!(log.due(now, of), due, "{of:?} at {now}");
        }
        (0..1_000).for_each(|n| assert_eq!(log.due(n, ("many", n)), Some(0)));
        assert_eq!(log.known.borrow().len(), KNOWN);
    }

    #[test]
    fn a_line_names_the_policy_the_kind_and_the_message() {
        let fault = Fault {
            kind: FaultKind::Trap,
            message: "unreachable".to_owned(),
        };
        assert_eq!(
            fault_line("a\nb", &fault),
            "policy \"a\\nb\": Trap: unreachable"
        );
    }
}
