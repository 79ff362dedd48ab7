//! What a restart comes back with: the promoted component of each policy, in a folder.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::files;
use crate::policy::{MAX_COMPONENT, digest};

/// The layout of the file that says which component it is.
const VERSION: u32 = 1;
const RECORD: &str = "active.json";
/// Held by the one process that uses the folder. No policy's folder begins with a dot.
const LOCK: &str = ".lock";
const COMPONENT: &str = ".wasm";
/// A file that is not whole yet.
const UNFINISHED: &str = ".new";
/// A record has some hundred bytes; the source is a path.
const LARGEST_RECORD: u64 = 64 << 10;
/// Numbers up to here are exact in everything that reads JSON, and leave room for more than anyone
/// deploys.
const LARGEST_GENERATION: u64 = 1 << 53;

/// The folder `state-dir`: `NAME/active.json`, and beside it the component `DIGEST.wasm`.
#[derive(Debug, Clone)]
pub struct Keep {
    folder: PathBuf,
    /// Locked for as long as it is open.
    _lock: Arc<File>,
}

/// A component that was promoted before the restart.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Its bytes.
    pub component: Arc<[u8]>,
    /// The number that its generation had.
    pub generation: u64,
    /// The last number that any generation of the policy had.
    pub last_generation: u64,
    /// Where it came from, in words.
    pub source: String,
    /// The digest of what the configuration named when it was promoted: if that is another one now,
    /// the operator has deployed by the configuration since.
    pub configured: Option<String>,
}

/// What tells one from another without comparing components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    generation: u64,
    last_generation: u64,
    configured: Option<String>,
}

impl Kept {
    /// What tells it from another of this process.
    pub fn mark(&self) -> Mark {
        let Self {
            generation,
            last_generation,
            configured,
            ..
        } = self;
        Mark {
            generation: *generation,
            last_generation: *last_generation,
            configured: configured.clone(),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    version: u32,
    generation: u64,
    last_generation: u64,
    digest: String,
    source: String,
    configured: Option<String>,
}

impl Keep {
    /// Opens the folder, made if new, for this process alone.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` if others can write to it, `ResourceBusy` if another process uses it.
    pub fn open(folder: &Path) -> io::Result<Self> {
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
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                folder: folder.to_owned(),
                _lock: Arc::new(lock),
            }),
            Err(TryLockError::WouldBlock) => Err(io::Error::new(
                ErrorKind::ResourceBusy,
                "another waypost process uses it; stop that one, or give each a folder of its own",
            )),
            Err(TryLockError::Error(e)) => Err(e),
        }
    }

    /// Whether the folder, if it is there, can be trusted: what is in it is run.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` if it belongs to another user, or others can write to it.
    pub fn examine(folder: &Path) -> io::Result<()> {
        match fs::metadata(folder) {
            Ok(found) if !found.is_dir() => Err(io::Error::new(
                ErrorKind::NotADirectory,
                "it is not a folder",
            )),
            Ok(found) => files::trusted(&found),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// What was kept for this policy; `None` if nothing was.
    ///
    /// # Errors
    ///
    /// `InvalidData` if it is damaged, so that it is of no use to anyone; any other if it may be
    /// read another time.
    pub fn read(&self, policy: &str) -> io::Result<Option<Kept>> {
        let folder = self.folder(policy);
        match fs::symlink_metadata(&folder) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
            Ok(found) if !found.is_dir() => {
                return Err(damaged(format!("{} is not a folder", folder.display())));
            }
            Ok(found) => {
                files::trusted(&found).map_err(|e| damaged(format!("{}: {e}", folder.display())))?
            }
        }
        let note = match read_own(&folder.join(RECORD), LARGEST_RECORD) {
            Ok(note) => note,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let note: Note =
            serde_json::from_slice(&note).map_err(|e| damaged(format!("{RECORD}: {e}")))?;
        if note.version != VERSION {
            let reason = format!(
                "{RECORD} is of version {}, and this proxy knows version {VERSION}",
                note.version
            );
            return Err(io::Error::new(ErrorKind::Unsupported, reason));
        }
        if note.generation == 0
            || note.generation > note.last_generation
            || note.last_generation > LARGEST_GENERATION
        {
            let Note {
                generation,
                last_generation,
                ..
            } = note;
            return Err(damaged(format!(
                "{RECORD}: generation {generation} of {last_generation} is not one that was given"
            )));
        }
        let path = folder.join(file_name(&note.digest));
        let component: Arc<[u8]> = match read_own(&path, MAX_COMPONENT as u64) {
            Ok(component) => component.into(),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Err(damaged(format!(
                    "{RECORD} names {}, which is not there",
                    path.display()
                )));
            }
            Err(e) => return Err(e),
        };
        if digest(&component) != note.digest {
            return Err(damaged(format!(
                "the component is not {}, which was kept",
                note.digest
            )));
        }
        let Note {
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

    /// Keeps this in place of what was kept. A crash in the middle leaves the one or the other. One
    /// call at a time for each policy.
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
                format!("{} is not a folder", folder.display()),
            ));
        }
        files::trusted(&found)?;
        let digest = digest(&kept.component);
        let component = file_name(&digest);
        write_whole(&folder, &component, &kept.component)?;
        let note = Note {
            version: VERSION,
            generation: kept.generation,
            last_generation: kept.last_generation,
            digest,
            source: kept.source.clone(),
            configured: kept.configured.clone(),
        };
        write_whole(
            &folder,
            RECORD,
            &serde_json::to_vec_pretty(&note).map_err(io::Error::other)?,
        )?;
        tidy_up(&folder, &component);
        Ok(())
    }

    /// Names may hold anything; a folder's must not lead elsewhere.
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

