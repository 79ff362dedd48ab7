//! What all connections of the admin listener share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::control::Control;
use super::guard::Guard;
use super::live::Live;
use super::results::Results;
use super::sessions::Sessions;
use super::uploads::Uploads;

/// The most connections to the admin listener; one client address may have half of them.
pub const CONNECTIONS: usize = 256;

/// Limits for clients of the admin listener.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// Connections at a time; one more closes the one that has been idle longest.
    pub connections: usize,
    /// The same for one client address.
    pub connections_of_one: usize,
    /// Time from the first byte (or the last response) to the end of a head.
    pub header_read: Duration,
    /// Time between two pieces of a request body.
    pub body_idle: Duration,
    /// Time for a whole request body.
    pub body_total: Duration,
    /// Bytes of a component.
    pub component_bytes: usize,
    /// Bytes of all components that are being uploaded or loaded; more of them end the upload that
    /// has been silent longest.
    pub upload_bytes: usize,
    /// Time that a complete upload waits for an earlier one of the same policy.
    pub turn: Duration,
    /// Time for a client to read some bytes of a response.
    pub write: Duration,
    /// Time after a stop for the first request of a connection that was accepted before it.
    pub first_head: Duration,
    /// Time for connections to end after a stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS,
            connections_of_one: CONNECTIONS / 2,
            header_read: Duration::from_secs(5),
            body_idle: Duration::from_secs(15),
            body_total: Duration::from_secs(300),
            component_bytes: 64 << 20,
            upload_bytes: 256 << 20,
            turn: Duration::from_secs(60),
            write: Duration::from_secs(10),
            first_head: Duration::from_secs(1),
            drain: Duration::from_secs(5),
        }
    }
}

/// The state that all connections share.
pub(super) struct Shared {
    pub control: Arc<dyn Control>,
    pub guard: Guard,
    pub limits: Limits,
    pub uploads: Arc<Uploads>,
    /// Rates and their history, for the page.
    pub live: Live,
    pub sessions: Sessions,
    pub results: Results,
    /// Turns true when no more connections are accepted.
    pub stopping: watch::Receiver<bool>,
}
