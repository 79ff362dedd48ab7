//! A proxy that serves, until its end.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::beside::Beside;
use super::control::{ControlPlane, Purpose, Request};
use super::data_plane::End;
use super::open_listeners::OpenListeners;
use super::reload::{self, AdminListener, NextAdmin, Now, Preparation, Ready, Source};
use super::reloading::Reloading;
use super::signals::{Event, Signals};
use super::watchdog::Watchdog;
use super::workers::Hands;
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
    pub requests: mpsc::Receiver<Request>,
    pub signals: Signals,
    pub ends: mpsc::UnboundedReceiver<End>,
    pub admin: Option<AdminListener>,
    /// The most connections to the admin listener.
    pub admin_connections: usize,
    pub hands: Hands,
    pub listeners: OpenListeners,
    pub stop: watch::Sender<bool>,
    pub log: LogWriter,
    pub records: Option<RecordWriter>,
    pub watchdog: Watchdog,
    /// What failed, as a sentence.
    pub failure: Option<String>,
}

impl Running {
    pub(super) async fn run_to_the_end(mut self) -> Result<()> {
        let beside = Beside::start(&self.control, &self.source);
        if ground::caught(self.serve(beside)).await.is_err() {
            self.failure = Some("the control side has failed".to_owned());
        }
        if let Some(failure) = &self.failure {
            tracing::error!("{failure}: finishing requests in flight, then the process ends");
        }
        self.control.set_readiness(
            self.failure
                .clone()
                .map_or(Readiness::Draining, Readiness::Failed),
        );
        self.requests.close();
        while self.requests.try_recv().is_ok() {}
        // Before the listeners close: another process may listen on the path from now on.
        self.listeners.remove_files();
        self.signals.stop_begins();
        // A send fails only if all workers have ended, which then have nothing to finish.
        let _ = self.stop.send(true);
        self.workers_end().await;
        let Self {
            log,
            records,
            failure,
            watchdog,
            ..
        } = self;
        drop(watchdog);
        let logs_end = move || {
            log.finish(LOGS_END);
            if let Some(records) = records {
                records.finish(LOGS_END);
            }
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

    /// Returns at a signal, or when a part fails that the proxy can't do without.
    async fn serve(&mut self, mut beside: Beside) {
        let mut snapshots = self.control.subscribe();
        let mut reloading = Reloading::default();
        loop {
            tokio::select! {
                Ok(()) = snapshots.changed() => {
                    let config = Arc::clone(&snapshots.borrow_and_update().config);
                    self.signals.serving(stop_within(&config));
                }
                event = self.signals.next() => match event {
                    Event::Stop => return,
                    Event::Reopen => {
                        ground::fault_point("control");
                        self.reopen();
                    }
                    Event::Reload => self.control.ask_for_reload(Purpose::Publish),
                },
                Some(request) = self.requests.recv(), if reloading.is_idle() => {
                    let now = self.now();
                    reloading.begin(request, &mut self.requests, now);
                }
                prepared = reloading.prepared() => {
                    let outcome = self.conclude(prepared, &mut beside).await;
                    if let Some(next) = reloading.end(outcome, &self.control) {
                        let now = self.now();
                        reloading.begin(next, &mut self.requests, now);
                    }
                }
                Some(end) = self.ends.recv() => {
                    self.failure = Some(format!("worker {} has failed", end.index));
                    self.control.adoption().gone(end.index);
                    return;
                }
                failed = admin_ended(&mut self.admin) => {
                    self.admin = None;
                    self.failure = Some(format!("{failed:#}"));
                    return;
                }
            }
        }
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
        let (opened, closed) = self
            .listeners
            .follow(ready.listeners, &self.hands, &stopping);
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
            former.end();
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
        let deadline = Instant::now() + stop_within(&config).min(LONGEST);
        let mut left: Vec<usize> = (0..config.workers).collect();
        left.retain(|index| !self.control.adoption().is_gone(*index));
        while !left.is_empty() {
            tokio::select! {
                end = self.ends.recv() => {
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

/// How long a stop may take: the drain, and what the workers need beyond it.
pub(super) fn stop_within(config: &Config) -> Duration {
    config.timeouts.drain.saturating_add(WORKERS_END)
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
