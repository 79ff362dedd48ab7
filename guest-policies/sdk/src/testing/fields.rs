//! Header fields in a test, and which of them a policy may write: the rules of the real host.

use super::table::TABLE;
use crate::{HeaderError, request::is_name};

const MAX_VALUE: usize = 8 * 1024;
const MAX_EDITS: usize = 64;
const MAX_EDIT_BYTES: usize = 32 * 1024;

/// Header fields in order, names in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fields {
    entries: Vec<(String, Vec<u8>)>,
}

impl Fields {
    pub fn append(&mut self, name: &str, value: &[u8]) {
        self.entries
            .push((name.to_ascii_lowercase(), value.to_vec()));
    }

    pub fn set(&mut self, name: &str, value: &[u8]) {
        self.remove(name);
        self.append(name, value);
    }

    pub fn remove(&mut self, name: &str) {
        self.entries
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.values(name).next()
    }

    pub fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.entries
            .iter()
            .filter(move |(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_slice())
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_str())
    }

    fn is_named_by_connection(&self, name: &str) -> bool {
        let mut tokens = self
            .values("connection")
            .flat_map(|value| value.split(|&byte| byte == b','));
        tokens.any(|token| token.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
    }
}

/// What one call has spent of its edits.
#[derive(Debug, Default)]
pub(super) struct Budget {
    edits: usize,
    bytes: usize,
}

impl Budget {
    /// Whether these fields may be edited so.
    pub fn allow(&mut self, fields: &Fields, name: &str, value: &[u8]) -> Result<(), HeaderError> {
        check_name(name)?;
        check_value(value)?;
        if fields.is_named_by_connection(name) {
            return Err(HeaderError::Forbidden);
        }
        self.spend(name.len() + value.len())
    }

    /// One more edit of so many bytes.
    pub fn spend(&mut self, bytes: usize) -> Result<(), HeaderError> {
        if self.edits >= MAX_EDITS || bytes > MAX_EDIT_BYTES - self.bytes {
            return Err(HeaderError::TooMany);
        }
        self.edits += 1;
        self.bytes += bytes;
        Ok(())
    }
}

pub(super) fn check_name(name: &str) -> Result<(), HeaderError> {
    if !is_name(name) {
        return Err(HeaderError::InvalidName);
    }
    if is_the_hosts(name) {
        Err(HeaderError::Forbidden)
    } else {
        Ok(())
    }
}

/// What the proxy refuses: its own fields, and what some backends can't tell from them.
fn is_the_hosts(name: &str) -> bool {
    let name: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    let is = |known: &str| {
        known
            .strip_suffix('*')
            .map_or(name == known, |beginning| name.starts_with(beginning))
    };
    let owner = TABLE
        .iter()
        .rev()
        .find(|(known, _)| is(known))
        .map(|(_, owner)| *owner);
    name != "max-forwards" && owner.is_some()
}

pub(super) fn check_value(value: &[u8]) -> Result<(), HeaderError> {
    let is_valid = |&byte: &u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    if value.len() > MAX_VALUE || !value.iter().all(is_valid) {
        Err(HeaderError::InvalidValue)
    } else {
        Ok(())
    }
}
