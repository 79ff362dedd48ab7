//! From workers to the file: a channel that never makes a worker wait, and a thread that redacts,
//! serialises and writes.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::file::{Flushed, RecordFile};
use super::format::{FORMAT, Isolation, Line, Lineup, Policy, Request};
use super::redact::Redactor;
use crate::config::{self, Config, RecordingConfig};
use crate::ground;
use crate::stats::{RecordingShard, Stats, WorkerShard};

/// Requests that may wait for the writer ...
const WAITING: usize = 4096;
/// ... and about how many bytes of memory they may take, with those that are still being answered.
const WAITING_BYTES: usize = 32 << 20;
/// About how many bytes one request may take.
const REQUEST_BYTES: usize = 1 << 20;
/// What was recorded is on disk after this time.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// What can't be written is warned of this often.
const WARN_EVERY: Duration = Duration::from_secs(60);
/// How often the thread's end is looked for.
const LOOK: Duration = Duration::from_millis(5);

/// A worker's end of the recording. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recorder {
    /// A random number of 32 bits below this is a request that is recorded.
    threshold: u64,
    record: Arc<RecordingConfig>,
    lineup: Arc<Lineup>,
    sink: SyncSender<Message>,
    queued: Arc<AtomicUsize>,
}

/// The thread that writes.
#[derive(Debug)]
pub struct RecordWriter {
    recorder: Recorder,
    thread: JoinHandle<()>,
}

enum Message {
    Request(Arc<Lineup>, Box<Request>, Held),
    Reopen,
    End,
}

/// Memory that a request takes, counted until it is written or forgotten.
#[derive(Debug)]
pub struct Held {
    queued: Arc<AtomicUsize>,
    bytes: usize,
}

impl Held {
    /// Takes more. Tells whether there is so much.
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
    pub fn start(record: &RecordingConfig, config: &Config, stats: &Stats) -> io::Result<Self> {
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
        let recorder = Recorder {
            threshold: (record.sample.clamp(0.0, 1.0) * (u64::from(u32::MAX) + 1) as f64) as u64,
            lineup: Arc::new(lineup(record, config)),
            record: Arc::new(record.clone()),
            sink,
            queued,
        };
        Ok(Self { recorder, thread })
    }

    /// A worker's end.
    pub fn recorder(&self) -> Recorder {
        self.recorder.clone()
    }

    /// Has the file begun again if it was moved away.
    pub fn reopen(&self) {
        if self.recorder.sink.try_send(Message::Reopen).is_err() {
            tracing::warn!("the recording can't be begun again now: it is behind");
        }
    }

