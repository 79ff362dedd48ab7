//! Why nothing was written.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// What is in the way.
#[derive(Debug, Error)]
pub enum ScaffoldError {
    /// No name for a policy, a crate and a package all at once.
    #[error(
        "{0:?} can't be the name of a policy: write small letters, digits and hyphens, beginning with a letter, 64 at most, such as `my-policy`"
    )]
    Name(String),
    /// The name of what a project brings with it.
    #[error("{0:?} is the name of the SDK, which the policy uses; take another one")]
    Taken(&'static str),
    /// Somebody's files are there.
    #[error("{} is there and not empty; name another folder with --dir", .0.display())]
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
    /// Bindings of something that is no world.
    #[error("{}: {reason}", path.display())]
    Wit {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}
