//! Rollout: which generation decides, since when, and what becomes of the one on trial?
//!
//! A [`Record`] holds the generations of one policy name, what state each is in, and the history;
//! [`judge()`] says from the counters of a trial whether its canary is to be withdrawn;
//! [`report()`] tells how a trial goes; [`Keep`] holds on disk what a restart comes back with.
//! Called by `app` on the control side, one change at a time; shown by `admin`. Never loads or
//! compiles, never touches a request, never publishes: `app` does.

mod judge;
mod keep;
mod record;
mod report;

pub use judge::{Arm, RouteScore, Score, judge};
pub use keep::{Keep, Kept, Mark};
pub use record::{Event, GenerationEntry, NotNow, Record, State};
pub use report::{
    ArmReport, FaultReport, HookReport, RouteReport, SampleReport, Timing, TrialReport, report,
};
