//! The environment of a policy that runs offline: its draws and clock readings, and the notes about
//! each call.

use std::cell::RefCell;
use std::thread;
use std::time::{Duration, Instant};

use super::decisions::Decisions;
use super::facts::GivenFacts;
use crate::decision::{Caller, Environment};
use crate::policy::{Ask, Fault, FaultKind, Hook, Message, PolicyHandle, Script, Tape};
use crate::upstream::{BackendFacts, FailedAttempt};

/// An instance that a fault has cost is waited for as long as this.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(1);

/// Draws and time for all hooks of a request together, and their decisions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scripted<'a> {
    notes: &'a RefCell<Notes>,
    facts: &'a GivenFacts,
}

/// The rest of a script, and the notes so far.
#[derive(Debug)]
pub(super) struct Notes {
    pub script: Script,
    pub decisions: Decisions,
}

impl Notes {
    /// Notes of nothing yet.
    pub(super) fn new(script: Script) -> RefCell<Self> {
        RefCell::new(Self {
            script,
            decisions: Decisions::default(),
        })
    }

    /// Notes a call that has ended.
    fn note(&mut self, hook: Hook, handle: &mut PolicyHandle) {
        let Self { script, decisions } = self;
        decisions.fuel.extend(handle.fuel());
        if let Some(mut tape) = handle.eject_tape() {
            decisions.lines.append(&mut tape.take_lines());
            script.draws.drain(..script.draws.len() - tape.draws_left());
            let complaint = || tape.complaint().map(|c| format!("{hook}: {c}"));
            decisions.complaint = decisions.complaint.take().or_else(complaint);
        }
        // The next hook draws on, and not the same again.
        script.seed = script
            .seed
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(1);
    }
}

impl<'a> Scripted<'a> {
    /// With these notes, and these facts of backends.
    pub(super) fn new(notes: &'a RefCell<Notes>, facts: &'a GivenFacts) -> Self {
        Self { notes, facts }
    }
}

impl Caller for Scripted<'_> {
    fn call<Q: Ask>(
        self,
        handle: &mut PolicyHandle,
        question: &Q,
        message: &mut Message<'_>,
    ) -> Result<Q::Answer, Fault> {
        let mut notes = self.notes.borrow_mut();
        let tape = || Tape::scripted(notes.script.clone()).keeping_lines();
        let answer = ask_patiently(handle, question, message, tape);
        notes.note(Q::HOOK, handle);
        let kept = answer.clone().map(Into::into);
        notes.decisions.answers[Q::HOOK.index()] = Some(kept);
        answer
    }
}

impl Environment for Scripted<'_> {
    fn random(self) -> u64 {
        self.notes.borrow().script.seed
    }

    /// A fault is a result here.
    fn log_fault(self, _: (&str, u64), _: impl Fn() -> String) {}

    fn facts(&self) -> &dyn BackendFacts {
        self.facts
    }

    /// A policy's selection is judged as it is, without the operator's weights.
    fn takes_traffic(self, _: u32) -> bool {
        true
    }

    fn choose(self, _: &[FailedAttempt]) -> Option<u32> {
        None
    }
}

/// Asks with a tape, as often as it takes to have an instance: how long a fresh one takes to build
/// is the machine's affair, and not the policy's.
pub(super) fn ask_patiently<Q: Ask>(
    handle: &mut PolicyHandle,
    question: &Q,
    message: &mut Message<'_>,
    tape: impl Fn() -> Tape,
) -> Result<Q::Answer, Fault> {
    let began = Instant::now();
    loop {
        handle.insert_tape(Box::new(tape()));
        match question.ask(handle, message) {
            Err(Fault {
                kind: FaultKind::Rebuilding,
                ..
            }) if began.elapsed() < PATIENCE => thread::sleep(LOOK),
            answer => return answer,
        }
    }
}
