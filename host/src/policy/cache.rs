//! Compiled components on disk, so that a start does not compile them again.
//!
//! An artefact is machine code that the proxy executes as it finds it. So the folder must belong to
//! the process's user and be writable by no other, and each artefact has a checksum beside it: a
//! damaged one is compiled again. The key is the component's digest and the engine (its version,
//! its settings and the processor's features).
//!
//! Code that is not kept is mapped as well, from memory.

use std::fs::{self, DirBuilder, File, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use wasmtime::Engine;
use wasmtime::component::Component;

use super::compiling::{Artefact, Facts};
use crate::files::open_regular;

/// What all artefacts together may take: some thirty of the largest (Python's have 35 MB).
const LIMIT: u64 = 1 << 30;
/// A file that was being written for so long is of a process that ended.
const ABANDONED: Duration = Duration::from_secs(3600);
/// Bits of a folder's mode that let others put code into it.
const WRITABLE_BY_OTHERS: u32 = 0o022;
const ARTEFACT: &str = "compiled";
const CHECKSUM: &str = "checksum";
const UNFINISHED: &str = "unfinished";
/// Of a checksum file.
const LONGEST_CHECKSUM: u64 = 4096;

/// The edition of the rules that components must pass before they are compiled: what passed other
/// rules is checked again.
const RULES: u32 = 3;

/// Machine code that can be mapped.
#[derive(Debug)]
pub(super) enum Code {
    /// In this file of the folder.
    Kept(PathBuf),
    /// As it came.
    Unkept(Artefact),
}

impl Code {
    /// Maps it for this engine.
    pub(super) fn map(&self, engine: &Engine) -> wasmtime::Result<Component> {
        match self {
            Self::Kept(path) => map_file(engine, path),
            #[cfg(target_os = "linux")]
            Self::Unkept(Artefact::File(file)) => {
                use std::os::fd::AsRawFd;
                map_file(
                    engine,
                    Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())),
                )
            }
            #[cfg(not(target_os = "linux"))]
            Self::Unkept(Artefact::File(file)) => {
                let mut bytes = Vec::new();
                (&mut &*file).seek(SeekFrom::Start(0))?;
                (&mut &*file).read_to_end(&mut bytes)?;
                map_bytes(engine, &bytes)
            }
            Self::Unkept(Artefact::Bytes(bytes)) => map_bytes(engine, bytes),
        }
    }
}

fn map_file(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    #[allow(
        unsafe_code,
        reason = "invariant: the file is what `compiling` made, and nobody can change it: it is \
            sealed memory, or in the folder, where its owner, its mode and its checksum have just \
            been checked and files are replaced by renaming"
    )]
    // SAFETY: see above.
    unsafe {
        Component::deserialize_file(engine, path)
    }
}

fn map_bytes(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Component> {
    #[allow(
        unsafe_code,
        reason = "invariant: the bytes are what `compiling` made a moment ago, and never left it"
    )]
    // SAFETY: see above.
    unsafe {
        Component::deserialize(engine, bytes)
    }
}

/// The folder.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    limit: u64,
}

