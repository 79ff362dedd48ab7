//! The access log: a line for each request, written by a thread of its own so that a slow disk or
//! pipe never holds a worker.

use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use super::Outcome;
pub use super::log_line::Moved;
use super::log_line::Seen;
use crate::config::{self, LogFormat, LoggedRequests};
use crate::ground::{self, Keeper, Lost, Outlet, Reopening, Target};
use crate::message::RequestHead;
use crate::net::ConnectionInfo;
use crate::stats::WorkerShard;

/// A worker hands its lines over when it has so many bytes of them, and at each sweep.
const BATCH: usize = 32 * 1024;
/// Batches that may wait for the disk; beyond that lines are dropped and counted.
const WAITING: usize = 64;
/// Lines that are lost are warned of this often, in milliseconds.
const WARNING: u64 = 60_000;

/// Where the milliseconds of warnings count from.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// One worker's end of the log.
#[derive(Debug)]
pub struct AccessLog {
    to: RefCell<LogHandle>,
    pending: RefCell<Vec<u8>>,
    shard: Arc<WorkerShard>,
}

/// Where workers hand their lines over.
#[derive(Debug, Clone, Default)]
pub struct LogHandle {
    outlet: Option<Outlet>,
    lines: Arc<Lines>,
    losses: Arc<Losses>,
}

/// The thread that writes. It ends when all workers have let go of their ends.
#[derive(Debug, Clone)]
pub struct LogWriter {
    to: LogHandle,
    target: Target,
}

/// How lines are written.
#[derive(Debug, Default, PartialEq, Eq)]
struct Lines {
    format: LogFormat,
    redact_query: bool,
}

impl From<&config::AccessLog> for Lines {
    fn from(config: &config::AccessLog) -> Self {
        Self {
            format: config.format.clone(),
            redact_query: config.redact_query,
        }
    }
}

/// Lines that are lost and not yet warned of.
#[derive(Debug, Default)]
struct Losses {
    lines: AtomicU64,
    next_warning: AtomicU64,
}

impl Losses {
    /// Warns of these and all that were lost since the last warning, but only once a minute.
    fn add(&self, lines: u64, reason: impl FnOnce() -> String) {
        self.lines.fetch_add(lines, Relaxed);
        let now = u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX);
        let due = self.next_warning.load(Relaxed);
        if now < due
            || self
                .next_warning
                .compare_exchange(due, now + WARNING, Relaxed, Relaxed)
                .is_err()
        {
            return;
        }
        let lines = self.lines.swap(0, Relaxed);
        tracing::warn!("{lines} lines of the access log are lost: {}", reason());
    }
}

/// What becomes of lines that can't be written.
struct Account(Arc<Losses>);

impl Keeper for Account {
    fn lost(&mut self, lost: &Lost) {
        ground::counters()
            .access_log_lines_lost
            .fetch_add(lost.lines, Relaxed);
        self.0.add(lost.lines, || {
            format!("it can't be written: {}", lost.error)
        });
    }

    fn reopened(&mut self, result: &io::Result<()>) {
        match result {
            Ok(()) => tracing::info!("the access log was opened again"),
            Err(e) => tracing::warn!(
                "the access log can't be opened again, and goes on in the previous file: {e}"
            ),
        }
    }
}

impl LogWriter {
    /// Opens the file, if one is named, and starts the thread.
    pub fn start(config: &config::AccessLog) -> io::Result<Self> {
        let target = config.path.clone().map_or(Target::Stdout, Target::File);
        let losses = Arc::<Losses>::default();
        let outlet = match config.requests {
            LoggedRequests::None => None,
            _ => Some(Outlet::start(
                "access-log",
                target.clone(),
                WAITING,
                Account(Arc::clone(&losses)),
            )?),
        };
        let lines = Arc::new(Lines::from(config));
        let to = LogHandle {
            outlet,
            lines,
            losses,
        };
        Ok(Self { to, target })
    }

    /// Where workers hand their lines over.
    pub fn handle(&self) -> LogHandle {
        self.to.clone()
    }

    /// Whether it can do what this configuration asks for.
    pub fn serves(&self, config: &config::AccessLog) -> bool {
        let target = config.path.clone().map_or(Target::Stdout, Target::File);
        let is_open = self.to.outlet.is_some() || config.requests == LoggedRequests::None;
        is_open && target == self.target && *self.to.lines == Lines::from(config)
    }

    /// Writes text as it is between the lines of standard output, if that is where the log goes;
    /// false if it is not.
    pub fn say(&self, text: &str) -> bool {
        let outlet = self
            .to
            .outlet
            .as_ref()
            .filter(|_| self.target == Target::Stdout);
        outlet.is_some_and(|outlet| outlet.send(text.as_bytes().to_vec()).is_ok())
    }

