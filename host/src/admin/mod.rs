//! Admin: how does a human or a script ask?
//!
//! The statistics as JSON, as a page and as Prometheus text; what policies run, and deploying,
//! promoting and withdrawing them (`policies`, `deploy`); whether the process is alive and ready.
//! `app` starts [`serve()`] on the control runtime and implements [`Control`], the only way from
//! here to the rest of the process; `proxy` uses [`stats_page`] for `[stats] path`. Never runs on a
//! worker, never touches the data plane other than through that trait, never decides what a policy
//! is.

mod accept;
mod connection;
mod control;
mod crowd;
mod deploy;
mod durations;
mod endpoints;
mod format;
mod guard;
mod metrics;
mod page;
mod policies;
mod pools;
mod process;
mod recording;
mod reply;
pub mod report;
mod serve;
#[cfg(test)]
mod tests;
mod uploads;

pub use control::{
    Change, ChangeError, ChangeFuture, Control, Deployment, OnTrial, PolicyDetails, PolicyStatus,
    Readiness,
};
pub use metrics::metrics_page;
pub use page::stats_page;
pub use recording::Recording;
pub use report::{Report, StatsView};
pub use serve::{AdminError, CONNECTIONS, serve};