impl Cache {
    /// Opens the folder, made if new.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        let metadata = fs::symlink_metadata(folder)?;
        if metadata.is_symlink() {
            return Err(io::Error::new(
                io::ErrorKind::NotADirectory,
                "it is a symbolic link; name the folder that it points to",
            ));
        }
        if !metadata.is_dir() {
            return Err(io::Error::new(
                io::ErrorKind::NotADirectory,
                "it is not a folder",
            ));
        }
        trusted(&metadata)?;
        Ok(Self {
            folder: folder.to_owned(),
            limit: LIMIT,
        })
    }

    /// The component as compiled for this engine; `None` if there is none, or it can't be used.
    pub(super) fn find(&self, engine: &Engine, digest: &str) -> Option<(Facts, Code)> {
        let path = self.path(engine, digest);
        match self.verified(&path) {
            Ok(facts) => Some((facts, Code::Kept(path))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => {
                tracing::warn!(artefact = %path.display(), "a cached component can't be used and \
                    is compiled again: {e}");
                None
            }
        }
    }

    /// Keeps a compiled component. A failure only slows the next start down, so it is only logged.
    pub(super) fn keep(
        &self,
        engine: &Engine,
        digest: &str,
        facts: Facts,
        artefact: &Artefact,
    ) -> Option<Code> {
        let path = self.path(engine, digest);
        let kept = self
            .write_artefact(&path, artefact)
            .and_then(|(sum, length)| {
                let text = checksum_text(sum, length, &facts)?;
                self.write(&path.with_extension(CHECKSUM), &mut text.as_bytes())?;
                self.make_room(&path)
            });
        match kept {
            Ok(()) => Some(Code::Kept(path)),
            Err(e) => {
                tracing::warn!(folder = %self.folder.display(), "a compiled component can't be \
                    cached: {e}");
                None
            }
        }
    }

    fn path(&self, engine: &Engine, digest: &str) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        RULES.hash(&mut hasher);
        engine.precompile_compatibility_hash().hash(&mut hasher);
        super::bulk::EDITION.hash(&mut hasher);
        let digest = digest.strip_prefix("sha256:").unwrap_or(digest);
        self.folder
            .join(format!("{digest}-{:016x}.{ARTEFACT}", hasher.finish()))
    }

    fn verified(&self, path: &Path) -> io::Result<Facts> {
        let invalid = |sentence: &str| io::Error::new(io::ErrorKind::InvalidData, sentence);
        trusted(&fs::metadata(&self.folder)?)?;
        let mut file = open_regular(path)?;
        let metadata = file.metadata()?;
        trusted(&metadata)?;
        let mut beside = open_regular(&path.with_extension(CHECKSUM))?;
        trusted(&beside.metadata()?)?;
        let mut expected = String::new();
        Read::by_ref(&mut beside)
            .take(LONGEST_CHECKSUM)
            .read_to_string(&mut expected)?;
        let facts = expected
            .lines()
            .nth(1)
            .and_then(|line| serde_json::from_str::<Facts>(line).ok());
        let facts = facts.ok_or_else(|| invalid("its checksum can't be read"))?;
        if !expected.contains(&format!(" of {} bytes,", metadata.len())) {
            return Err(invalid("its length is wrong"));
        }
        let (sum, length) = checksum(&mut file)?;
        if expected != checksum_text(sum, length, &facts)? {
            return Err(invalid("its checksum is wrong"));
        }
        // The file that was used last is removed last. It does no harm if that can't be noted.
        let _ = file.set_modified(SystemTime::now());
        Ok(facts)
    }

    /// Returns its checksum and its length.
    fn write_artefact(&self, path: &Path, artefact: &Artefact) -> io::Result<(u32, usize)> {
        match artefact {
            Artefact::Bytes(bytes) => {
                self.write(path, &mut &bytes[..])?;
                Ok((crc32fast::hash(bytes), bytes.len()))
            }
            Artefact::File(file) => {
                let mut file: &File = file;
                file.seek(SeekFrom::Start(0))?;
                self.write(path, &mut file)?;
                file.seek(SeekFrom::Start(0))?;
                checksum(&mut file)
            }
        }
    }

    /// A process that ends half-way leaves the old file, or none. The checksum finds what a crash
    /// of the machine loses, so nothing waits for the disk.
    fn write(&self, path: &Path, bytes: &mut dyn Read) -> io::Result<()> {
        static WRITTEN: AtomicU64 = AtomicU64::new(0);
        let unique = format!(
            "{}-{}.{UNFINISHED}",
            std::process::id(),
            WRITTEN.fetch_add(1, Ordering::Relaxed)
        );
        let unfinished = self.folder.join(unique);
        // Independent of the umask: a file that others may write to is not executed.
        let created = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished);
        let written = created.and_then(|mut file| io::copy(bytes, &mut file));
        written
            .and_then(|_| fs::rename(&unfinished, path))
            .inspect_err(|_| {
                let _ = fs::remove_file(&unfinished);
            })
    }

    /// Removes the files that were unused for the longest time until the rest fits, and unfinished
    /// files of other processes.
    fn make_room(&self, newest: &Path) -> io::Result<()> {
        let mut artefacts = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            // Gone meanwhile: another process makes room as well.
            let Ok(metadata) = fs::metadata(&path) else {
                continue;
            };
            let modified = metadata.modified()?;
            match path.extension().and_then(|e| e.to_str()) {
                Some(ARTEFACT) if path != newest => {
                    artefacts.push((modified, metadata.len(), path))
                }
                Some(UNFINISHED) if modified.elapsed().is_ok_and(|age| age > ABANDONED) => {
                    remove(&path)?
                }
                _ => {}
            }
        }
        let newest = fs::metadata(newest).map_or(0, |m| m.len());
        let mut total = newest + artefacts.iter().map(|(_, size, _)| size).sum::<u64>();
        artefacts.sort();
        for (_, size, path) in artefacts {
            if total <= self.limit {
                break;
            }
            remove(&path.with_extension(CHECKSUM))?;
            remove(&path)?;
            total -= size;
        }
        Ok(())
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// No other user may have written it.
fn trusted(metadata: &Metadata) -> io::Result<()> {
    let denied = |sentence: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, sentence));
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return denied(
            "it belongs to another user, and the proxy executes its content; give this proxy a \
             separate folder",
        );
    }
    if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
        return denied(
            "others may write to it, and the proxy executes its content; remove that right with \
             `chmod go-w`",
        );
    }
    Ok(())
}

fn checksum(file: &mut impl Read) -> io::Result<(u32, usize)> {
    let mut hasher = crc32fast::Hasher::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut length = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((hasher.finalize(), length)),
            n => {
                hasher.update(&buffer[..n]);
                length += n;
            }
        }
    }
}

/// The second line holds the facts about the component, with a separate checksum.
fn checksum_text(sum: u32, length: usize, facts: &Facts) -> io::Result<String> {
    let facts = serde_json::to_string(facts)?;
    let of_facts = crc32fast::hash(facts.as_bytes());
    Ok(format!(
        "crc32 {sum:08x} of {length} bytes, {of_facts:08x} of the next line\n{facts}\n"
    ))
}

#[cfg(test)]
mod tests;
