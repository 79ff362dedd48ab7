//! What differs between two decisions.

use super::decided::Decided;
use super::log::RecordedCall;
use super::replayer::Played;
use crate::policy::Hook;
use crate::recording::{Answer, Field, Reply, Target, is_redacted};

/// Whether a component decided as was recorded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub same_answer: bool,
    /// The names of the fields that were left otherwise.
    pub edits: Vec<String>,
}

impl Verdict {
    /// Compares with the recording.
    pub(super) fn of_replay(recorded: &RecordedCall<'_>, played: &Played) -> Self {
        let (call, decided) = (recorded.call, Decided::recorded(recorded));
        let edits = match call.hook {
            Hook::RequestHeaders | Hook::ResponseHeaders | Hook::LocalResponse => {
                edits_differing(decided.fields, &played.fields, &recorded.lineup.redact)
            }
            Hook::RequestTarget => parts_apart(decided.target, played.target.as_ref()),
            Hook::Destination
            | Hook::Range
            | Hook::Routing
            | Hook::Selection
            | Hook::Completion => Vec::new(),
        };
        Self {
            same_answer: same(&call.answer, &played.answer, &recorded.lineup.redact),
            edits,
        }
    }

    pub(super) fn agrees(&self) -> bool {
        self.same_answer && self.edits.is_empty()
    }
}

/// The names of the parts of what a backend is asked for that are not the same.
pub(super) fn parts_apart(one: Option<&Target>, other: Option<&Target>) -> Vec<String> {
    one.zip(other)
        .map_or_else(Vec::new, |(one, other)| one.parts_apart(other))
}

/// Whether two answers are one decision. Of faults only the kind counts; of a value that was
/// redacted, that it is there.
pub(super) fn same(one: &Answer, other: &Answer, redacted: &[String]) -> bool {
    match (one, other) {
        (Answer::Fault { kind: one, .. }, Answer::Fault { kind: other, .. }) => one == other,
        (Answer::Reply(one), Answer::Reply(other)) => {
            let Reply {
                status,
                fields,
                body,
            } = other;
            one.status == *status
                && one.body == *body
                && edits_differing(&one.fields, fields, redacted).is_empty()
        }
        (one, other) => one == other,
    }
}

/// The names of the fields whose values are not the same, in order.
pub(super) fn edits_differing(one: &[Field], other: &[Field], redacted: &[String]) -> Vec<String> {
    if one == other {
        return Vec::new();
    }
    let mut names: Vec<&String> = Vec::new();
    for Field(name, _) in one.iter().chain(other) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let values = |list: &'_ [Field], name: &String| -> Vec<_> {
        list.iter()
            .filter(|field| field.0 == *name)
            .map(|field| field.1.clone())
            .collect()
    };
    let differs = |name: &&String| {
        let (one, other) = (values(one, name), values(other, name));
        // The hash of such a field does not show what a policy wrote into it.
        let hidden = |at: usize| {
            redacted.contains(name) && (is_redacted(&one[at]) || is_redacted(&other[at]))
        };
        one.len() != other.len() || (0..one.len()).any(|at| one[at] != other[at] && !hidden(at))
    };
    names.into_iter().filter(differs).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Octets;

    fn field(name: &str, value: &str) -> Field {
        Field(name.to_owned(), Octets::from(value.as_bytes()))
    }

    #[test]
    fn fields_are_compared_by_name_and_hashes_by_their_being_there() {
        let one = [field("a", "1"), field("b", "2"), field("a", "3")];
        let turned = [field("b", "2"), field("a", "1"), field("a", "3")];
        assert!(
            edits_differing(&one, &turned, &[]).is_empty(),
            "the order of different names means nothing"
        );
        let swapped = [
            field("a", "3"),
            field("b", "2"),
            field("a", "1"),
            field("c", ""),
        ];
        assert_eq!(edits_differing(&one, &swapped, &[]), ["a", "c"]);
        let hidden = [field("set-cookie", "id=redacted:0123456789abcdef")];
        let written = [field("set-cookie", "id=1")];
        let redacted = ["set-cookie".to_owned()];
        assert!(edits_differing(&hidden, &written, &redacted).is_empty());
        assert_eq!(edits_differing(&hidden, &[], &redacted), ["set-cookie"]);
        assert_eq!(edits_differing(&hidden, &written, &[]), ["set-cookie"]);
    }
}
