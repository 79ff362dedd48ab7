//! What is settled for one request alone: which generations decide it, which shadows see it, and
//! what is noted of it.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, Instant, SystemTime};

use rand::Rng;

use super::ask::{Member, Panel};
use super::refusal::fault_line;
use super::snapshot::OnTrial;
use super::trace::Trace;
use super::watch::{Record, Watch};
use super::worker::Worker;
use crate::message::{Fields, RequestHead};
use crate::policy::{Ask, Fault, FaultKind, Hook, Message, Sample, Seat, Tape};
use crate::recording::{Recordable, Role};

/// One request's own. A bit stands for a policy's place in the route.
#[derive(Debug, Default)]
pub struct Turn {
    /// Policies whose candidate was to decide this request.
    pub(super) chosen: Cell<u64>,
    /// Those of them whose candidate has failed: the active generation decides the rest.
    pub(super) given_up: Cell<u64>,
    /// Policies whose shadow sees this request.
    pub(super) shadowed: Cell<u64>,
    /// When a backend's answer began; noted only while something is on trial.
    pub(super) answered: Cell<Option<Instant>>,
    /// The attempt under way.
    pub attempt: Cell<u32>,
    /// What happened, if somebody wants to know.
    watch: Option<Box<Watch>>,
}

/// Who answered, and what.
pub(super) struct Answered<'a, A> {
    pub seat: &'a Rc<RefCell<Seat>>,
    pub answer: Result<A, Fault>,
}

impl Turn {
    /// What is noted, from now on.
    pub fn watch(&mut self) -> &mut Watch {
        self.watch.get_or_insert_default()
    }

    /// The trace, if there is to be one.
    pub fn trace(&self) -> Option<&RefCell<Trace>> {
        self.watch.as_ref()?.trace.as_ref()
    }

    /// Notes something in the record, if there is to be one.
    #[inline]
    pub fn record(&self, note: impl FnOnce(&mut Record)) {
        if let Some(watch) = &self.watch
            && let Some(record) = &watch.record
        {
            note(&mut record.borrow_mut());
        }
    }

    /// The request has been answered with this status.
    #[inline]
    pub fn end(self, worker: &Worker, status: u16) {
        if let Some(watch) = self.watch
            && let (Some(record), Some(recorder)) = (watch.record, &worker.settings.recorder)
        {
            record.into_inner().end(recorder, worker, status);
        }
    }

    /// Notes for the trace what became of the attempt under way.
    #[inline]
    pub fn attempted(&self, backend: SocketAddr, outcome: impl FnOnce() -> String) {
        if let Some(trace) = self.trace() {
            trace
                .borrow_mut()
                .attempted(self.attempt.get(), backend, &outcome());
        }
    }
}

impl<'a> Panel<'a> {
    /// Starts a request: the generations that decide it are chosen, and policies with an instance
    /// for each request get theirs.
    pub fn begin(self, head: &RequestHead) {
        if self.view.on_trial {
            self.choose(head);
        }
        self.seats()
            .for_each(|seat| seat.borrow_mut().begin_request());
    }

    /// Ends a request.
    pub fn end(self) {
        self.seats()
            .for_each(|seat| seat.borrow_mut().end_request());
    }

