//! The files of pools: read at the start and with a configuration, and again when they change.

mod watch;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(super) use self::watch::{start, watch};
use crate::admin::FileStatus;
use crate::config::{Backend, Config, MAX_FILE_BYTES, Pool, parse_backends};
use crate::files;
use crate::units::counted;

/// What is known of the files of pools.
#[derive(Debug, Default)]
pub(in crate::app) struct BackendFiles {
    /// By the name of the pool.
    known: Mutex<BTreeMap<String, FileStatus>>,
    /// What could not be taken up of what was kept, as sentences.
    damage: Mutex<Vec<String>>,
}

/// Why a file is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::app) enum Unusable {
    /// It may be readable at the next look.
    Unread(String),
    /// It says something that can't be meant.
    Wrong(String),
}

impl Unusable {
    /// The sentence.
    pub(in crate::app) fn reason(&self) -> &str {
        match self {
            Self::Unread(reason) | Self::Wrong(reason) => reason,
        }
    }
}

impl BackendFiles {
    /// Notes what could not be taken up of what was kept.
    pub(super) fn damaged(&self, reasons: Vec<String>) {
        reasons
            .iter()
            .for_each(|reason| tracing::error!("{reason}"));
        *self.damage() = reasons;
    }

    /// Whether there was something that could not be taken up.
    pub(in crate::app) fn is_damaged(&self) -> bool {
        !self.damage().is_empty()
    }

    /// What was kept is whole again.
    pub(in crate::app) fn mended(&self) {
        self.damage().clear();
    }

    /// By the name of the pool.
    pub(in crate::app) fn status(&self) -> BTreeMap<String, FileStatus> {
        self.known().clone()
    }

    /// Whether the file of this pool can't be used as it is now.
    pub(in crate::app) fn is_refused(&self, pool: &str) -> bool {
        let known = self.known();
        known.get(pool).is_some_and(|file| file.refused.is_some())
    }

    /// Sentences about files that can't be used as they are now.
    pub(in crate::app) fn notes(&self) -> Vec<String> {
        let known = self.known();
        let refused = known.iter().filter_map(|(pool, file)| {
            let refused = file.refused.as_ref()?;
            Some(format!("pool {pool:?}: `file`: {refused}"))
        });
        let damage = self.damage().clone();
        refused.chain(damage).collect()
    }

    /// Notes what has come of reading a file. Says it if that is new.
    pub(in crate::app) fn note(&self, pool: &str, path: &Path, read: Result<usize, &str>) {
        let mut known = self.known();
        let path = path.display().to_string();
        let status = known.entry(pool.to_owned()).or_default();
        if status.path != path {
            *status = FileStatus {
                path,
                ..FileStatus::default()
            };
        }
        match read {
            Ok(backends) => {
                status.backends = backends;
                if status.refused.take().is_some() {
                    tracing::info!("pool {pool:?}: {} can be used again", status.path);
                }
            }
            Err(reason) if status.refused.as_deref() == Some(reason) => {}
            Err(reason) => {
                status.failures += 1;
                status.refused = Some(reason.to_owned());
                let stays = match status.backends {
                    0 => "it lists no backends until then".to_owned(),
                    n => format!(
                        "the {} that it listed before stay in use",
                        counted(n as u64, "backend")
                    ),
                };
                tracing::warn!("pool {pool:?}: `file`: {reason}; {stays}");
            }
        }
    }

    /// Forgets the files of pools that have none any more.
    pub(in crate::app) fn keep(&self, config: &Config) {
        let has_file = |name: &str| {
            config
                .pools
                .iter()
                .any(|p| p.name == name && p.file.is_some())
        };
        self.known().retain(|name, _| has_file(name));
    }

    fn damage(&self) -> MutexGuard<'_, Vec<String>> {
        self.damage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, FileStatus>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the file of a pool.
pub(in crate::app) fn read(path: &Path, pool: &Pool) -> Result<Vec<Backend>, Unusable> {
    let shown = path.display().to_string();
    let unread = |reason: String| Unusable::Unread(format!("{shown} can't be read: {reason}"));
    let bytes = files::read_regular(path, MAX_FILE_BYTES).map_err(|e| unread(e.to_string()))?;
    let text = String::from_utf8(bytes);
    let text = text.map_err(|_| Unusable::Wrong(format!("{shown} is not UTF-8; write JSON")))?;
    let read = parse_backends(&shown, &text, pool);
    let (backends, _) = read.map_err(|errors| Unusable::Wrong(errors.to_string()))?;
    Ok(backends)
}
