//! Why a policy could not be loaded.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// An engine that can't start, or a policy that was refused. Nothing that runs has changed.
#[derive(Debug, Error)]
pub enum PolicyError {
    /// The engine itself.
    #[error("the policy engine can't start: {0}")]
    Engine(String),
    /// The folder for compiled components.
    #[error("`cache-dir` {} can't be used: {reason}", folder.display())]
    Cache {
        /// Where it is.
        folder: PathBuf,
        /// What is wrong.
        reason: std::io::Error,
    },
    /// One policy.
    #[error("policy `{policy}` ({origin}): {reason}")]
    Refused {
        /// The operator's name for it.
        policy: String,
        /// Where its component came from.
        origin: String,
        /// What is wrong with it.
        reason: Refusal,
    },
}

impl PolicyError {
    /// Whether the settings are what is wrong.
    pub fn is_of_settings(&self) -> bool {
        let Self::Refused { reason, .. } = self else {
            return false;
        };
        matches!(reason, Refusal::Configure(_) | Refusal::SettingsUnwanted)
    }
}

/// What is wrong with a policy.
#[derive(Debug, Error, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// Over the limit on a component's size.
    #[error("the component has {size} bytes; the limit is {limit}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The text format.
    #[error(
        "this is WebAssembly text; compile it to a binary component first, with `wasm-tools parse` \
         or `wat2wasm`"
    )]
    Text,
    /// A module without component wrapping.
    #[error("this is a core module, not a component; convert it with `waypost policy pack`")]
    CoreModule,
    /// Not WebAssembly at all, or broken.
    #[error("this is not a valid WebAssembly component: {0}")]
    Corrupt(String),
    /// It may be valid elsewhere: it uses a feature that is off here.
    #[error(
        "the component uses a feature of WebAssembly that policies may not use: {0}; build it \
         without that feature, as the supported languages do by default"
    )]
    Feature(String),
    /// Valid, but something in it is not supported.
    #[error("the component can't be compiled: {0}")]
    Unsupported(String),
    /// More of something than any tool writes.
    #[error("the component has more than {limit} {what}, which is the limit")]
    TooMany {
        /// Of what.
        what: String,
        /// The most.
        limit: u64,
    },
    /// Compiling took too long.
    #[error(
        "compiling the component took more than {seconds} s, and was stopped; simplify its \
         functions or types, or raise `compile-time`"
    )]
    CompileTime {
        /// The limit in seconds.
        seconds: u64,
    },
    /// Compiling took too much memory.
    #[error(
        "compiling the component took more than {} MiB of memory, and was stopped; make the \
         component smaller, or raise `compile-memory`", limit >> 20
    )]
    CompileMemory {
        /// The limit in bytes.
        limit: u64,
    },
    /// Nested without end.
    #[error(
        "the component's types, components or code are nested too deeply for the compiler's stack \
         of {} MiB",
        limit >> 20
    )]
    CompileStack {
        /// The limit in bytes.
        limit: u64,
    },
    /// Too much machine code.
    #[error("the component's machine code is larger than the limit")]
    CompileSize,
    /// The process that compiles could not be started.
    #[error(
        "the process that compiles components can't be started: {0}; waypost starts itself from \
         /proc/self/exe, which must exist and be allowed"
    )]
    CompilerMissing(String),
    /// The process that compiles ended without an answer.
    #[error("the process that compiles components failed: {0}")]
    CompilerFailed(String),
    /// A file that can't become a component.
    #[error("{0}")]
    Unpackable(String),
    /// An interface of the contract in a version or of a name that this host does not know.
    #[error(
        "the component {verb} `{name}`, which this host does not know; the host speaks \
        `{ours}`"
    )]
    UnknownInterface {
        /// `imports` or `exports`.
        verb: String,
        /// The interface with its version.
        name: String,
        /// What this host speaks.
        ours: String,
    },
    /// An import that is offered to no policy.
    #[error("the component imports `{0}`, which this host does not offer")]
    NotOffered(String),
    /// An import that exists but differs from what the component expects.
    #[error("an import does not match what this host offers: {0}")]
    ImportMismatch(String),
    /// No hook that could be asked about a request.
    #[error(
        "the component exports no hook of `{0}` that decides: at least one of `selection`, \
         `request-headers`, `request-target`, `routing`, `response-headers`, `local-response`, \
         `range` and `destination` is needed"
    )]
    NoHook(String),
    /// A hook of another type than the contract's.
    #[error("the hook `{hook}` does not have the type that the contract defines: {detail}")]
    HookType {
        /// Interface and function.
        hook: String,
        /// What differs.
        detail: String,
    },
    /// Settings for a policy that can't take them.
    #[error(
        "the configuration has settings for it, but the component does not export `configuration`; \
         remove the settings"
    )]
    SettingsUnwanted,
    /// A fresh instance per request, of a kind that takes milliseconds to build.
    #[error(
        "isolation = \"request\" builds an instance for each request, which takes milliseconds for \
         a component that imports WASI or contains a language runtime; use isolation = \"worker\""
    )]
    SlowIsolation,
    /// A fresh instance per request, of a component that takes too long to set up.
    #[error(
        "isolation = \"request\" builds an instance for each request, which may take {limit:.0?} \
         and took {took:.1?}; do less in `configure` and `backends-changed`, or use isolation = \
         \"worker\""
    )]
    SlowBuild {
        /// What one took.
        took: Duration,
        /// The most.
        limit: Duration,
    },
    /// Not enough memory allowed.
    #[error("it needs at least {needed} bytes of memory and may have {limit}; raise `memory`")]
    Memory {
        /// What it asked for, in bytes.
        needed: u64,
        /// The policy's limit, in bytes.
        limit: u64,
    },
    /// All places for instances are taken.
    #[error("there is no room for more policy instances: {0}")]
    Full(String),
    /// `configure` returned an error.
    #[error("it rejected its settings: {0}")]
    Configure(String),
    /// It trapped while it was set up.
    #[error("it failed in {step}: {message}")]
    Setup {
        /// `instantiation`, `configure` or `backends-changed`.
        step: String,
        /// The trap, with guest functions where known.
        message: String,
    },
    /// It took too long to set up.
    #[error("it did not finish {step} within {seconds} s")]
    SetupDeadline {
        /// `instantiation`, `configure` or `backends-changed`.
        step: String,
        /// The time that it had.
        seconds: u64,
    },
    /// The host could not do its part.
    #[error("the host failed: {0}")]
    Host(String),
}

impl Refusal {
    /// The message of a parser or a validator that rejects a component.
    pub(super) fn of_parser(sentence: String) -> Self {
        // wasmparser's own words: "gc proposal must be enabled", "SIMD support is not enabled".
        if sentence.contains("enabled") {
            Self::Feature(sentence)
        } else {
            Self::Corrupt(sentence)
        }
    }
}
