//! What a chain needs of its surroundings.

use crate::policy::{Ask, Fault, Message, PolicyHandle};
use crate::upstream::{BackendFacts, FailedAttempt};

/// Calls hooks. A rehearsal puts its script in here, and takes notes.
pub trait Caller: Copy {
    /// Calls a hook.
    #[inline]
    fn call<Q: Ask>(
        self,
        handle: &mut PolicyHandle,
        question: &Q,
        message: &mut Message<'_>,
    ) -> Result<Q::Answer, Fault> {
        question.ask(handle, message)
    }
}

/// What a chain needs of its surroundings: a worker in the proxy, a script in a rehearsal.
pub trait Environment: Caller {
    /// A random number for the host's own choices.
    fn random(self) -> u64;

    /// Logs a fault, as often as the log may have such lines.
    fn log_fault(self, of: (&str, u64), line: impl Fn() -> String);

    /// The live facts about the backends, for a record.
    fn facts(&self) -> &dyn BackendFacts;

    /// Whether requests may go to this backend of the route's pool at all.
    fn takes_traffic(self, backend: u32) -> bool;

    /// The host's choice, where no policy made one; `None` if the pool has no backend for it.
    fn choose(self, failed: &[FailedAttempt]) -> Option<u32>;
}
