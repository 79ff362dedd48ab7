//! The file as a tree of values with key and place, and readers that note mistakes.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::sync::Arc;

use serde_json::Value as Json;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{At, Findings, Place};
use super::values;

/// The most bytes of a key with its sections. Each value below keeps them, so a long key with many
/// values would otherwise take unbounded memory.
const LONGEST_PATH: usize = 200;

/// A value, its key and where it is.
#[derive(Debug)]
pub(crate) struct Node {
    pub place: Place,
    value: Value,
}

#[derive(Debug)]
enum Value {
    String(String),
    Integer(i64),
    /// A value that no key accepts (NaN, more than 64 bits, ...), described for the message.
    Other(&'static str),
    Float(f64),
    Boolean(bool),
    List(Vec<Node>),
    Table(Vec<(String, Node)>),
}

/// A table that is being read: each known key is taken once; keys left at the end are unknown.
#[derive(Debug)]
pub(crate) struct Section {
    pub place: Place,
    entries: Vec<(String, Node)>,
    known: Vec<&'static str>,
}

/// Parses TOML; every syntax error is noted with its line.
pub(crate) fn parse(file: &Arc<str>, text: &str, findings: &mut Findings) -> Option<Section> {
    let document = Document::new(file, text);
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut last_line = 0;
    for error in errors {
        let place = document.place(error.span().map_or(0, |s| s.start), String::new());
        // One mistake often causes several errors; the first of a line explains it best.
        if let Place::File { line, .. } = place
            && line != last_line
        {
            last_line = line;
            let message = match error.message() {
                limit if limit.contains("recurs") => {
                    "tables and lists are nested too deeply; write fewer levels".to_owned()
                }
                message => format!("not TOML: {}", message.trim_end().replace('\n', ", ")),
            };
            findings.error(&place, message);
        }
    }
    if findings.has_errors() {
        return None;
    }
    let place = document.place(0, String::new());
    let entries = document.entries(table.into_inner(), "");
    Some(Section {
        place,
        entries,
        known: Vec::new(),
    })
}

impl Section {
    /// The value of this key, if there is one. The key counts as known.
    pub fn take(&mut self, key: &'static str) -> Option<Node> {
        self.known.push(key);
        let at = self.entries.iter().position(|(name, _)| name == key)?;
        Some(self.entries.remove(at).1)
    }

    /// Whether this key is there.
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| name == key)
    }

    /// The table of this key; an empty one stands for a missing one.
    pub fn take_section(&mut self, key: &'static str, findings: &mut Findings) -> Section {
        let place = self.place.clone();
        self.take(key)
            .and_then(|node| node.section(findings))
            .unwrap_or(Section {
                place,
                entries: Vec::new(),
                known: Vec::new(),
            })
    }

    /// All remaining entries: for tables whose keys are names.
    pub fn into_entries(self) -> Vec<(String, Node)> {
        self.entries
    }

    /// Notes an error for each remaining key, which is unknown.
    pub fn finish(self, findings: &mut Findings) {
        for (name, node) in &self.entries {
            let advice = match nearest(name, &self.known) {
                Some(key) => format!("did you mean `{key}`?"),
                None => format!("known here: {}", self.known.join(", ")),
            };
            findings.error(&node.place, format!("unknown key; {advice}"));
        }
    }
}

impl Node {
    pub fn is_table(&self) -> bool {
        matches!(self.value, Value::Table(_))
    }

    pub fn is_list(&self) -> bool {
        matches!(self.value, Value::List(_))
    }

    pub fn is_integer(&self) -> bool {
        matches!(self.value, Value::Integer(_))
    }

    pub fn is_boolean(&self) -> bool {
        matches!(self.value, Value::Boolean(_))
    }

    pub fn string(self, findings: &mut Findings) -> Option<At<String>> {
        match self.value {
            Value::String(text) => Some(At::new(text, self.place)),
            _ => self.mismatch("a string in quotes", findings),
        }
    }

    pub fn is_string(&self) -> bool {
        matches!(self.value, Value::String(_))
    }

