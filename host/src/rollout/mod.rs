//! Rollout: which generation decides, since when, and how is the one on trial doing?
//!
//! A [`History`] holds the generations of one policy name, their states and what happened to them;
//! [`judge()`] decides from the counters of a trial whether to withdraw its canary; [`report()`]
//! describes a trial; a [`StateDir`] keeps promoted components on disk for the next start. Called
//! by `app` on the control side, one change at a time; shown by `admin`. This room never loads,
//! compiles or publishes (`app` does) and never touches a request.

mod history;
mod judge;
mod report;
mod score;
mod state_dir;

pub use history::{Event, GenerationEntry, History, NotNow, State};
pub use judge::{Arm, RouteScore, Score, judge};
pub use report::{
    ArmReport, FaultReport, HookReport, RouteReport, SampleReport, Timing, TrialReport, report,
};
pub use state_dir::{Fingerprint, Kept, StateDir};