fn file_name(digest: &str) -> String {
    let hex: String = digest.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("{hex}{COMPONENT}")
}

/// Removes components that the record no longer names, and what a crash left unfinished. One that
/// stays is only in the way.
fn tidy_up(folder: &Path, named: &str) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name != named && (name.ends_with(COMPONENT) || name.ends_with(UNFINISHED)) {
            let _ = fs::remove_file(entry.path()).or_else(|_| fs::remove_dir(entry.path()));
        }
    }
}

/// The whole file, if it is one that this process's user alone can have written.
fn read_own(path: &Path, bound: u64) -> io::Result<Vec<u8>> {
    let unusable = |e: io::Error| match e.kind() {
        ErrorKind::IsADirectory
        | ErrorKind::InvalidInput
        | ErrorKind::FileTooLarge
        | ErrorKind::PermissionDenied => damaged(format!("{}: {e}", path.display())),
        _ => e,
    };
    let file = files::open_regular(path).map_err(unusable)?;
    file.metadata()
        .and_then(|found| files::trusted(&found))
        .map_err(unusable)?;
    files::read_to_bound(&file, bound).map_err(unusable)
}

/// Written beside, flushed to the disk, and renamed: whoever opens the name finds the old or the
/// new file.
fn write_whole(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    static WRITTEN: AtomicU64 = AtomicU64::new(0);
    let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
    // A name of its own, for a file that is not there yet: no link is followed, no other writer's
    // file is truncated.
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
        .and_then(|()| fs::rename(&beside, folder.join(name)))
        .inspect_err(|_| {
            let _ = fs::remove_file(&beside);
        })?;
    // The rename itself is in the folder.
    File::open(folder)?.sync_all()
}

