//! The arguments of `waypost policy inspect|pack|test|bench|replay|diff`, which need no proxy.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::replay::{DIFF_HELP, Diff, REPLAY_HELP, Replay};
use super::shared_flags::{Compiling, Format};

/// The commands that need no proxy.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum Offline {
    /// Show a component's hooks, imports, size and digest, and whether a proxy would accept it.
    ///
    /// If a proxy would refuse it, exits with 1 and gives the reason in one sentence.
    #[command(after_long_help = INSPECT_HELP)]
    Inspect(Inspect),
    /// Convert a core module that carries its types into a component.
    ///
    /// Compilers for wasm32-unknown-unknown, wasm32-wasip1 and wasm32-wasi write such modules from
    /// the bindings of wit-bindgen. A module that uses WASI preview 1 gets the adapter it needs.
    #[cfg(feature = "authoring")]
    #[command(after_long_help = PACK_HELP)]
    Pack(Pack),
    /// Run scenarios: compare a component's decisions with the expected ones.
    ///
    /// The scenario files define requests, backends, random draws, time and store; nothing is sent
    /// anywhere.
    #[command(after_long_help = TEST_HELP)]
    Test(Test),
    /// Measure a component: time and instructions of each hook, load time, memory.
    ///
    /// Times depend on this machine; instruction counts are the same on every machine.
    #[command(after_long_help = BENCH_HELP)]
    Bench(Bench),
    /// Replay a recording: compare a component's decisions with the recorded ones.
    #[command(after_long_help = REPLAY_HELP)]
    Replay(Replay),
    /// Replay a recording with two components and show where their decisions differ.
    #[command(after_long_help = DIFF_HELP)]
    Diff(Diff),
}

impl Offline {
    /// The format that `--format` asks for, where there is one.
    pub fn format(&self) -> Format {
        match self {
            Self::Inspect(flags) => flags.format,
            #[cfg(feature = "authoring")]
            Self::Pack(_) => Format::Text,
            Self::Test(_) => Format::Text,
            Self::Bench(flags) => flags.format,
            Self::Replay(flags) => flags.rehearsed.common.format,
            Self::Diff(flags) => flags.rehearsed.common.format,
        }
    }
}

/// Flags of `policy inspect`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Inspect {
    /// The component, or `builtin:NAME`.
    pub file: PathBuf,
    /// The settings with which it is configured: JSON, or `@` and the path of a JSON file.
    #[arg(long, value_name = "JSON|@FILE")]
    pub settings: Option<String>,
    /// The limits of compiling.
    #[command(flatten)]
    pub compiling: Compiling,
    /// What `--json` was called before.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text, hide = true)]
    pub format: Format,
}

/// Flags of `policy pack`.
#[cfg(feature = "authoring")]
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Pack {
    /// The core module.
    pub module: PathBuf,
    /// The file for the component.
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
    /// The limits of compiling.
    #[command(flatten)]
    pub compiling: Compiling,
}

/// Flags of `policy test`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Test {
    /// The component, or `builtin:NAME`.
    pub file: PathBuf,
    /// Scenario files, TOML.
    #[arg(required = true)]
    pub scenarios: Vec<PathBuf>,
    /// Also write the results to this file, as JUnit XML.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Run only scenarios whose name contains this text.
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// The limits of compiling.
    #[command(flatten)]
    pub compiling: Compiling,
}

/// Flags of `policy bench`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Bench {
    /// The component, or `builtin:NAME`.
    pub file: PathBuf,
    /// The policy's settings: JSON, or `@` and the path of a JSON file.
    #[arg(long, value_name = "JSON|@FILE")]
    pub settings: Option<String>,
    /// Measure with the requests, settings and pools of this scenario file.
    #[arg(long, value_name = "FILE")]
    pub scenarios: Option<PathBuf>,
    /// Seconds to measure each hook, 0.01 to 3600.
    #[arg(long, value_name = "N", default_value_t = 2.0, value_parser = parse_seconds)]
    pub seconds: f64,
    /// The limits of compiling.
    #[command(flatten)]
    pub compiling: Compiling,
    /// What `--json` was called before.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text, hide = true)]
    pub format: Format,
}

fn parse_seconds(written: &str) -> Result<f64, String> {
    let number = written.trim().trim_end_matches('s').parse::<f64>().ok();
    number
        .filter(|n| (0.01..=3600.0).contains(n))
        .ok_or_else(|| format!("{written:?} is not a number of seconds; use 0.01 to 3600"))
}

const INSPECT_HELP: &str = "\
Examples:
  waypost policy inspect mine.wasm
  waypost policy inspect mine.wasm --json | jq .hooks
  waypost policy inspect builtin:random
  waypost policy inspect mine.wasm --settings @settings.json

Exit codes:
  0 a proxy would accept it; 1 a proxy would refuse it; 2 the file can't be read.";

#[cfg(feature = "authoring")]
const PACK_HELP: &str = "\
Examples:
  waypost policy pack target/wasm32-unknown-unknown/release/mine.wasm -o mine.wasm

Exit codes:
  0 written; 1 the module can't become a component; 2 a file can't be read or written.";

const TEST_HELP: &str = "\
Examples:
  waypost policy test mine.wasm scenarios.toml
  waypost policy test mine.wasm scenarios/*.toml --junit results.xml
  waypost policy test builtin:random scenarios.toml --filter weight

A scenario can be as short as this:
  [[scenario]]
  name = \"the draw decides\"
  random = [2]
  expect.backend = 2

`--json` prints the results for a script.

Exit codes:
  0 all as expected; 1 a scenario failed, or the component was refused; 2 a file can't be read or
  contains a mistake.";

const BENCH_HELP: &str = "\
Examples:
  waypost policy bench mine.wasm
  waypost policy bench mine.wasm --settings '{\"header\": \"x-tenant\"}' --seconds 5
  waypost policy bench mine.wasm --scenarios scenarios.toml --json

Without --scenarios: four healthy backends, and a GET with a range and a few fields from 64 clients
in turn.

Exit codes:
  0 measured; 1 the component was refused, or failed during the measurement; 2 a file can't be read
  or contains a mistake.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_read_and_mistakes_are_refused() {
        for (written, meant) in [("2", 2.0), ("0.5", 0.5), ("3s", 3.0)] {
            assert_eq!(parse_seconds(written), Ok(meant));
        }
        for mistake in ["0", "-1", "nan", "soon", "3601", ""] {
            assert!(parse_seconds(mistake).is_err(), "{mistake}");
        }
    }
}
