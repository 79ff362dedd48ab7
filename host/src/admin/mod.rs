//! Admin: how does an operator or a script see and change a running proxy?
//!
//! It serves the statistics as JSON, as a page and as Prometheus text; lists, deploys, promotes and
//! withdraws policies (`policies`, `deploy`); lists and changes backends (`backends`); issues
//! explain tokens; streams sampled requests (`tap`); reports whether the process is alive and
//! ready; and shows people a live page with buttons (`dashboard`, from readings of the counters in
//! `live`). `app` starts [`serve()`] on the control runtime and implements [`Control`], through
//! which this room changes what runs; it also reads the counters of `stats` and `ground`. `app`
//! hands [`stats_page`] to the workers for `[stats] path`: that page alone is made on a worker.
//! This room loads no policy and decides nothing about a request.

mod accept;
mod backends;
mod body;
mod connection;
mod control;
mod crowd;
mod dashboard;
mod deploy;
mod durations;
mod endpoints;
mod escaped;
mod guard;
mod live;
mod metrics;
mod names;
mod news;
mod page;
mod policies;
mod pools;
mod process;
mod readiness;
mod recording;
mod reload;
mod reply;
pub mod report;
mod results;
mod routes;
mod serve;
mod sessions;
mod shared;
mod tap;
#[cfg(test)]
mod tests;
mod times;
mod traces;
mod upgrade;
mod upgrading;
mod uploads;

pub use backends::{
    BackendsChange, BackendsChanged, BackendsError, BackendsFuture, EndpointStatus, FileStatus,
    PoolStatus, Said, unknown_pool,
};
pub use control::{
    CallCounts, CertificateStatus, Change, ChangeError, ChangeFuture, Control, Deployment,
    FaultStatus, OnTrial, OrderStatus, PolicyDetails, PolicyStatus, Readiness,
};
pub use metrics::metrics_page;
pub use names::NameStatus;
pub use page::stats_page;
pub use recording::Recording;
pub use reload::{
    Changes, Difference, ReloadError, ReloadFuture, ReloadStatus, Reloaded, ReopenFuture,
};
pub use report::{Report, ShownEndpoint, ShownPool, StatsView};
pub use routes::RouteStatus;
pub use serve::{AdminError, serve};
pub use shared::CONNECTIONS;
pub use traces::Traces;
pub use upgrade::{UpgradeError, UpgradeFuture, Upgraded};
