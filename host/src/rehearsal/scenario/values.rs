//! Single values of a scenario file.

use super::{Field, Meant, Pick, Stored};
use crate::document::{Findings, Node, Place};
use crate::message::{Fields, syntax};
use crate::rehearsal::harness::PoolSetup;
use crate::units::parse_hex;
use crate::upstream::{FailedAttempt, Failure};

/// The line of a place; 0 if it has none.
pub(super) fn line(place: &Place) -> usize {
    match place {
        Place::File { line, .. } => *line,
        Place::Json { .. } | Place::Environment(_) | Place::Flag(_) | Place::Default(_) => 0,
    }
}

/// A whole number of 64 bits: an integer, or a string where TOML's integers do not reach, such as
/// `"0xffffffffffffffff"`.
pub(super) fn whole(node: Node, findings: &mut Findings) -> Option<u64> {
    let read = |text: &str| {
        let parsed = match text.trim().strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => text.trim().parse(),
        };
        parsed.map_err(|_| {
            format!(
                "{text:?} is not a whole number; write 0 to {}, or \"0x...\"",
                u64::MAX
            )
        })
    };
    node.parsed_scalar(findings, read).map(|n| n.value)
}

/// Text, or `{ hex = "00ff" }` for bytes that are none.
pub(super) fn bytes(node: Node, findings: &mut Findings) -> Option<Vec<u8>> {
    if !node.is_table() {
        return node.string(findings).map(|text| text.value.into_bytes());
    }
    let mut section = node.section(findings)?;
    let found = match section.take("hex") {
        Some(node) => node.parsed(findings, hex).map(|bytes| bytes.value),
        None => {
            findings.error(
                &section.place,
                "is not a value; write text in quotes, or { hex = \"00ff\" }",
            );
            None
        }
    };
    section.finish(findings);
    found
}

fn hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    parse_hex(&digits)
        .ok_or_else(|| format!("{text:?} is not hexadecimal; write two digits for each byte"))
}

/// Fields of a message: a table of names, each with a value or a list of them, or a list of `"name:
/// value"`.
pub(super) fn fields(node: Node, findings: &mut Findings) -> Fields {
    let mut fields = Fields::new();
    if node.is_list() {
        for line in node.list(findings).unwrap_or_default() {
            let read = |line: &str| match line.split_once(':') {
                Some((name, value)) => Ok((name.to_owned(), value.trim().as_bytes().to_vec())),
                None => Err(format!("{line:?} is not a field; write \"name: value\"")),
            };
            let Some(line) = line.parsed(findings, read) else {
                continue;
            };
            let (name, value) = line.value;
            if sound(&line.place, &name, &value, findings) {
                fields.append(name.as_bytes(), &value);
            }
        }
        return fields;
    }
    for (name, node) in node
        .section(findings)
        .map(|s| s.into_entries())
        .unwrap_or_default()
    {
        for node in node.one_or_many() {
            let place = node.place.clone();
            let Some(value) = bytes(node, findings) else {
                continue;
            };
            if sound(&place, &name, &value, findings) {
                fields.append(name.as_bytes(), &value);
            }
        }
    }
    fields
}

fn sound(place: &Place, name: &str, value: &[u8], findings: &mut Findings) -> bool {
    let message = if !syntax::is_token(name.as_bytes()) || name.len() > 256 {
        format!("{name:?} is not a field's name")
    } else if !syntax::is_value(value) || value.len() > 64 << 10 {
        "is not a field's value: it holds a control character, or is too long".to_owned()
    } else {
        return true;
    };
    findings.error(place, message);
    false
}

/// Fields that are expected: a table of names, each with a value, a list of all values, or `false`
/// if it is not to be there.
pub(super) fn expected_fields(node: Node, findings: &mut Findings) -> Vec<Field> {
    let entries = node
        .section(findings)
        .map(|s| s.into_entries())
        .unwrap_or_default();
    let mut fields = Vec::with_capacity(entries.len());
    for (name, node) in entries {
        let place = node.place.clone();
        let values = match absent(&node) {
            true => never(node, findings).map(|()| Vec::new()),
            false => node
                .one_or_many()
                .into_iter()
                .map(|n| bytes(n, findings))
                .collect(),
        };
        if !syntax::is_token(name.as_bytes()) {
            findings.error(&place, format!("{name:?} is not a field's name"));
        }
        let Some(values) = values else { continue };
        fields.push(Field {
            name: name.to_ascii_lowercase(),
            values,
        });
    }
    fields
}

fn absent(node: &Node) -> bool {
    node.is_boolean()
}

/// `false`, which says that something is not there.
fn never(node: Node, findings: &mut Findings) -> Option<()> {
    let place = node.place.clone();
    if node.boolean(findings)? {
        findings.error(
            &place,
            "is true; write what is expected, or false if the field must be absent",
        );
        return None;
    }
    Some(())
}

