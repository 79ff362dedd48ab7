//! Log lines about faults.

use std::cell::Cell;

use crate::policy::Fault;

/// Faults of policies are warned of this often, in milliseconds.
const EVERY: u64 = 1_000;

/// One warning a second, so that a policy that always fails can't flood the log.
#[derive(Debug, Default)]
pub struct FaultLog {
    /// No fault is a warning before this moment.
    next: Cell<u64>,
    unlogged: Cell<u64>,
}

impl FaultLog {
    /// Logs a fault at this moment, in milliseconds of a clock that never goes back.
    pub fn log(&self, now: u64, line: impl Fn() -> String) {
        tracing::debug!(target: "policy", "{}", line());
        if now < self.next.get() {
            self.unlogged.set(self.unlogged.get() + 1);
            return;
        }
        self.next.set(now + EVERY);
        match self.unlogged.replace(0) {
            0 => tracing::warn!(target: "policy", "{}", line()),
            more => tracing::warn!(
                target: "policy",
                "{} ({more} more faults since the last such line)",
                line()
            ),
        }
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
