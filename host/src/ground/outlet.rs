//! A queue in front of a descriptor, and the thread that writes what comes out of it.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::output::{Lost, Output};
use super::{fault, panics};

/// How often a queue that is full is tried again by something that has the time.
const RETRY: Duration = Duration::from_millis(5);

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, appended to.
    File(PathBuf),
}

/// What the thread tells. Every call is on that thread.
pub trait Keeper: Send + 'static {
    /// Lines could not be written.
    fn lost(&mut self, lost: &Lost);

    /// A line that is due before the next ones, such as how many were lost.
    fn due(&mut self) -> Option<Vec<u8>> {
        None
    }

    /// What was due is written.
    fn paid(&mut self) {}

    /// The file was opened again, or could not be: then lines go on to where they went.
    fn reopened(&mut self, _result: io::Result<()>) {}
}

/// The sending end. Cheap to clone; the thread ends when all are gone.
#[derive(Debug, Clone)]
pub struct Outlet {
    sink: SyncSender<Message>,
}

enum Message {
    Lines(Vec<u8>),
    Reopen,
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
    /// Opens the target and starts the thread. So many messages may wait; what is over is refused.
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

    /// Hands lines over, or gives them back if the descriptor is too slow for them. Never waits.
    pub fn send(&self, lines: Vec<u8>) -> Result<(), Vec<u8>> {
        self.sink
            .try_send(Message::Lines(lines))
            .map_err(|e| match e {
                TrySendError::Full(Message::Lines(lines))
                | TrySendError::Disconnected(Message::Lines(lines)) => lines,
                _ => Vec::new(),
            })
    }

    /// Has the file opened again by its name, after the lines that were handed over so far; false
    /// if the queue is full.
    pub fn reopen(&self) -> bool {
        self.sink.try_send(Message::Reopen).is_ok()
    }

    /// Waits until what was handed over so far is written, but not beyond this limit; tells whether
    /// it is.
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

/// With `stty tostop`, the kernel stops a process of the background that writes to the terminal,
/// all of it. With the signal blocked in the thread that writes, it lets it write.
fn let_the_terminal_be() {
    #[cfg(unix)]
    {
        let mut set = nix::sys::signal::SigSet::empty();
        set.add(nix::sys::signal::Signal::SIGTTOU);
        // Fails for no valid set.
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
            Message::Reopen => match target.open() {
                Ok(opened) => {
                    // The rest of a line that was begun in the former file has no place in the new
                    // one.
                    if std::mem::replace(output, opened).is_mid_line() {
                        keeper.lost(&Lost {
                            lines: 1,
                            error: io::Error::other("the file was opened again"),
                        });
                    }
                    keeper.reopened(Ok(()));
                }
                Err(e) => keeper.reopened(Err(e)),
            },
            // Whoever asked may have given up.
            Message::Flush(done) => _ = done.try_send(()),
        }
    }
}
