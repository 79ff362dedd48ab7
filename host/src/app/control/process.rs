//! What a control side is made from.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Carried, Reloads, UpgradeRequest};
use crate::app::backend_files::BackendFiles;
use crate::app::certificates::ListenerCertificates;
use crate::app::names::Names;
use crate::policy::Engine;
use crate::rollout::StateDir;
use crate::stats::Stats;
use crate::upstream::Registry;
use crate::users::Door;

/// What a process has for its whole life, whatever its configuration.
pub struct Process {
    /// Loads policies.
    pub engine: Engine,
    /// All counters.
    pub stats: Stats,
    /// Gives pools and endpoints their ids.
    pub registry: Registry,
    /// Keeps promoted components over a restart.
    pub state_dir: Option<StateDir>,
    /// What the process before this one had deployed.
    pub(in crate::app) carried: Carried,
    /// The certificates of the listeners.
    pub(in crate::app) certificates: Arc<ListenerCertificates>,
    /// Where reloads are asked for.
    pub(in crate::app) reloads: Reloads,
    /// Where upgrades are asked for.
    pub(in crate::app) upgrades: mpsc::Sender<UpgradeRequest>,
    /// The names of backends.
    pub(in crate::app) names: Arc<Names>,
    /// The files of pools.
    pub(in crate::app) backend_files: BackendFiles,
    /// Who the clients of the forward proxy may be.
    pub(in crate::app) door: Arc<Door>,
}
