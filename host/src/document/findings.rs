//! Mistakes in a configuration, and where they are.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use crate::text;

/// How many mistakes are shown in full; beyond it, most repeat an earlier one.
const TOLD: usize = 50;
/// The most bytes of a message; more of a long value would not help.
const LONGEST: usize = 800;

/// All mistakes in a configuration; at least one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    errors: Vec<ConfigError>,
    is_unreadable: bool,
}

/// What is hardly meant, though it is no mistake: a sentence that names its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigWarning {
    place: Option<Place>,
    text: String,
}

/// One mistake.
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
        /// From 1; 0 if the error is about the whole file.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// The key with its sections, such as `pools.web.attempts`; empty if there is none.
        key: String,
    },
    /// In a file or a body of JSON.
    Json {
        /// Its name.
        file: Arc<str>,
        /// RFC 6901; empty for the whole.
        pointer: String,
    },
    /// In an environment variable of this name.
    Environment(&'static str),
    /// In a flag of this name, such as `--listen`.
    Flag(&'static str),
    /// Not written: a default.
    Default(&'static str),
}

impl ConfigErrors {
    /// All errors, in the order found.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.errors.iter()
    }

    /// That of a file that can't be read at all.
    pub(crate) fn unreadable(error: ConfigError) -> Self {
        Self {
            errors: vec![error],
            is_unreadable: true,
        }
    }

    /// Whether the command line is what is wrong: a flag, or a file that can't be read.
    pub fn is_of_command_line(&self) -> bool {
        let is_flag = |error: &ConfigError| matches!(error.place, Place::Flag(_));
        self.is_unreadable || self.errors.iter().all(is_flag)
    }
}

impl ConfigWarning {
    /// Where it was written, if it is about one place.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }
}

impl From<String> for ConfigWarning {
    fn from(text: String) -> Self {
        Self { place: None, text }
    }
}

impl Deref for ConfigWarning {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl Borrow<str> for ConfigWarning {
    fn borrow(&self) -> &str {
        self
    }
}

impl PartialEq<&str> for ConfigWarning {
    fn eq(&self, other: &&str) -> bool {
        self.text == *other
    }
}

impl fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self {
            errors: vec![error],
            is_unreadable: false,
        }
    }
}

impl fmt::Display for ConfigErrors {
    /// One line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.errors.iter().take(TOLD).enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        match self.errors.len().saturating_sub(TOLD) {
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
            Self::Json { file, pointer } if pointer.is_empty() => write!(f, "{file}"),
            Self::Json { file, pointer } => write!(f, "{file}, {pointer}"),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "option {name}"),
            Self::Default(key) => write!(f, "default of `{key}`"),
        }
    }
}

/// A message for people: without control characters, and shortened in the middle, because advice
/// stands at the end.
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
    pub(crate) fn new(value: T, place: Place) -> Self {
        Self { value, place }
    }
}

/// Collects mistakes, so that the operator sees all of them together.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    errors: Vec<ConfigError>,
    warnings: Vec<ConfigWarning>,
    files: Vec<(PathBuf, Place)>,
    keys: Vec<(String, Place)>,
    /// What other programs call keys, and what stands in their place.
    foreign: Option<Foreign>,
}

/// The advice about a key of another program: its path with all sections, and it alone.
pub(crate) type Foreign = fn(&str, &str) -> Option<&'static str>;

impl Findings {
    /// None yet, of a text in which keys of other programs may be.
    pub(crate) fn with_foreign(foreign: Foreign) -> Self {
        Self {
            foreign: Some(foreign),
            ..Self::default()
        }
    }

    pub(super) fn foreign(&self, place: &Place, key: &str) -> Option<&'static str> {
        match (place, self.foreign) {
            (Place::File { key: path, .. }, Some(foreign)) => foreign(path, key),
            _ => None,
        }
    }

    pub(crate) fn error(&mut self, place: &Place, message: impl Into<String>) {
        self.errors.push(ConfigError {
            place: place.clone(),
            message: brief(&message.into()),
        });
    }

    pub(crate) fn warning(&mut self, place: &Place, message: impl fmt::Display) {
        self.warnings.push(ConfigWarning {
            place: Some(place.clone()),
            text: format!("{place}: {message}"),
        });
    }

    /// Notes where a file was named, so that one that is missing can be traced back.
    pub(crate) fn note_file(&mut self, file: &At<PathBuf>) {
        self.files.push((file.value.clone(), file.place.clone()));
    }

    /// The files that were noted.
    pub(crate) fn take_files(&mut self) -> Vec<(PathBuf, Place)> {
        std::mem::take(&mut self.files)
    }

    /// Notes where the keys are.
    pub(crate) fn note_keys(&mut self, keys: Vec<(String, Place)>) {
        self.keys = keys;
    }

    /// The keys that were noted.
    pub(crate) fn take_keys(&mut self) -> Vec<(String, Place)> {
        std::mem::take(&mut self.keys)
    }

    /// The warnings that all of these have.
    pub(crate) fn warn_as_all(&mut self, mut each: impl Iterator<Item = Self>) {
        let mut common = each.next().unwrap_or_default().warnings;
        each.for_each(|other| common.retain(|warning| other.warnings.contains(warning)));
        self.warnings.extend(common);
    }

    /// A warning about the configuration as a whole.
    pub(crate) fn general_warning(&mut self, message: impl Into<String>) {
        self.warnings.push(message.into().into());
    }

    /// The value, or `None` with the error noted.
    pub(crate) fn accept<T>(&mut self, place: &Place, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.error(place, message)).ok()
    }

    /// Whether an error was noted within `[SECTION.NAME]`, so that a reference to the section needs
    /// no second one.
    pub(crate) fn concern_section(&self, section: &str, name: &str) -> bool {
        let path = [section, ".", name].concat();
        let dotted = [&path, "."].concat();
        self.errors.iter().any(|e| match &e.place {
            Place::File { key, .. } => *key == path || key.starts_with(&dotted),
            _ => false,
        })
    }

    /// How many errors there are.
    pub(crate) fn count(&self) -> usize {
        self.errors.len()
    }

    /// Whether there are too many errors to look for more.
    pub(crate) fn are_plenty(&self) -> bool {
        self.errors.len() > 20 * TOLD
    }

    pub(super) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// The errors from top to bottom, if the caller knows that there are some.
    pub(crate) fn into_errors(mut self) -> ConfigErrors {
        self.errors.sort_by_key(|e| match e.place {
            Place::File { line, column, .. } => (line, column),
            _ => (0, 0),
        });
        ConfigErrors {
            errors: self.errors,
            is_unreadable: false,
        }
    }

    /// The warnings, or the errors if there are any.
    pub(crate) fn conclude(self) -> Result<Vec<ConfigWarning>, ConfigErrors> {
        if self.errors.is_empty() {
            Ok(self.warnings)
        } else {
            Err(self.into_errors())
        }
    }
}
