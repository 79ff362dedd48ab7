//! A proxy that serves, until its end.

mod handing_over;
mod reloads;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::beside::Beside;
use super::control::{ControlPlane, Purpose, Request, UpgradeRequest};
use super::data_plane::End;
use super::open_listeners::OpenListeners;
use super::pid_file::PidFile;
use super::reload::{AdminListener, Source};
use super::reloading::Reloading;
use super::signals::{Event, Signals};
use super::supervisor::{Notifier, keep_alive};
use super::traces::{ClosedExporter, TraceExporter};
use super::upgrade::{Program, Successor, Upgrading};
use super::watchdog::Watchdog;
use super::workers::Workers;
use crate::admin::Readiness;
use crate::config::Config;
use crate::ground;
use crate::observe::access_log::LogWriter;
use crate::recording::RecordWriter;

/// How long the end waits for workers beyond the drain time.
const WORKERS_END: Duration = Duration::from_secs(5);
/// How long the end waits for each log: a reader that stalls must not keep the process alive.
const LOGS_END: Duration = Duration::from_secs(2);
/// The longest drain time that tokio's clock can represent with certainty.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// A proxy that serves.
pub(super) struct Running {
    pub control: Arc<ControlPlane>,
    pub source: Source,
    /// Reloads that are asked for.
    pub reloads: mpsc::Receiver<Request>,
    /// Upgrades that are asked for.
    pub upgrades: mpsc::Receiver<UpgradeRequest>,
    pub signals: Signals,
    /// What is started to take over; `None` where nothing can.
    pub program: Option<Program>,
    pub notifier: Notifier,
    pub admin: Option<AdminListener>,
    /// What waits for the last answers of the admin listener.
    pub admin_end: Option<JoinHandle<Result<()>>>,
    /// The most connections to the admin listener.
    pub admin_connections: usize,
    pub workers: Workers,
    pub listeners: OpenListeners,
    pub stop: watch::Sender<bool>,
    pub log: LogWriter,
    pub records: Option<RecordWriter>,
    pub traces: Option<TraceExporter>,
    /// Those of former configurations that may still have something to send.
    pub former_traces: Vec<ClosedExporter>,
    pub pid_file: Option<PidFile>,
    pub watchdog: Watchdog,
    /// The process that serves in place of this one.
    pub successor: Option<Successor>,
    /// What failed, as a sentence.
    pub failure: Option<String>,
}

impl Running {
    /// No other process serves what this one does.
    pub(super) fn is_alone(&mut self) {
        self.listeners.adopt_files();
        self.notifier.ready(&self.status());
        tokio::spawn(keep_alive(self.notifier.clone(), Arc::clone(&self.control)));
    }

    /// What the supervisor shows.
    fn status(&self) -> String {
        let config = self.control.current();
        let (listeners, workers) = (config.listeners.len(), config.workers);
        format!("serving {listeners} listeners with {workers} workers")
    }

    pub(super) async fn run_to_the_end(mut self) -> Result<()> {
        let beside = Beside::start(&self.control, &self.source);
        if ground::caught(self.serve(beside)).await.is_err() {
            self.failure = Some("the control side has failed".to_owned());
        }
        self.reloads.close();
        while let Ok(request) = self.reloads.try_recv() {
            if self.successor.is_some() {
                request.refuse(
                    "another process has just taken over, with the configuration as it read it: \
                     ask again, for a reload of that one",
                );
            }
        }
        self.upgrades.close();
        while self.upgrades.try_recv().is_ok() {}
        if self.successor.is_none() {
            self.notifier.stopping();
            self.still_serve().await;
        }
        if let Some(failure) = &self.failure {
            tracing::error!("{failure}: finishing requests in flight, then the process ends");
        }
        self.control.set_readiness(
            self.failure
                .clone()
                .map_or(Readiness::Draining, Readiness::Failed),
        );
        // Before the listeners close: another process may listen on the path from now on.
        self.listeners.remove_files();
        self.signals.stop_begins();
        // A send fails only if all workers have ended, which then have nothing to finish.
        let _ = self.stop.send(true);
        self.leave_alone().await;
        self.workers_end().await;
        self.admin_ends().await;
        self.end().await
    }

    /// Writes what is left to write.
    async fn end(self) -> Result<()> {
        let Self {
            log,
            records,
            traces,
            former_traces,
            failure,
            watchdog,
            pid_file,
            ..
        } = self;
        drop(watchdog);
        let logs_end = move || {
            log.finish(LOGS_END);
            if let Some(records) = records {
                records.finish(LOGS_END);
            }
            let traces = traces.map(TraceExporter::closed);
            ClosedExporter::finish(former_traces.into_iter().chain(traces), LOGS_END);
            drop(pid_file);
        };
        tokio::task::spawn_blocking(logs_end)
            .await
            .context("the logs can't be flushed")?;
        if let Some(failure) = failure {
            bail!(
                "{failure}; this is a bug of the proxy: report it, and let a supervisor restart it"
            );
        }
        tracing::info!("stopped");
        Ok(())
    }

