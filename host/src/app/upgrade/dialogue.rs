//! What this process and the one that it has started say to each other until that one serves, and
//! how the other one ends if it does not.

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::channel::Channel;
use super::messages::{ToPredecessor, ToSuccessor};
use super::passing::Passing;

/// How long it may take to accept connections once it may.
const SERVES: Duration = Duration::from_secs(10);
/// How long one that has said its last may take to end.
const ENDS: Duration = Duration::from_secs(2);
/// How often it is asked whether it has ended.
const LOOK: Duration = Duration::from_millis(10);

/// Makes files of what is passed last, because it changes with every request.
pub(in crate::app) struct Late {
    /// The entries of policies' stores, if there are any.
    pub stores: MakesFile,
    /// What is known against backends, if anything is.
    pub health: MakesFile,
}

type MakesFile = Box<dyn FnOnce() -> std::io::Result<Option<File>> + Send>;

/// Ends a process, with all that it has started and that has not left its group, and waits until
/// it has. It is the first of its group, which lasts until it is waited for.
pub(super) fn end(child: &mut Child) {
    if let Some(group) = Pid::from_raw(child.id().cast_signed()) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Whether a process has ended. It can still be waited for.
fn has_ended(pid: u32) -> bool {
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let pid = Pid::from_raw(pid.cast_signed());
    pid.is_some_and(|pid| matches!(waitid(WaitId::Pid(pid), ended), Ok(Some(_))))
}

/// What the two processes say to each other until the other one serves.
pub(super) struct Dialogue<'a> {
    pub channel: &'a Channel,
    pub child: &'a mut Child,
    pub abandoned: &'a AtomicBool,
}

impl Dialogue<'_> {
    /// Returns the numbers of the listeners that the other process has taken.
    pub(super) fn hold(
        mut self,
        (passing, last): (Passing, Late),
        within: Duration,
    ) -> Result<Vec<usize>, String> {
        let began = Instant::now();
        let late = |what: &str| {
            format!(
                "the new process {what} after {within:?} and was ended; \
                 `timeouts.upgrade` gives it longer"
            )
        };
        // Whatever else was started gets no sockets.
        let silent = late("has not greeted, as a waypost that can be passed sockets does,");
        match self.hear(within, &silent, true)? {
            ToPredecessor::Greeting { .. } => {}
            ToPredecessor::Refused { reason } => return Err(reason),
            other => return Err(unexpected(&other)),
        }
        let sent = passing.send(self.channel);
        sent.map_err(|e| match e.kind() {
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => self.ended(),
            _ => format!("the sockets can't be passed to the new process: {e}"),
        })?;
        let left = within.saturating_sub(began.elapsed());
        let listeners = match self.hear(left, &late("is not ready"), true)? {
            ToPredecessor::Ready { listeners } => listeners,
            ToPredecessor::Refused { reason } => return Err(reason),
            other => return Err(unexpected(&other)),
        };
        if self.abandoned.load(Relaxed) {
            return Err("this process is to end".to_owned());
        }
        self.pass_last(last).map_err(|_| self.ended())?;
        // It may have accepted connections already: what this process is to do comes after that.
        match self.hear(
            SERVES,
            "the new process does not serve, and was ended",
            false,
        )? {
            ToPredecessor::Serves => Ok(listeners),
            ToPredecessor::Refused { reason } => Err(reason),
            other => Err(unexpected(&other)),
        }
    }

    /// Passes what has to be as new as possible, and lets the other process serve.
    fn pass_last(&self, late: Late) -> std::io::Result<()> {
        let made = |what: &str, file: MakesFile| {
            file().unwrap_or_else(|e| {
                tracing::error!("{what} can't be passed, and begins anew: {e}");
                None
            })
        };
        if let Some(health) = made("the health of backends", late.health) {
            self.channel.send(&ToSuccessor::Health, &[health.as_fd()])?;
        }
        let stores = made("what policies have stored", late.stores);
        let beside: Vec<BorrowedFd<'_>> = stores.iter().map(AsFd::as_fd).collect();
        self.channel.send(&ToSuccessor::Serve, &beside)
    }

    /// The next message; the sentence `late` if there is none in time. While it `may_end`, this
    /// process may give the other one up.
    fn hear(
        &mut self,
        within: Duration,
        late: &str,
        may_end: bool,
    ) -> Result<ToPredecessor, String> {
        // One that it has started may hold its end of the channel.
        let pid = self.child.id();
        let is_over = || (may_end && self.abandoned.load(Relaxed)) || has_ended(pid);
        match self.channel.receive(within, is_over) {
            Ok(Some((message, _))) => Ok(message),
            Ok(None) => Err(self.ended()),
            Err(e) => Err(match e.kind() {
                ErrorKind::TimedOut => late.to_owned(),
                ErrorKind::Interrupted if has_ended(pid) => self.ended(),
                ErrorKind::Interrupted => "this process is to end".to_owned(),
                _ => format!("the new process can't be understood: {e}"),
            }),
        }
    }

    /// How it has ended without a word.
    fn ended(&mut self) -> String {
        let began = Instant::now();
        let end = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break words(status),
                Ok(None) if began.elapsed() < ENDS => thread::sleep(LOOK),
                Ok(None) => break "it closed its standard input and was ended".to_owned(),
                Err(e) => break e.to_string(),
            }
        };
        format!("the new process ended before it served ({end}); the log may say why")
    }
}

fn unexpected(message: &ToPredecessor) -> String {
    format!("the new process says something else than was its turn to say: {message:?}")
}

pub(super) fn words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "for no known reason".to_owned(),
    }
}
