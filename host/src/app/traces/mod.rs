//! The export of traces: a thread that sends what workers hand over to a collector.

#[cfg(feature = "otlp")]
mod collector;
#[cfg(feature = "otlp")]
mod encode;
#[cfg(feature = "otlp")]
mod exporter;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::sync::Notify;

use crate::config::{Config, TraceExport};
use crate::observe::traces::TraceHandle;
use crate::stats::Stats;

/// How often the end of the thread is checked.
const LOOK: Duration = Duration::from_millis(5);

/// The thread that exports. Dropped, it ends when all workers have let go of their ends.
#[derive(Debug)]
pub(super) struct TraceExporter {
    handle: TraceHandle,
    stop: Arc<Notify>,
    thread: JoinHandle<()>,
}

/// An exporter of a former configuration, or of a process that ends: it sends what it has got.
#[derive(Debug)]
pub(super) struct ClosedExporter {
    stop: Arc<Notify>,
    thread: JoinHandle<()>,
}

/// Starts to export traces, if they are to be.
pub(super) fn start_traces(config: &Config, stats: &Stats) -> Result<Option<TraceExporter>> {
    let tracing = config.tracing.as_ref();
    let export = tracing.and_then(|tracing| tracing.export.as_ref());
    export.map(|to| TraceExporter::start(to, stats)).transpose()
}

/// Why traces could not be exported as this configuration says; `None` if they could.
pub(super) fn traces_problem(config: &Config) -> Option<String> {
    let tracing = config.tracing.as_ref();
    let export = tracing.and_then(|tracing| tracing.export.as_ref())?;
    problem(export)
}

#[cfg(feature = "otlp")]
fn problem(export: &TraceExport) -> Option<String> {
    collector::Collector::new(export).err()
}

/// The configuration was refused.
#[cfg(not(feature = "otlp"))]
fn problem(_: &TraceExport) -> Option<String> {
    Some("this build is without the feature `otlp`".to_owned())
}

impl TraceExporter {
    #[cfg(feature = "otlp")]
    fn start(export: &TraceExport, stats: &Stats) -> Result<Self> {
        use anyhow::Context;

        use crate::ground;

        let collector = collector::Collector::new(export).map_err(anyhow::Error::msg)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("the exporter of traces can't be started")?;
        let (handle, batches) = TraceHandle::new(export.queue);
        let stop = Arc::<Notify>::default();
        let exporter = exporter::Exporter {
            collector,
            export: export.clone(),
            counters: Arc::clone(stats.traces()),
            stop: Arc::clone(&stop),
            stopping: false,
            waiting: Default::default(),
            spans: 0,
            lost: 0,
            warned: None,
        };
        let thread = std::thread::Builder::new().name("traces".to_owned());
        let thread = thread.spawn(move || {
            ground::goes_on(|| runtime.block_on(exporter.run(batches)));
        });
        Ok(Self {
            handle,
            stop,
            thread: thread.context("the exporter of traces can't be started")?,
        })
    }

    #[cfg(not(feature = "otlp"))]
    fn start(export: &TraceExport, _: &Stats) -> Result<Self> {
        anyhow::bail!(problem(export).unwrap_or_default())
    }

    /// Where workers hand traces over.
    pub(super) fn handle(&self) -> TraceHandle {
        self.handle.clone()
    }

    /// It gets nothing more, once all workers have another.
    pub(super) fn closed(self) -> ClosedExporter {
        ClosedExporter {
            stop: self.stop,
            thread: self.thread,
        }
    }
}

impl TraceExporter {
    /// The same, and after this time it gives up what the collector has not taken: reloads must not
    /// pile up exporters of one that hangs.
    pub(super) fn closed_within(self, limit: Duration) -> ClosedExporter {
        let stop = Arc::clone(&self.stop);
        tokio::spawn(async move {
            tokio::time::sleep(limit).await;
            stop.notify_one();
        });
        self.closed()
    }
}

impl ClosedExporter {
    /// Whether everything has been sent, or is lost.
    pub(super) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Has all of these send what is left, but not beyond this limit.
    pub(super) fn finish(all: impl Iterator<Item = Self>, limit: Duration) {
        let deadline = Instant::now() + limit;
        let all: Vec<Self> = all.collect();
        all.iter().for_each(|exporter| exporter.stop.notify_one());
        while !all.iter().all(Self::has_ended) {
            if Instant::now() >= deadline {
                tracing::warn!(
                    "the last spans are lost: the collector had not taken them within {limit:?}"
                );
                return;
            }
            std::thread::sleep(LOOK);
        }
    }
}
