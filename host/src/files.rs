//! Files: what does this path hold?
//!
//! A path may lead to anything: a FIFO without a writer, an endless device, a sparse file of
//! gigabytes. The proxy and its commands read every file through this room, with a bound.

use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Access, OFlags, access};

/// The suffix of a file that is still being written.
pub const UNFINISHED: &str = ".new";
/// The mode bits that let others write.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// The mode bit of a folder in which only their owners may rename and remove files.
const STICKY: u32 = 0o1000;
/// The most that is reserved before the first byte is read: a length may be a lie.
const FIRST_ROOM: u64 = 64 << 20;

/// Opens a regular file without waiting for anything. Links are followed.
///
/// # Errors
///
/// `IsADirectory` for a directory, `InvalidInput` for a FIFO, a socket or a device, and the
/// system's own errors.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    let kind = file.metadata()?.file_type();
    match (kind.is_file(), kind.is_dir()) {
        (true, _) => Ok(file),
        (_, true) => Err(io::Error::new(
            ErrorKind::IsADirectory,
            "it is a directory; name a file in it",
        )),
        _ => Err(io::Error::new(
            ErrorKind::InvalidInput,
            format!("it is {}, not a regular file", name(kind)),
        )),
    }
}

/// All bytes of a regular file of at most `bound` bytes.
///
/// # Errors
///
/// Those of [`open_regular`], and `FileTooLarge` before more than the bound is in memory.
pub fn read_regular(path: &Path, bound: u64) -> io::Result<Vec<u8>> {
    read_to_bound(&open_regular(path)?, bound)
}

/// Whether this process may make a file at a path where there is none. Nothing is changed.
///
/// # Errors
///
/// Those of a look at the folder; `PermissionDenied` if this process's user may not write there.
pub fn may_create(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    if !fs::metadata(folder)?.is_dir() {
        return Err(ErrorKind::NotADirectory.into());
    }
    Ok(access(folder, Access::WRITE_OK | Access::EXEC_OK)?)
}

/// Whether a folder, and those on the way to it, can be created. Creates none.
///
/// # Errors
///
/// What creating it would meet.
pub fn may_create_folders(folder: &Path) -> io::Result<()> {
    let mut missing = folder;
    while let Some(parent) = missing.parent().filter(|p| !p.as_os_str().is_empty()) {
        match std::fs::symlink_metadata(parent) {
            Err(e) if e.kind() == ErrorKind::NotFound => missing = parent,
            Err(e) => return Err(e),
            Ok(_) => break,
        }
    }
    may_create(missing)
}

/// Whether this process may write to a file, or make it. Nothing is opened, so nothing waits, and
/// nothing is changed.
///
/// # Errors
///
/// `IsADirectory` for a directory, and those of [`may_create`].
pub fn may_write(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(ErrorKind::IsADirectory.into()),
        Ok(_) => Ok(access(path, Access::WRITE_OK)?),
        Err(e) if e.kind() == ErrorKind::NotFound => may_create(path),
        Err(e) => Err(e),
    }
}

/// The rest of an open file, at most `bound` bytes.
///
/// # Errors
///
/// `FileTooLarge`, and the system's own errors.
pub fn read_to_bound(file: &File, bound: u64) -> io::Result<Vec<u8>> {
    let too_large = || {
        io::Error::new(
            ErrorKind::FileTooLarge,
            format!("it is larger than {bound} bytes"),
        )
    };
    let length = file.metadata()?.len();
    if length > bound {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length.min(FIRST_ROOM)).unwrap_or_default());
    // One more than allowed: a file may grow, and some report no length.
    let read = file.take(bound.saturating_add(1)).read_to_end(&mut bytes)?;
    if read as u64 > bound {
        Err(too_large())
    } else {
        Ok(bytes)
    }
}

/// Writes a file that only this process's user can read: to a temporary file, which is flushed to
/// the disk and renamed. A reader finds the old or the new file.
///
/// # Errors
///
/// The system's own; the old file stays.
pub fn write_private(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    static WRITTEN: AtomicU64 = AtomicU64::new(0);
    let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
    // An unused name and `create_new`: no link is followed, and no other writer's file is
    // truncated.
    let beside = folder.join(format!(
        "{name}.{}-{number}{UNFINISHED}",
        std::process::id()
    ));
    let created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside);
    let written = created.and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    written
        .and_then(|()| std::fs::rename(&beside, folder.join(name)))
        .inspect_err(|_| {
            let _ = std::fs::remove_file(&beside);
        })?;
    // The rename is part of the folder's data.
    File::open(folder)?.sync_all()
}

/// Checks that only this process's user can have written a file.
///
/// # Errors
///
/// `PermissionDenied`, with the reason.
pub fn trusted(metadata: &Metadata) -> io::Result<()> {
    owned(
        metadata.uid(),
        metadata.mode(),
        rustix::process::geteuid().as_raw(),
    )
}

