//! A descriptor for whole lines.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// After how many seconds a descriptor that is not ready is tried again anyway.
const WRITABLE: i64 = 1;

/// A descriptor. A line that was written in part is completed later or removed, so that no cut line
/// stays in a log.
pub(super) struct Output {
    #[cfg(unix)]
    to: File,
    #[cfg(not(unix))]
    to: Box<dyn Write + Send>,
    /// Opened here, so nothing else moves its position.
    own: bool,
    /// The unwritten rest of a line.
    rest: Vec<u8>,
}

/// A failed write.
#[derive(Debug)]
pub struct Lost {
    /// Lines that were not written.
    pub lines: u64,
    /// Why.
    pub error: io::Error,
}

impl Output {
    /// Standard output.
    pub(super) fn stdout() -> io::Result<Self> {
        #[cfg(unix)]
        return Self::inherited(std::os::fd::AsFd::as_fd(&io::stdout()));
        #[cfg(not(unix))]
        return Ok(Self {
            to: Box::new(io::stdout()),
            own: false,
            rest: Vec::new(),
        });
    }

    /// Standard error.
    pub(super) fn stderr() -> io::Result<Self> {
        #[cfg(unix)]
        return Self::inherited(std::os::fd::AsFd::as_fd(&io::stderr()));
        #[cfg(not(unix))]
        return Ok(Self {
            to: Box::new(io::stderr()),
            own: false,
            rest: Vec::new(),
        });
    }

    /// Bypasses the buffer and the lock of the standard library.
    #[cfg(unix)]
    fn inherited(descriptor: std::os::fd::BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self {
            to: File::from(descriptor.try_clone_to_owned()?),
            own: false,
            rest: Vec::new(),
        })
    }

    /// Opens a file to append to, and creates it if it is missing.
    pub(super) fn append(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        // Opening a FIFO without a reader would block the start.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::custom_flags(
            &mut options,
            (rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY)
                .bits()
                .cast_signed(),
        );
        let file =
            options
                .open(path)
                .map_err(|error| match rustix::io::Errno::from_io_error(&error) {
                    Some(rustix::io::Errno::NXIO) => {
                        io::Error::new(error.kind(), "it is a FIFO without a reader")
                    }
                    _ => error,
                })?;
        #[cfg(not(unix))]
        let file = Box::new(file);
        Ok(Self {
            to: file,
            own: true,
            rest: Vec::new(),
        })
    }

    /// Writes lines and waits for the descriptor without a limit. Only for a thread that nothing
    /// else waits for.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Lost> {
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            let (written, result) = self.push(&rest);
            if let Err(error) = result {
                self.rest = rest[written..].to_vec();
                return Err(Lost {
                    lines: lines(bytes),
                    error,
                });
            }
        }
        let (written, result) = self.push(bytes);
        let Err(error) = result else { return Ok(()) };
        let whole = memchr::memrchr(b'\n', &bytes[..written]).map_or(0, |at| at + 1);
        let begun = written - whole;
        if begun == 0 || self.take_back(begun) {
            return Err(Lost {
                lines: lines(&bytes[whole..]),
                error,
            });
        }
        let end =
            memchr::memchr(b'\n', &bytes[written..]).map_or(bytes.len(), |at| written + at + 1);
        self.rest = bytes[written..end].to_vec();
        Err(Lost {
            lines: lines(&bytes[end..]),
            error,
        })
    }

    /// Whether a line was written in part.
    pub(super) fn is_mid_line(&self) -> bool {
        !self.rest.is_empty()
    }

    /// How many bytes were written, and why not all.
    fn push(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        let mut written = 0;
        while written < bytes.len() {
            match self.to.write(&bytes[written..]) {
                Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
                Ok(n) => written += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // A shell or another program has made the descriptor non-blocking, or it is a FIFO
                // with a slow reader.
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.wait_until_writable(),
                Err(e) => return (written, Err(e)),
            }
        }
        (written, Ok(()))
    }

    #[cfg(unix)]
    fn wait_until_writable(&self) {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let limit = Timespec {
            tv_sec: WRITABLE,
            tv_nsec: 0,
        };
        if poll(&mut [PollFd::new(&self.to, PollFlags::OUT)], Some(&limit)).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    #[cfg(not(unix))]
    fn wait_until_writable(&self) {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }

    /// Removes the last bytes, which belong to a line written in part; false if that is impossible.
    #[cfg(unix)]
    fn take_back(&mut self, bytes: usize) -> bool {
        use std::io::{Seek, SeekFrom};
        if !self.own {
            return false;
        }
        let (Ok(found), Ok(position)) = (self.to.metadata(), self.to.stream_position()) else {
            return false;
        };
        // If another process has appended since, the bytes are not the last ones.
        if !found.is_file() || found.len() != position {
            return false;
        }
        let Some(length) = position.checked_sub(bytes as u64) else {
            return false;
        };
        self.to.set_len(length).is_ok() && self.to.seek(SeekFrom::End(0)).is_ok()
    }

    #[cfg(not(unix))]
    fn take_back(&mut self, _bytes: usize) -> bool {
        false
    }
}

