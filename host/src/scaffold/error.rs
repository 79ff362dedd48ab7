//! Why nothing was written.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why the project can't be written.
#[derive(Debug, Error)]
pub enum ScaffoldError {
    /// No name for a policy, a crate and a package all at once.
    #[error(
        "{0:?} can't be the name of a policy: write at most 64 lower-case letters, digits and \
         hyphens, starting with a letter, such as `my-policy`"
    )]
    Name(String),
    /// The name of the SDK, which a project contains.
    #[error("{0:?} is the name of the SDK, which the policy uses; choose another one")]
    Taken(&'static str),
    /// The folder contains files.
    #[error("{} exists and is not empty; name another folder with --dir", .0.display())]
    Occupied(PathBuf),
    /// The system refuses.
    #[error("{} can't be {what}: {reason}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What should have been done with it.
        what: &'static str,
        /// The system's reason.
        reason: io::Error,
    },
    /// The folder contains no valid world.
    #[error("{}: {reason}", path.display())]
    Wit {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}
