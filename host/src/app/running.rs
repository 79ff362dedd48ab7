//! A proxy that serves, until its end.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

#[cfg(feature = "acme")]
use super::acme;
use super::certificates::{watch as watch_certificates, watch_pools};
use super::control::{AdminControl, ControlPlane};
use super::data_plane::End;
use super::intake;
use super::signals::{Event, Signals};
use super::unix_socket::SocketFile;
use super::watch::watch;
use super::watchdog::Watchdog;
use crate::admin::{self, Readiness};
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
    pub signals: Signals,
    pub ends: mpsc::UnboundedReceiver<End>,
    pub admin: AdminSide,
    pub stop: watch::Sender<bool>,
    pub log: LogWriter,
    pub records: Option<RecordWriter>,
    pub watchdog: Watchdog,
    /// Removed when the listeners close.
    pub socket_files: Vec<SocketFile>,
    /// What failed, as a sentence.
    pub failure: Option<String>,
}

impl Running {
    pub(super) async fn run_to_the_end(mut self) -> Result<()> {
        let mut beside = self.beside();
        if ground::caught(self.serve()).await.is_err() {
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
        beside.abort_all();
        // Before the listeners close: another process may listen on the path from now on.
        self.socket_files.clear();
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

    /// What watches files and orders certificates while the proxy serves.
    fn beside(&self) -> JoinSet<()> {
        let mut all = JoinSet::new();
        let control = Arc::clone(&self.control);
        // A restarted watcher loses nothing: it compares the files with what was configured.
        all.spawn(async move {
            ground::stays("the watcher of the policies' files", || {
                watch(Arc::clone(&control))
            })
            .await;
        });
        let certificates = self.control.listener_certificates();
        all.spawn(watch_certificates(Arc::clone(certificates)));
        all.spawn(watch_pools(Arc::clone(&self.control)));
        #[cfg(feature = "acme")]
        all.spawn(acme::keep_ordered(
            self.control.current(),
            Arc::clone(certificates),
        ));
        all
    }

    /// Returns at a signal, or when a part fails that the proxy can't do without.
    async fn serve(&mut self) {
        let mut snapshots = self.control.subscribe();
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
                },
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

/// The admin listener and what serves it, if it is on.
pub(super) type AdminSide = Option<(SocketAddr, tokio::task::JoinHandle<Result<()>>)>;

pub(super) fn admin_side(
    config: &Config,
    control: &Arc<ControlPlane>,
    connections: usize,
    mut stopping: watch::Receiver<bool>,
) -> Result<AdminSide> {
    let Some(settings) = &config.admin else {
        return Ok(None);
    };
    let listener = intake::admin(settings.listen)?;
    let address = listener.local_addr()?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let stopped = async move {
        // The admin listener stays open while the data plane drains, because /readyz reports that.
        // It ends with the process.
        let _ = stopping.wait_for(|stop| *stop).await;
        pending::<()>().await;
    };
    let reached = Arc::new(AdminControl(Arc::clone(control)));
    let serving = admin::serve(
        listener,
        settings.token.clone(),
        connections,
        reached,
        stopped,
    );
    Ok(Some((
        address,
        tokio::spawn(async move { Ok(serving.await?) }),
    )))
}

async fn admin_ended(admin: &mut AdminSide) -> anyhow::Error {
    match admin {
        None => pending().await,
        Some((_, task)) => match task.await {
            Ok(Ok(())) => anyhow::anyhow!("the admin listener has ended"),
            Ok(Err(e)) => e.context("the admin listener has failed"),
            Err(e) => anyhow::Error::new(e).context("the admin listener has failed"),
        },
    }
}
