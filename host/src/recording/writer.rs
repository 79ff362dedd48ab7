//! From workers to the file: a channel that never makes a worker wait, and a thread that redacts,
//! serialises and writes.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::file::{Flushed, RecordFile};
use super::format::{Line, Lineup, Request};
use super::redact::Redactor;
use crate::config::RecordingConfig;
use crate::ground::{self, Reopened, Reopening};
use crate::stats::{RecordingShard, Stats, WorkerShard};

/// Requests that may wait for the writer ...
const WAITING: usize = 4096;
/// ... and about how many bytes they may take, including requests that are not answered yet.
const WAITING_BYTES: usize = 32 << 20;
/// About how many bytes one request may take.
const REQUEST_BYTES: usize = 1 << 20;
/// Recorded requests are on disk after this time.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// How often a warning about failed writes is repeated.
const WARN_EVERY: Duration = Duration::from_secs(60);
/// How often the end of the thread is checked.
const LOOK: Duration = Duration::from_millis(5);

/// A worker's end of the recording. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recorder {
    sink: SyncSender<Message>,
    queued: Arc<AtomicUsize>,
}

/// The thread that writes.
#[derive(Debug)]
pub struct RecordWriter {
    recorder: Recorder,
    thread: JoinHandle<()>,
    path: PathBuf,
}

enum Message {
    Request(Arc<Lineup>, Box<Request>, Held),
    Reopen(Reopened),
    End,
}

/// The memory of a request, counted until the request is written or dropped.
#[derive(Debug)]
pub struct Held {
    queued: Arc<AtomicUsize>,
    bytes: usize,
}

impl Held {
    /// Takes more; false if there is not enough.
    pub fn grow(&mut self, bytes: usize) -> bool {
        if self.bytes + bytes > REQUEST_BYTES || self.queued.load(Relaxed) + bytes > WAITING_BYTES {
            return false;
        }
        self.queued.fetch_add(bytes, Relaxed);
        self.bytes += bytes;
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.queued.fetch_sub(self.bytes, Relaxed);
    }
}

impl RecordWriter {
    /// Begins the file and starts the thread.
    pub fn start(record: &RecordingConfig, stats: &Stats) -> io::Result<Self> {
        let file = RecordFile::open(&record.file, record.max_bytes)?;
        let (sink, messages) = sync_channel(WAITING);
        let queued = Arc::new(AtomicUsize::new(0));
        let mut writer = Writer {
            file,
            redactor: Redactor::new(record),
            lineups: HashSet::new(),
            stats: Arc::clone(stats.recording()),
            warned: None,
            path: record.file.display().to_string(),
        };
        let thread = std::thread::Builder::new()
            .name("record".to_owned())
            .spawn(move || {
                ground::keeps_running("the recording's thread", || writer.run(&messages));
            })?;
        let recorder = Recorder { sink, queued };
        let path = record.file.clone();
        Ok(Self {
            recorder,
            thread,
            path,
        })
    }

    /// A worker's end.
    pub fn recorder(&self) -> Recorder {
        self.recorder.clone()
    }

    /// Begins a new file if the old one was moved away.
    ///
    /// # Errors
    ///
    /// A sentence, if the writer is behind.
    pub fn reopen(&self) -> Result<Reopening, String> {
        let what = format!("the recording {}", self.path.display());
        let (reopened, reopening) = Reopening::new(what.clone());
        let message = Message::Reopen(reopened);
        self.recorder.sink.try_send(message).map_err(|_| {
            let sentence = format!("{what} can't be reopened now: its writer is behind");
            tracing::warn!("{sentence}");
            sentence
        })?;
        Ok(reopening)
    }