/// Checks that a file is a program that only this process's user or root can have written.
///
/// # Errors
///
/// `PermissionDenied`, with the reason.
pub fn runnable(metadata: &Metadata) -> io::Result<()> {
    let denied = |sentence| Err(io::Error::new(ErrorKind::PermissionDenied, sentence));
    if !metadata.is_file() {
        return denied("it is no regular file");
    }
    if metadata.mode() & 0o111 == 0 {
        return denied("it is not executable; allow it with chmod +x");
    }
    let me = match metadata.uid() {
        0 => 0,
        _ => rustix::process::geteuid().as_raw(),
    };
    owned(metadata.uid(), metadata.mode(), me)
}

/// Checks that a path leads to a program that only this process's user or root can have put there:
/// each link and each folder on the way counts too.
///
/// # Errors
///
/// `PermissionDenied`, with the reason, and the system's own.
pub fn runnable_at(path: &Path) -> io::Result<()> {
    let target = fs::canonicalize(path)?;
    // Where the link is, and where it leads to; what is between is on one of the two ways as long
    // as links are few.
    for way in [path, &target] {
        for folder in way.ancestors().skip(1).filter(|f| *f != Path::new("")) {
            let found = fs::metadata(folder)?;
            let is_sticky = found.mode() & STICKY != 0;
            let is_mine = [0, rustix::process::geteuid().as_raw()].contains(&found.uid());
            if !is_mine || (found.mode() & WRITABLE_BY_OTHERS != 0 && !is_sticky) {
                let folder = folder.display();
                return Err(io::Error::new(
                    ErrorKind::PermissionDenied,
                    format!(
                        "others can exchange it, since {folder} belongs to another user or others \
                         may write to it; put the program elsewhere"
                    ),
                ));
            }
        }
    }
    let link = fs::symlink_metadata(path)?;
    if ![0, rustix::process::geteuid().as_raw()].contains(&link.uid()) {
        let reason = "it is a link of another user";
        return Err(io::Error::new(ErrorKind::PermissionDenied, reason));
    }
    runnable(&fs::metadata(&target)?)
}

fn owned(owner: u32, mode: u32, me: u32) -> io::Result<()> {
    let denied = |sentence: String| Err(io::Error::new(ErrorKind::PermissionDenied, sentence));
    if owner != me {
        return denied(format!(
            "it belongs to another user (id {owner}; this process runs as {me})"
        ));
    }
    if mode & WRITABLE_BY_OTHERS != 0 {
        return denied(format!(
            "others may write to it (mode {:o}); remove that right with chmod go-w",
            mode & 0o7777
        ));
    }
    Ok(())
}

fn name(kind: FileType) -> &'static str {
    match () {
        () if kind.is_fifo() => "a FIFO (a named pipe)",
        () if kind.is_socket() => "a socket",
        () if kind.is_char_device() || kind.is_block_device() => "a device",
        () => "a special file",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn folder(name: &str) -> std::path::PathBuf {
        let path =
            std::env::temp_dir().join(format!("waypost-files-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_special_file_is_refused_by_its_name_without_waiting() {
        let folder = folder("kinds");
        let fifo = folder.join("fifo");
        rustix::fs::mkfifoat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        )
        .unwrap();
        let link = folder.join("link");
        std::os::unix::fs::symlink(&fifo, &link).unwrap();
        let refused = |path: &Path| read_regular(path, 10).unwrap_err();
        for (path, word) in [
            (&*fifo, "FIFO"),
            (&*link, "FIFO"),
            (Path::new("/dev/zero"), "device"),
        ] {
            let error = refused(path);
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{}", path.display());
            assert!(error.to_string().contains(word), "{error}");
        }
        assert_eq!(refused(&folder).kind(), ErrorKind::IsADirectory);
        assert_eq!(refused(&folder.join("none")).kind(), ErrorKind::NotFound);
        let socket = folder.join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        assert!(read_regular(&socket, 10).is_err());
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_bound_is_inclusive_and_a_sparse_file_is_not_read() {
        let folder = folder("bound");
        let path = folder.join("file");
        std::fs::write(&path, b"0123456789").unwrap();
        assert_eq!(read_regular(&path, 10).unwrap(), b"0123456789");
        assert_eq!(
            read_regular(&path, 9).unwrap_err().kind(),
            ErrorKind::FileTooLarge
        );
        std::fs::write(&path, b"").unwrap();
        assert!(read_regular(&path, 0).unwrap().is_empty());
        File::create(&path).unwrap().set_len(3 << 30).unwrap();
        let error = read_regular(&path, 64 << 20).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge, "{error}");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn only_what_its_owner_alone_can_write_is_trusted() {
        assert!(owned(7, 0o100_600, 7).is_ok());
        assert!(owned(7, 0o040_755, 7).is_ok());
        for (owner, mode, me) in [
            (8, 0o600, 7),
            (0, 0o600, 7),
            (7, 0o600, 0),
            (7, 0o620, 7),
            (7, 0o602, 7),
        ] {
            let error = owned(owner, mode, me).unwrap_err();
            assert_eq!(
                error.kind(),
                ErrorKind::PermissionDenied,
                "{owner} {mode:o} {me}"
            );
        }
    }
}
