//! What is wrong with a configuration, and where.

use std::fmt;
use std::sync::Arc;

use crate::text;

/// Mistakes that are told one by one; whoever made so many made one of them again and again.
const TOLD: usize = 50;
/// Bytes of a message: more of a value that was written is no help.
const LONGEST: usize = 800;

/// Everything that is wrong with a configuration; at least one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors(Vec<ConfigError>);

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct ConfigError {
    /// Where it was written.
    pub place: Place,
    /// What is wrong and what to do, without a full stop.
    pub message: String,
}

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the file.
    File {
        /// The file as the operator named it.
        file: Arc<str>,
        /// From 1; 0 if the error concerns the file as a whole.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// The key with its sections, such as `pools.web.attempts`; empty if there is none.
        key: String,
    },
    /// In an environment variable of this name.
    Environment(&'static str),
    /// In a flag of this name, such as `--listen`.
    Flag(&'static str),
    /// Nowhere: a default.
    Default(&'static str),
}

impl ConfigErrors {
    /// All of them, in the order found.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for ConfigErrors {
    /// One line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().take(TOLD).enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        match self.0.len().saturating_sub(TOLD) {
            0 => Ok(()),
            more => write!(
                f,
                "\n{more} more mistakes are not shown; correct these first"
            ),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line: 0, .. } => write!(f, "{file}"),
            Self::File {
                file,
                line,
                column,
                key,
            } if key.is_empty() => {
                write!(f, "{file}, line {line}, column {column}")
            }
            Self::File {
                file,
                line,
                column,
                key,
            } => write!(f, "{file}, line {line}, column {column}, `{key}`"),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "option {name}"),
            Self::Default(key) => write!(f, "default of `{key}`"),
        }
    }
}

/// Fit to be shown to a person: its beginning and its end if it is long, because advice stands at
/// the end, and nothing that a terminal would obey.
pub(crate) fn brief(message: &str) -> String {
    text::brief(message, LONGEST)
}

/// A value and where it was written.
#[derive(Debug, Clone)]
pub(crate) struct At<T> {
    pub value: T,
    pub place: Place,
}

impl<T> At<T> {
    pub fn new(value: T, place: Place) -> Self {
        Self { value, place }
    }
}

/// Collects what is wrong, so that the operator sees all of it at once.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    errors: Vec<ConfigError>,
    warnings: Vec<String>,
}

impl Findings {
    pub fn error(&mut self, place: &Place, message: impl Into<String>) {
        self.errors.push(ConfigError {
            place: place.clone(),
            message: brief(&message.into()),
        });
    }

    pub fn warning(&mut self, place: &Place, message: impl fmt::Display) {
        self.warnings.push(format!("{place}: {message}"));
    }

    /// A warning about the configuration as a whole.
    pub fn general_warning(&mut self, message: impl Into<String>) {
        self.warnings.push(message.into());
    }

    /// The value, or `None` with the error noted.
    pub fn accept<T>(&mut self, place: &Place, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.error(place, message)).ok()
    }

    /// Whether an error was noted within `[SECTION.NAME]`, so that whoever names it need not
    /// complain again.
    pub fn concern_section(&self, section: &str, name: &str) -> bool {
        let path = [section, ".", name].concat();
        let dotted = [&path, "."].concat();
        self.errors
            .iter()
            .any(|e| matches!(&e.place, Place::File { key, .. } if *key == path || key.starts_with(&dotted)))
    }

    /// Whether there are so many that it's no use to look for more.
    pub fn are_plenty(&self) -> bool {
        self.errors.len() > 20 * TOLD
    }

    pub fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// The errors from top to bottom, where it is known that there are some.
    pub fn into_errors(mut self) -> ConfigErrors {
        self.errors.sort_by_key(|e| match e.place {
            Place::File { line, column, .. } => (line, column),
            _ => (0, 0),
        });
        ConfigErrors(self.errors)
    }

    /// The warnings if nothing is wrong.
    pub fn conclude(self) -> Result<Vec<String>, ConfigErrors> {
        if self.errors.is_empty() {
            Ok(self.warnings)
        } else {
            Err(self.into_errors())
        }
    }
}
