//! Observe: what is said of a request once it has ended?
//!
//! An [`Outcome`] is the one record of what became of a request. `proxy` fills it in on the way and
//! ends it once; the statistics, the access log, the trials of `decision` and the recording read
//! it. Watchers (`tap`) get some requests as a [`sample::Sample`], made of the outcome and
//! of the notes that traces are made of (`spans`). Decides nothing, and never holds a request up.

pub mod access_log;
mod json_line;
mod log_line;
mod log_text;
mod outcome;
mod redacted;
pub mod sample;
pub mod spans;
pub mod tap;
pub mod traces;

pub use outcome::{Asked, Hedge, Logged, Outcome, PolicyTime};
pub use redacted::without_values;
