//! What the admin API has changed of backends, beside the folders of the policies.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use super::{StateDir, read_own};
use crate::files;

/// No policy's folder has a dot in its name.
const BACKENDS: &str = "backends.json";
const DAMAGED: &str = "backends.json.damaged";
/// A hundred pools of ten thousand backends.
const LARGEST: u64 = 256 << 20;

impl StateDir {
    /// What was kept; `None` if there is nothing.
    ///
    /// # Errors
    ///
    /// It can't be read, or others can have written it.
    pub fn read_backends(&self) -> io::Result<Option<Vec<u8>>> {
        match read_own(&self.folder.join(BACKENDS), LARGEST) {
            Ok(text) => Ok(Some(text)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Moves what can't be used aside, where the next such file replaces it. Returns where it is;
    /// `None` if there is nothing.
    ///
    /// # Errors
    ///
    /// It can't be moved.
    pub fn set_backends_aside(&self) -> io::Result<Option<PathBuf>> {
        let aside = self.folder.join(DAMAGED);
        match fs::rename(self.folder.join(BACKENDS), &aside) {
            Ok(()) => Ok(Some(aside)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Replaces it. A crash half-way leaves the old or the new. One call at a time.
    pub fn write_backends(&self, text: &[u8]) -> io::Result<()> {
        files::write_private(&self.folder, BACKENDS, text)
    }
}