    /// Waits until what was handed over is written, but not beyond this limit.
    pub fn finish(self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut ending = false;
        while !self.thread.is_finished() {
            // A queue that is full takes it later.
            ending = ending || self.recorder.sink.try_send(Message::End).is_ok();
            if Instant::now() >= deadline {
                tracing::warn!(
                    "the last requests of the recording are lost: after {limit:?} they were not written"
                );
                return;
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl Recorder {
    /// What is the same in all lineups. Pools are not in it, nor generations.
    pub fn lineup(&self) -> &Lineup {
        &self.lineup
    }

    /// Whether a request that has drawn this lot is recorded.
    pub fn takes(&self, lot: u32) -> bool {
        u64::from(lot) < self.threshold
    }

    /// Whether calls of this policy are recorded.
    pub fn wants(&self, policy: usize) -> bool {
        self.record
            .policies
            .as_ref()
            .is_none_or(|wanted| wanted.contains(&policy))
    }

    /// What a request takes that begins now: nothing yet.
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

/// What is recorded of the policies, in so far as the configuration says it.
fn lineup(record: &RecordingConfig, config: &Config) -> Lineup {
    let policy = |(index, policy): (usize, &config::Policy)| {
        let routes = config
            .routes
            .iter()
            .filter(|route| route.policies.contains(&index));
        let mut pools: Vec<u32> = routes
            .filter_map(|route| u32::try_from(route.pool).ok())
            .collect();
        pools.sort_unstable();
        pools.dedup();
        Policy {
            name: policy.name.clone(),
            settings: policy.settings.clone(),
            pools,
            deadline_microseconds: u64::try_from(policy.deadline.as_micros()).unwrap_or(u64::MAX),
            memory_bytes: policy.memory,
            isolation: match policy.isolation {
                config::Isolation::Worker => Isolation::Worker,
                config::Isolation::Request => Isolation::Request,
            },
            store_entries: policy.store.entries,
            store_bytes: policy.store.bytes,
            active: None,
            trial: None,
        }
    };
    let wanted = |index: &usize| {
        record
            .policies
            .as_ref()
            .is_none_or(|wanted| wanted.contains(index))
    };
    let policies = config
        .policies
        .iter()
        .enumerate()
        .filter(|(index, _)| wanted(index))
        .map(policy);
    Lineup {
        format: FORMAT,
        waypost: env!("CARGO_PKG_VERSION").to_owned(),
        lineup: 0,
        time: 0,
        workers: config.workers,
        sample: record.sample,
        redact: record.redact.clone(),
        redact_query: record.redact_query,
        redact_client: record.redact_client,
        pools: Vec::new(),
        policies: policies.collect(),
    }
}

struct Writer {
    file: RecordFile,
    redactor: Redactor,
    /// Those that stand in this file.
    lineups: HashSet<u64>,
    stats: Arc<RecordingShard>,
    /// When it was last warned of what can't be written.
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
                Ok(Message::Reopen) => self.reopen(),
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
        // What no file can hold must not cost those that are there.
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
        // As one, so that an error takes both or none.
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
                // What stood in the lines that are lost has to be said again.
                self.lineups.clear();
                self.failed(&error);
            }
        }
    }

    fn reopen(&mut self) {
        self.flush();
        if self.file.is_in_place() {
            tracing::info!("{} is where it was: the recording goes on in it", self.path);
            return;
        }
        match self.file.rotate() {
            Ok(()) => {
                self.lineups.clear();
                tracing::info!("the recording is begun again in {}", self.path);
            }
            Err(error) => self.failed(&error),
        }
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

/// A file that begins has a heading in any case.
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
mod tests {
    use super::*;
    use crate::stats::Stats;

    #[test]
    fn requests_take_no_more_memory_than_there_is_for_them() {
        let queued = Arc::new(AtomicUsize::new(0));
        let hold = || Held {
            queued: Arc::clone(&queued),
            bytes: 0,
        };
        let mut one = hold();
        assert!(one.grow(REQUEST_BYTES) && !one.grow(1));
        let mut others: Vec<Held> = (0..100).map(|_| hold()).collect();
        let fit = others
            .iter_mut()
            .filter_map(|held| held.grow(REQUEST_BYTES).then_some(()))
            .count();
        assert_eq!(fit, WAITING_BYTES / REQUEST_BYTES - 1);
        drop(one);
        others.truncate(50);
        assert_eq!(queued.load(Relaxed), fit * REQUEST_BYTES);
        drop(others);
        assert_eq!(queued.load(Relaxed), 0);
    }

    #[test]
    fn a_request_that_no_file_can_hold_costs_nothing_but_itself() {
        let folder = std::env::temp_dir().join(format!("waypost-writer-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("a.jsonl");
        let config = Config::from_toml(
            "[record]\nfile = \"a\"\n[hosts]\n\"*\" = \"127.0.0.1:1\"",
            &folder,
        )
        .unwrap();
        let record = config.record.clone().unwrap();
        let lineup = lineup(&record, &config);
        let mut writer = Writer {
            file: RecordFile::open(&path, 4_000).unwrap(),
            redactor: Redactor::new(&record),
            lineups: HashSet::new(),
            stats: Arc::clone(Stats::new(1).recording()),
            warned: None,
            path: path.display().to_string(),
        };
        let request = |path: String| {
            let request = serde_json::json!({
                "lineup": 0, "time": 1, "worker": 0, "method": "GET", "scheme": "http", "host": "a", "path": path,
                "client": "192.0.2.7", "pool": 0, "fields": [], "calls": [], "status": 200,
            });
            Box::new(serde_json::from_value::<Request>(request).unwrap())
        };
        writer.write(&lineup, request("/kept".to_owned()));
        for _ in 0..2 {
            writer.write(&lineup, request("/".repeat(4_000)));
        }
        writer.flush();
        let written = std::fs::read_to_string(&path).unwrap();
        assert!(
            written.contains("\"/kept\"") && written.len() < 4_000,
            "{written}"
        );
        assert_eq!(
            (writer.stats.recorded.value(), writer.stats.dropped.value()),
            (1, 2)
        );
        assert!(!folder.join("a.jsonl.1").exists(), "it was not set aside");
        // One that has room in a file of its own begins one.
        let around = heading(&lineup).len()
            + serialised(&Line::Request(request(String::new())))
                .unwrap()
                .len();
        writer.write(&lineup, request("/".repeat(4_000 - around)));
        writer.flush();
        assert!(
            std::fs::read_to_string(folder.join("a.jsonl.1"))
                .unwrap()
                .contains("\"/kept\"")
        );
        assert_eq!(
            (writer.stats.recorded.value(), writer.stats.dropped.value()),
            (2, 2)
        );
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
