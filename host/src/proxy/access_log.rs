//! The access log: one JSON object a line, written by a thread of its own so that a slow disk or pipe never holds a worker.

use std::cell::RefCell;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::config::{self, LoggedRequests};
use crate::stats::WorkerShard;

/// A worker hands its lines over when it has so many bytes of them, and at each sweep.
const BATCH: usize = 32 * 1024;
/// Batches that may wait for the disk; beyond that lines are dropped and counted.
const WAITING: usize = 64;

/// What one line says.
#[derive(Debug, Serialize)]
pub struct Line<'a> {
    /// When the request's head had arrived, RFC 3339 in UTC.
    pub time: String,
    /// The client's address.
    pub client: &'a str,
    /// The request method; empty if the head could not be read.
    pub method: &'a str,
    /// The host asked for.
    pub host: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// The status sent; 0 if none was.
    pub status: u16,
    /// Time from the head to the end of the response.
    pub duration_microseconds: u64,
    /// The last backend asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<&'a str>,
    /// How many backends were asked.
    pub attempts: u32,
    /// Why the proxy or a policy refused the request, or why it could not be completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
}

impl Line<'_> {
    /// A line of which nothing is known but the time.
    pub fn now() -> Self {
        Self {
            time: time(Duration::ZERO),
            client: "",
            method: "",
            host: "",
            target: "",
            status: 0,
            duration_microseconds: 0,
            backend: None,
            attempts: 0,
            reason: None,
        }
    }
}

/// One worker's end of the log.
#[derive(Debug)]
pub struct AccessLog {
    requests: LoggedRequests,
    sink: Option<SyncSender<Vec<u8>>>,
    pending: RefCell<Vec<u8>>,
    shard: Arc<WorkerShard>,
}

/// The thread that writes. It ends when all workers have let go of their ends.
#[derive(Debug)]
pub struct LogWriter {
    sink: Option<SyncSender<Vec<u8>>>,
    requests: LoggedRequests,
    thread: Option<JoinHandle<()>>,
}

impl LogWriter {
    /// Opens the file, if one is named, and starts the thread.
    pub fn start(config: &config::AccessLog) -> io::Result<Self> {
        if config.requests == LoggedRequests::None {
            return Ok(Self { sink: None, requests: config.requests, thread: None });
        }
        let out: Box<dyn Write + Send> = match &config.path {
            Some(path) => Box::new(OpenOptions::new().create(true).append(true).open(path)?),
            None => Box::new(io::stdout()),
        };
        let (sink, batches) = sync_channel(WAITING);
        let thread = std::thread::Builder::new().name("access-log".to_owned()).spawn(move || write(out, &batches))?;
        Ok(Self { sink: Some(sink), requests: config.requests, thread: Some(thread) })
    }

    /// A worker's end.
    pub fn handle(&self, shard: Arc<WorkerShard>) -> AccessLog {
        AccessLog { requests: self.requests, sink: self.sink.clone(), pending: RefCell::default(), shard }
    }

    /// Waits until what was handed over is written.
    pub fn finish(mut self) {
        self.sink = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the writer has been reported already; there is nothing left to do for the log.
            let _ = thread.join();
        }
    }
}

fn write(mut out: Box<dyn Write + Send>, batches: &Receiver<Vec<u8>>) {
    for batch in batches {
        if let Err(e) = out.write_all(&batch).and_then(|()| out.flush()) {
            tracing::warn!("the access log can't be written: {e}");
        }
    }
}

impl AccessLog {
    /// Whether a request is recorded; `refused` if the proxy or a policy answered it or it could not be completed.
    pub fn wants(&self, refused: bool) -> bool {
        match self.requests {
            LoggedRequests::All => true,
            LoggedRequests::Refused => refused,
            LoggedRequests::None => false,
        }
    }

    /// Records a request.
    pub fn record(&self, line: &Line<'_>) {
        let mut pending = self.pending.borrow_mut();
        // Serialising plain strings and numbers into memory can't fail.
        if serde_json::to_writer(&mut *pending, line).is_ok() {
            pending.push(b'\n');
        }
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
        let Some(sink) = &self.sink else { return };
        let batch = std::mem::take(&mut *pending);
        if let Err(e) = sink.try_send(batch) {
            let (std::sync::mpsc::TrySendError::Full(batch) | std::sync::mpsc::TrySendError::Disconnected(batch)) = e;
            let lines = batch.iter().filter(|b| **b == b'\n').count();
            self.shard.log_lines_dropped.add(lines as u64);
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.flush();
    }
}

/// The present moment less `ago`, as RFC 3339.
pub fn time(ago: Duration) -> String {
    humantime::format_rfc3339_micros(SystemTime::now() - ago).to_string()
}
