//! Regular expressions of an operator: linear in time and bounded in size.

use std::fmt;
use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};

/// The longest expression, in bytes.
const LONGEST: usize = 1024;
/// Of a compiled expression. A text takes its length times this at worst, and clients choose texts.
const COMPILED: usize = 64 << 10;
/// Of what a worker remembers to be faster.
const REMEMBERED: usize = 256 << 10;

/// A regular expression, which is found anywhere in a text unless it says `^` or `$`.
#[derive(Debug, Clone)]
pub struct Pattern(Arc<Regex>);

impl Pattern {
    /// Compiles an expression. Its classes are those of ASCII; texts are bytes.
    pub(super) fn new(written: &str) -> Result<Self, String> {
        if written.is_empty() {
            return Err("is empty and would match everything; remove it".to_owned());
        }
        if written.len() > LONGEST {
            return Err(format!(
                "has {} bytes; a regular expression can have {LONGEST}",
                written.len()
            ));
        }
        let built = RegexBuilder::new(written)
            .unicode(false)
            .size_limit(COMPILED)
            .dfa_size_limit(REMEMBERED)
            .nest_limit(50)
            .build();
        built.map(|regex| Self(Arc::new(regex))).map_err(|error| {
            let reason = match error {
                regex::Error::CompiledTooBig(_) => {
                    return format!(
                        "{written:?} takes more than {} KiB when it is compiled; write smaller \
                         repetitions",
                        COMPILED >> 10
                    );
                }
                error => error.to_string(),
            };
            // The message shows the expression with a mark under the mistake, in lines of its own.
            let reason = reason.lines().last().unwrap_or_default();
            let reason = reason.strip_prefix("error: ").unwrap_or(reason);
            if reason.contains("look-around") || reason.contains("backreference") {
                return format!(
                    "{written:?} has look-around or a reference back, which no expression in linear \
                     time can have; write an expression of what is to match, and give exceptions a \
                     route of their own that is asked before"
                );
            }
            format!(
                "{written:?} is not a regular expression: {reason}; in TOML '…' needs no doubled \
                 backslashes"
            )
        })
    }

    /// The number of the group with this number or name; not the whole, which is 0.
    pub(super) fn group(&self, name: &str) -> Option<usize> {
        let mut names = self.0.capture_names().enumerate().skip(1);
        let found = names.find(|(at, of_group)| *of_group == Some(name) || at.to_string() == name);
        found.map(|(at, _)| at)
    }

    /// What its groups find in the text, the whole first; nothing for those that find nothing.
    pub fn groups<'t>(&self, text: &'t str) -> Vec<&'t str> {
        let found = self.0.captures(text.as_bytes());
        let groups = found.iter().flat_map(|found| found.iter());
        let part = |group: regex::bytes::Match<'_>| text.get(group.range());
        let parts = groups.map(|group| group.and_then(part).unwrap_or_default());
        parts.collect()
    }

    /// Whether it is found in the text.
    pub fn is_in(&self, text: &[u8]) -> bool {
        self.0.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Display for Pattern {
    /// As it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}
