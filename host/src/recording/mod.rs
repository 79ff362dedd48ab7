//! Recording: what did policies see and decide, on disk?
//!
//! The format ([`Line`] and what is in it, documented in `docs/recording.md`), what is left out of
//! it (`redact`, which looks for `secrets` and `addresses`), the thread that writes (`writer`,
//! `file`), and a reader of any length of it ([`Reader`]). `proxy` hands over a [`Request`] when it
//! has ended, through a [`Recorder`] that never waits; `app` starts the [`RecordWriter`] and waits
//! for its end; `rehearsal` reads. Never decides anything, never asks a policy, never holds up a
//! worker.

mod addresses;
mod file;
mod format;
mod reader;
mod redact;
mod secrets;
mod words;
mod writer;

pub use format::{
    Answer, Backend, Call, FORMAT, Fact, FailedAttempt, Field, Isolation, Line, Lineup, Loaded,
    Policy, Pool, Reply, Request, Response, Role, Trial,
};
pub use reader::{Next, ReadError, Reader};
pub use redact::is_redacted;
pub use words::{Recordable, fields};
pub use writer::{Held, RecordWriter, Recorder};
