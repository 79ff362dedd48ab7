//! What the operator decided about requests, ready for use.

use std::sync::Arc;

use super::forward_proxy::ForwardRules;
use super::forwarding::Forwarding;
use super::marks::Marks;
use crate::config::{Config, Limits, LoggedRequests, Paths, Timeouts};
use crate::h1::HeadLimits;
use crate::message::websocket::WEBSOCKET;
use crate::policy::PolicyId;
use crate::recording::Sampling;
use crate::upstream::PoolId;

/// The bounds of heads of responses. As large as nginx takes them at most.
pub(super) const RESPONSE_LIMITS: HeadLimits = HeadLimits {
    first_line: 8 * 1024,
    bytes: 64 * 1024,
    fields: 256,
};

/// What the operator decided about requests. Made once for each configuration, and part of the
/// snapshot: a request keeps the settings that it began with, and what a connection does between
/// two requests follows the newest.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The limits for clients.
    pub limits: Limits,
    /// Bounds of a request's head, by these limits.
    pub head_limits: HeadLimits,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// What backends learn about clients.
    pub forwarding: Arc<Forwarding>,
    /// How paths are read and sent on.
    pub paths: Paths,
    /// The path that serves the statistics, if there is one.
    pub stats_path: Option<Arc<str>>,
    /// Which requests the access log has.
    pub logged: LoggedRequests,
    /// Whether it says what policies took.
    pub(super) times_policies: bool,
    /// Which requests are recorded, if any are.
    pub sampling: Option<Sampling>,
    /// What requests are called, if they have names.
    pub(super) marks: Option<Arc<Marks>>,
    /// Whether any route wants header names as they were spelled.
    pub keeps_spelling: bool,
    /// Where clients of the forward proxy may go, if there is one.
    pub(super) forward: Option<Arc<ForwardRules>>,
}

impl Settings {
    /// The settings of a configuration whose policies and pools have these ids, after those of
    /// another one of the same process.
    pub fn next(
        former: Option<&Self>,
        config: &Config,
        policies: &[PolicyId],
        pools: &[PoolId],
    ) -> Self {
        let Config {
            limits,
            forwarded,
            routes,
            ..
        } = config;
        let mut limits = limits.clone();
        // Not offered where no route would take it.
        limits.h2.websocket &= routes
            .iter()
            .any(|route| route.upgrade.iter().any(|name| name == WEBSOCKET));
        let forwarding = match former {
            None => Forwarding::new(forwarded),
            Some(former) => former.forwarding.next(forwarded),
        };
        Self {
            head_limits: HeadLimits {
                first_line: limits.request_line,
                bytes: limits.header_bytes,
                fields: limits.header_count,
            },
            limits,
            timeouts: config.timeouts.clone(),
            forwarding: Arc::new(forwarding),
            paths: config.paths,
            stats_path: config.stats_path.as_deref().map(Arc::from),
            logged: config.access_log.requests,
            times_policies: config.access_log.times_policies(),
            sampling: Sampling::new(config, policies),
            marks: Marks::new(config),
            keeps_spelling: config.routes.iter().any(|route| route.preserve_header_case),
            forward: ForwardRules::new(config, policies, pools).map(Arc::new),
        }
    }
}