    /// Waits until the queued requests are written, but not beyond this limit.
    pub fn finish(self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut ending = false;
        while !self.thread.is_finished() {
            // A full queue accepts it later.
            ending = ending || self.recorder.sink.try_send(Message::End).is_ok();
            if Instant::now() >= deadline {
                tracing::warn!(
                    "the last requests of the recording are lost: they were not written within \
                     {limit:?}"
                );
                return;
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl Recorder {
    /// The memory of a request that begins now: nothing yet.
    pub fn hold(&self) -> Held {
        Held {
            queued: Arc::clone(&self.queued),
            bytes: 0,
        }
    }

    /// Hands over a request, or counts it as dropped in the worker's shard if the writer is behind.
    pub fn hand_in(
        &self,
        lineup: &Arc<Lineup>,
        request: Box<Request>,
        held: Held,
        shard: &WorkerShard,
    ) {
        if self
            .sink
            .try_send(Message::Request(Arc::clone(lineup), request, held))
            .is_err()
        {
            shard.records_dropped.increment();
        }
    }
}

struct Writer {
    file: RecordFile,
    redactor: Redactor,
    /// The lineups in this file.
    lineups: HashSet<u64>,
    stats: Arc<RecordingShard>,
    /// When the last warning about failed writes was logged.
    warned: Option<Instant>,
    path: String,
}

impl Writer {
    fn run(&mut self, messages: &Receiver<Message>) {
        let mut flushed = Instant::now();
        loop {
            let message = if self.file.is_flushed() {
                flushed = Instant::now();
                messages.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                messages.recv_timeout(FLUSH_EVERY.saturating_sub(flushed.elapsed()))
            };
            match message {
                Ok(Message::Request(lineup, request, held)) => {
                    ground::fault_point("record");
                    self.write(&lineup, request);
                    drop(held);
                }
                Ok(Message::Reopen(reopened)) => {
                    // Nobody may wait for it.
                    let _ = reopened.try_send(self.reopen());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.file.is_due() || flushed.elapsed() >= FLUSH_EVERY {
                self.flush();
                flushed = Instant::now();
            }
        }
        self.flush();
    }

    fn write(&mut self, lineup: &Lineup, mut request: Box<Request>) {
        self.redactor.apply(&mut request);
        let Some(line) = serialised(&Line::Request(request)) else {
            self.stats.dropped.increment();
            return;
        };
        let heading = match self.lineups.contains(&lineup.lineup) {
            true => Vec::new(),
            false => heading(lineup),
        };
        if self.file.has_room(heading.len() + line.len()) {
            self.add(lineup, &heading, &line);
            return;
        }
        let heading = heading_again(heading, lineup);
        // A line that fits into no file must not cost the existing ones.
        if !self.file.can_hold(heading.len() + line.len()) {
            self.stats.dropped.increment();
            return;
        }
        self.flush();
        if let Err(error) = self.file.rotate() {
            self.failed(&error);
            self.stats.dropped.increment();
            return;
        }
        self.lineups.clear();
        self.add(lineup, &heading, &line);
    }

    fn add(&mut self, lineup: &Lineup, heading: &[u8], line: &[u8]) {
        // Together, so that an error affects both or none.
        self.file.add(&[heading, line].concat());
        self.lineups.insert(lineup.lineup);
    }

    fn flush(&mut self) {
        let Flushed {
            lines,
            bytes,
            error,
        } = self.file.flush();
        match error {
            None => {
                self.stats.recorded.add(lines);
                self.stats.bytes.add(bytes);
            }
            Some(error) => {
                self.stats.dropped.add(lines);
                // Lineups in lost lines must be written again.
                self.lineups.clear();
                self.failed(&error);
            }
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.flush();
        if self.file.is_in_place() {
            tracing::info!("{} was not moved: the recording continues in it", self.path);
            return Ok(());
        }
        self.file.rotate().inspect_err(|error| self.failed(error))?;
        self.lineups.clear();
        tracing::info!("the recording continues in a new file {}", self.path);
        Ok(())
    }

    fn failed(&mut self, error: &io::Error) {
        self.stats.errors.increment();
        if self
            .warned
            .is_none_or(|warned| warned.elapsed() >= WARN_EVERY)
        {
            self.warned = Some(Instant::now());
            tracing::warn!(
                "{} can't be written, and requests are not recorded: {error}",
                self.path
            );
        }
    }
}

fn heading(lineup: &Lineup) -> Vec<u8> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let lineup = Lineup {
        time: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        ..lineup.clone()
    };
    serialised(&Line::Lineup(lineup)).unwrap_or_default()
}

/// A new file always begins with a heading.
fn heading_again(heading_before: Vec<u8>, lineup: &Lineup) -> Vec<u8> {
    if heading_before.is_empty() {
        heading(lineup)
    } else {
        heading_before
    }
}

fn serialised(line: &Line) -> Option<Vec<u8>> {
    let mut bytes = serde_json::to_vec(line).ok()?;
    bytes.push(b'\n');
    Some(bytes)
}

#[cfg(test)]
mod tests;
