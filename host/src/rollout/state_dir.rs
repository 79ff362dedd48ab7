//! The state directory: the promoted component of each policy, loaded again after a restart.

mod backends;

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::files;
use crate::policy::{MAX_COMPONENT, digest};

/// The version of the layout of `active.json`.
const VERSION: u32 = 1;
const ACTIVE: &str = "active.json";
/// Locked by the process that uses the folder. No policy's folder begins with a dot.
const LOCK: &str = ".lock";
const COMPONENT: &str = ".wasm";
/// `active.json` has some hundred bytes; the source may be a long path.
const LARGEST_ACTIVE: u64 = 64 << 10;
/// Every JSON reader represents numbers up to here exactly.
const LARGEST_GENERATION: u64 = 1 << 53;

/// The folder `state-dir`: `NAME/active.json`, and beside it the component `DIGEST.wasm`.
#[derive(Debug, Clone)]
pub struct StateDir {
    folder: PathBuf,
    /// Locked for as long as it is open.
    lock: Arc<File>,
}

/// A component that was promoted before the restart.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The component's bytes.
    pub component: Arc<[u8]>,
    /// The number of its generation.
    pub generation: u64,
    /// The highest generation number that the policy had.
    pub last_generation: u64,
    /// Where it came from, in words.
    pub source: String,
    /// The digest of the component that the configuration named when this one was promoted. If the
    /// configuration names another now, the operator has deployed that one since.
    pub configured: Option<String>,
}

/// Distinguishes what was kept without comparing components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    generation: u64,
    last_generation: u64,
    configured: Option<String>,
}

impl Kept {
    /// Distinguishes it from what was kept before and after.
    pub fn fingerprint(&self) -> Fingerprint {
        let Self {
            generation,
            last_generation,
            configured,
            ..
        } = self;
        Fingerprint {
            generation: *generation,
            last_generation: *last_generation,
            configured: configured.clone(),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct ActiveFile {
    version: u32,
    generation: u64,
    last_generation: u64,
    digest: String,
    source: String,
    configured: Option<String>,
}

impl ActiveFile {
    /// The file in a policy's folder; `None` if the folder or the file is not there.
    fn read(folder: &Path) -> io::Result<Option<Self>> {
        if !is_trusted_folder(folder)? {
            return Ok(None);
        }
        let note = match read_own(&folder.join(ACTIVE), LARGEST_ACTIVE) {
            Ok(note) => note,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let note: Self =
            serde_json::from_slice(&note).map_err(|e| damaged(format!("{ACTIVE}: {e}")))?;
        note.validate()?;
        Ok(Some(note))
    }

    /// Refuses another layout, and numbers that no history has.
    fn validate(&self) -> io::Result<()> {
        let Self {
            version,
            generation,
            last_generation,
            ..
        } = self;
        if *version != VERSION {
            let reason =
                format!("{ACTIVE} has version {version}; this proxy reads version {VERSION}");
            return Err(io::Error::new(ErrorKind::Unsupported, reason));
        }
        match 0 < *generation
            && generation <= last_generation
            && *last_generation <= LARGEST_GENERATION
        {
            true => Ok(()),
            false => Err(damaged(format!(
                "{ACTIVE}: generation {generation} of {last_generation} can't exist"
            ))),
        }
    }
}

impl StateDir {
    /// Opens the folder for this process alone, and creates it if it is missing. `passed` is its
    /// lock if the process that this one replaces has it.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` if others can write to it, `ResourceBusy` if another process uses it.
    pub fn open(folder: &Path, passed: Option<File>) -> io::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        Self::examine(folder)?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(
                (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK)
                    .bits()
                    .cast_signed(),
            )
            .open(folder.join(LOCK))?;
        // A lock belongs to the opened file: both processes have the one that was passed.
        let passed = passed.filter(|passed| is_same(passed, &lock));
        let lock = passed.unwrap_or(lock);
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                folder: folder.to_owned(),
                lock: Arc::new(lock),
            }),
            Err(TryLockError::WouldBlock) => Err(io::Error::new(
                ErrorKind::ResourceBusy,
                "another waypost process uses it; stop that process, or give each its own folder",
            )),
            Err(TryLockError::Error(e)) => Err(e),
        }
    }

    /// Another descriptor of its lock, for the process that replaces this one.
    ///
    /// # Errors
    ///
    /// There are no more descriptors.
    pub fn lock_copy(&self) -> io::Result<File> {
        self.lock.try_clone()
    }

    /// Whether the folder can be trusted, since its components will run; or, if it does not exist,
    /// whether it can be created. Creates nothing.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` if it belongs to another user, or others can write to it.
    pub fn examine(folder: &Path) -> io::Result<()> {
        match fs::metadata(folder) {
            Ok(found) if !found.is_dir() => Err(io::Error::new(
                ErrorKind::NotADirectory,
                "it is not a directory",
            )),
            Ok(found) => files::trusted(&found),
            Err(e) if e.kind() == ErrorKind::NotFound => files::may_create_folders(folder),
            Err(e) => Err(e),
        }
    }

