//! Compiling, in a separate process.
//!
//! A component is foreign code, and the parser, validator and compiler that read it are too much
//! code to be without faults. So another process of the same program (`child`) does everything that
//! reads a component's bytes. It limits itself and gives up its rights before it reads the first of
//! them. This process (`apart`) waits for an answer, kills a process that takes too long, and turns
//! a failure into a sentence. The answer is mapped, never parsed.

mod apart;
mod census;
mod child;
mod end;
#[cfg(feature = "authoring")]
mod pack;
mod sandbox;
#[cfg(feature = "authoring")]
mod sections;
mod turns;
mod work;

use std::fs::File;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use apart::Compiler;
pub(super) use apart::unexpected;
pub use child::{ARGUMENT, serve};
pub(super) use turns::Turns;
pub use work::MAX_COMPONENT;
pub(super) use work::{Facts, LARGE, check_preamble, link};

use super::error::Refusal;
use super::inspect::Anatomy;
use crate::config::CompileLimits;

/// What compiling may take if the configuration says nothing ...
const TIME: Duration = Duration::from_secs(10);
const MEMORY: u64 = 1 << 30;
/// ... for a component of up to this many bytes, ...
const USUAL: usize = 1 << 20;
/// ... and for each further MiB: those that bring a language runtime have 12 to 18.
const TIME_PER_MIB: Duration = Duration::from_secs(6);
const MEMORY_PER_MIB: u64 = 64 << 20;

/// The order for the other process; the component follows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Order {
    task: Task,
    /// The most memory, in bytes.
    memory: u64,
    /// The most of the processor, in seconds.
    seconds: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Task {
    /// Check and compile, with instructions counted or not.
    Compile { fuel: bool },
    /// Look into it.
    Inspect,
    /// Make a component of a core module.
    #[cfg(feature = "authoring")]
    Pack,
}

/// What comes back, beside bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The bytes are its machine code.
    Compiled(Facts),
    /// The description of a component.
    Inspected(Box<Anatomy>),
    /// The bytes are the component.
    #[cfg(feature = "authoring")]
    Packed,
    /// Why not.
    Refused(Refusal),
}

/// The bytes that came back.
#[derive(Debug)]
pub(super) enum Artefact {
    /// From another process: in a file that can't be changed any more.
    File(File),
    /// Of this one.
    Bytes(Vec<u8>),
}

impl Order {
    /// For a component of this size.
    pub(in crate::policy) fn new(task: Task, limits: CompileLimits, size: usize) -> Self {
        let further =
            u32::try_from(size.saturating_sub(USUAL).div_ceil(1 << 20)).unwrap_or(u32::MAX);
        let time = limits.time.unwrap_or_else(|| TIME + TIME_PER_MIB * further);
        Self {
            task,
            memory: limits
                .memory
                .unwrap_or(MEMORY + MEMORY_PER_MIB * u64::from(further)),
            // Kept in seconds, as the kernel counts a process's time.
            seconds: time
                .as_millis()
                .div_ceil(1_000)
                .try_into()
                .unwrap_or(u64::MAX)
                .max(1),
        }
    }
}
