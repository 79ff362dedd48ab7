//! What a reload of the configuration has changed, or why it was refused.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::SystemTime;

use serde::Serialize;

use super::times::rfc3339_of;

/// The future of a reload.
pub type ReopenFuture<'a> = Pin<Box<dyn Future<Output = Vec<String>> + Send + 'a>>;

/// The future of a reload.
pub type ReloadFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Reloaded, ReloadError>> + Send + 'a>>;

/// A configuration that was read, and published unless it was only checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reloaded {
    /// Whether it runs now. False if it was only checked, and if it is what ran before.
    pub published: bool,
    /// What differs from what ran before.
    pub changes: Changes,
    /// `sha256:` and the digest of the file in hexadecimal; `None` without a file.
    pub digest: Option<String>,
    /// Sentences about settings that are allowed but probably not intended.
    pub warnings: Vec<String>,
}

/// Why a configuration was not published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReloadError {
    /// Every mistake, as a sentence. What ran before goes on.
    Refused(Vec<String>),
    /// The process can't do it now, as a sentence.
    Unavailable(String),
}

/// How two configurations differ.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// By address.
    pub listeners: Difference,
    /// By host and path.
    pub routes: Difference,
    /// By name.
    pub pools: Difference,
    /// By name.
    pub policies: Difference,
    /// Other sections that have changed.
    pub settings: Vec<&'static str>,
}

/// How two lists differ.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Only in the new one.
    pub added: Vec<String>,
    /// In both, but not the same.
    pub changed: Vec<String>,
    /// Only in the old one.
    pub removed: Vec<String>,
}

/// How reloads have gone so far.
#[derive(Debug, Clone, Serialize)]
pub struct ReloadStatus {
    /// The configuration file; `None` without one.
    pub file: Option<String>,
    /// `sha256:` and the digest of the file that runs.
    pub digest: Option<String>,
    /// Since when it runs.
    #[serde(serialize_with = "rfc3339_of")]
    pub since: SystemTime,
    /// Reloads that were published, or found nothing new.
    pub succeeded: u64,
    /// Reloads that were refused.
    pub refused: u64,
    /// When the last one ended, in seconds since 1970; 0 if there was none.
    pub last_unix: u64,
    /// Why the last one was refused; empty if it was not.
    pub errors: Vec<String>,
}

impl Changes {
    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Difference {
    /// Between two lists of names with what they stand for. Of equal names, the n-th of one list
    /// is compared with the n-th of the other.
    pub fn of<T: PartialEq>(former: &[(String, T)], next: &[(String, T)]) -> Self {
        let nth = |all: &[(String, T)], at: usize| {
            all[..at].iter().filter(|(n, _)| *n == all[at].0).count()
        };
        let twin = |all: &[(String, T)], name: &str, nth: usize| {
            let mut same = all.iter().enumerate().filter(|(_, (n, _))| n == name);
            same.nth(nth).map(|(at, _)| at)
        };
        let mut difference = Self::default();
        for (at, (name, what)) in next.iter().enumerate() {
            match twin(former, name, nth(next, at)) {
                None => difference.added.push(name.clone()),
                Some(twin) if former[twin].1 != *what => difference.changed.push(name.clone()),
                Some(_) => {}
            }
        }
        for (at, (name, _)) in former.iter().enumerate() {
            if twin(next, name, nth(former, at)).is_none() {
                difference.removed.push(name.clone());
            }
        }
        difference
    }
}

/// How many names a sentence lists.
const NAMED: usize = 8;

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing has changed");
        }
        let kinds = [
            ("listeners", &self.listeners),
            ("routes", &self.routes),
            ("pools", &self.pools),
            ("policies", &self.policies),
        ];
        let mut between = "";
        for (kind, difference) in kinds {
            let Difference {
                added,
                changed,
                removed,
            } = difference;
            for (verb, names) in [("added", added), ("changed", changed), ("removed", removed)] {
                if !names.is_empty() {
                    write!(f, "{between}{kind} {verb}: {}", listed(names))?;
                    between = "; ";
                }
            }
        }
        if !self.settings.is_empty() {
            write!(f, "{between}settings changed: {}", self.settings.join(", "))?;
        }
        Ok(())
    }
}

fn listed(names: &[String]) -> String {
    let shown = names.iter().take(NAMED).cloned().collect::<Vec<_>>();
    match names.len().saturating_sub(NAMED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_what_came_what_changed_and_what_went() {
        let named = |all: &[(&str, u8)]| -> Vec<(String, u8)> {
            all.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect()
        };
        let former = named(&[("a", 1), ("b", 1), ("b", 2), ("c", 1)]);
        let next = named(&[("b", 1), ("b", 3), ("c", 1), ("d", 1)]);
        let difference = Difference::of(&former, &next);
        assert_eq!(difference.added, ["d"]);
        assert_eq!(difference.changed, ["b"]);
        assert_eq!(difference.removed, ["a"]);
        let changes = Changes {
            pools: difference,
            settings: vec!["limits"],
            ..Changes::default()
        };
        assert_eq!(
            changes.to_string(),
            "pools added: d; pools changed: b; pools removed: a; settings changed: limits"
        );
        let same = Difference::of(&former, &former);
        assert_eq!(same, Difference::default());
    }
}
