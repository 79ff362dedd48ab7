//! Reload: another configuration while the proxy serves.
//!
//! `source` reads what is written, and `cut_short` doubts what is not whole. [`Now::prepare`] makes
//! ready whatever that needs and is not there; `watch` asks for a reload when the file has changed.
//! `running` takes over what is ready; until then nothing has changed, so a mistake anywhere costs
//! nothing.

mod admin_side;
mod cut_short;
mod source;
mod watch;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};

pub(super) use self::admin_side::{AdminListener, NextAdmin};
pub(super) use self::source::Source;
pub(super) use self::watch::watch_file;
use super::control::{ControlPlane, Prepared, Purpose, Written};
use super::intake;
use super::open_listeners::{KnownListener, NextListeners, Wanted};
use crate::admin::{Changes, ReloadError, Reloaded};
use crate::config::Admin;
use crate::config::Config;
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
        let prepared = self.control.prepare(config, purpose).await;
        let prepared = prepared.map_err(ReloadError::Refused)?;
        if purpose == Purpose::Check || prepared.changes.is_empty() {
            self.wanted(&prepared, |wanted| wanted.probe())?;
            let reloaded = reloaded(false, &prepared, &written);
            let written = (purpose != Purpose::Check).then(|| Box::new(written));
            return Ok(Preparation::Done(Box::new(reloaded), written));
        }
        // The sockets are the last but for files: nothing may connect to one that is not kept.
        let admin = self.next_admin(&prepared.config)?;
        let log = self.next_log(&prepared.config)?;
        let listeners = self.wanted(&prepared, |wanted| wanted.open())?;
        let records = self.next_records(&prepared.config)?;
        Ok(Preparation::Ready(Box::new(Ready {
            prepared,
            written,
            listeners,
            log,
            records,
            admin,
        })))
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

    fn next_log(&self, config: &Config) -> Result<Option<LogWriter>, ReloadError> {
        if self.log.serves(&config.access_log) {
            return Ok(None);
        }
        let started = start_log(config).map_err(|e| refused(format!("{e:#}")));
        started.map(Some)
    }

    fn next_records(&self, config: &Config) -> Result<Option<Option<RecordWriter>>, ReloadError> {
        let former = &self.control.current().record;
        let is_written = match (former, &config.record) {
            (None, None) => true,
            // Which requests it has is no part of how it is written.
            (Some(former), Some(next)) => {
                *former
                    == crate::config::RecordingConfig {
                        sample: former.sample,
                        policies: former.policies.clone(),
                        ..next.clone()
                    }
            }
            _ => false,
        };
        if is_written {
            return Ok(None);
        }
        let started = start_records(config, &self.control);
        started.map(Some).map_err(|e| refused(format!("{e:#}")))
    }

    fn next_admin(&self, config: &Config) -> Result<Option<NextAdmin>, ReloadError> {
        let former = self.admin.as_ref();
        Ok(match (former, &config.admin) {
            (None, None) => None,
            (Some((former, _)), Some(next)) if former == next => None,
            (Some(_), None) => Some(NextAdmin::Off),
            (Some((former, socket)), Some(next)) if former.listen == next.listen => {
                Some(NextAdmin::On(next.clone(), Arc::clone(socket)))
            }
            (_, Some(next)) => {
                let socket = intake::admin(next.listen);
                let socket = socket.map_err(|e| refused(format!("{e:#}")))?;
                Some(NextAdmin::On(next.clone(), Arc::new(socket)))
            }
        })
    }
}

/// What a reload has come to.
pub(super) fn reloaded(published: bool, prepared: &Prepared, written: &Written) -> Reloaded {
    Reloaded {
        published,
        changes: Changes::clone(&prepared.changes),
        digest: written.digest.clone(),
        warnings: prepared.config.warnings.clone(),
    }
}

fn refused(reason: String) -> ReloadError {
    ReloadError::Refused(vec![reason])
}

/// Opens the access log.
pub(super) fn start_log(config: &Config) -> Result<LogWriter> {
    LogWriter::start(&config.access_log).with_context(|| match &config.access_log.path {
        Some(path) => log_failed(path),
        None => "the access log can't be opened".to_owned(),
    })
}

/// Begins the recording, if there is to be one.
pub(super) fn start_records(
    config: &Config,
    control: &ControlPlane,
) -> Result<Option<RecordWriter>> {
    let Some(record) = &config.record else {
        return Ok(None);
    };
    let started = RecordWriter::start(record, control.stats());
    let started = started.with_context(|| record_failed(&record.file))?;
    Ok(Some(started))
}

/// What is said of an access log that can't be opened.
pub(super) fn log_failed(path: &Path) -> String {
    format!("the access log {} can't be opened", path.display())
}

/// What is said of a recording that can't be written.
pub(super) fn record_failed(path: &Path) -> String {
    format!("`record.file` {} can't be written", path.display())
}
