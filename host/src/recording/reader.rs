//! Reading a recording of any length, a line at a time.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use super::format::{FORMAT, Line};
use crate::document::brief;
use crate::files;
use crate::text::plain;

/// The longest line: heads, edits and replies are all bounded.
const LONGEST_LINE: usize = 64 << 20;

/// Why a recording can't be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The file can't be read.
    #[error("{} can't be read: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A line in the middle of it.
    #[error("{}, line {number}: {reason}; `--lenient` skips such lines", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// From 1.
        number: u64,
        /// What is wrong.
        reason: String,
    },
    /// A format of another version.
    #[error(
        "{}, line {number}: this recording has format {found}, but this Waypost reads format \
         {FORMAT}; use the version that wrote it",
        path.display()
    )]
    Format {
        /// Which file.
        path: PathBuf,
        /// From 1.
        number: u64,
        /// The format.
        found: u64,
    },
}

/// What comes next.
#[derive(Debug)]
pub enum Next {
    /// A line.
    Line(Line),
    /// A line that can't be read and is skipped: an incomplete last line, or any if the reader is
    /// lenient.
    PassedOver {
        /// From 1.
        number: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The end of the file.
    End,
}

/// Reads a recording.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    lenient: bool,
    from: BufReader<File>,
    line: Vec<u8>,
    number: u64,
    read: u64,
    length: u64,
}

/// The part that lines of all formats have.
#[derive(Deserialize)]
struct Heading {
    lineup: Version,
}

#[derive(Deserialize)]
struct Version {
    format: u64,
}

impl Reader {
    /// Opens a file.
    pub fn open(path: &Path, lenient: bool) -> Result<Self, ReadError> {
        let failed = |error| ReadError::File {
            path: path.to_owned(),
            error,
        };
        let file = files::open_regular(path).map_err(failed)?;
        let found = file.metadata().map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            lenient,
            from: BufReader::with_capacity(256 * 1024, file),
            line: Vec::new(),
            number: 0,
            read: 0,
            length: found.len(),
        })
    }

    /// How much has been read of how much there was, in bytes.
    pub fn progress(&self) -> (u64, u64) {
        (self.read, self.length.max(self.read))
    }

    /// The number of the line that was read last, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The bytes of that line, as far as they were kept.
    pub fn length(&self) -> usize {
        self.line.len()
    }

    /// Reads the next line that is not empty.
    #[allow(
        clippy::should_implement_trait,
        reason = "an iterator would end with `None`, and have errors go on"
    )]
    pub fn next(&mut self) -> Result<Next, ReadError> {
        loop {
            if !self.read_line().map_err(|error| ReadError::File {
                path: self.path.clone(),
                error,
            })? {
                return Ok(Next::End);
            }
            if self.line.trim_ascii().is_empty() {
                continue;
            }
            let error = match serde_json::from_slice(&self.line) {
                Ok(Line::Lineup(lineup)) if lineup.format != FORMAT => {
                    return Err(self.other_format(lineup.format.into()));
                }
                Ok(line) => return Ok(Next::Line(line)),
                Err(error) => error,
            };
            if let Ok(Heading {
                lineup: Version { format },
            }) = serde_json::from_slice(&self.line)
                && format != u64::from(FORMAT)
            {
                return Err(self.other_format(format));
            }
            let (number, whole) = (self.number, self.line.ends_with(b"\n"));
            if !whole && self.line.len() <= LONGEST_LINE {
                let reason = "it is incomplete: the proxy was stopped while it wrote".to_owned();
                return Ok(Next::PassedOver { number, reason });
            }
            // On one line, whatever names it contains.
            let reason = format!(
                "this is not a line of a recording: {}",
                plain(&brief(&error.to_string()))
            );
            if self.lenient {
                return Ok(Next::PassedOver { number, reason });
            }
            return Err(ReadError::Line {
                path: self.path.clone(),
                number,
                reason,
            });
        }
    }

    fn other_format(&self, found: u64) -> ReadError {
        ReadError::Format {
            path: self.path.clone(),
            number: self.number,
            found,
        }
    }

    /// Reads a line with its end; false at the end of the file. A line that is too long is kept
    /// only in part.
    fn read_line(&mut self) -> io::Result<bool> {
        self.line.clear();
        self.number += 1;
        loop {
            let available = match self.from.fill_buf() {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                available => available?,
            };
            let end = memchr::memchr(b'\n', available).map(|at| at + 1);
            let taken = end.unwrap_or(available.len());
            if self.line.len() <= LONGEST_LINE {
                self.line.extend_from_slice(&available[..taken]);
            }
            self.from.consume(taken);
            self.read += taken as u64;
            if end.is_some() || taken == 0 {
                return Ok(!self.line.is_empty());
            }
        }
    }
}
