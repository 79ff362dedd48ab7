//! What the admin API has changed, kept over a restart where there is a `state-dir`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::task::spawn_blocking;

use super::ControlPlane;
use crate::config::{Config, Pool, parse_backends, write_backends};
use crate::rollout::StateDir;
use crate::upstream::{AdminState, Discovery, Edit, Origin, Overlay};

/// The version of the layout.
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    version: u32,
    /// By name.
    pools: BTreeMap<String, KeptPool>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptPool {
    /// Those that were added, as in a body of the admin API.
    backends: Value,
    /// By address.
    edits: BTreeMap<String, KeptEdit>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptEdit {
    weight: Option<u32>,
    state: Option<String>,
}

impl ControlPlane {
    /// Keeps what the admin API has changed, if there is a `state-dir`.
    ///
    /// # Errors
    ///
    /// It can't be written: a sentence says so. It holds until the process ends.
    pub(in crate::app) async fn keep_backends(&self) -> Result<(), String> {
        let Some(state_dir) = self.state_dir.clone() else {
            return Ok(());
        };
        let text = text(&self.current(), self.discovery());
        let is_damaged = self.backend_files.is_damaged();
        let write = move || {
            if is_damaged && let Some(aside) = state_dir.set_backends_aside()? {
                let aside = aside.display();
                tracing::warn!("what could not be read of backends in `state-dir` is in {aside}");
            }
            state_dir.write_backends(text.as_bytes())
        };
        let written = spawn_blocking(write).await;
        let error = match written {
            Ok(Ok(())) => {
                self.backend_files.mended();
                return Ok(());
            }
            Ok(Err(e)) => e.to_string(),
            Err(e) => e.to_string(),
        };
        let reason = format!(
            "what the admin API has changed of backends can't be kept in `state-dir`, so a restart \
             would lose it: {error}"
        );
        tracing::error!("{reason}");
        Err(reason)
    }
}

fn text(config: &Config, discovery: &Discovery) -> String {
    let kept = Kept {
        version: VERSION,
        pools: kept_pools(config, discovery),
    };
    serde_json::to_string_pretty(&kept).unwrap_or_default()
}

/// What the admin API has changed, by the name of the pool.
pub(super) fn kept_pools(config: &Config, discovery: &Discovery) -> BTreeMap<String, KeptPool> {
    let overlays = discovery.overlays(Origin::Api).into_iter();
    let pools = overlays.filter_map(|(name, overlay)| {
        let pool = config.pools.iter().find(|pool| pool.name == name)?;
        let edit = |(address, edit): (String, Edit)| {
            let state = edit.state.map(|state| state.as_str().to_owned());
            let weight = edit.weight;
            (address, KeptEdit { weight, state })
        };
        let kept = KeptPool {
            backends: write_backends(&overlay.added, pool),
            edits: overlay.edits.into_iter().map(edit).collect(),
        };
        Some((name, kept))
    });
    pools.collect()
}

/// Takes up what was kept, before the first topology is made. Returns sentences about what can't be
/// taken up.
pub(in crate::app) fn restore_backends(
    state_dir: &StateDir,
    config: &Config,
    discovery: &Discovery,
) -> Vec<String> {
    let without = |reason: String| {
        vec![format!(
            "what the admin API had changed of backends is damaged in `state-dir`, and the proxy \
             runs without it: {reason}"
        )]
    };
    let text = match state_dir.read_backends() {
        Ok(None) => return Vec::new(),
        Ok(Some(text)) => text,
        Err(e) => return without(e.to_string()),
    };
    let kept: Kept = match serde_json::from_slice(&text) {
        Ok(kept) => kept,
        Err(e) => return without(e.to_string()),
    };
    if kept.version != VERSION {
        let version = kept.version;
        return without(format!(
            "it has version {version}, this proxy reads {VERSION}"
        ));
    }
    let refused = take_up(&kept.pools, config, discovery).into_iter();
    refused.flat_map(without).collect()
}

/// Takes up what was changed of these pools. Returns why, where that is not possible.
pub(super) fn take_up(
    pools: &BTreeMap<String, KeptPool>,
    config: &Config,
    discovery: &Discovery,
) -> Vec<String> {
    let mut refused = Vec::new();
    for (name, kept) in pools {
        // A pool that has left takes with it what was said of it.
        let Some(pool) = config.pools.iter().find(|pool| pool.name == *name) else {
            continue;
        };
        match overlay(kept, pool) {
            Ok(overlay) => discovery.overlay(name, Origin::Api, overlay),
            Err(reason) => refused.push(format!("pool {name:?}: {reason}")),
        }
    }
    refused
}

fn overlay(kept: &KeptPool, pool: &Pool) -> Result<Overlay, String> {
    let read = parse_backends("backends.json", &kept.backends.to_string(), pool);
    let (added, _) = read.map_err(|errors| errors.to_string())?;
    let state = |text: &str| {
        let all = [AdminState::Up, AdminState::Draining, AdminState::Down];
        let mut all = all.into_iter();
        let unknown = || format!("{text:?} is no state of a backend");
        all.find(|state| state.as_str() == text).ok_or_else(unknown)
    };
    let edit = |(address, kept): (&String, &KeptEdit)| {
        let edit = Edit {
            weight: kept.weight,
            state: kept.state.as_deref().map(state).transpose()?,
        };
        Ok((address.clone(), edit))
    };
    Ok(Overlay {
        added,
        edits: kept.edits.iter().map(edit).collect::<Result<_, String>>()?,
    })
}
