//! What the connections of an exchange are read and written with.

use super::settings::Settings;
use super::worker::Worker;
use crate::config::Timeouts;
use crate::h1::HeadLimits;

/// What the connections of an exchange are read and written with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'a> {
    pub worker: &'a Worker,
    /// Of the request's route.
    pub timeouts: &'a Timeouts,
    /// Of what the client sends, trailers included.
    pub head_limits: HeadLimits,
}

impl<'a> Terms<'a> {
    /// Those of what is no part of a route's exchange.
    pub(super) fn new(worker: &'a Worker, settings: &'a Settings) -> Self {
        Self {
            worker,
            timeouts: &settings.timeouts,
            head_limits: settings.head_limits,
        }
    }
}
