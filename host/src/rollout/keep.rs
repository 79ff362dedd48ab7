//! What a restart comes back with: the promoted component of each policy, in a folder.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::policy::digest;

/// The layout of the file that says which component it is.
const VERSION: u32 = 1;
const RECORD: &str = "active.json";

/// The folder `state-dir`: `NAME/active.json`, and beside it the component `DIGEST.wasm`.
#[derive(Debug, Clone)]
pub struct Keep {
    folder: PathBuf,
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
    /// The digest of what the configuration named when it was promoted: if that is another one now, the operator has
    /// deployed by the configuration since.
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
        let Self { generation, last_generation, configured, .. } = self;
        Mark { generation: *generation, last_generation: *last_generation, configured: configured.clone() }
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
    /// Opens the folder, made if new.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// What was kept for this policy; `None` if nothing was.
    ///
    /// # Errors
    ///
    /// `InvalidData` if it is damaged, so that it is of no use to anyone; any other if it may be read another time.
    pub fn read(&self, policy: &str) -> io::Result<Option<Kept>> {
        let folder = self.folder(policy);
        let note = match fs::read(folder.join(RECORD)) {
            Ok(note) => note,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let note: Note = serde_json::from_slice(&note).map_err(|e| damaged(format!("{RECORD}: {e}")))?;
        if note.version != VERSION {
            let reason = format!("{RECORD} is of version {}, and this proxy knows version {VERSION}", note.version);
            return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
        }
        let component: Arc<[u8]> = fs::read(folder.join(file_name(&note.digest)))?.into();
        if digest(&component) != note.digest {
            return Err(damaged(format!("the component is not {}, which was kept", note.digest)));
        }
        let Note { generation, last_generation, source, configured, .. } = note;
        Ok(Some(Kept { component, generation, last_generation, source, configured }))
    }

    /// Keeps this in place of what was kept. A crash in the middle leaves the one or the other.
    pub fn write(&self, policy: &str, kept: &Kept) -> io::Result<()> {
        let folder = self.folder(policy);
        if !folder.exists() {
            fs::create_dir_all(&folder)?;
            File::open(&self.folder)?.sync_all()?;
        }
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
        write_whole(&folder, RECORD, &serde_json::to_vec_pretty(&note).map_err(io::Error::other)?)?;
        // Components that are no longer named; one that can't be removed is only in the way.
        for entry in fs::read_dir(&folder)?.flatten() {
            let name = entry.file_name();
            if name != RECORD && name != component.as_str() {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    /// Names may hold anything; a folder's must not lead elsewhere.
    fn folder(&self, policy: &str) -> PathBuf {
        let mut name = String::with_capacity(policy.len());
        for byte in policy.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
                _ => name.push_str(&format!("%{byte:02x}")),
            }
        }
        self.folder.join(name)
    }
}

fn file_name(digest: &str) -> String {
    let hex: String = digest.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("{hex}.wasm")
}

/// Written beside, flushed to the disk, and renamed: whoever opens the name finds the old or the new file.
fn write_whole(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let beside = folder.join(format!("{name}.new"));
    let mut file = File::create(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&beside, folder.join(name))?;
    // The rename itself is in the folder.
    File::open(folder)?.sync_all()
}

fn damaged(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
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
        assert_eq!((&*read.component, read.mark()), (&b"two"[..], kept(b"two").mark()));
        assert_eq!(fs::read_dir(keep.folder("a.b")).unwrap().count(), 2, "the record and one component");
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
        assert_eq!(error(&keep), io::ErrorKind::InvalidData);
        fs::write(keep.folder("p").join(RECORD), b"{").unwrap();
        assert_eq!(error(&keep), io::ErrorKind::InvalidData);
        let newer = "{\"version\":2,\"generation\":1,\"last_generation\":1,\"digest\":\"\",\"source\":\"\",\"configured\":null}";
        fs::write(keep.folder("p").join(RECORD), newer).unwrap();
        assert_eq!(error(&keep), io::ErrorKind::Unsupported);
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_name_leads_nowhere_else() {
        let keep = Keep { folder: PathBuf::from("/state") };
        assert_eq!(keep.folder("../a"), PathBuf::from("/state/%2e%2e%2fa"));
        assert_eq!(keep.folder("."), PathBuf::from("/state/%2e"));
    }
}