    /// A string that a function of `values` parses.
    pub fn parsed<T>(
        self,
        findings: &mut Findings,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<At<T>> {
        let text = self.string(findings)?;
        let value = findings.accept(&text.place, read(&text.value))?;
        Some(At::new(value, text.place))
    }

    /// Like `parsed`, but also accepts an integer without quotes.
    pub fn parsed_scalar<T>(
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
    pub fn integer<T>(self, findings: &mut Findings, range: RangeInclusive<T>) -> Option<At<T>>
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
    pub fn number(self, findings: &mut Findings, range: RangeInclusive<f64>) -> Option<At<f64>> {
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
    pub fn size(self, findings: &mut Findings, range: RangeInclusive<u64>) -> Option<At<u64>> {
        let size = self.parsed_scalar(findings, values::size)?;
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

    pub fn boolean(self, findings: &mut Findings) -> Option<bool> {
        match self.value {
            Value::Boolean(set) => Some(set),
            _ => self.mismatch("true or false", findings),
        }
    }

    pub fn list(self, findings: &mut Findings) -> Option<Vec<Node>> {
        match self.value {
            Value::List(nodes) => Some(nodes),
            _ => self.mismatch("a list in square brackets", findings),
        }
    }

    /// A list, or one value that counts as a list.
    pub fn one_or_many(self) -> Vec<Node> {
        match self.value {
            Value::List(nodes) => nodes,
            _ => vec![self],
        }
    }

    pub fn section(self, findings: &mut Findings) -> Option<Section> {
        match self.value {
            Value::Table(entries) => Some(Section {
                place: self.place,
                entries,
                known: Vec::new(),
            }),
            _ => self.mismatch("a table", findings),
        }
    }

    /// As JSON, for a policy's settings.
    pub fn json(self, findings: &mut Findings) -> Option<Json> {
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

/// Turns byte offsets into lines and columns.
struct Document<'t> {
    file: Arc<str>,
    text: &'t str,
    line_starts: Vec<usize>,
}

impl<'t> Document<'t> {
    fn new(file: &Arc<str>, text: &'t str) -> Self {
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self {
            file: file.clone(),
            text,
            line_starts,
        }
    }

    fn place(&self, offset: usize, key: String) -> Place {
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let start = self
            .line_starts
            .get(line.saturating_sub(1))
            .copied()
            .unwrap_or(0);
        let before = self.text.get(start..offset).unwrap_or_default();
        // Counting the characters of a very long line for each of its values would take too long.
        let column = if before.len() > 4096 {
            before.len()
        } else {
            before.chars().count()
        } + 1;
        Place::File {
            file: self.file.clone(),
            line,
            column,
            key,
        }
    }

    fn entries(&self, table: DeTable<'_>, path: &str) -> Vec<(String, Node)> {
        table
            .into_iter()
            .map(|(key, value)| {
                let name = key.get_ref().to_string();
                let path = join(path, &name);
                // The key's place, not the value's: a table that dotted keys create has no place.
                let offset = key.span().start;
                (name, self.node(value, offset, path))
            })
            .collect()
    }

    fn node(&self, value: Spanned<DeValue<'_>>, offset: usize, path: String) -> Node {
        let value = match value.into_inner() {
            DeValue::String(text) => Value::String(text.into_owned()),
            DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix()).map_or(
                Value::Other("an integer of more than 64 bits"),
                Value::Integer,
            ),
            DeValue::Float(x) => match x.as_str().parse::<f64>() {
                Ok(x) if x.is_finite() => Value::Float(x),
                _ => Value::Other("not a finite number"),
            },
            DeValue::Boolean(b) => Value::Boolean(b),
            DeValue::Datetime(_) => Value::Other("a date"),
            DeValue::Array(nodes) => Value::List(
                nodes
                    .into_iter()
                    .map(|node| {
                        let offset = node.span().start;
                        self.node(node, offset, path.clone())
                    })
                    .collect(),
            ),
            DeValue::Table(table) => Value::Table(self.entries(table, &path)),
        };
        Node {
            place: self.place(offset, path),
            value,
        }
    }
}

/// The path of a key in its section, quoted where TOML requires it.
fn join(path: &str, name: &str) -> String {
    let bare = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let dot = if path.is_empty() { "" } else { "." };
    let longest = LONGEST_PATH.saturating_sub(path.len());
    if name.len() > longest {
        let cut = &name[..name.floor_char_boundary(longest)];
        return if path.ends_with("...") {
            path.to_owned()
        } else {
            format!("{path}{dot}{}...", cut.escape_debug())
        };
    }
    if bare {
        format!("{path}{dot}{name}")
    } else {
        format!("{path}{dot}{name:?}")
    }
}

/// The known key that was probably intended: at most two letters away, or equal but for separators
/// and case.
fn nearest(written: &str, known: &[&'static str]) -> Option<&'static str> {
    let written = written.to_lowercase().replace('_', "-");
    known
        .iter()
        .copied()
        .map(|key| (distance(&written, key), key))
        .filter(|(d, _)| *d <= 2)
        .min()
        .map(|(_, key)| key)
}

/// How many letters to insert, remove or replace; `usize::MAX` for long keys.
fn distance(a: &str, b: &str) -> usize {
    if a.len().abs_diff(b.len()) > 8 {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}