    /// Has the file opened again by its name, as after it was moved away. `None` if there is none.
    ///
    /// # Errors
    ///
    /// A sentence, if the log is behind.
    pub fn reopen(&self) -> Result<Option<Reopening>, String> {
        let (outlet, path) = match (&self.to.outlet, &self.target) {
            (Some(outlet), Target::File(path)) => (outlet, path),
            (None, _) => {
                tracing::info!("there is no access log to open again");
                return Ok(None);
            }
            (Some(_), Target::Stdout | Target::Stderr) => {
                tracing::info!(
                    "the access log goes to standard output, which is never opened again"
                );
                return Ok(None);
            }
        };
        let what = format!("the access log {}", path.display());
        let (reopened, reopening) = Reopening::new(what.clone());
        if outlet.reopen(reopened) {
            return Ok(Some(reopening));
        }
        let sentence = format!("{what} can't be opened again now: it is behind");
        tracing::warn!("{sentence}");
        Err(sentence)
    }

    /// Waits until what was handed over is written, but not beyond this limit.
    pub fn finish(self, limit: Duration) {
        if self.to.outlet.is_some_and(|outlet| !outlet.flush(limit)) {
            tracing::warn!(
                "the last lines of the access log are lost: after {limit:?} it had not taken them"
            );
        }
    }
}

impl AccessLog {
    /// A worker's, which goes there.
    pub fn new(shard: Arc<WorkerShard>, to: LogHandle) -> Self {
        Self {
            to: RefCell::new(to),
            pending: RefCell::default(),
            shard,
        }
    }

    /// Goes there from now on.
    pub fn follow(&self, to: &LogHandle) {
        if Arc::ptr_eq(&self.to.borrow().losses, &to.losses) {
            return;
        }
        self.flush();
        self.to.replace(to.clone());
    }

    /// Writes the line of a request that has ended, if it is among the `logged`. `head` is as much
    /// of the request as was understood.
    pub fn record(
        &self,
        logged: LoggedRequests,
        outcome: &Outcome,
        head: Option<&RequestHead>,
        from: &ConnectionInfo,
    ) {
        if logged.wants(outcome.reason.is_some()) {
            self.write(outcome, head, from, None);
        }
    }

    /// Writes the line of a tunnel that has ended, if it is among the `logged`.
    pub fn record_tunnel(
        &self,
        logged: LoggedRequests,
        outcome: &Outcome,
        head: &RequestHead,
        from: &ConnectionInfo,
        moved: Moved,
    ) {
        if logged.wants(outcome.reason.is_some()) {
            self.write(outcome, Some(head), from, Some(moved));
        }
    }

    fn write(
        &self,
        outcome: &Outcome,
        head: Option<&RequestHead>,
        from: &ConnectionInfo,
        moved: Option<Moved>,
    ) {
        let seen = Seen {
            outcome,
            head,
            from,
            moved,
            redact_query: self.to.borrow().lines.redact_query,
        };
        let mut pending = self.pending.borrow_mut();
        seen.write(&self.to.borrow().lines.format, &mut pending);
        if pending.len() >= BATCH {
            drop(pending);
            self.flush();
        }
    }

    /// Hands over what there is.
    pub fn flush(&self) {
        let mut pending = self.pending.borrow_mut();
        if pending.is_empty() {
            return;
        }
        let to = self.to.borrow();
        let Some(outlet) = &to.outlet else { return };
        if let Err(refused) = outlet.send(std::mem::take(&mut *pending)) {
            let lines = ground::lines(&refused);
            self.shard.log_lines_dropped.add(lines);
            to.losses
                .add(lines, || "what reads it is too slow".to_owned());
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_lost_add_up_to_the_next_warning_and_that_is_a_minute_away() {
        let losses = Losses::default();
        let add = |lines| losses.add(lines, String::new);
        add(3);
        assert_eq!(
            losses.lines.load(Relaxed),
            0,
            "the first ones are told at once"
        );
        let due = losses.next_warning.load(Relaxed);
        let now = u64::try_from(START.elapsed().as_millis()).unwrap();
        assert!((WARNING..=now + WARNING).contains(&due), "{due} at {now}");
        add(4);
        add(5);
        assert_eq!(losses.lines.load(Relaxed), 9);
        losses.next_warning.store(0, Relaxed);
        add(1);
        assert_eq!(losses.lines.load(Relaxed), 0, "all of them");
    }
}
