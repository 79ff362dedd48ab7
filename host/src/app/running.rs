//! A proxy that serves, until its end.

mod handing_over;

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
use super::reload::{self, AdminListener, NextAdmin, Now, Preparation, Ready, Source};
use super::reloading::Reloading;
use super::signals::{Event, Signals};
use super::supervisor::{Notifier, keep_alive};
use super::upgrade::{Program, Successor, Upgrading};
use super::watchdog::Watchdog;
use super::workers::Workers;
use crate::admin::{Readiness, ReloadError, Reloaded};
use crate::config::Config;
use crate::ground;
use crate::observe::access_log::LogWriter;
use crate::proxy::Equipment;
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
    pub pid_file: Option<PidFile>,
    pub watchdog: Watchdog,
    /// The process that serves in place of this one.
    pub successor: Option<Successor>,
    /// What failed, as a sentence.
    pub failure: Option<String>,
}

impl Running {
    /// No other process serves what this one does.
    pub(super) fn is_alone(&self) {
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
        while self.reloads.try_recv().is_ok() {}
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
        if let Some(successor) = self.successor.take() {
            successor.is_alone();
        }
        self.workers_end().await;
        self.admin_ends().await;
        self.end().await
    }

    /// Writes what is left to write.
    async fn end(self) -> Result<()> {
        let Self {
            log,
            records,
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
                        let successor = upgrading.abandon().await;
                        return successor.into_iter().for_each(|s| self.hand_over(s));
                    }
                    Event::Reopen => {
                        ground::fault_point("control");
                        self.reopen();
                    }
                    Event::Reload => self.control.ask_for_reload(Purpose::Publish),
                    Event::Upgrade => self.control.ask_for_upgrade(),
                },
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
                outcome = upgrading.done() => self.upgraded(outcome, &mut upgrading),
                Some(end) = self.workers.ends.recv() => self.worker_failed(end),
                failed = admin_ended(&mut self.admin) => self.admin_failed(&failed),
            }
        }
        // After a failure too.
        if let Some(successor) = upgrading.abandon().await {
            self.hand_over(successor);
        }
    }

    /// Goes on for a while although the process is to end: whatever sends clients here has to learn
    /// first that it must not.
    async fn still_serve(&mut self) {
        let delay = self.control.current().timeouts.shutdown_delay.min(LONGEST);
        if delay.is_zero() || self.failure.is_some() {
            return;
        }
        tracing::info!("not ready any more; the listeners close in {delay:?}");
        self.control.set_readiness(Readiness::Leaving);
        let end = Instant::now() + delay;
        while self.failure.is_none() {
            tokio::select! {
                () = sleep_until(end) => return,
                () = self.signals.reopen() => self.reopen(),
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

    fn begin_reload(&mut self, reloading: &mut Reloading, request: Request) {
        if request.purpose == Purpose::Publish {
            self.notifier.reloading();
        }
        let now = self.now();
        reloading.begin(request, &mut self.reloads, now);
    }

    /// What a reload is compared with.
    fn now(&self) -> Now {
        let admin = self.admin.as_ref();
        Now {
            control: Arc::clone(&self.control),
            source: self.source.clone(),
            listeners: self.listeners.known(),
            log: self.log.clone(),
            admin: admin.map(|admin| (admin.settings.clone(), Arc::clone(&admin.socket))),
        }
    }

    /// Takes over what was prepared. Returns what has come of the reload, and the version of the
    /// snapshot that workers adopt by it, if there is one.
    async fn conclude(
        &mut self,
        (purpose, prepared): (Purpose, Result<Preparation, ReloadError>),
        beside: &mut Beside,
    ) -> Result<(Reloaded, Option<u64>), ReloadError> {
        let outcome = self.publish(purpose, prepared, beside).await;
        if purpose == Purpose::Publish {
            self.notifier.ready(&match &outcome {
                Ok(_) => self.status(),
                Err(ReloadError::Refused(errors)) => {
                    format!("the reload was refused: {}", errors.join("; "))
                }
                Err(ReloadError::Unavailable(reason)) => format!("no reload: {reason}"),
            });
        }
        outcome
    }

    async fn publish(
        &mut self,
        purpose: Purpose,
        prepared: Result<Preparation, ReloadError>,
        beside: &mut Beside,
    ) -> Result<(Reloaded, Option<u64>), ReloadError> {
        match prepared {
            // Only what was asked has to hear of it: nothing was to change.
            Err(refused) if purpose == Purpose::Check => Err(refused),
            Err(ReloadError::Refused(errors)) => {
                let all = errors.join("\n");
                tracing::error!(
                    "reload refused; the running configuration stays in effect:\n{all}"
                );
                self.control.note_reload(Err(errors.clone()));
                Err(ReloadError::Refused(errors))
            }
            Err(unavailable) => Err(unavailable),
            Ok(Preparation::Done(reloaded, written)) => {
                if let Some(written) = written {
                    tracing::info!("reloaded: {}", reloaded.changes);
                    self.control.note_reload(Ok(*written));
                }
                Ok((*reloaded, None))
            }
            Ok(Preparation::Ready(ready)) => {
                let (reloaded, version) = self.take_over(*ready, beside).await;
                Ok((reloaded, Some(version)))
            }
        }
    }

    async fn take_over(&mut self, ready: Ready, beside: &mut Beside) -> (Reloaded, u64) {
        let reloaded = reload::reloaded(true, &ready.prepared, &ready.written);
        let former = (self.control.current(), self.control.listener_certificates());
        if let Some(log) = ready.log {
            // The former ends when the workers have handed over what they had.
            self.log = log;
        }
        if let Some(records) = ready.records {
            self.records = records;
        }
        let equipment = Arc::new(Equipment {
            listeners: ready.listeners.listening(),
            log: self.log.handle(),
            recorder: self.records.as_ref().map(RecordWriter::recorder),
        });
        let version = self
            .control
            .publish_prepared(ready.prepared, equipment)
            .await;
        let stopping = self.stop.subscribe();
        let (opened, closed) =
            self.listeners
                .follow(ready.listeners, &self.workers.hands, &stopping);
        for address in opened {
            tracing::info!(addr = %address, "listening");
        }
        for address in closed {
            tracing::info!(addr = %address, "no longer listening; open connections end");
        }
        if let Some(next) = ready.admin {
            self.replace_admin(next);
        }
        self.control.keep_compiled(&former.0);
        let pid_file = self.control.current().pid_file.clone();
        self.pid_file = PidFile::follow(self.pid_file.take(), pid_file.as_deref());
        let known = &former.0.warnings;
        let new = reloaded.warnings.iter().filter(|w| !known.contains(w));
        for warning in new {
            tracing::warn!("{warning}");
        }
        tracing::info!("reloaded: {}", reloaded.changes);
        self.control.note_reload(Ok(ready.written));
        beside.restart(&self.control, &former.1);
        (reloaded, version)
    }

    fn replace_admin(&mut self, next: NextAdmin) {
        if let Some(former) = self.admin.take() {
            drop(former.end());
        }
        let NextAdmin::On(settings, socket) = next else {
            return;
        };
        match AdminListener::serve(settings, socket, self.admin_connections, &self.control) {
            Ok(serving) => {
                tracing::info!(addr = %serving.address, "admin listening");
                self.admin = Some(serving);
            }
            Err(e) => tracing::error!("the admin listener can't be served: {e:#}"),
        }
    }

    fn reopen(&self) {
        tracing::info!("SIGUSR1: reopening the logs");
        self.log.reopen();
        if let Some(records) = &self.records {
            records.reopen();
        }
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
                    if end.panicked {
                        self.failure.get_or_insert(format!("worker {} has failed", end.index));
                    }
                }
                () = self.signals.reopen() => self.reopen(),
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
