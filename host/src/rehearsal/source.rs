//! Where a component comes from, and other files that are read whole.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::RehearsalError;
use crate::config::CompileLimits;
use crate::files;
use crate::policy::{builtin, builtin_names};

/// More than the largest component that is taken, so that the engine can say that it is too large.
const LARGEST_COMPONENT: u64 = 256 << 20;
/// A scenario file is written by hand, and takes a hundred times its size while it is read.
pub(super) const LARGEST_TEXT: u64 = 4 << 20;

/// A component and its name.
#[derive(Debug, Clone)]
pub struct Source {
    /// As it was named: a path, or `builtin:NAME`.
    pub name: String,
    /// The bytes.
    pub bytes: Arc<[u8]>,
    /// What compiling it may take.
    pub compiling: CompileLimits,
    /// The folder that keeps compiled components; `None` keeps none.
    pub cache: Option<PathBuf>,
}

impl Source {
    /// Reads a file, or takes a built-in policy for `builtin:NAME`.
    pub fn open(path: &Path, compiling: CompileLimits) -> Result<Self, RehearsalError> {
        let name = path.display().to_string();
        let Some(wanted) = name.strip_prefix("builtin:") else {
            return Ok(Self {
                bytes: read(path, LARGEST_COMPONENT)?.into(),
                name,
                compiling,
                cache: None,
            });
        };
        let Some(bytes) = builtin(wanted) else {
            let known = builtin_names().collect::<Vec<_>>().join(", ");
            return Err(RehearsalError::NoBuiltin {
                name: wanted.to_owned(),
                known,
            });
        };
        Ok(Self {
            bytes: bytes.into(),
            name,
            compiling,
            cache: None,
        })
    }

    /// The same, compiled once for all commands that share this folder.
    pub fn kept_in(self, cache: Option<PathBuf>) -> Self {
        Self { cache, ..self }
    }

    /// The file's name without folders and extension: the default name of a policy.
    pub fn stem(&self) -> String {
        let name = self.name.strip_prefix("builtin:").unwrap_or(&self.name);
        PathBuf::from(name).file_stem().map_or_else(
            || name.to_owned(),
            |stem| stem.to_string_lossy().into_owned(),
        )
    }
}

/// A whole file of at most this many bytes.
pub(super) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, RehearsalError> {
    files::read_regular(path, limit).map_err(|error| match error.kind() {
        ErrorKind::FileTooLarge => RehearsalError::TooLarge {
            path: path.to_owned(),
            limit,
        },
        _ => RehearsalError::Read {
            path: path.to_owned(),
            error,
        },
    })
}