    /// The kept component of this policy; `None` if there is none.
    ///
    /// # Errors
    ///
    /// `InvalidData` if it is damaged for good; any other kind if a later attempt may succeed.
    pub fn read(&self, policy: &str) -> io::Result<Option<Kept>> {
        let folder = self.folder(policy);
        let Some(note) = ActiveFile::read(&folder)? else {
            return Ok(None);
        };
        let component = kept_component(&folder, &note.digest)?;
        let ActiveFile {
            generation,
            last_generation,
            source,
            configured,
            ..
        } = note;
        Ok(Some(Kept {
            component,
            generation,
            last_generation,
            source,
            configured,
        }))
    }

    /// Replaces the kept component. A crash half-way leaves the old or the new one. One call at a
    /// time for each policy.
    pub fn write(&self, policy: &str, kept: &Kept) -> io::Result<()> {
        let folder = self.folder(policy);
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => File::open(&self.folder)?.sync_all()?,
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
        let found = fs::symlink_metadata(&folder)?;
        if !found.is_dir() {
            return Err(io::Error::new(
                ErrorKind::NotADirectory,
                format!("{} is not a directory", folder.display()),
            ));
        }
        files::trusted(&found)?;
        let digest = digest(&kept.component);
        let component = file_name(&digest);
        files::write_private(&folder, &component, &kept.component)?;
        let note = ActiveFile {
            version: VERSION,
            generation: kept.generation,
            last_generation: kept.last_generation,
            digest,
            source: kept.source.clone(),
            configured: kept.configured.clone(),
        };
        files::write_private(
            &folder,
            ACTIVE,
            &serde_json::to_vec_pretty(&note).map_err(io::Error::other)?,
        )?;
        tidy_up(&folder, &component);
        Ok(())
    }

    /// A policy's name may contain anything; its folder's name must not lead elsewhere.
    fn folder(&self, policy: &str) -> PathBuf {
        let mut name = String::with_capacity(policy.len());
        for byte in policy.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => {
                    name.push(char::from(byte))
                }
                _ => name.push_str(&format!("%{byte:02x}")),
            }
        }
        self.folder.join(name)
    }
}

/// Whether a policy's folder is there; an error if what is there can't be trusted.
fn is_trusted_folder(folder: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(folder) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
        Ok(found) if !found.is_dir() => {
            Err(damaged(format!("{} is not a directory", folder.display())))
        }
        Ok(found) => files::trusted(&found)
            .map(|()| true)
            .map_err(|e| damaged(format!("{}: {e}", folder.display()))),
    }
}

/// The component with this digest, which `active.json` names.
fn kept_component(folder: &Path, named: &str) -> io::Result<Arc<[u8]>> {
    let path = folder.join(file_name(named));
    let component = match read_own(&path, MAX_COMPONENT as u64) {
        Ok(component) => component,
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return Err(damaged(format!(
                "{ACTIVE} names {}, which is missing",
                path.display()
            )));
        }
        Err(e) => return Err(e),
    };
    match digest(&component) == named {
        true => Ok(component.into()),
        false => Err(damaged(format!(
            "the component's digest is not {named}, as {ACTIVE} says"
        ))),
    }
}

fn file_name(digest: &str) -> String {
    let hex: String = digest.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("{hex}{COMPONENT}")
}

/// Removes components that `active.json` no longer names, and files that a crash left unfinished.
/// A failure is harmless: the file only takes space.
fn tidy_up(folder: &Path, named: &str) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name != named && (name.ends_with(COMPONENT) || name.ends_with(files::UNFINISHED)) {
            let _ = fs::remove_file(entry.path()).or_else(|_| fs::remove_dir(entry.path()));
        }
    }
}

/// The whole file, if only this process's user can have written it.
fn read_own(path: &Path, bound: u64) -> io::Result<Vec<u8>> {
    let unusable = |e: io::Error| match e.kind() {
        ErrorKind::IsADirectory
        | ErrorKind::InvalidInput
        | ErrorKind::FileTooLarge
        | ErrorKind::PermissionDenied => damaged(format!("{}: {e}", path.display())),
        _ => e,
    };
    // What a link leads to may be another's to exchange, and the next write would replace the link.
    if fs::symlink_metadata(path)?.is_symlink() {
        let path = path.display();
        return Err(damaged(format!(
            "{path} is a symbolic link; put the file itself there"
        )));
    }
    let file = files::open_regular(path).map_err(unusable)?;
    file.metadata()
        .and_then(|found| files::trusted(&found))
        .map_err(unusable)?;
    files::read_to_bound(&file, bound).map_err(unusable)
}

fn is_same(one: &File, other: &File) -> bool {
    let identity = |file: &File| file.metadata().map(|found| (found.dev(), found.ino()));
    matches!((identity(one), identity(other)), (Ok(one), Ok(other)) if one == other)
}

fn damaged(reason: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests;
