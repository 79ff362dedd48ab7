//! What a backend is asked for in a test, and which edits of it the host allows.

use std::net::Ipv6Addr;

use super::fields::Budget;
use crate::TargetError;

/// What a backend would be asked for: this path and perhaps a query, of the host `example.com`. The
/// route allows every edit.
pub fn target(path_and_query: &str) -> TestTarget {
    let (path, query) = super::message::split(path_and_query);
    TestTarget {
        path: path.to_owned(),
        query: query.map(str::to_owned),
        host: "example.com".to_owned(),
        may: vec![Part::Path, Part::Query, Part::Host],
    }
}

/// A part of the target, as `policies-may-edit` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The path.
    Path,
    /// The query.
    Query,
    /// The host.
    Host,
}

/// What a backend is asked for, on its way through the policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TestTarget {
    /// The path.
    pub path: String,
    /// The query without its `?`.
    pub query: Option<String>,
    /// The host, with its port if it has one.
    pub host: String,
    may: Vec<Part>,
}

impl TestTarget {
    /// Of this host, with its port if it has one.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        self.host = host.to_owned();
        self
    }

    /// On a route that lets its policies edit these parts only.
    #[must_use]
    pub fn may_edit(mut self, parts: impl IntoIterator<Item = Part>) -> Self {
        self.may = parts.into_iter().collect();
        self
    }

    pub(super) fn set_path(&mut self, path: &str, budget: &mut Budget) -> Result<(), TargetError> {
        self.allow(Part::Path, path.len(), budget)?;
        let path = valid(path, is_path)?;
        Self::fits(path.len() + self.query.as_ref().map_or(0, |query| query.len() + 1))?;
        self.path = path;
        Ok(())
    }

    pub(super) fn set_query(
        &mut self,
        query: Option<&str>,
        budget: &mut Budget,
    ) -> Result<(), TargetError> {
        self.allow(Part::Query, query.map_or(0, str::len), budget)?;
        let query = query.map(|query| valid(query, is_visible)).transpose()?;
        Self::fits(self.path.len() + query.as_ref().map_or(0, |query| query.len() + 1))?;
        self.query = query;
        Ok(())
    }

    pub(super) fn set_host(&mut self, host: &str, budget: &mut Budget) -> Result<(), TargetError> {
        self.allow(Part::Host, host.len(), budget)?;
        self.host = valid(host, is_host)?;
        Ok(())
    }

    /// The host takes 7,900 bytes, or as many as the client has sent; a test has sent fewer.
    fn fits(length: usize) -> Result<(), TargetError> {
        match length {
            0..=7_900 => Ok(()),
            _ => Err(TargetError::Invalid),
        }
    }

    fn allow(&self, part: Part, length: usize, budget: &mut Budget) -> Result<(), TargetError> {
        let is_there = part == Part::Host || self.path != "*";
        if !self.may.contains(&part) || !is_there {
            return Err(TargetError::NotAllowed);
        }
        budget.spend(length).map_err(|_| TargetError::TooMany)
    }
}

fn valid(text: &str, is_valid: impl FnOnce(&str) -> bool) -> Result<String, TargetError> {
    match is_valid(text) {
        true => Ok(text.to_owned()),
        false => Err(TargetError::Invalid),
    }
}

fn is_visible(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

/// Whether it is in normal form, and has nothing that servers read differently.
fn is_path(path: &str) -> bool {
    let Some(segments) = path.strip_prefix('/') else {
        return false;
    };
    let segments: Vec<&str> = segments.split('/').collect();
    let last = segments.len() - 1;
    let is_segment = |(at, segment): (usize, &&str)| {
        !matches!(*segment, "." | "..") && (at == last || !segment.is_empty())
    };
    is_visible(path)
        && !path.contains(['?', '\\', ';'])
        && segments.iter().enumerate().all(is_segment)
        && path.split('%').skip(1).all(is_encoding)
        && !has_overlong(path)
}

/// Whether what follows a `%` is an encoding that means one thing to all servers.
fn is_encoding(after: &str) -> bool {
    let Some(byte) = octet(after) else {
        return false;
    };
    let is_upper = !after.as_bytes()[..2].iter().any(u8::is_ascii_lowercase);
    let is_unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    // `%252F` would be `%2F` after one more decoding.
    let hides = byte == b'%' && octet(&after[2..]).is_some();
    is_upper && !is_unreserved && !byte.is_ascii_control() && !b"/\\;".contains(&byte) && !hides
}

/// The byte of two hexadecimal digits.
fn octet(digits: &str) -> Option<u8> {
    let digits = digits.get(..2)?;
    let are_digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    are_digits.then(|| u8::from_str_radix(digits, 16).ok())?
}

/// Whether an ASCII character is encoded in more bytes of UTF-8 than it takes.
fn has_overlong(path: &str) -> bool {
    [
        "%C0%",
        "%C1%",
        "%E0%80%",
        "%E0%81%",
        "%F0%80%80%",
        "%F0%80%81%",
    ]
    .iter()
    .any(|lead| path.contains(lead))
}

fn is_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) if address.parse::<Ipv6Addr>().is_ok() => ("", port),
        Some(_) => return false,
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let is_label = |label: &str| {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        (1..=63).contains(&label.len())
            && label.bytes().all(is_letter)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_name = |name: &str| {
        let name = name.strip_suffix('.').unwrap_or(name);
        name.len() <= 253 && name.split('.').all(is_label)
    };
    let is_port = |port: &str| match port.strip_prefix(':') {
        Some("") => true,
        Some(digits) => {
            digits.bytes().all(|digit| digit.is_ascii_digit()) && digits.parse::<u16>().is_ok()
        }
        None => port.is_empty(),
    };
    (host.starts_with('[') || is_name(name)) && is_port(port)
}
