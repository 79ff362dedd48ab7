//! The file as a tree of values with key and place, and readers that note mistakes.

use std::fmt::Display;
use std::ops::RangeInclusive;

use serde_json::Value as Json;

use super::findings::{At, Findings, Place};
use crate::units::parse_size;

/// A value, its key and where it is.
#[derive(Debug)]
pub(crate) struct Node {
    pub place: Place,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    String(String),
    Integer(i64),
    /// A value that no key accepts (NaN, more than 64 bits, ...), described for the message.
    Other(&'static str),
    Float(f64),
    Boolean(bool),
    List(Vec<Node>),
    Table(Vec<(String, Node)>),
}

/// Where the keys of a table are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places(Vec<(String, Place)>);

impl Places {
    /// That of one key, if it is there.
    pub(crate) fn of(&self, key: &str) -> Option<&Place> {
        let found = self.0.iter().find(|(name, _)| name == key);
        found.map(|(_, place)| place)
    }

    /// These and those of another table.
    pub(crate) fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }
}

/// A table that is being read: each known key is taken once; keys left at the end are unknown.
#[derive(Debug)]
pub(crate) struct Section {
    pub place: Place,
    entries: Vec<(String, Node)>,
    known: Vec<&'static str>,
}

impl Section {
    pub(super) fn new(place: Place, entries: Vec<(String, Node)>) -> Self {
        Self {
            place,
            entries,
            known: Vec::new(),
        }
    }

    /// The value of this key, if there is one. The key counts as known.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<Node> {
        self.known.push(key);
        let at = self.entries.iter().position(|(name, _)| name == key)?;
        Some(self.entries.remove(at).1)
    }

    /// Says what stands in the place of a key that others know.
    pub(crate) fn refuse(&mut self, key: &str, message: &str, findings: &mut Findings) {
        if let Some(at) = self.entries.iter().position(|(name, _)| name == key) {
            let (_, node) = self.entries.remove(at);
            findings.error(&node.place, message);
        }
    }

    /// Where the keys are that were not taken yet.
    pub(crate) fn places(&self) -> Places {
        let all = self.entries.iter();
        Places(
            all.map(|(key, node)| (key.clone(), node.place.clone()))
                .collect(),
        )
    }

    /// Where all keys are: those of the file, of its sections, of named sections in them, and of
    /// tables in lists, which have their position in brackets.
    pub(crate) fn index(&self) -> Vec<(String, Place)> {
        let mut all = Vec::new();
        for (key, node) in &self.entries {
            node.index(key, DEEPEST, &mut all);
        }
        all
    }

    /// Whether this key is there.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| name == key)
    }

    /// Whether no key is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The table of this key; an empty one stands for a missing one.
    pub(crate) fn take_section(&mut self, key: &'static str, findings: &mut Findings) -> Section {
        let place = self.place.clone();
        let node = self.take(key);
        let section = match &place {
            // Of the file itself: its line has a key, that of a section has brackets.
            Place::File { key: above, .. } if above.is_empty() => {
                let wanted = format!("a table: `[{key}]`, and its keys below");
                node.and_then(|node| node.section_as(&wanted, findings))
            }
            _ => node.and_then(|node| node.section(findings)),
        };
        section.unwrap_or_else(|| Section::new(place, Vec::new()))
    }

    /// All remaining entries: for tables whose keys are names.
    pub(crate) fn into_entries(self) -> Vec<(String, Node)> {
        self.entries
    }

    /// The same of a table whose other keys were taken.
    pub(crate) fn take_rest(&mut self) -> Vec<(String, Node)> {
        std::mem::take(&mut self.entries)
    }

    /// Notes an error for each remaining key, which is unknown.
    pub(crate) fn finish(self, findings: &mut Findings) {
        for (name, node) in &self.entries {
            let foreign = findings.foreign(&node.place, name).map(str::to_owned);
            let advice = match (nearest(name, &self.known), foreign) {
                (Some((0 | 1, key)), _) | (Some((_, key)), None) => {
                    format!("did you mean `{key}`?")
                }
                (_, Some(foreign)) => foreign,
                (None, None) => format!("known here: {}", self.known.join(", ")),
            };
            findings.error(&node.place, format!("unknown key; {advice}"));
        }
    }
}

/// How many levels below the file's own keys are indexed.
const DEEPEST: usize = 2;

