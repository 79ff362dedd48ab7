//! A shadow: it gets the same calls as the active generation, and both answers are compared.

use std::cell::RefCell;
use std::fmt::Display;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::environment::Environment;
use super::link::{Answer, Answered, Link};
use super::slot::TrialSlot;
use super::trial_fault::{InQuestion, log_candidate, note_shared_fault};
use crate::message::{Fields, RequestHead};
use crate::policy::{Ask, Fault, Hook, Message, PolicyHandle, Sample, Tape};
use crate::recording::{Role, Target};

/// Calls the active generation, then the shadow in the same way, and compares their answers and
/// their edits of the fields.
pub(super) fn compare<'a, E: Environment, Q: Ask<Answer: Answer>>(
    link: Link<'a, E>,
    (active, on_trial): (&'a Rc<RefCell<PolicyHandle>>, &TrialSlot),
    question: &Q,
    message: &mut Message<'_>,
) -> Option<Answered<'a, Q::Answer>> {
    let exported = active.borrow().hooks().has(Q::HOOK);
    if !exported && !on_trial.handle.borrow().hooks().has(Q::HOOK) {
        return None;
    }
    let (mut head, mut response) = (message.head.clone(), message.response.as_deref().cloned());
    let mut copy = Message {
        head: &mut head,
        response: response.as_mut(),
    };
    let (answered, tape) = ask_active(link, active, question, message);
    // A generation without the hook answers as one without an opinion.
    let no_opinion = (!exported).then(|| question.ask(&mut active.borrow_mut(), message));
    let _question = InQuestion::of(on_trial);
    let (shadowed, took) = ask_shadow(link, on_trial, tape.replay(), question, &mut copy);
    if let Err(fault) = &shadowed {
        log_candidate(link.environment, "shadow", on_trial, fault);
        note_shared_fault(on_trial, fault, answered.as_ref());
        if fault.kind.is_absence() {
            return answered;
        }
    }
    if let Some(answer) = answered.as_ref().map(|a| &a.answer).or(no_opinion.as_ref()) {
        let verdict = Verdict {
            hook: Q::HOOK,
            active: answer,
            shadow: &shadowed,
            edited: edits_apart(message, &copy),
        };
        let times = [active.borrow().took(), took];
        note(on_trial, &verdict, message.head, times);
    }
    answered
}

/// Asks the active generation with a tape. Returns the tape for the shadow.
fn ask_active<'a, E: Environment, Q: Ask<Answer: Answer>>(
    link: Link<'a, E>,
    active: &'a Rc<RefCell<PolicyHandle>>,
    question: &Q,
    message: &mut Message<'_>,
) -> (Option<Answered<'a, Q::Answer>>, Tape) {
    let seed = link.environment.random();
    let tape = match link.state.capture {
        Some(_) => Tape::recording(seed),
        None => Tape::new(seed),
    };
    active.borrow_mut().insert_tape(Box::new(tape));
    let answered = link.put(active, Role::Active, question, message);
    let tape = active.borrow_mut().eject_tape();
    (answered, tape.map_or_else(|| Tape::new(seed), |tape| *tape))
}

/// Asks the shadow with the tape that the active generation left.
fn ask_shadow<E: Environment, Q: Ask<Answer: Answer>>(
    link: Link<'_, E>,
    on_trial: &TrialSlot,
    tape: Tape,
    question: &Q,
    copy: &mut Message<'_>,
) -> (Result<Q::Answer, Fault>, Duration) {
    let mut shadow = on_trial.handle.borrow_mut();
    shadow.insert_tape(Box::new(tape));
    let capture = link.state.capture.as_ref();
    let record = capture.and_then(|capture| capture.record_of(&shadow));
    let record = record.filter(|_| shadow.hooks().has(Q::HOOK));
    let answer = link.recorded(record, &mut shadow, Role::Shadow, question, copy);
    let hooks = shadow.hooks();
    if hooks.completion && hooks.has(Q::HOOK) {
        link.note_asked(Role::Shadow, &answer);
    }
    shadow.eject_tape();
    (answer, shadow.took())
}

/// Asks the shadow alone, where the active generation is not asked.
pub(super) fn alone<E: Environment, Q: Ask<Answer: Answer>>(
    link: Link<'_, E>,
    on_trial: &TrialSlot,
    question: &Q,
    message: &mut Message<'_>,
) -> Result<Q::Answer, Fault> {
    let tape = Tape::new(link.environment.random()).replay();
    ask_shadow(link, on_trial, tape, question, message).0
}

/// Counts a comparison, and keeps a sample of a difference. The times are those of the active
/// generation and of the shadow.
fn note<A: PartialEq + Display>(
    on_trial: &TrialSlot,
    verdict: &Verdict<'_, A>,
    head: &RequestHead,
    [active, shadow]: [Duration; 2],
) {
    let nanoseconds = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let compared = &on_trial.shard.compared[verdict.hook.index()];
    compared.decisions.increment();
    compared.active_nanoseconds.record(nanoseconds(active));
    compared.shadow_nanoseconds.record(nanoseconds(shadow));
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
        _ => {
            let mut apart = difference(&one.head.fields, &other.head.fields);
            if one.head.by_route != other.head.by_route {
                apart.extend(Target::of(one.head).parts_apart(&Target::of(other.head)));
            }
            apart
        }
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
    use crate::policy::FaultKind;

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
    fn a_difference_names_the_shadows_answer_and_the_fields() {
        let (one, two) = (Ok(1), Ok(2));
        let trap = Err(fault(FaultKind::Trap, "unreachable"));
        let difference_of = |shadow, edited| {
            Verdict {
                hook: Hook::Selection,
                active: &one,
                shadow,
                edited,
            }
            .difference()
        };
        assert_eq!(difference_of(&two, Vec::new()), "2");
        assert_eq!(
            difference_of(&one, vec!["a".to_owned(), "b".to_owned()]),
            "1; fields differ: a, b"
        );
        assert_eq!(
            difference_of(&trap, Vec::new()),
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
            "the order of different names means nothing"
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
