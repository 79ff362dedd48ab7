//! Listeners on Unix sockets, and the files that stand for them.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{Mode, fchmod};
use serde::{Deserialize, Serialize};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::config::ListenAddress;
use crate::files;

/// The file of a socket; removed when this is dropped, if it is still the same.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: Identity,
    /// False while another process is the one that removes it.
    is_own: bool,
    /// The mode that it is to have once it is this process's.
    mode: u32,
}

impl SocketFile {
    /// The file of a socket that another process still listens on.
    pub(super) fn of_another(path: &Path, identity: Identity, mode: u32) -> Self {
        Self {
            path: path.to_owned(),
            identity,
            is_own: false,
            mode,
        }
    }

    /// From now on it is this process's.
    pub(super) fn adopt(&mut self) {
        if !std::mem::replace(&mut self.is_own, true)
            && let Err(e) = self.set_mode(self.mode)
        {
            tracing::warn!("the mode of {} can't be set: {e:#}", self.path.display());
        }
    }

    /// From now on it is another process's.
    pub(super) fn leave(&mut self) {
        self.is_own = false;
    }

    /// What tells it from another file at its path.
    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    /// Gives it another mode, if it is still the same: whatever else is at its path by now is not
    /// this process's.
    pub(super) fn set_mode(&self, mode: u32) -> Result<()> {
        if identity(&self.path)? != self.identity {
            bail!("there is another file by now");
        }
        Ok(fs::set_permissions(
            &self.path,
            fs::Permissions::from_mode(mode),
        )?)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another process may listen there by now.
        if self.is_own && self.identity.is_at(&self.path) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Device and number of a file, and when it was made: numbers are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity(u64, u64, i64, i64);

impl Identity {
    /// Whether the file at this path is the one.
    pub(super) fn is_at(self, path: &Path) -> bool {
        identity(path).is_ok_and(|found| found == self)
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    let found = fs::symlink_metadata(path)?;
    let (modified, nanoseconds) = (found.mtime(), found.mtime_nsec());
    Ok(Identity(found.dev(), found.ino(), modified, nanoseconds))
}

/// Finds what would keep a start from listening on a path, without changing anything. That another
/// process listens there is no obstacle: it may be the one that is to be replaced.
pub(super) fn examine(path: &Path) -> Result<()> {
    is_free_or_socket(path)?;
    SockAddr::unix(path)?;
    files::may_create(path).context(FOLDER)
}

/// What to ask about a folder in which no socket can be made.
const FOLDER: &str = "does its folder exist, and may the user that runs waypost write to it?";

/// The mode of a socket's file.
pub(super) fn mode(address: &ListenAddress) -> Option<u32> {
    match address {
        ListenAddress::Unix { mode, .. } => Some(*mode),
        ListenAddress::Tcp { .. } => None,
    }
}

/// Listens on a path whose file gets this mode.
pub(super) fn listen(path: &Path, mode: u32, backlog: i32) -> Result<(UnixListener, SocketFile)> {
    make_way(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Before the file is there: no moment in which others may connect. Where the system does not
    // take it, the file gets its mode below.
    let _ = fchmod(&socket, Mode::from_raw_mode(mode as _));
    socket.bind(&SockAddr::unix(path)?).context(FOLDER)?;
    let file = SocketFile {
        path: path.to_owned(),
        identity: identity(path)?,
        is_own: true,
        mode,
    };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).context("its mode can't be set")?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok((socket.into(), file))
}

/// Removes what an earlier process has left: a socket on which no process listens.
fn make_way(path: &Path) -> Result<()> {
    if is_free_or_socket(path)? {
        return Ok(());
    }
    // Not one that waits: a process that accepts nothing would hold it up for ever.
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).context("the socket of an earlier process can't be removed")
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(()) => bail!("another process is listening there"),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
            bail!("another process is listening there, and accepts nothing")
        }
        Err(e) => {
            Err(e).context("there is a socket, and whether a process listens on it is not known")
        }
    }
}

/// Whether nothing is at a path; an error if it is no socket.
fn is_free_or_socket(path: &Path) -> Result<bool> {
    let found = match fs::symlink_metadata(path) {
        // Where its folder is no folder either.
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(true);
        }
        found => found?,
    };
    if !found.file_type().is_socket() {
        bail!("there is a file that is no socket; remove it, or choose another path");
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("waypost-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_stale_socket_is_replaced_and_no_other_file_is() {
        let folder = folder("stale");
        let path = folder.join("socket");
        let (first, file) = listen(&path, 0o600, 1).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let busy = listen(&path, 0o600, 1).unwrap_err().to_string();
        assert!(busy.contains("another process"), "{busy}");
        // Nor does one wait that accepts nothing.
        let _waiting: Vec<_> = std::iter::from_fn(|| {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let connected = socket.connect(&SockAddr::unix(&path).unwrap());
            connected.is_ok().then_some(socket)
        })
        .collect();
        let stuck = listen(&path, 0o600, 1).unwrap_err().to_string();
        assert!(stuck.contains("another process"), "{stuck}");
        drop(first);
        // Its number is not used again while it has another name.
        fs::hard_link(&path, folder.join("other name")).unwrap();
        let (_second, second_file) = listen(&path, 0o666, 1).unwrap();
        assert!(file.set_mode(0o640).is_err());
        second_file.set_mode(0o640).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        drop(file);
        assert!(path.exists(), "the file is another's");
        drop(second_file);
        assert!(!path.exists());
        fs::write(&path, "kept").unwrap();
        let kept = listen(&path, 0o600, 1).unwrap_err().to_string();
        assert!(kept.contains("no socket"), "{kept}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "kept");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_folder_that_is_missing_is_a_hint() {
        let path = folder("missing").join("none").join("socket");
        let hint = format!("{:#}", listen(&path, 0o600, 1).unwrap_err());
        assert!(hint.contains("does its folder exist"), "{hint}");
    }
}