/// Prints on standard output, for a command that ends. A reader that has left, such as `head`, is
/// not an error.
pub fn print(text: &str) -> io::Result<()> {
    match Output::stdout()?.push(text.as_bytes()).1 {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

/// The same for a command that goes on: whether the reader is still there.
pub fn print_on(text: &str) -> io::Result<bool> {
    match Output::stdout()?.push(text.as_bytes()).1 {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        printed => printed.map(|()| true),
    }
}

/// Prints on standard error, for a command that ends. A failure is ignored.
pub fn print_aside(text: &str) {
    if let Ok(mut stderr) = Output::stderr() {
        let _ = stderr.push(text.as_bytes());
    }
}

/// How many lines these bytes hold.
pub fn lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::{Read, pipe};
    use std::os::fd::OwnedFd;

    use super::*;

    fn of(file: impl Into<OwnedFd>) -> Output {
        Output {
            to: File::from(file.into()),
            own: false,
            rest: Vec::new(),
        }
    }

    #[test]
    fn lines_that_a_full_disk_does_not_take_are_counted() {
        let mut full = of(OpenOptions::new().write(true).open("/dev/full").unwrap());
        let lost = full.write(b"one\ntwo\n").unwrap_err();
        assert_eq!(
            (lost.lines, lost.error.kind()),
            (2, io::ErrorKind::StorageFull)
        );
        assert!(!full.is_mid_line());
    }

    #[test]
    fn a_line_that_was_begun_is_completed_before_the_next() {
        let (mut reader, writer) = pipe().unwrap();
        let mut output = of(writer);
        // As after a write of which only "one\ntw" was taken.
        output.rest = b"o\n".to_vec();
        output.write(b"three\n").unwrap();
        drop(output);
        let mut written = String::new();
        reader.read_to_string(&mut written).unwrap();
        assert_eq!(written, "o\nthree\n");
    }

    #[test]
    fn what_was_begun_in_a_file_of_our_own_is_taken_back_unless_another_has_appended() {
        let path = std::env::temp_dir().join(format!("waypost-output-{}", std::process::id()));
        let mut output = Output::append(&path).unwrap();
        output.write(b"one\ntw").unwrap();
        assert!(output.take_back(2));
        output.write(b"three\nfo").unwrap();
        std::io::Write::write_all(
            &mut OpenOptions::new().append(true).open(&path).unwrap(),
            b"x",
        )
        .unwrap();
        assert!(!output.take_back(2));
        assert_eq!(std::fs::read(&path).unwrap(), b"one\nthree\nfox");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_descriptor_that_does_not_block_is_waited_for() {
        let (mut reader, writer) = pipe().unwrap();
        rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::NONBLOCK).unwrap();
        let text = "a line\n".repeat(100_000);
        let written = text.clone();
        let thread = std::thread::spawn(move || {
            of(writer)
                .write(written.as_bytes())
                .map_err(|lost| lost.error)
        });
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        thread.join().unwrap().unwrap();
        assert!(read == text, "all of it, in order");
    }

    #[test]
    fn a_reader_that_is_gone_is_an_error_and_no_panic() {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let lost = of(writer).write(b"one\n").unwrap_err();
        assert_eq!(
            (lost.lines, lost.error.kind()),
            (1, io::ErrorKind::BrokenPipe)
        );
    }
}
