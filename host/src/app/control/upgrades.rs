//! Requests for an upgrade.

use std::path::PathBuf;

use tokio::sync::{mpsc, oneshot};

use super::ControlPlane;
use crate::admin::{UpgradeError, Upgraded};

/// A request for an upgrade.
#[derive(Debug)]
pub(in crate::app) struct UpgradeRequest {
    /// The file to start, if it is another one.
    pub binary: Option<PathBuf>,
    /// Gets the outcome; `None` if nothing waits for it.
    pub answer: Option<oneshot::Sender<Result<Upgraded, UpgradeError>>>,
}

/// Where upgrades are asked for; the other end gets the requests.
pub(in crate::app) fn upgrades() -> (mpsc::Sender<UpgradeRequest>, mpsc::Receiver<UpgradeRequest>) {
    // Each is begun or refused at once.
    mpsc::channel(4)
}

impl ControlPlane {
    /// Asks for an upgrade and does not wait for it.
    pub(in crate::app) fn ask_for_upgrade(&self) {
        let request = UpgradeRequest {
            binary: None,
            answer: None,
        };
        // Where others wait already, one of those will do.
        let _ = self.upgrades.try_send(request);
    }

    /// Asks for an upgrade and waits for its outcome.
    pub(super) async fn upgrade(&self, binary: Option<PathBuf>) -> Result<Upgraded, UpgradeError> {
        let (answer, outcome) = oneshot::channel();
        let answer = Some(answer);
        let asked = self.upgrades.send(UpgradeRequest { binary, answer }).await;
        let ending = || UpgradeError::Unavailable("the process is ending".to_owned());
        asked.map_err(|_| ending())?;
        outcome.await.unwrap_or_else(|_| Err(ending()))
    }
}
