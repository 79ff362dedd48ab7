//! Reload: another configuration while the proxy serves.
//!
//! `source` reads what is written, and `cut_short` doubts what is not whole. [`Now::prepare`] makes
//! ready whatever that needs and is not there; `watch` asks for a reload when the file has changed.
//! `running` takes over what is ready; until then nothing has changed, so a mistake anywhere costs
//! nothing.

mod admin_side;
mod cut_short;
mod log_files;
mod source;
mod watch;

use std::sync::Arc;

use anyhow::Result;

pub(super) use self::admin_side::{AdminListener, NextAdmin};
pub(super) use self::log_files::{log_problem, record_problem, start_log, start_records};
pub(super) use self::source::Source;
pub(super) use self::watch::watch_file;
use super::control::{ControlPlane, Prepared, Purpose, Written};
use super::forward::read_users;
use super::open_listeners::{KnownListener, NextListeners, Wanted};
use super::passed::PassedSockets;
use super::traces::TraceExporter;
use crate::admin::{Changes, ReloadError, Reloaded};
use crate::config::Admin;
use crate::observe::access_log::LogWriter;
use crate::recording::RecordWriter;

/// What runs when a reload begins.
pub(super) struct Now {
    pub control: Arc<ControlPlane>,
    pub source: Source,
    pub listeners: Vec<KnownListener>,
    pub log: LogWriter,
    pub admin: Option<(Admin, Arc<std::net::TcpListener>)>,
}

/// Another configuration that is ready to run.
pub(super) struct Ready {
    pub prepared: Prepared,
    pub written: Written,
    pub listeners: NextListeners,
    /// The access log, if it is another one.
    pub log: Option<LogWriter>,
    /// The recording, if it is another one.
    pub records: Option<Option<RecordWriter>>,
    /// The exporter of traces, if it is another one.
    pub traces: Option<Option<TraceExporter>>,
    /// The admin listener, if it is another one.
    pub admin: Option<NextAdmin>,
}

/// What comes of preparing.
pub(super) enum Preparation {
    Ready(Box<Ready>),
    /// Nothing is to be published: it was only checked, or nothing has changed.
    Done(Box<Reloaded>, Option<Box<Written>>),
}

impl Now {
    /// Makes ready what the configuration needs as it is written now.
    ///
    /// # Errors
    ///
    /// Every mistake. Nothing has changed then.
    pub(super) async fn prepare(self, purpose: Purpose) -> Result<Preparation, ReloadError> {
        let (source, runs) = (self.source.clone(), self.control.text());
        let read = move || source.read_after(&runs.0, purpose);
        let read = tokio::task::spawn_blocking(read).await;
        let (config, written) = match read {
            Ok(Ok(read)) => read,
            Ok(Err(errors)) => return Err(ReloadError::Refused(errors)),
            Err(e) => return Err(refused(format!("the configuration can't be read: {e}"))),
        };
        let users = read_users(&config).map_err(refused)?;
        let prepared = self.control.prepare(config, purpose).await;
        let prepared = prepared.map_err(ReloadError::Refused)?;
        if purpose == Purpose::Check || prepared.changes.is_empty() {
            self.probe(&prepared)?;
            let reloaded = reloaded(false, &prepared, &written);
            let written = (purpose != Purpose::Check).then(|| Box::new(written));
            return Ok(Preparation::Done(Box::new(reloaded), written));
        }
        if let Some(problem) = self.pid_file_problem(&prepared.config) {
            return Err(refused(problem));
        }
        // The sockets are the last but for files: nothing may connect to one that is not kept.
        let admin = self.next_admin(&prepared.config)?;
        let log = self.next_log(&prepared.config)?;
        let listeners = self.wanted(&prepared, |wanted| {
            wanted.open(&mut PassedSockets::default())
        })?;
        let records = self.next_records(&prepared.config)?;
        let traces = self.next_traces(&prepared.config)?;
        // Those of a file that is in use already count a little earlier than the rest.
        self.control.follow_users(users);
        Ok(Preparation::Ready(Box::new(Ready {
            prepared,
            written,
            listeners,
            log,
            records,
            traces,
            admin,
        })))
    }

    /// Whether all of it could be opened, without opening it.
    fn probe(&self, prepared: &Prepared) -> Result<(), ReloadError> {
        let mut problems: Vec<String> = self.unwritable(&prepared.config).collect();
        problems.extend(self.probe_admin(&prepared.config).err());
        let listeners = self.wanted(prepared, |wanted| wanted.probe());
        if let Err(ReloadError::Refused(more)) = listeners {
            problems.extend(more);
        }
        match problems.is_empty() {
            true => Ok(()),
            false => Err(ReloadError::Refused(problems)),
        }
    }

    fn wanted<T>(
        &self,
        prepared: &Prepared,
        ask: impl FnOnce(&Wanted<'_>) -> Result<T>,
    ) -> Result<T, ReloadError> {
        let wanted = Wanted {
            known: &self.listeners,
            certificates: &self.control.listener_certificates(),
            config: &prepared.config,
            next_certificates: &prepared.certificates,
        };
        ask(&wanted).map_err(|e| refused(format!("{e:#}")))
    }
}

/// What a reload has come to.
pub(super) fn reloaded(published: bool, prepared: &Prepared, written: &Written) -> Reloaded {
    Reloaded {
        published,
        changes: Changes::clone(&prepared.changes),
        digest: written.digest.clone(),
        warnings: prepared
            .config
            .warnings
            .iter()
            .map(ToString::to_string)
            .collect(),
    }
}

fn refused(reason: String) -> ReloadError {
    ReloadError::Refused(vec![reason])
}
