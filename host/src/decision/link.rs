//! One policy of a route, as it is asked about one request.

use std::cell::RefCell;
use std::fmt::Display;
use std::rc::Rc;

use super::capture::Capture;
use super::environment::Environment;
use super::faults::fault_line;
use super::record::RecordedRequest;
use super::slot::PolicySlot;
use super::state::RequestPolicyState;
use super::stop::Stop;
use crate::config::OnFailure;
use crate::policy::{Ask, Fault, Message, PolicyHandle, Reply, Tape};
use crate::recording::{Recordable, Role};

/// An answer of a hook that a chain can compare, show and record.
pub(super) trait Answer: PartialEq + Display + Recordable {}
impl<A: PartialEq + Display + Recordable> Answer for A {}

/// One policy of a route.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link<'a, E> {
    pub slot: &'a PolicySlot,
    /// Its place in the route, as a bit; none beyond the 64th.
    pub bit: u64,
    pub environment: E,
    pub state: &'a RequestPolicyState,
}

/// An answer, and the handle that gave it.
#[derive(Debug)]
pub(super) struct Answered<'a, A> {
    pub handle: &'a Rc<RefCell<PolicyHandle>>,
    pub answer: Result<A, Fault>,
}

/// The request ends with the policy's own answer.
pub(super) fn replied(handle: &RefCell<PolicyHandle>, reply: Reply) -> Stop {
    let handle = handle.borrow();
    handle.shard().refusals.increment();
    Stop::Reply {
        reply,
        policy: handle.generation().name().to_owned(),
    }
}

impl<'a, E: Environment> Link<'a, E> {
    /// Asks one handle, if its generation has the hook.
    pub(super) fn put<Q: Ask<Answer: Answer>>(
        self,
        handle: &'a Rc<RefCell<PolicyHandle>>,
        role: Role,
        question: &Q,
        message: &mut Message<'_>,
    ) -> Option<Answered<'a, Q::Answer>> {
        let mut asked = handle.borrow_mut();
        if !asked.hooks().has(Q::HOOK) {
            return None;
        }
        let answer = match &self.state.capture {
            None => self.environment.call(&mut asked, question, message),
            Some(capture) => self.put_captured(capture, &mut asked, role, question, message),
        };
        if asked.hooks().completion {
            self.note_asked(role, &answer);
        }
        Some(Answered { handle, answer })
    }

    /// A generation that wants to hear what becomes of the request was asked, unless it could not
    /// be.
    pub(super) fn note_asked<A>(self, role: Role, answer: &Result<A, Fault>) {
        if matches!(answer, Err(fault) if fault.kind.is_absence()) {
            return;
        }
        let bits = match role {
            Role::Active => &self.state.asked,
            Role::Canary | Role::Shadow => &self.state.tried,
        };
        bits.set(bits.get() | self.bit);
    }

    /// Asks it and takes notes.
    #[cold]
    fn put_captured<Q: Ask<Answer: Answer>>(
        self,
        capture: &Capture,
        asked: &mut PolicyHandle,
        role: Role,
        question: &Q,
        message: &mut Message<'_>,
    ) -> Result<Q::Answer, Fault> {
        let record = capture.record_of(asked);
        // In a comparison there is a tape already, and the shadow gets it as well.
        let own_tape = record.is_some() && asked.tape().is_none();
        if own_tape {
            asked.insert_tape(Box::new(Tape::recording(self.environment.random())));
        }
        let answer = self.recorded(record, asked, role, question, message);
        if own_tape {
            asked.eject_tape();
        }
        capture.note((asked, Q::HOOK, role), &answer);
        answer
    }

    /// Asks it and writes the call into the record, if there is one.
    pub(super) fn recorded<Q: Ask<Answer: Answer>>(
        self,
        record: Option<&RefCell<RecordedRequest>>,
        asked: &mut PolicyHandle,
        role: Role,
        question: &Q,
        message: &mut Message<'_>,
    ) -> Result<Q::Answer, Fault> {
        let facts = self.environment.facts();
        let call = record.map(|record| {
            let mut record = record.borrow_mut();
            record.asking(asked, role, Q::HOOK, message, facts)
        });
        let answer = self.environment.call(asked, question, message);
        if let (Some(record), Some(call)) = (record, call) {
            let mut record = record.borrow_mut();
            record.asked(call, asked, answer.answer(), message);
        }
        answer
    }

    /// What becomes of the request: it goes on in one of two ways, or ends.
    pub(super) fn failed(self, fault: &Fault) -> Result<OnFailure, Stop> {
        let entry = &self.slot.entry;
        self.slot.shard.failure_mode_uses.increment();
        self.environment
            .log_fault(entry.fault_key(), || fault_line(&entry.name, fault));
        // `next` passes over a policy that failed when it was asked. One that was not asked may be
        // what guards this route, and a client that makes it fail must not open the way for others.
        if entry.on_failure == OnFailure::Next && fault.kind.is_absence() {
            return Err(Stop::NotAsked {
                policy: entry.name.to_string(),
            });
        }
        match entry.on_failure {
            OnFailure::Status(status) => Err(Stop::Failed {
                policy: entry.name.to_string(),
                status,
            }),
            goes_on => Ok(goes_on),
        }
    }
}