impl Node {
    fn index(&self, path: &str, deeper: usize, all: &mut Vec<(String, Place)>) {
        all.push((path.to_owned(), self.place.clone()));
        let Some(deeper) = deeper.checked_sub(1) else {
            return;
        };
        match &self.value {
            Value::Table(entries) => {
                for (key, node) in entries {
                    node.index(&format!("{path}.{key}"), deeper, all);
                }
            }
            Value::List(nodes) => {
                for (at, node) in nodes.iter().enumerate().filter(|(_, node)| node.is_table()) {
                    node.index(&format!("{path}[{at}]"), deeper, all);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn is_table(&self) -> bool {
        matches!(self.value, Value::Table(_))
    }

    pub(crate) fn is_list(&self) -> bool {
        matches!(self.value, Value::List(_))
    }

    /// Whether it is a list of nothing.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(&self.value, Value::List(nodes) if nodes.is_empty())
    }

    pub(crate) fn is_integer(&self) -> bool {
        matches!(self.value, Value::Integer(_))
    }

    pub(crate) fn is_boolean(&self) -> bool {
        matches!(self.value, Value::Boolean(_))
    }

    pub(crate) fn string(self, findings: &mut Findings) -> Option<At<String>> {
        match self.value {
            Value::String(text) => Some(At::new(text, self.place)),
            _ => self.mismatch("a string in quotes", findings),
        }
    }

    pub(crate) fn is_string(&self) -> bool {
        matches!(self.value, Value::String(_))
    }

    /// A string that a function of `values` parses.
    pub(crate) fn parsed<T>(
        self,
        findings: &mut Findings,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<At<T>> {
        let text = self.string(findings)?;
        let value = findings.accept(&text.place, read(&text.value))?;
        Some(At::new(value, text.place))
    }

    /// Like `parsed`, but also accepts an integer without quotes.
    pub(crate) fn parsed_scalar<T>(
        self,
        findings: &mut Findings,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<At<T>> {
        let node = match self.value {
            Value::Integer(n) => Node {
                value: Value::String(n.to_string()),
                place: self.place,
            },
            _ => self,
        };
        node.parsed(findings, read)
    }

    /// An integer within a range.
    pub(crate) fn integer<T>(
        self,
        findings: &mut Findings,
        range: RangeInclusive<T>,
    ) -> Option<At<T>>
    where
        T: TryFrom<i64> + PartialOrd + Display,
    {
        let Value::Integer(written) = self.value else {
            return self.mismatch("an integer", findings);
        };
        match T::try_from(written) {
            Ok(value) if range.contains(&value) => Some(At::new(value, self.place)),
            _ => {
                let message = format!(
                    "{written} is out of range; write {} to {}",
                    range.start(),
                    range.end()
                );
                findings.error(&self.place, message);
                None
            }
        }
    }

    /// A number, with or without a fraction, within a range.
    pub(crate) fn number(
        self,
        findings: &mut Findings,
        range: RangeInclusive<f64>,
    ) -> Option<At<f64>> {
        let written = match self.value {
            Value::Float(x) => x,
            Value::Integer(n) => n as f64,
            _ => return self.mismatch("a number", findings),
        };
        if range.contains(&written) {
            return Some(At::new(written, self.place));
        }
        findings.error(
            &self.place,
            format!(
                "{written} is out of range; write {} to {}",
                range.start(),
                range.end()
            ),
        );
        None
    }

    /// A size within a range of bytes.
    pub(crate) fn size(
        self,
        findings: &mut Findings,
        range: RangeInclusive<u64>,
    ) -> Option<At<u64>> {
        let size = self.parsed_scalar(findings, parse_size)?;
        if range.contains(&size.value) {
            return Some(size);
        }
        let message = format!(
            "{} bytes are out of range; write {} to {} bytes",
            size.value,
            range.start(),
            range.end()
        );
        findings.error(&size.place, message);
        None
    }

    pub(crate) fn boolean(self, findings: &mut Findings) -> Option<bool> {
        match self.value {
            Value::Boolean(set) => Some(set),
            _ => self.mismatch("true or false", findings),
        }
    }

    pub(crate) fn list(self, findings: &mut Findings) -> Option<Vec<Node>> {
        match self.value {
            Value::List(nodes) => Some(nodes),
            _ => self.mismatch("a list in square brackets", findings),
        }
    }

    /// A list, or one value that counts as a list.
    pub(crate) fn one_or_many(self) -> Vec<Node> {
        match self.value {
            Value::List(nodes) => nodes,
            _ => vec![self],
        }
    }

    pub(crate) fn section(self, findings: &mut Findings) -> Option<Section> {
        self.section_as("a table", findings)
    }

    /// The same with an example, which is shown where it is no table.
    pub(crate) fn section_such_as(self, example: &str, findings: &mut Findings) -> Option<Section> {
        self.section_as(&format!("a table, such as {example}"), findings)
    }

    fn section_as(self, wanted: &str, findings: &mut Findings) -> Option<Section> {
        match self.value {
            Value::Table(entries) => Some(Section::new(self.place, entries)),
            _ => self.mismatch(wanted, findings),
        }
    }

    /// As JSON, for a policy's settings.
    pub(crate) fn json(self, findings: &mut Findings) -> Option<Json> {
        match self.value {
            Value::String(text) => Some(Json::String(text)),
            Value::Integer(n) => Some(Json::from(n)),
            Value::Boolean(b) => Some(Json::Bool(b)),
            Value::Float(x) => Some(Json::from(x)),
            Value::List(nodes) => nodes
                .into_iter()
                .map(|n| n.json(findings))
                .collect::<Option<_>>()
                .map(Json::Array),
            Value::Table(entries) => entries
                .into_iter()
                .map(|(key, node)| Some((key, node.json(findings)?)))
                .collect::<Option<_>>()
                .map(Json::Object),
            Value::Other(_) => self.mismatch(
                "something that JSON can express (such as a string)",
                findings,
            ),
        }
    }

    fn mismatch<T>(self, wanted: &str, findings: &mut Findings) -> Option<T> {
        let is = match self.value {
            Value::String(_) => "a string",
            Value::Integer(_) => "an integer",
            Value::Other(what) => what,
            Value::Float(_) => "a fraction",
            Value::Boolean(_) => "a boolean",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        };
        findings.error(&self.place, format!("is {is}; write {wanted}"));
        None
    }
}

/// The known key that was probably intended, and how many letters away it is: two at most, none if
/// they are equal but for separators and case.
fn nearest(written: &str, known: &[&'static str]) -> Option<(usize, &'static str)> {
    let written = written.to_lowercase().replace('_', "-");
    known
        .iter()
        .copied()
        // A key may be as long as the file, and the distance takes the square of that.
        .filter(|key| written.len().abs_diff(key.len()) <= 8)
        .map(|key| (strsim::levenshtein(&written, key), key))
        .filter(|(d, _)| *d <= 2)
        .min()
}
