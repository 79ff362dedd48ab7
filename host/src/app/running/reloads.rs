//! Reloads of a proxy that serves: begun, taken over, reported.

use std::sync::Arc;
use std::time::Duration;

use super::Running;
use crate::admin::{ReloadError, Reloaded};
use crate::app::beside::Beside;
use crate::app::control::{Purpose, Request};
use crate::app::pid_file::PidFile;
use crate::app::reload::{self, AdminListener, NextAdmin, Now, Preparation, Ready};
use crate::app::reloading::Reloading;
use crate::app::traces::TraceExporter;
use crate::proxy::Equipment;
use crate::recording::RecordWriter;

/// How long the exporter of a former configuration may go on.
const FORMER_TRACES: Duration = Duration::from_secs(30);

impl Running {
    pub(super) fn begin_reload(&mut self, reloading: &mut Reloading, request: Request) {
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
    pub(super) async fn conclude(
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
        if let Some(traces) = ready.traces {
            // The former ends when the workers have handed over what they had.
            let former = std::mem::replace(&mut self.traces, traces);
            self.former_traces.retain(|former| !former.has_ended());
            self.former_traces
                .extend(former.map(|former| former.closed_within(FORMER_TRACES)));
        }
        let equipment = Arc::new(Equipment {
            listeners: ready.listeners.listening(),
            log: self.log.handle(),
            recorder: self.records.as_ref().map(RecordWriter::recorder),
            traces: self.traces.as_ref().map(TraceExporter::handle),
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
        let new = reloaded
            .warnings
            .iter()
            .filter(|w| known.iter().all(|k| **k != ***w));
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
}
