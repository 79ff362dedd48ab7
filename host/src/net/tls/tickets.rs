//! The keys of session tickets.

use std::fmt;
use std::sync::Arc;

use rustls::server::ProducesTickets;

use super::provider;

/// The keys by which sessions are resumed. One for the process, so that a session that began on one
/// worker, one listener or before a reload is resumed on another. The keys change every six hours,
/// and a ticket is taken for twelve.
#[derive(Clone)]
pub struct Tickets(Arc<dyn ProducesTickets>);

impl Tickets {
    /// New keys.
    ///
    /// # Errors
    ///
    /// The system has no random numbers.
    pub fn new() -> Result<Self, rustls::Error> {
        provider::Ticketer::new().map(Self)
    }

    pub(super) fn producer(&self) -> Arc<dyn ProducesTickets> {
        Arc::clone(&self.0)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}
