//! Recording: what did policies see and decide, on disk? The format ([`Line`], documented in
//! `docs/recording.md`), its redaction (`redact`, with `secrets` and `addresses`), the writer's
//! thread (`writer`, `file`), and a streaming [`Reader`]. `proxy` hands over a finished [`Request`]
//! through a [`Recorder`] that never waits; `app` starts the [`RecordWriter`] and waits for its
//! end; `rehearsal` reads. This room decides nothing, calls no policy and never delays a worker.

mod addresses;
mod connection;
mod file;
mod format;
mod reader;
mod redact;
mod sampling;
mod secrets;
mod ways;
mod words;
mod writer;

pub use connection::Tls;
pub use format::{
    Answer, Backend, Call, FORMAT, Fact, FailedAttempt, Field, Isolation, Line, Lineup, Loaded,
    Policy, Pool, Reply, Request, Response, Role, Trial,
};
pub use reader::{Next, ReadError, Reader};
pub use redact::is_redacted;
pub use sampling::Sampling;
pub use ways::{Destination, MayEdit, Target};
pub use words::{Recordable, fields};
pub use writer::{Held, RecordWriter, Recorder};
