//! From TOML to values with their places.

use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::findings::{Findings, Place};
use super::tree::{Node, Section, Value};

/// The most bytes of a key with its sections. Each value below keeps them, so a long key with many
/// values would otherwise take unbounded memory.
const LONGEST_PATH: usize = 200;

/// Parses TOML; every syntax error is noted with its line.
pub(crate) fn parse(file: &Arc<str>, text: &str, findings: &mut Findings) -> Option<Section> {
    let lines = Lines::new(file, text);
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut last_line = 0;
    for error in errors {
        let place = lines.place(error.span().map_or(0, |s| s.start), String::new());
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
    let place = lines.place(0, String::new());
    let entries = lines.entries(table.into_inner(), "");
    Some(Section::new(place, entries))
}

/// Turns byte offsets into lines and columns.
struct Lines<'t> {
    file: Arc<str>,
    text: &'t str,
    line_starts: Vec<usize>,
}

impl<'t> Lines<'t> {
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
