//! The file: whole lines, and never more than twice the bound together with the rotated file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Lines are written in pieces of about this size.
const PIECE: usize = 64 * 1024;

/// A recording that is being written.
#[derive(Debug)]
pub(super) struct RecordFile {
    path: PathBuf,
    max_bytes: u64,
    /// `None` after an error that leaves the file unusable: the next line then needs a new file.
    file: Option<File>,
    /// Its bytes, all of whole lines.
    length: u64,
    /// Lines to write next.
    pending: Vec<u8>,
    lines: u64,
}

/// The outcome of a flush.
#[derive(Debug, Default)]
pub(super) struct Flushed {
    /// Lines of the flush.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Why they were not written.
    pub error: Option<io::Error>,
}

impl RecordFile {
    /// Begins a file. An existing file that is not empty is rotated.
    pub(super) fn open(path: &Path, max_bytes: u64) -> io::Result<Self> {
        match fs::symlink_metadata(path) {
            Ok(found) if !found.is_file() => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "it exists and is not a regular file",
                ));
            }
            Ok(found) if found.len() > 0 => fs::rename(path, aside(path))?,
            Ok(_) => fs::remove_file(path)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        let file = Some(create(path)?);
        Ok(Self {
            path: path.to_owned(),
            max_bytes,
            file,
            length: 0,
            pending: Vec::new(),
            lines: 0,
        })
    }

    /// Whether a line of this many bytes fits into this file.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.file.is_some() && self.length + (self.pending.len() + bytes) as u64 <= self.max_bytes
    }

    /// Whether this many bytes fit into a new file.
    pub(super) fn can_hold(&self, bytes: usize) -> bool {
        bytes as u64 <= self.max_bytes
    }

    /// Whether no line waits to be written.
    pub(super) fn is_flushed(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether it is time for a flush.
    pub(super) fn is_due(&self) -> bool {
        self.pending.len() >= PIECE
    }

    /// Adds a line, to be written with the next flush.
    pub(super) fn add(&mut self, line: &[u8]) {
        self.pending.extend_from_slice(line);
        self.lines += 1;
    }

    /// Writes the added lines. After an error none of them is in the file.
    pub(super) fn flush(&mut self) -> Flushed {
        let (lines, bytes) = (std::mem::take(&mut self.lines), self.pending.len() as u64);
        if bytes == 0 {
            return Flushed::default();
        }
        let written = self.write_pending();
        self.pending.clear();
        self.pending.shrink_to(2 * PIECE);
        match written {
            Ok(()) => self.length += bytes,
            Err(error) => {
                // A partial line would make all lines after it unreadable.
                let length = self.length;
                let cut = |file: &mut File| {
                    file.set_len(length)
                        .and_then(|()| file.seek(SeekFrom::Start(length)))
                };
                if self.file.as_mut().is_some_and(|file| cut(file).is_err()) {
                    self.file = None;
                }
                return Flushed {
                    lines,
                    bytes,
                    error: Some(error),
                };
            }
        }
        Flushed {
            lines,
            bytes,
            error: None,
        }
    }

    /// Whether its path still leads to this file; false if it was moved away or removed.
    pub(super) fn is_in_place(&self) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let Some(Ok(ours)) = self.file.as_ref().map(File::metadata) else {
                return false;
            };
            fs::symlink_metadata(&self.path)
                .is_ok_and(|found| (found.dev(), found.ino()) == (ours.dev(), ours.ino()))
        }
        #[cfg(not(unix))]
        {
            self.file.is_some()
        }
    }

    /// Rotates the file, replacing the one rotated before, and begins a new one.
    pub(super) fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        match fs::rename(&self.path, aside(&self.path)) {
            // Another process has moved it.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed?,
        }
        self.file = Some(create(&self.path)?);
        self.length = 0;
        Ok(())
    }

    fn write_pending(&mut self) -> io::Result<()> {
        match &mut self.file {
            Some(file) => file.write_all(&self.pending),
            None => Err(io::Error::other("its file is broken")),
        }
    }
}

/// The path of the rotated file.
fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

/// A file that only this user can read, because it contains what clients sent.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_can_t_be_rotated_is_written_on_and_rotated_later() {
        let folder = std::env::temp_dir().join(format!("waypost-record-{}", std::process::id()));
        let path = folder.join("a.jsonl");
        fs::create_dir_all(&folder).unwrap();
        let mut file = RecordFile::open(&path, 10).unwrap();
        file.add(b"12345678\n");
        assert!(!file.has_room(2) && !file.is_flushed());
        let Flushed {
            lines: 1,
            bytes: 9,
            error: None,
        } = file.flush()
        else {
            panic!("one line of 9 bytes")
        };
        fs::remove_dir_all(&folder).unwrap();
        assert!(
            file.rotate().is_err(),
            "there is no folder to begin a file in"
        );
        assert!(!file.has_room(1), "nothing is added to what is broken");
        file.add(b"lost\n");
        let lost = file.flush();
        assert_eq!(
            (lost.lines, lost.error.is_some(), file.is_flushed()),
            (1, true, true)
        );
        fs::create_dir_all(&folder).unwrap();
        file.rotate().unwrap();
        file.add(b"kept\n");
        assert!(file.flush().error.is_none());
        assert_eq!(fs::read(&path).unwrap(), b"kept\n");
        fs::remove_dir_all(&folder).unwrap();
    }
}
