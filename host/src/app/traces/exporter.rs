//! The exporter's thread: collects traces, and sends them in batches.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until, timeout};

use super::collector::{Collector, Sent};
use super::encode::encode;
use crate::config::TraceExport;
use crate::observe::traces::HeldTrace;
use crate::stats::TraceCounters;

/// How often a batch is sent that the collector does not take now.
const TRIES: u32 = 5;
/// The pause before the second try; doubled with each.
const PAUSE: Duration = Duration::from_millis(500);
/// How often lost spans are warned of.
const WARN_EVERY: Duration = Duration::from_secs(60);

pub(super) struct Exporter {
    pub collector: Collector,
    pub export: TraceExport,
    pub counters: Arc<TraceCounters>,
    /// The process ends: what is there is sent, and nothing is waited for.
    pub stop: Arc<Notify>,
    pub stopping: bool,
    /// Those that wait for others, or for the collector.
    pub waiting: VecDeque<HeldTrace>,
    pub spans: usize,
    /// Spans that are lost and not yet warned of, and when the last warning was.
    pub lost: u64,
    pub warned: Option<Instant>,
}

impl Exporter {
    /// Returns when all workers have let go of their ends, or when the process ends.
    pub(super) async fn run(mut self, mut batches: mpsc::UnboundedReceiver<Vec<HeldTrace>>) {
        let mut due = Instant::now();
        let stop = Arc::clone(&self.stop);
        while !self.stopping {
            tokio::select! {
                biased;
                () = stop.notified() => self.stopping = true,
                batch = batches.recv() => {
                    let Some(batch) = batch else { break };
                    if self.waiting.is_empty() {
                        due = Instant::now() + self.export.interval;
                    }
                    self.take(batch);
                }
                () = sleep_until(due), if !self.waiting.is_empty() => self.send().await,
            }
            while self.spans >= self.export.batch && !self.stopping {
                self.send().await;
            }
        }
        while let Ok(batch) = batches.try_recv() {
            self.take(batch);
        }
        while !self.waiting.is_empty() {
            self.send().await;
        }
    }

    fn take(&mut self, batch: Vec<HeldTrace>) {
        self.spans += batch.iter().map(|held| held.spans).sum::<usize>();
        self.waiting.extend(batch);
    }

    /// Sends one batch: the spans of one request stay together.
    async fn send(&mut self) {
        let (mut traces, mut spans) = (Vec::new(), 0);
        while let Some(next) = self.waiting.pop_front() {
            if spans > 0 && spans + next.spans > self.export.batch {
                self.waiting.push_front(next);
                break;
            }
            spans += next.spans;
            traces.push(next);
        }
        self.spans -= spans;
        let batch = Bytes::from(encode(&self.export.service_name, &traces));
        let (spans, rejected) = (spans as u64, self.deliver(batch).await);
        let (rejected, reason) = match rejected {
            Ok(0) => (0, String::new()),
            Ok(rejected) => (rejected.min(spans), "it has rejected them".to_owned()),
            Err(reason) => (spans, reason),
        };
        self.counters.exported.add(spans - rejected);
        self.counters.lost.add(rejected);
        self.lose(rejected, &reason);
        // Only now there is room for others.
        drop(traces);
    }

    /// Returns how many spans the collector has rejected, or why it took none.
    async fn deliver(&mut self, batch: Bytes) -> Result<u64, String> {
        let (mut tries, mut pause) = (1, PAUSE);
        loop {
            let (reason, wish) = match self.collector.send(batch.clone()).await {
                Sent::Taken(rejected) => return Ok(rejected),
                Sent::Refused(reason) => {
                    self.counters.failures.add(1);
                    return Err(reason);
                }
                Sent::Later(reason, wish) => (reason, wish),
            };
            self.counters.failures.add(1);
            if tries == TRIES || self.stopping {
                return Err(reason);
            }
            // One that begins to stop tries once more at once.
            let pause_now = wish.unwrap_or(pause).max(pause);
            let stopped = timeout(pause_now, self.stop.notified()).await;
            self.stopping = stopped.is_ok();
            tries += 1;
            pause *= 2;
        }
    }

    fn lose(&mut self, spans: u64, reason: &str) {
        self.lost += spans;
        let is_due = |warned: Instant| warned.elapsed() >= WARN_EVERY;
        if self.lost > 0 && spans > 0 && self.warned.is_none_or(is_due) {
            let (lost, endpoint) = (std::mem::take(&mut self.lost), shown(&self.export));
            self.warned = Some(Instant::now());
            tracing::warn!("{lost} spans are lost: the collector {endpoint}: {reason}");
        }
    }
}

/// Without its query, which may be a secret.
fn shown(export: &TraceExport) -> &str {
    crate::config::without_query(&export.endpoint)
}
