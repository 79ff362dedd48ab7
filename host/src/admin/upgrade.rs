//! What comes of an upgrade: another process of the program takes this one's place.

use std::future::Future;
use std::pin::Pin;

use serde::Serialize;

/// The future of an upgrade.
pub type UpgradeFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Upgraded, UpgradeError>> + Send + 'a>>;

/// Another process serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Upgraded {
    /// Its number.
    pub pid: u32,
    /// The file that it was started from.
    pub binary: String,
}

/// Why this process goes on. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpgradeError {
    /// The other process could not serve: the reason, in sentences.
    Refused(String),
    /// Another upgrade is under way.
    Busy,
    /// The process can't do it now: the reason, as a sentence.
    Unavailable(String),
}
