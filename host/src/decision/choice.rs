//! What has chosen a backend, and by which rule: for watchers.

use super::capture::Capture;
use crate::observe::spans::{ChoiceNote, SeenBackend};
use crate::policy::Attempt;
use crate::upstream::BackendFacts;

/// Backends that are noted beside the one that was chosen.
const OTHERS: usize = 8;

/// What has chosen.
#[derive(Debug, Clone, Copy)]
pub(super) enum Chooser<'a> {
    /// The policy of this name.
    Policy(&'a str),
    /// The host, for this reason.
    Host(Unchosen),
}

/// Why no policy has chosen. Of several reasons the last in this order is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unchosen {
    /// None has the hook.
    Unasked,
    /// Those that were asked made no choice.
    NoChoice,
    /// One failed.
    Failed,
    /// One chose a backend of weight 0.
    Drained,
}

impl Chooser<'_> {
    fn because(self) -> &'static str {
        match self {
            Self::Policy(_) => "the policy chose it",
            Self::Host(Unchosen::Unasked) => {
                "no policy of the route selects, so the host chose at random, well and untried ones \
                 first"
            }
            Self::Host(Unchosen::NoChoice) => {
                "the policies made no choice, so the host chose at random, well and untried ones \
                 first"
            }
            Self::Host(Unchosen::Drained) => {
                "a policy chose a backend that gets no requests, so the host chose at random, well \
                 and untried ones first"
            }
            Self::Host(Unchosen::Failed) => {
                "a policy failed, so the host chose at random, well and untried ones first"
            }
        }
    }

    /// Notes the choice of this backend of a pool. Nothing has happened since the policies were
    /// asked, so the facts are those that they could read.
    #[cold]
    pub(super) fn note(
        self,
        capture: &Capture,
        attempt: Attempt<'_>,
        (pool, chosen): (u32, u32),
        facts: &dyn BackendFacts,
    ) {
        let Some(spans) = capture.spans.as_ref().filter(|s| s.borrow().tapped) else {
            return;
        };
        let candidates = facts.backend_count(pool);
        let others = (0..candidates).filter(|backend| *backend != chosen);
        let seen = |position| SeenBackend {
            position,
            state: facts.state(pool, position),
            in_flight: facts.in_flight(pool, position),
            latency_microseconds: facts.latency_microseconds(pool, position),
        };
        spans.borrow_mut().chose(|| ChoiceNote {
            attempt: attempt.number,
            policy: match self {
                Self::Policy(name) => Some(name.into()),
                Self::Host(_) => None,
            },
            because: self.because(),
            candidates,
            seen: [chosen]
                .into_iter()
                .chain(others.take(OTHERS))
                .map(seen)
                .collect(),
        });
    }
}
