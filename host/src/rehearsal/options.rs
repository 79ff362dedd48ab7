//! What a command about a policy asks for.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::CompileLimits;

/// A command about a policy that needs no proxy.
#[derive(Debug, Clone)]
pub enum Command {
    /// Shows what a component is, and whether a proxy would accept it.
    Inspect(Inspect),
    /// Makes a component of a core module.
    #[cfg(feature = "authoring")]
    Pack(Pack),
    /// Runs scenarios.
    Test(Test),
    /// Measures hooks.
    Bench(Bench),
    /// Compares a component's decisions with those of a recording.
    Replay(Replay),
    /// Compares the decisions of two components.
    Diff(Diff),
}

/// A component, and the limits of the process that compiles it.
#[derive(Debug, Clone)]
pub struct Component {
    /// A path, or `builtin:NAME`.
    pub file: PathBuf,
    /// The limits.
    pub compiling: CompileLimits,
    /// The folder that keeps compiled components; `None` keeps none.
    pub cache: Option<PathBuf>,
}

/// What is looked at.
#[derive(Debug, Clone)]
pub struct Inspect {
    /// The component.
    pub component: Component,
    /// The policy's settings: JSON, or `@` and the path of a JSON file.
    pub settings: Option<String>,
}

/// What is packed.
#[cfg(feature = "authoring")]
#[derive(Debug, Clone)]
pub struct Pack {
    /// The core module.
    pub module: PathBuf,
    /// The file for the component.
    pub output: PathBuf,
    /// The limits of the process that packs.
    pub compiling: CompileLimits,
}

/// Which scenarios run.
#[derive(Debug, Clone)]
pub struct Test {
    /// The component.
    pub component: Component,
    /// The scenario files.
    pub scenarios: Vec<PathBuf>,
    /// A file for the results as JUnit XML.
    pub junit: Option<PathBuf>,
    /// Only scenarios run whose name contains this.
    pub filter: Option<String>,
}

/// What is measured.
#[derive(Debug, Clone)]
pub struct Bench {
    /// The component.
    pub component: Component,
    /// The policy's settings: JSON, or `@` and the path of a JSON file.
    pub settings: Option<String>,
    /// A scenario file with the requests, settings and pools.
    pub scenarios: Option<PathBuf>,
    /// Seconds for each hook.
    pub seconds: f64,
}

/// A replay with one component.
#[derive(Debug, Clone)]
pub struct Replay {
    /// The component, or `builtin:NAME`.
    pub file: PathBuf,
    /// The recording, and how it is replayed.
    pub playback: Playback,
    /// Whether a decision that differs makes the command fail.
    pub expect_same: bool,
}

/// A replay with two components.
#[derive(Debug, Clone)]
pub struct Diff {
    /// A component, or `builtin:NAME`.
    pub old: PathBuf,
    /// The component to compare it with.
    pub new: PathBuf,
    /// Settings for `old` only, in place of the playback's.
    pub old_settings: Option<String>,
    /// Settings for `new` only.
    pub new_settings: Option<String>,
    /// The recording, and how it is replayed.
    pub playback: Playback,
}

/// A recording, and how it is replayed.
#[derive(Debug, Clone)]
pub struct Playback {
    /// The recording.
    pub recording: PathBuf,
    /// The policy whose calls are replayed; a recording of one policy names it itself.
    pub policy: Option<String>,
    /// Settings in place of the recorded ones: JSON, or `@` and the path of a JSON file.
    pub settings: Option<String>,
    /// The deadline of each call in place of the recorded one.
    pub deadline: Option<Duration>,
    /// The memory limit in place of the recorded one.
    pub memory: Option<u64>,
    /// The limits of the process that compiles.
    pub compiling: CompileLimits,
    /// The folder that keeps compiled components; `None` keeps none.
    pub cache: Option<PathBuf>,
    /// Whether instructions are counted.
    pub fuel: bool,
    /// How many differences are shown in full.
    pub samples: usize,
    /// Whether lines that can't be read are skipped.
    pub lenient: bool,
}