fn damaged(reason: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("waypost-keep-{}-{name}", std::process::id()))
    }

    fn kept(component: &[u8]) -> Kept {
        Kept {
            component: component.into(),
            generation: 3,
            last_generation: 5,
            source: "PUT".to_owned(),
            configured: Some("sha256:00".to_owned()),
        }
    }

    #[test]
    fn what_is_written_is_read_and_the_one_before_is_gone() {
        let path = folder("read");
        let keep = Keep::open(&path).unwrap();
        assert!(keep.read("a.b").unwrap().is_none());
        keep.write("a.b", &kept(b"one")).unwrap();
        keep.write("a.b", &kept(b"two")).unwrap();
        let read = keep.read("a.b").unwrap().unwrap();
        assert_eq!(
            (&*read.component, read.mark()),
            (&b"two"[..], kept(b"two").mark())
        );
        assert_eq!(
            fs::read_dir(keep.folder("a.b")).unwrap().count(),
            2,
            "the record and one component"
        );
        assert!(keep.read("other").unwrap().is_none());
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn damage_is_told_from_what_may_be_read_another_time() {
        let path = folder("damage");
        let keep = Keep::open(&path).unwrap();
        let error = |keep: &Keep| keep.read("p").unwrap_err().kind();
        keep.write("p", &kept(b"one")).unwrap();
        let component = keep.folder("p").join(file_name(&digest(b"one")));
        fs::write(&component, b"two").unwrap();
        assert_eq!(error(&keep), ErrorKind::InvalidData);
        fs::write(keep.folder("p").join(RECORD), b"{").unwrap();
        assert_eq!(error(&keep), ErrorKind::InvalidData);
        let newer = "{\"version\":2,\"generation\":1,\"last_generation\":1,\"digest\":\"\",\"source\":\"\",\"configured\":null}";
        fs::write(keep.folder("p").join(RECORD), newer).unwrap();
        assert_eq!(error(&keep), ErrorKind::Unsupported);
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_name_leads_nowhere_else() {
        let path = folder("names");
        let keep = Keep::open(&path).unwrap();
        assert_eq!(keep.folder("../a"), path.join("%2e%2e%2fa"));
        assert_eq!(keep.folder("."), path.join("%2e"));
        assert_eq!(keep.folder(".lock"), path.join("%2elock"));
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_missing_component_and_numbers_without_an_end_are_damage() {
        let path = folder("missing");
        let keep = Keep::open(&path).unwrap();
        keep.write("p", &kept(b"one")).unwrap();
        let record = keep.folder("p").join(RECORD);
        let component = keep.folder("p").join(file_name(&digest(b"one")));
        let text = fs::read_to_string(&record).unwrap();
        for (generation, last) in [
            (3, u64::MAX),
            (u64::MAX, u64::MAX),
            (0, 5),
            (6, 5),
            (1, LARGEST_GENERATION + 1),
        ] {
            let text = text.replace(
                "\"generation\": 3",
                &format!("\"generation\": {generation}"),
            );
            let text = text.replace(
                "\"last_generation\": 5",
                &format!("\"last_generation\": {last}"),
            );
            fs::write(&record, text).unwrap();
            let error = keep.read("p").unwrap_err();
            assert_eq!(
                error.kind(),
                ErrorKind::InvalidData,
                "{generation} of {last}: {error}"
            );
        }
        let largest = text.replace(
            "\"last_generation\": 5",
            &format!("\"last_generation\": {LARGEST_GENERATION}"),
        );
        fs::write(&record, largest).unwrap();
        assert_eq!(
            keep.read("p").unwrap().unwrap().last_generation,
            LARGEST_GENERATION
        );
        // As large as a record may be, and a byte more.
        let bound = usize::try_from(LARGEST_RECORD).unwrap();
        fs::write(&record, format!("{text}{}", " ".repeat(bound - text.len()))).unwrap();
        assert!(keep.read("p").unwrap().is_some());
        fs::write(
            &record,
            format!("{text}{}", " ".repeat(bound - text.len() + 1)),
        )
        .unwrap();
        assert_eq!(keep.read("p").unwrap_err().kind(), ErrorKind::InvalidData);
        fs::write(&record, &text).unwrap();
        assert!(keep.read("p").unwrap().is_some());
        fs::remove_file(&component).unwrap();
        assert_eq!(keep.read("p").unwrap_err().kind(), ErrorKind::InvalidData);
        fs::create_dir(&component).unwrap();
        assert_eq!(
            keep.read("p").unwrap_err().kind(),
            ErrorKind::InvalidData,
            "a folder in its place"
        );
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn what_others_can_write_to_is_not_used() {
        use std::os::unix::fs::PermissionsExt;
        let path = folder("mode");
        let keep = Keep::open(&path).unwrap();
        let set = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap()
        };
        keep.write("p", &kept(b"one")).unwrap();
        let inside = keep.folder("p");
        for file in [
            inside.join(RECORD),
            inside.join(file_name(&digest(b"one"))),
            inside.clone(),
        ] {
            set(&file, 0o722);
            assert_eq!(
                keep.read("p").unwrap_err().kind(),
                ErrorKind::InvalidData,
                "{}",
                file.display()
            );
            set(&file, 0o700);
            assert!(keep.read("p").unwrap().is_some());
        }
        drop(keep);
        set(&path, 0o770);
        let error = Keep::open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("chmod"), "{error}");
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn one_process_uses_the_folder_at_a_time() {
        let path = folder("lock");
        let keep = Keep::open(&path).unwrap();
        let error = Keep::open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceBusy, "{error}");
        drop(keep);
        drop(Keep::open(&path).unwrap());
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn links_are_neither_followed_nor_written_through() {
        let path = folder("links");
        let keep = Keep::open(&path).unwrap();
        keep.write("p", &kept(b"one")).unwrap();
        let victim = path.join("victim");
        fs::write(&victim, b"mine").unwrap();
        let inside = keep.folder("p");
        for name in [
            format!("{RECORD}{UNFINISHED}"),
            format!("{}{UNFINISHED}", file_name(&digest(b"two"))),
        ] {
            std::os::unix::fs::symlink(&victim, inside.join(name)).unwrap();
        }
        fs::remove_file(inside.join(RECORD)).unwrap();
        std::os::unix::fs::symlink(&victim, inside.join(RECORD)).unwrap();
        keep.write("p", &kept(b"two")).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"mine");
        assert_eq!(&*keep.read("p").unwrap().unwrap().component, b"two");
        assert_eq!(
            fs::read_dir(&inside).unwrap().count(),
            2,
            "the links are gone"
        );
        drop(keep);
        fs::remove_file(path.join(LOCK)).unwrap();
        std::os::unix::fs::symlink(path.join("elsewhere"), path.join(LOCK)).unwrap();
        assert!(Keep::open(&path).is_err(), "the lock is no link");
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn what_is_made_is_for_this_user_and_what_is_no_folder_is_said() {
        use std::os::unix::fs::PermissionsExt;
        let path = folder("made");
        let keep = Keep::open(&path).unwrap();
        keep.write("p", &kept(b"one")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let inside = keep.folder("p");
        assert_eq!(
            (mode(&path), mode(&inside), mode(&inside.join(RECORD))),
            (0o700, 0o700, 0o600)
        );
        fs::write(keep.folder("file"), b"x").unwrap();
        let error = keep.read("file").unwrap_err();
        assert!(
            error.kind() == ErrorKind::InvalidData && error.to_string().contains("is not a folder"),
            "{error}"
        );
        assert_eq!(
            Keep::examine(&keep.folder("file")).unwrap_err().kind(),
            ErrorKind::NotADirectory
        );
        assert!(Keep::examine(&path.join("none")).is_ok(), "it will be made");
        // Longer than a name may be: that is no reason to believe that nothing was kept.
        assert!(keep.read(&"x".repeat(300)).is_err());
        fs::remove_dir_all(path).unwrap();
    }
}