/// `{ values = { key = "value" }, counters = { key = 1 } }`; with `false` for a value that is not
/// there.
pub(super) fn stored(node: Node, findings: &mut Findings) -> Stored {
    let mut stored = Stored::default();
    let Some(mut section) = node.section(findings) else {
        return stored;
    };
    for (key, node) in section.take_section("values", findings).into_entries() {
        let value = match absent(&node) {
            true => never(node, findings).map(|()| None),
            false => bytes(node, findings).map(Some),
        };
        stored.values.extend(value.map(|value| (key, value)));
    }
    for (key, node) in section.take_section("counters", findings).into_entries() {
        stored.counters.extend(
            node.integer(findings, i64::MIN..=i64::MAX)
                .map(|n| (key, n.value)),
        );
    }
    section.finish(findings);
    stored
}

/// A backend: its index, its address, or a label such as `"zone=a"`, which several may have.
pub(super) fn backends(
    node: Node,
    pool: &PoolSetup,
    findings: &mut Findings,
) -> Option<(String, Vec<u32>)> {
    let count = u32::try_from(pool.backends.len()).unwrap_or(u32::MAX);
    if count == 0 {
        findings.error(
            &node.place,
            format!(
                "the pool {} has no backends; write some into its `backends`",
                pool.name
            ),
        );
        return None;
    }
    if node.is_integer() {
        let index = node.integer(findings, 0..=count - 1)?.value;
        return Some((index.to_string(), vec![index]));
    }
    node.parsed(findings, |written| {
        Ok((written.to_owned(), named(written, pool)?))
    })
    .map(|found| found.value)
}

/// The backends of this index, address or label; at least one.
pub(super) fn named(written: &str, pool: &PoolSetup) -> Result<Vec<u32>, String> {
    let label = written
        .split_once('=')
        .map(|(name, value)| (name.trim(), value.trim()));
    let number = written.parse::<u32>().ok();
    let is_meant = |index: u32, backend: &crate::policy::BackendSpec| {
        backend.address == written
            || number == Some(index)
            || label.is_some_and(|label| {
                backend
                    .labels
                    .iter()
                    .any(|(n, v)| (n.as_str(), v.as_str()) == label)
            })
    };
    let found: Vec<u32> = (0..)
        .zip(&pool.backends)
        .filter(|(i, b)| is_meant(*i, b))
        .map(|(i, _)| i)
        .collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let addresses: Vec<&str> = pool
        .backends
        .iter()
        .map(|b| b.address.as_str())
        .take(8)
        .collect();
    Err(format!(
        "{written:?} is not a backend of the pool {}; write an index, an address ({}) or a label \
         such as \"zone=a\"",
        pool.name,
        addresses.join(", ")
    ))
}

/// An expected result of a selection: a backend, `"none"`, or `"answer"`.
pub(super) fn pick(node: Node, pool: &PoolSetup, findings: &mut Findings) -> Option<Pick> {
    if node.is_integer() {
        let (written, found) = backends(node, pool, findings)?;
        return Some(Pick {
            written,
            meant: Meant::Backends(found),
        });
    }
    node.parsed(findings, |written| pick_named(written, pool))
        .map(|pick| pick.value)
}

/// The same of text.
pub(super) fn pick_named(written: &str, pool: &PoolSetup) -> Result<Pick, String> {
    let meant = match written {
        "none" => Meant::Nobody,
        "answer" => Meant::Answer,
        _ => Meant::Backends(named(written, pool)?),
    };
    Ok(Pick {
        written: written.to_owned(),
        meant,
    })
}

/// An attempt that failed: a backend, or `{ backend = 0, failure = "closed" }`.
pub(super) fn failed(node: Node, pool: &PoolSetup, findings: &mut Findings) -> Vec<FailedAttempt> {
    let attempt = |failure| move |backend| FailedAttempt { backend, failure };
    if !node.is_table() {
        let found = backends(node, pool, findings)
            .map(|(_, found)| found)
            .unwrap_or_default();
        return found.into_iter().map(attempt(Failure::Connect)).collect();
    }
    let Some(mut section) = node.section(findings) else {
        return Vec::new();
    };
    let found = match section.take("backend") {
        Some(node) => backends(node, pool, findings)
            .map(|(_, found)| found)
            .unwrap_or_default(),
        None => {
            findings.error(&section.place, "has no `backend`; write which one failed");
            Vec::new()
        }
    };
    let failure = section
        .take("failure")
        .and_then(|n| n.parsed(findings, failure))
        .map_or(Failure::Connect, |f| f.value);
    section.finish(findings);
    found.into_iter().map(attempt(failure)).collect()
}

fn failure(written: &str) -> Result<Failure, String> {
    let all = [
        Failure::Connect,
        Failure::ConnectTimeout,
        Failure::Closed,
        Failure::Other,
    ];
    all.into_iter()
        .find(|f| f.to_string() == written)
        .ok_or_else(|| {
            format!(
                "{written:?} is not a failure; write \"connect\", \"connect-timeout\", \"closed\" \
            or \"other\""
            )
        })
}
