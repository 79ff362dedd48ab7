//! What differs between two decisions, value by value.

use super::super::shown::{shown, shown_values};
use super::compare::edits_differing;
use super::decided::Decided;
use crate::recording::{Answer, Field, Target};

/// A field, or a part of a target or of an answer, that two decisions left otherwise.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub name: String,
    pub one: String,
    pub other: String,
}

/// The values behind the names of `edits`, and what differs between two answers for the client.
pub(super) fn changes(
    one: Decided<'_>,
    other: Decided<'_>,
    edits: &[String],
    redacted: &[String],
) -> Vec<Change> {
    let mut found: Vec<Change> = Vec::new();
    let mut add = |name: String, one: String, other: String| {
        found.push(Change { name, one, other });
    };
    for name in edits {
        match (one.target, other.target) {
            (Some(one), Some(other)) => add(name.clone(), part(one, name), part(other, name)),
            _ => add(
                format!("field {name}"),
                values(one.fields, name),
                values(other.fields, name),
            ),
        }
    }
    if let (Answer::Reply(one), Answer::Reply(other)) = (one.answer, other.answer) {
        for name in edits_differing(&one.fields, &other.fields, redacted) {
            let [one, other] = [one, other].map(|reply| values(&reply.fields, &name));
            add(format!("field {name} of the answer"), one, other);
        }
        if one.body != other.body {
            let [one, other] = [one, other].map(|reply| shown(&reply.body.0));
            add("body of the answer".to_owned(), one, other);
        }
    }
    found
}

fn values(fields: &[Field], name: &str) -> String {
    let values = fields.iter().filter(|field| field.0 == name);
    shown_values(&values.map(|field| &field.1.0[..]).collect::<Vec<_>>())
}

fn part(target: &Target, name: &str) -> String {
    match name {
        "path" => shown(target.path.as_bytes()),
        "host" => shown(target.host.as_bytes()),
        _ => match &target.query {
            Some(query) => shown(query.as_bytes()),
            None => "not there".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Octets;
    use crate::recording::Reply;

    fn field(name: &str, value: &str) -> Field {
        Field(name.to_owned(), Octets::from(value.as_bytes()))
    }

    #[test]
    fn each_difference_has_its_two_values() {
        let (one, other) = ([field("a", "1"), field("a", "2")], [field("b", "\n")]);
        let decided = |fields| Decided {
            answer: &Answer::Done,
            fields,
            target: None,
        };
        let names = ["a".to_owned(), "b".to_owned()];
        let found = changes(decided(&one), decided(&other), &names, &[]);
        let shown: Vec<_> = found
            .iter()
            .map(|c| (c.name.as_str(), c.one.as_str(), c.other.as_str()))
            .collect();
        assert_eq!(
            shown,
            [
                ("field a", r#""1", "2""#, "not there"),
                ("field b", "not there", r#""\n""#)
            ]
        );
        let reply = |body: &str| {
            Answer::Reply(Reply {
                status: 503,
                fields: vec![field("retry-after", body)],
                body: Octets::from(body.as_bytes()),
            })
        };
        let (one, other) = (reply("1"), reply("2"));
        let decided = |answer| Decided {
            answer,
            fields: &[],
            target: None,
        };
        let found = changes(decided(&one), decided(&other), &[], &[]);
        let names: Vec<_> = found.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(
            names,
            ["field retry-after of the answer", "body of the answer"]
        );
    }
}
