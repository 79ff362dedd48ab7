//! What is known of backends beside the configuration, for the process that replaces this one: what
//! the admin API has changed, the last good lists of files, the last good answers of name servers.
//! It goes over in a file in memory, since it may be large.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::kept::{KeptPool, kept_pools, take_up};
use super::{ControlPlane, Origin};
use crate::app::control::carried::memory;
use crate::config::{Backend, Config, Pool, parse_backends, write_backends};
use crate::upstream::{Discovery, Overlay, Remembered};

/// What another process has known. A part that is missing, because that one had another version,
/// is read from where a start reads it.
#[derive(Debug, Default)]
pub(in crate::app) struct CarriedBackends {
    /// What the admin API has changed, by the name of the pool.
    api: Option<BTreeMap<String, KeptPool>>,
    /// The lists of files, by the name of the pool.
    files: BTreeMap<String, List>,
    names: Vec<Remembered>,
}

#[derive(Debug, Serialize, Deserialize)]
struct List {
    path: PathBuf,
    /// As in the file.
    backends: Value,
}

impl CarriedBackends {
    /// Reads what another process has written. A part that this version can't read is left out,
    /// and said.
    ///
    /// # Errors
    ///
    /// It is not what such a process writes.
    pub(in crate::app) fn read(mut file: File) -> io::Result<Self> {
        file.rewind()?;
        let mut all: Map<String, Value> = serde_json::from_reader(BufReader::new(file))?;
        Ok(Self {
            api: part(&mut all, "api"),
            files: part(&mut all, "files").unwrap_or_default(),
            names: part(&mut all, "names").unwrap_or_default(),
        })
    }

    /// Begins with the answers of name servers.
    pub(in crate::app) fn remember_names(&mut self, discovery: &Discovery) {
        if !self.names.is_empty() {
            discovery.remember(std::mem::take(&mut self.names));
        }
    }

    /// The last good list of the file of a pool.
    pub(in crate::app) fn list(&mut self, pool: &Pool, path: &Path) -> Option<Vec<Backend>> {
        let list = self.files.remove(&pool.name)?;
        let text = list.backends.to_string();
        let read = (list.path == path).then(|| parse_backends("its last good list", &text, pool));
        Some(read?.ok()?.0)
    }

    /// Takes up what the admin API has changed. Returns sentences about what can't be taken up.
    pub(in crate::app) fn overlay(&self, config: &Config, discovery: &Discovery) -> Vec<String> {
        let Some(api) = &self.api else {
            return Vec::new();
        };
        // It is newer than what was read from the disk.
        for name in discovery.overlays(Origin::Api).into_keys() {
            discovery.overlay(&name, Origin::Api, Overlay::default());
        }
        let refused = take_up(api, config, discovery).into_iter();
        refused
            .map(|reason| {
                format!("what the admin API had changed before the upgrade is left out: {reason}")
            })
            .collect()
    }

    /// Whether it has what the admin API had changed.
    pub(in crate::app) fn has_changes(&self) -> bool {
        self.api.as_ref().is_some_and(|api| !api.is_empty())
    }
}

fn part<T: DeserializeOwned>(all: &mut Map<String, Value>, name: &str) -> Option<T> {
    let read = serde_json::from_value(all.remove(name)?);
    let unread = |e: &_| tracing::warn!("the former process passes {name:?} in another form: {e}");
    read.inspect_err(unread).ok()
}

impl ControlPlane {
    /// What is known of backends, as a file in memory. A change that is under way is waited for.
    pub(in crate::app) async fn carry_backends(&self) -> io::Result<File> {
        let _one_at_a_time = self.changing_backends.lock().await;
        let (config, discovery) = (self.current(), self.discovery());
        let mut lists = discovery.overlays(Origin::File);
        let list = |pool: &Pool| {
            let (path, overlay) = (pool.file.clone()?, lists.remove(&pool.name)?);
            let backends = write_backends(&overlay.added, pool);
            Some((pool.name.clone(), List { path, backends }))
        };
        let files: BTreeMap<String, List> = config.pools.iter().filter_map(list).collect();
        let api = kept_pools(&config, discovery);
        let all = serde_json::json!({
            "api": api,
            "files": files,
            "names": discovery.remembered(),
        });
        let write = move || {
            let mut file = memory()?;
            serde_json::to_writer(BufWriter::new(&mut file), &all)?;
            Ok(file)
        };
        tokio::task::spawn_blocking(write).await?
    }

    /// What is known against backends, as a file in memory; `None` if nothing is.
    pub(in crate::app) fn carry_health(&self) -> io::Result<Option<File>> {
        let all = self.snapshot().topology.carried_health();
        if all.is_empty() {
            return Ok(None);
        }
        let mut file = memory()?;
        serde_json::to_writer(BufWriter::new(&mut file), &all)?;
        Ok(Some(file))
    }

    /// Begins with what another process knew against backends.
    ///
    /// # Errors
    ///
    /// It can't be read.
    pub(in crate::app) fn restore_health(&self, mut file: File) -> io::Result<()> {
        file.rewind()?;
        let all: Vec<_> = serde_json::from_reader(BufReader::new(file))?;
        self.snapshot().topology.take_up_health(&all);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_part_of_another_version_is_left_out_and_the_others_are_read() {
        let read = |text: &str| {
            let mut file = memory().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            CarriedBackends::read(file)
        };
        let carried = read(r#"{"names": 7, "api": {}, "new": [1]}"#).unwrap();
        assert!(carried.api.is_some() && carried.names.is_empty());
        assert!(!carried.has_changes());
        assert!(read("{}").unwrap().api.is_none());
        assert!(read("[]").is_err());
    }
}
