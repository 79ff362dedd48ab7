//! The files of the access log and of the recording, and the collector of traces.

use std::path::Path;

use anyhow::{Context, Result};

use super::{Now, refused};
use crate::admin::ReloadError;
use crate::app::control::ControlPlane;
use crate::app::pid_file::pid_file_problem;
use crate::app::traces::{TraceExporter, start_traces, traces_problem};
use crate::config::{Config, LoggedRequests, RecordingConfig};
use crate::files;
use crate::observe::access_log::LogWriter;
use crate::recording::RecordWriter;

impl Now {
    pub(super) fn next_log(&self, config: &Config) -> Result<Option<LogWriter>, ReloadError> {
        if self.log.serves(&config.access_log) {
            return Ok(None);
        }
        let started = start_log(config).map_err(|e| refused(format!("{e:#}")));
        started.map(Some)
    }

    pub(super) fn next_records(
        &self,
        config: &Config,
    ) -> Result<Option<Option<RecordWriter>>, ReloadError> {
        if self.records_to(config) {
            return Ok(None);
        }
        let started = start_records(config, &self.control);
        started.map(Some).map_err(|e| refused(format!("{e:#}")))
    }

    pub(super) fn next_traces(
        &self,
        config: &Config,
    ) -> Result<Option<Option<TraceExporter>>, ReloadError> {
        if self.exports_to(config) {
            return Ok(None);
        }
        let started = start_traces(config, self.control.stats());
        started.map(Some).map_err(|e| refused(format!("{e:#}")))
    }

    /// Whether traces are exported in this way already.
    fn exports_to(&self, config: &Config) -> bool {
        let export = |config: &Config| config.tracing.as_ref().map(|to| to.export.clone());
        export(&self.control.current()).flatten() == export(config).flatten()
    }

    /// Whether requests are recorded in this way already.
    fn records_to(&self, config: &Config) -> bool {
        let former = &self.control.current().record;
        match (former, &config.record) {
            (None, None) => true,
            // Which requests it has is no part of how it is written.
            (Some(former), Some(next)) => {
                *former
                    == RecordingConfig {
                        sample: former.sample,
                        policies: former.policies.clone(),
                        ..next.clone()
                    }
            }
            _ => false,
        }
    }

    /// Why the files of the logs can't be written to, those that are open apart.
    pub(super) fn unwritable(&self, config: &Config) -> impl Iterator<Item = String> + use<> {
        let log = Some(config).filter(|config| !self.log.serves(&config.access_log));
        let records = Some(config).filter(|config| !self.records_to(config));
        let traces = Some(config).filter(|config| !self.exports_to(config));
        let problems = [
            traces.and_then(traces_problem),
            log.and_then(log_problem),
            records.and_then(record_problem),
            self.pid_file_problem(config),
        ];
        problems.into_iter().flatten()
    }

    /// Why the file with the number of the process can't be written, if that is another one.
    pub(super) fn pid_file_problem(&self, config: &Config) -> Option<String> {
        let is_other = self.control.current().pid_file != config.pid_file;
        pid_file_problem(config).filter(|_| is_other)
    }
}

/// Opens the access log.
pub(in crate::app) fn start_log(config: &Config) -> Result<LogWriter> {
    LogWriter::start(&config.access_log).with_context(|| match &config.access_log.path {
        Some(path) => log_failed(path),
        None => "the access log can't be opened".to_owned(),
    })
}

/// Begins the recording, if there is to be one.
pub(in crate::app) fn start_records(
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

fn log_failed(path: &Path) -> String {
    format!("the access log {} can't be opened", path.display())
}

fn record_failed(path: &Path) -> String {
    format!("`record.file` {} can't be written", path.display())
}

/// Why the access log can't be written to; `None` if it can.
pub(in crate::app) fn log_problem(config: &Config) -> Option<String> {
    let log = &config.access_log;
    let is_written = log.requests != LoggedRequests::None;
    let path = log.path.as_deref().filter(|_| is_written)?;
    let error = files::may_write(path).err()?;
    Some(format!("{}: {error}", log_failed(path)))
}

/// Why the recording can't be written; `None` if it can.
pub(in crate::app) fn record_problem(config: &Config) -> Option<String> {
    let path = &*config.record.as_ref()?.file;
    let error = files::may_write(path).err()?;
    Some(format!("{}: {error}", record_failed(path)))
}
