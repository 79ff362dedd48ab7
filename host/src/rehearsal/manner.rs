//! How the commands read settings and show results.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::RehearsalError;
use super::source::{LARGEST_TEXT, read};
use crate::ground;

/// How results are shown.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// As JSON.
    pub json: bool,
    /// Whether standard error is a terminal.
    pub terminal: bool,
}

/// What came of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All is well.
    Fine,
    /// The policy would be refused, or did not meet the expectations; standard output says why.
    Failed,
}

/// JSON, or `@` and a file that holds it.
pub(super) fn settings(written: &str) -> Result<Value, RehearsalError> {
    let text = match written.strip_prefix('@') {
        Some(path) => String::from_utf8_lossy(&read(Path::new(path), LARGEST_TEXT)?).into_owned(),
        None => written.to_owned(),
    };
    match serde_json::from_str(&text) {
        Ok(settings @ Value::Object(_)) => Ok(settings),
        Ok(_) => Err(RehearsalError::Settings(
            "it is another kind of value".to_owned(),
        )),
        Err(e) => Err(RehearsalError::Settings(e.to_string())),
    }
}

/// As JSON that people can read.
pub(super) fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// To standard output; a reader that closes the pipe is not a failure.
pub(super) fn print(text: &str) -> Result<(), RehearsalError> {
    ground::print(text).map_err(|error| RehearsalError::Write {
        path: "standard output".into(),
        error,
    })
}

/// Writes a file whole.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), RehearsalError> {
    fs::write(path, bytes).map_err(|error| RehearsalError::Write {
        path: path.to_owned(),
        error,
    })
}