    fn seats(self) -> impl Iterator<Item = &'a Rc<RefCell<Seat>>> {
        self.members().flat_map(|m| {
            m.place
                .active
                .iter()
                .chain(m.place.trial.as_ref().map(|t| &t.seat))
        })
    }

    /// Asks one seat, if its generation has the hook.
    pub(super) fn put<Q: Ask<Answer: Display + Recordable>>(
        self,
        seat: &'a Rc<RefCell<Seat>>,
        role: Role,
        question: &Q,
        message: &mut Message<'_>,
    ) -> Option<Answered<'a, Q::Answer>> {
        let mut asked = seat.borrow_mut();
        if !asked.hooks().has(Q::HOOK) {
            return None;
        }
        let answer = match &self.turn.watch {
            None => question.ask(&mut asked, message),
            Some(watch) => self.put_watched(watch, &mut asked, role, question, message),
        };
        Some(Answered { seat, answer })
    }

    /// Asks it and takes notes.
    #[cold]
    fn put_watched<Q: Ask<Answer: Display + Recordable>>(
        self,
        watch: &Watch,
        asked: &mut Seat,
        role: Role,
        question: &Q,
        message: &mut Message<'_>,
    ) -> Result<Q::Answer, Fault> {
        let record = watch
            .record
            .as_ref()
            .filter(|record| record.borrow().wants(asked));
        // In a comparison there is a tape already, and the shadow gets it as well.
        let own_tape = record.is_some() && asked.tape().is_none();
        if own_tape {
            asked.insert_tape(Box::new(Tape::recording(
                self.worker.rng.borrow_mut().next_u64(),
            )));
        }
        let answer = self.recorded(record, asked, role, question, message);
        if own_tape {
            asked.eject_tape();
        }
        if let Some(trace) = &watch.trace {
            let (generation, mut trace) = (asked.generation(), trace.borrow_mut());
            let role = match role {
                Role::Active => None,
                Role::Canary => Some("canary"),
                Role::Shadow => Some("shadow"),
            };
            let mut note = |answer: &dyn Display| {
                trace.asked(
                    Q::HOOK.name(),
                    generation.name(),
                    generation.number(),
                    role,
                    asked.took(),
                    &answer,
                );
            };
            match &answer {
                Ok(answer) => note(answer),
                Err(fault) => note(&fault.kind),
            }
        }
        answer
    }

    /// Asks it and writes the call into the record, if there is one.
    fn recorded<Q: Ask<Answer: Recordable>>(
        self,
        record: Option<&RefCell<Record>>,
        asked: &mut Seat,
        role: Role,
        question: &Q,
        message: &mut Message<'_>,
    ) -> Result<Q::Answer, Fault> {
        let facts = &*self.view.pools.facts;
        let call = record.map(|record| {
            record
                .borrow_mut()
                .asking(asked, role, Q::HOOK, message, facts)
        });
        let answer = question.ask(asked, message);
        if let (Some(record), Some(call)) = (record, call) {
            record
                .borrow_mut()
                .asked(call, asked, answer.answer(), message);
        }
        answer
    }

    /// Asks a policy with a generation on trial.
    #[cold]
    pub(super) fn ask_on_trial<Q: Ask<Answer: PartialEq + Display + Recordable>>(
        self,
        member: Member<'a>,
        active: &'a Rc<RefCell<Seat>>,
        on_trial: &'a OnTrial,
        question: &Q,
        message: &mut Message<'_>,
    ) -> Option<Answered<'a, Q::Answer>> {
        let turn = self.turn;
        if turn.chosen.get() & !turn.given_up.get() & member.bit != 0 {
            let _question = InQuestion::of(on_trial);
            // A call that fails leaves the fields as they were, so the active generation finds them
            // untouched.
            match self.put(&on_trial.seat, Role::Canary, question, message) {
                Some(Answered {
                    answer: Err(fault), ..
                }) => {
                    turn.given_up.set(turn.given_up.get() | member.bit);
                    self.log_candidate("canary", on_trial, &fault);
                    let answered = self.put(active, Role::Active, question, message);
                    note_shared_fault(on_trial, &fault, answered.as_ref());
                    return answered;
                }
                answered => return answered,
            }
        }
        if turn.shadowed.get() & member.bit == 0 {
            return self.put(active, Role::Active, question, message);
        }
        self.compare(active, on_trial, question, message)
    }

    /// Asks the active generation, then the shadow the same, and compares what they say and what
    /// they did to the fields.
    fn compare<Q: Ask<Answer: PartialEq + Display + Recordable>>(
        self,
        active: &'a Rc<RefCell<Seat>>,
        on_trial: &OnTrial,
        question: &Q,
        message: &mut Message<'_>,
    ) -> Option<Answered<'a, Q::Answer>> {
        let shadow = &on_trial.seat;
        let exported = active.borrow().hooks().has(Q::HOOK);
        if !exported && !shadow.borrow().hooks().has(Q::HOOK) {
            return None;
        }
        let (mut head, mut response) = (message.head.clone(), message.response.as_deref().cloned());
        let mut copy = Message {
            head: &mut head,
            response: response.as_mut(),
        };
        let seed = self.worker.rng.borrow_mut().next_u64();
        let tape = if self.turn.watch.is_some() {
            Tape::recording(seed)
        } else {
            Tape::new(seed)
        };
        active.borrow_mut().insert_tape(Box::new(tape));
        let answered = self.put(active, Role::Active, question, message);
        // A generation without the hook answers as one without an opinion.
        let no_opinion = (!exported).then(|| question.ask(&mut active.borrow_mut(), message));
        let tape = active
            .borrow_mut()
            .eject_tape()
            .unwrap_or_else(|| Box::new(Tape::new(seed)));
        let tape = Box::new(tape.replay());

        let mut seat = shadow.borrow_mut();
        seat.insert_tape(tape);
        let record = self
            .turn
            .watch
            .as_ref()
            .and_then(|watch| watch.record.as_ref());
        let record =
            record.filter(|record| seat.hooks().has(Q::HOOK) && record.borrow().wants(&seat));
        let _question = InQuestion::of(on_trial);
        let shadowed = self.recorded(record, &mut seat, Role::Shadow, question, &mut copy);
        seat.eject_tape();
        let took = seat.took();
        drop(seat);
        if let Err(fault) = &shadowed {
            self.log_candidate("shadow", on_trial, fault);
            note_shared_fault(on_trial, fault, answered.as_ref());
            if fault.kind.is_absence() {
                return answered;
            }
        }
        let edited = edits_apart(message, &copy);
        if let Some(answer) = answered.as_ref().map(|a| &a.answer).or(no_opinion.as_ref()) {
            let verdict = Verdict {
                hook: Q::HOOK,
                active: answer,
                shadow: &shadowed,
                edited,
            };
            self.note(active, on_trial, message.head, took, &verdict);
        }
        answered
    }

    fn note<A: PartialEq + Display>(
        self,
        active: &Rc<RefCell<Seat>>,
        on_trial: &OnTrial,
        head: &RequestHead,
        took: Duration,
        verdict: &Verdict<'_, A>,
    ) {
        let compared = &on_trial.shard.compared[verdict.hook.index()];
        compared.decisions.increment();
        let nanoseconds =
            |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        compared
            .active_nanoseconds
            .record(nanoseconds(active.borrow().took()));
        compared.shadow_nanoseconds.record(nanoseconds(took));
        if verdict.agrees() {
            compared.agreed.increment();
            return;
        }
        on_trial.trial.differed(|| Sample {
            time: SystemTime::now(),
            hook: verdict.hook,
            client: head.client,
            method: head.method.to_string(),
            host: head.host.clone(),
            path: head.path().to_owned(),
            active: described(verdict.active),
            shadow: verdict.difference(),
        });
    }

    fn log_candidate(self, role: &str, on_trial: &OnTrial, fault: &Fault) {
        let generation = &on_trial.trial.generation;
        let name = || {
            format!(
                "{} ({role}, generation {})",
                generation.name(),
                generation.number()
            )
        };
        self.worker.log_fault(|| fault_line(&name(), fault));
    }
}

