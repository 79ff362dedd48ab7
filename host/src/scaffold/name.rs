//! The name of a new policy.

use super::ScaffoldError;

/// Names stand in URLs, logs and metrics.
const LONGEST: usize = 64;

/// A name that is right for a policy, a crate, a package and a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name(String);

impl Name {
    pub(super) fn new(written: &str) -> Result<Self, ScaffoldError> {
        let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let good = written.len() <= LONGEST
            && written.starts_with(|c: char| c.is_ascii_lowercase())
            && !written.ends_with('-')
            && written.bytes().all(letter);
        if good {
            Ok(Self(written.to_owned()))
        } else {
            Err(ScaffoldError::Name(written.to_owned()))
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// As compilers name a file by it.
    pub(super) fn identifier(&self) -> String {
        self.0.replace('-', "_")
    }
}
