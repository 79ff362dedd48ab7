//! A queue before a descriptor, and the thread that writes its lines.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::output::{Lost, Output};
use super::reopened::Reopened;
use super::{fault, panics};

/// How often callers that may wait retry a full queue.
const RETRY: Duration = Duration::from_millis(5);

/// The destination of lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, appended to.
    File(PathBuf),
}

/// Receives the thread's reports, on that thread.
pub trait Keeper: Send + 'static {
    /// Lines could not be written.
    fn lost(&mut self, lost: &Lost);

    /// A line that is due before the next ones, such as how many were lost.
    fn due(&mut self) -> Option<Vec<u8>> {
        None
    }

    /// The line that was due is written.
    fn paid(&mut self) {}

    /// The file was reopened; after an error, lines still go to the old file.
    fn reopened(&mut self, _result: &io::Result<()>) {}
}

/// The sending end. Cheap to clone; the thread ends when all are gone.
#[derive(Debug, Clone)]
pub struct Outlet {
    sink: SyncSender<Message>,
}

enum Message {
    Lines(Vec<u8>),
    Reopen(Reopened),
    Flush(SyncSender<()>),
}

impl Target {
    fn open(&self) -> io::Result<Output> {
        match self {
            Self::Stdout => Output::stdout(),
            Self::Stderr => Output::stderr(),
            Self::File(path) => Output::append(path),
        }
    }
}

impl Outlet {
    /// Opens the target and starts the thread. At most this many messages may wait; more are
    /// refused.
    pub fn start(
        name: &'static str,
        target: Target,
        waiting: usize,
        mut keeper: impl Keeper,
    ) -> io::Result<Self> {
        let mut output = target.open()?;
        let (sink, messages) = sync_channel(waiting);
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let_the_terminal_be();
                panics::keeps_running(name, || {
                    run(name, &mut output, &target, &messages, &mut keeper)
                });
            })?;
        Ok(Self { sink })
    }

    /// Queues lines, or returns them if the descriptor is too slow. Never waits.
    pub fn send(&self, lines: Vec<u8>) -> Result<(), Vec<u8>> {
        self.sink
            .try_send(Message::Lines(lines))
            .map_err(|e| match e {
                TrySendError::Full(Message::Lines(lines))
                | TrySendError::Disconnected(Message::Lines(lines)) => lines,
                _ => Vec::new(),
            })
    }

    /// Reopens the file by its name after the lines queued so far; false if the queue is full.
    pub fn reopen(&self, reopened: Reopened) -> bool {
        self.sink.try_send(Message::Reopen(reopened)).is_ok()
    }

    /// Waits until the lines queued so far are written, but not beyond this limit; false if some
    /// are not.
    pub fn flush(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let (done, written) = sync_channel(1);
        let mut message = Message::Flush(done);
        loop {
            match self.sink.try_send(message) {
                Ok(()) => break,
                Err(TrySendError::Full(again)) if Instant::now() < deadline => message = again,
                Err(_) => return false,
            }
            thread::sleep(RETRY);
        }
        written
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            .is_ok()
    }
}

/// With `stty tostop`, the kernel stops a whole background process that writes to the terminal. If
/// the writing thread blocks the signal, the kernel lets it write.
fn let_the_terminal_be() {
    #[cfg(unix)]
    {
        let mut set = nix::sys::signal::SigSet::empty();
        set.add(nix::sys::signal::Signal::SIGTTOU);
        // Can't fail for a valid set.
        let _ = set.thread_block();
    }
}

fn run(
    name: &'static str,
    output: &mut Output,
    target: &Target,
    messages: &Receiver<Message>,
    keeper: &mut impl Keeper,
) {
    for message in messages {
        match message {
            Message::Lines(lines) => {
                fault::point(name);
                if let Some(due) = keeper.due()
                    && output.write(&due).is_ok()
                {
                    keeper.paid();
                }
                if let Err(lost) = output.write(&lines) {
                    keeper.lost(&lost);
                }
            }
            Message::Reopen(reopened) => {
                let result = target.open().map(|opened| {
                    // The rest of a line that begins in the old file does not belong in the new
                    // one.
                    if std::mem::replace(output, opened).is_mid_line() {
                        keeper.lost(&Lost {
                            lines: 1,
                            error: io::Error::other("the file was reopened"),
                        });
                    }
                });
                keeper.reopened(&result);
                // Nobody may wait for it.
                let _ = reopened.try_send(result);
            }
            // The caller may have given up.
            Message::Flush(done) => _ = done.try_send(()),
        }
    }
}