/// While it is not known whether a fault of the candidate is one of the active generation too: the
/// verdict waits for that.
struct InQuestion<'a>(&'a OnTrial);

impl<'a> InQuestion<'a> {
    fn of(on_trial: &'a OnTrial) -> Self {
        on_trial.shard.in_question.increment();
        fence(Ordering::Release);
        Self(on_trial)
    }
}

impl Drop for InQuestion<'_> {
    fn drop(&mut self) {
        fence(Ordering::Release);
        self.0.shard.in_question.decrement();
    }
}

/// Notes that the active generation failed on the same question, took too long for it as well, or
/// was not asked it because of what came before: then the request is at fault, or its client, and
/// not the candidate.
fn note_shared_fault<A>(on_trial: &OnTrial, fault: &Fault, active: Option<&Answered<'_, A>>) {
    let is_own = matches!(
        fault.kind,
        FaultKind::Trap | FaultKind::Deadline | FaultKind::Invalid
    );
    let Some(Answered { seat, answer }) = active.filter(|_| is_own) else {
        return;
    };
    if answer.is_err() || (fault.kind == FaultKind::Deadline && seat.borrow().was_late()) {
        on_trial.shard.shared_faults.increment();
    }
}

/// What two generations made of the same question.
struct Verdict<'a, A> {
    hook: Hook,
    active: &'a Result<A, Fault>,
    shadow: &'a Result<A, Fault>,
    /// The fields that came out differently, by name.
    edited: Vec<String>,
}

impl<A: PartialEq + Display> Verdict<'_, A> {
    fn agrees(&self) -> bool {
        let same = match (self.active, self.shadow) {
            (Ok(active), Ok(shadow)) => active == shadow,
            (Err(active), Err(shadow)) => active.kind == shadow.kind,
            _ => false,
        };
        same && self.edited.is_empty()
    }

    fn difference(&self) -> String {
        let answer = described(self.shadow);
        if self.edited.is_empty() {
            answer
        } else {
            format!("{answer}; fields differ: {}", self.edited.join(", "))
        }
    }
}