    /// Returns at a signal, when another process serves, or when a part fails that the proxy can't
    /// do without.
    async fn serve(&mut self, mut beside: Beside) {
        let mut snapshots = self.control.subscribe();
        let (mut reloading, mut upgrading) = (Reloading::default(), Upgrading::default());
        while self.failure.is_none() && self.successor.is_none() {
            tokio::select! {
                Ok(()) = snapshots.changed() => {
                    let config = Arc::clone(&snapshots.borrow_and_update().config);
                    self.signals.serving(stop_within(&config));
                }
                event = self.signals.next() => match event {
                    Event::Stop => {
                        if let Some(successor) = upgrading.abandon().await {
                            self.upgraded(Ok(successor), &mut upgrading).await;
                        }
                        return;
                    }
                    Event::Reopen => {
                        ground::fault_point("control");
                        self.reopen();
                    }
                    Event::Reload => self.control.ask_for_reload(Purpose::Publish),
                    Event::Upgrade => self.control.ask_for_upgrade(),
                },
                () = self.control.reopening.asked() => self.reopen(),
                // What one of the two changes is not what the other began with.
                Some(request) = self.reloads.recv(), if reloading.is_idle() && upgrading.is_idle() =>
                    self.begin_reload(&mut reloading, request),
                Some(request) = self.upgrades.recv(), if reloading.is_idle() =>
                    self.begin_upgrade(request, &mut upgrading).await,
                prepared = reloading.prepared() => {
                    let outcome = self.conclude(prepared, &mut beside).await;
                    if let Some(next) = reloading.end(outcome, &self.control) {
                        self.begin_reload(&mut reloading, next);
                    }
                }
                outcome = upgrading.done() => self.upgraded(outcome, &mut upgrading).await,
                Some(end) = self.workers.ends.recv() => self.worker_failed(end),
                failed = admin_ended(&mut self.admin) => self.admin_failed(&failed),
            }
        }
        // After a failure too.
        if let Some(successor) = upgrading.abandon().await {
            self.upgraded(Ok(successor), &mut upgrading).await;
        }
    }

    /// Goes on for a while although the process is to end: whatever sends clients here has to learn
    /// first that it must not.
    async fn still_serve(&mut self) {
        let delay = self.control.current().timeouts.shutdown_delay.min(LONGEST);
        if delay.is_zero() || self.failure.is_some() {
            return;
        }
        self.control.set_readiness(Readiness::Leaving);
        tracing::info!("not ready any more; the listeners close in {delay:?}");
        let end = Instant::now() + delay;
        while self.failure.is_none() {
            tokio::select! {
                () = sleep_until(end) => return,
                () = self.signals.reopen() => self.reopen(),
                () = self.control.reopening.asked() => self.reopen(),
                Some(end) = self.workers.ends.recv() => self.worker_failed(end),
                failed = admin_ended(&mut self.admin) => self.admin_failed(&failed),
            }
        }
    }

    fn worker_failed(&mut self, end: End) {
        self.failure = Some(format!("worker {} has failed", end.index));
        self.control.adoption().gone(end.index);
    }

    fn admin_failed(&mut self, failed: &anyhow::Error) {
        self.admin = None;
        self.failure = Some(format!("{failed:#}"));
    }

    fn reopen(&self) {
        tracing::info!("reopening the logs");
        let log = self.log.reopen().transpose();
        let records = self.records.as_ref().map(RecordWriter::reopen);
        let begun = log.into_iter().chain(records).collect();
        self.control.reopening.begin(begun);
    }

    /// Waits for the workers, within a limit.
    async fn workers_end(&mut self) {
        let config = self.control.current();
        let within = config.timeouts.drain.saturating_add(WORKERS_END);
        let deadline = Instant::now() + within.min(LONGEST);
        let mut left: Vec<usize> = (0..config.workers).collect();
        left.retain(|index| !self.control.adoption().is_gone(*index));
        while !left.is_empty() {
            tokio::select! {
                end = self.workers.ends.recv() => {
                    let Some(end) = end else { break };
                    left.retain(|index| *index != end.index);
                    self.control.adoption().gone(end.index);
                    if end.panicked {
                        self.failure.get_or_insert(format!("worker {} has failed", end.index));
                    }
                }
                () = self.signals.reopen() => self.reopen(),
                () = self.control.reopening.asked() => self.reopen(),
                () = sleep_until(deadline) => {
                    let names = left.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                    let failure = format!("these workers have not ended in time: {names}");
                    self.failure.get_or_insert(failure);
                    return;
                }
            }
        }
    }
}

/// How long a stop may take: the delay before it, the drain, and what the workers need beyond it.
pub(super) fn stop_within(config: &Config) -> Duration {
    let delay = config.timeouts.shutdown_delay;
    let drain = config.timeouts.drain.saturating_add(WORKERS_END);
    delay.saturating_add(drain)
}

async fn admin_ended(admin: &mut Option<AdminListener>) -> anyhow::Error {
    match admin {
        None => pending().await,
        Some(AdminListener { task, .. }) => match task.await {
            Ok(Ok(())) => anyhow::anyhow!("the admin listener has ended"),
            Ok(Err(e)) => e.context("the admin listener has failed"),
            Err(e) => anyhow::Error::new(e).context("the admin listener has failed"),
        },
    }
}
