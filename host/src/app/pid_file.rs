//! The file that holds the number of the process, for scripts that send it signals.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::files;

/// The file; removed when this is dropped, unless another process has written its number there.
#[derive(Debug)]
pub(super) struct PidFile(PathBuf);

impl PidFile {
    /// Writes the number of this process. A reader finds the old or the new number, and never a
    /// part of one.
    ///
    /// # Errors
    ///
    /// What is there is no regular file, and the system's own.
    pub(super) fn write(path: &Path) -> io::Result<Self> {
        put(path)?;
        Ok(Self(path.to_owned()))
    }

    /// Writes the number of this process again, where another one may have written its own.
    pub(super) fn write_again(&self) {
        if let Err(e) = put(&self.0) {
            tracing::error!("`pid-file` {} can't be written: {e}", self.0.display());
        }
    }

    /// The same for what a configuration names; a failure is logged, and nothing is written then.
    pub(super) fn follow(former: Option<Self>, next: Option<&Path>) -> Option<Self> {
        let next = next?;
        match former {
            Some(former) if former.0 == next => Some(former),
            _ => Self::write(next)
                .inspect_err(|e| {
                    tracing::error!("`pid-file` {} can't be written: {e}", next.display());
                })
                .ok(),
        }
    }
}

/// Why the file that a configuration names can't be written; `None` if it can, or if there is to be
/// none.
pub(super) fn pid_file_problem(config: &Config) -> Option<String> {
    let path = config.pid_file.as_deref()?;
    // It is renamed into its place.
    let error = is_free(path).and_then(|()| files::may_create(path)).err()?;
    Some(format!(
        "`pid-file` {} can't be written: {error}",
        path.display()
    ))
}

fn is_free(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => {
            let reason = "there is something that is no regular file";
            Err(io::Error::new(io::ErrorKind::AlreadyExists, reason))
        }
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn put(path: &Path) -> io::Result<()> {
    is_free(path)?;
    let pid = std::process::id();
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{pid}"));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(&beside)
        .and_then(|mut file| writeln!(file, "{pid}"));
    written
        .and_then(|()| fs::rename(&beside, path))
        .inspect_err(|_| {
            let _ = fs::remove_file(&beside);
        })
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let own = std::process::id().to_string();
        if fs::read_to_string(&self.0).is_ok_and(|text| text.trim() == own) {
            let _ = fs::remove_file(&self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_goes_with_its_process_and_not_with_another() {
        let name = format!("waypost-pid-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let text = || fs::read_to_string(&path).unwrap();
        fs::write(&path, "1\n").unwrap();
        let file = PidFile::write(&path).unwrap();
        assert_eq!(text(), format!("{}\n", std::process::id()));
        let file = PidFile::follow(Some(file), Some(&path));
        fs::write(&path, "1\n").unwrap();
        drop(file);
        assert_eq!(text(), "1\n", "it is another's");
        drop(PidFile::write(&path).unwrap());
        assert!(!path.exists());
        fs::create_dir(&path).unwrap();
        assert!(PidFile::write(&path).is_err());
        fs::remove_dir(&path).unwrap();
    }
}