fn described<A: Display>(answer: &Result<A, Fault>) -> String {
    match answer {
        Ok(answer) => answer.to_string(),
        Err(fault) => format!("{}: {}", fault.kind, fault.message),
    }
}

/// The fields that came out differently: those of the response if there is one, else the request's.
fn edits_apart(one: &Message<'_>, other: &Message<'_>) -> Vec<String> {
    match (&one.response, &other.response) {
        (Some(one), Some(other)) => difference(one, other),
        _ => difference(&one.head.fields, &other.head.fields),
    }
}

/// The names of the fields that are not the same, values in order included. Only names: a value may
/// be a secret.
fn difference(a: &Fields, b: &Fields) -> Vec<String> {
    if a.iter().eq(b.iter()) {
        return Vec::new();
    }
    let mut names: Vec<String> = Vec::new();
    for (name, _) in a.iter().chain(b.iter()) {
        let name = String::from_utf8_lossy(name).into_owned();
        if !names.contains(&name) && !a.values(&name).eq(b.values(&name)) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: FaultKind, message: &str) -> Fault {
        Fault {
            kind,
            message: message.to_owned(),
        }
    }

    fn agrees(active: &Result<u32, Fault>, shadow: &Result<u32, Fault>, edited: &[&str]) -> bool {
        Verdict {
            hook: Hook::Selection,
            active,
            shadow,
            edited: edited.iter().map(|name| (*name).to_owned()).collect(),
        }
        .agrees()
    }

    #[test]
    fn generations_agree_by_the_same_answer_or_the_same_kind_of_fault_and_the_same_fields() {
        let trap = |message| Err(fault(FaultKind::Trap, message));
        assert!(agrees(&Ok(1), &Ok(1), &[]));
        assert!(!agrees(&Ok(1), &Ok(2), &[]));
        assert!(!agrees(&Ok(1), &Ok(1), &["cookie"]));
        assert!(!agrees(&Ok(1), &trap("a"), &[]) && !agrees(&trap("a"), &Ok(1), &[]));
        assert!(
            agrees(&trap("a"), &trap("b"), &[]),
            "messages have addresses in them"
        );
        assert!(!agrees(
            &trap("a"),
            &Err(fault(FaultKind::Deadline, "a")),
            &[]
        ));
        assert!(!agrees(&trap("a"), &trap("a"), &["cookie"]));
    }

    #[test]
    fn a_difference_is_told_by_the_shadows_answer_and_the_names_of_fields() {
        let (one, two) = (Ok(1), Ok(2));
        let trap = Err(fault(FaultKind::Trap, "unreachable"));
        let told = |shadow, edited| {
            Verdict {
                hook: Hook::Selection,
                active: &one,
                shadow,
                edited,
            }
            .difference()
        };
        assert_eq!(told(&two, Vec::new()), "2");
        assert_eq!(
            told(&one, vec!["a".to_owned(), "b".to_owned()]),
            "1; fields differ: a, b"
        );
        assert_eq!(
            told(&trap, Vec::new()),
            format!("{}: unreachable", FaultKind::Trap)
        );
    }

    #[test]
    fn fields_differ_by_value_order_and_number_and_are_named_once() {
        let fields = |lines: &[(&str, &str)]| {
            let mut fields = Fields::new();
            lines
                .iter()
                .for_each(|(name, value)| fields.append(name.as_bytes(), value.as_bytes()));
            fields
        };
        let both = fields(&[("a", "1"), ("a", "2"), ("b", "3")]);
        let differs = |lines: &[(&str, &str)]| {
            (
                difference(&both, &fields(lines)),
                difference(&fields(lines), &both),
            )
        };
        let names = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            (names.clone(), names)
        };
        assert_eq!(differs(&[("a", "1"), ("a", "2"), ("b", "3")]), names(&[]));
        assert_eq!(
            differs(&[("b", "3"), ("a", "1"), ("a", "2")]),
            names(&[]),
            "the order of names is nobody's doing"
        );
        assert_eq!(
            differs(&[("a", "2"), ("a", "1"), ("b", "3")]),
            names(&["a"])
        );
        assert_eq!(differs(&[("a", "1"), ("b", "3")]), names(&["a"]));
        assert_eq!(
            differs(&[("a", "1"), ("a", "2"), ("b", "4")]),
            names(&["b"])
        );
        let (ours, theirs) = differs(&[("c", "1")]);
        assert_eq!(
            (ours, theirs),
            (names(&["a", "b", "c"]).0, names(&["c", "a", "b"]).0)
        );
    }
}
