//! The arguments of `waypost policy replay|diff`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::shared_flags::{Compiling, Format};

/// The longest `--deadline`.
const LONGEST_DEADLINE: Duration = Duration::from_secs(3600);
/// The most memory of a component, whose addresses have 32 bits.
const MOST_MEMORY: u64 = 4 << 30;

/// Flags of `policy replay`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Replay {
    /// The component, or `builtin:NAME`.
    pub file: PathBuf,
    /// The recording, and how it is replayed.
    #[command(flatten)]
    pub rehearsed: Rehearsed,
    /// Also exit with 1 if any decision differs from the recorded one.
    #[arg(long)]
    pub expect_same: bool,
}

/// Flags of `policy diff`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Diff {
    /// A component, or `builtin:NAME`.
    pub old: PathBuf,
    /// The component to compare it with.
    pub new: PathBuf,
    /// Settings for OLD only.
    #[arg(long, value_name = "JSON|@FILE")]
    pub old_settings: Option<String>,
    /// Settings for NEW only.
    #[arg(long, value_name = "JSON|@FILE")]
    pub new_settings: Option<String>,
    /// The recording, and how it is replayed.
    #[command(flatten)]
    pub rehearsed: Rehearsed,
}

/// A recording, and how it is replayed.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Rehearsed {
    /// The recording: a file that `[record]` wrote.
    #[arg(value_name = "LOG")]
    pub recording: PathBuf,
    /// How it is replayed.
    #[command(flatten)]
    pub common: Playing,
}

/// How a recording is replayed.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Playing {
    /// The policy whose calls are replayed; required if the recording has several.
    #[arg(long, value_name = "NAME")]
    pub policy: Option<String>,
    /// Settings in place of the recorded ones: JSON, or `@` and the path of a JSON file.
    #[arg(long, value_name = "JSON|@FILE")]
    pub settings: Option<String>,
    /// The deadline of each call in place of the recorded one, such as 5ms.
    #[arg(long, value_name = "TIME", value_parser = parse_deadline)]
    pub deadline: Option<Duration>,
    /// The memory limit in place of the recorded one, such as 32MiB.
    #[arg(long, value_name = "SIZE", value_parser = parse_memory)]
    pub memory: Option<u64>,
    /// The limits of compiling.
    #[command(flatten)]
    pub compiling: Compiling,
    /// Count instructions, which are the same on every machine; this makes calls slower.
    #[arg(long)]
    pub fuel: bool,
    /// How many differences are shown in full.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub samples: usize,
    /// Skip lines that can't be read.
    #[arg(long)]
    pub lenient: bool,
    /// What `--json` was called before.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text, hide = true)]
    pub format: Format,
}

fn parse_deadline(written: &str) -> Result<Duration, String> {
    let deadline = crate::units::parse_duration(written)?;
    if deadline.is_zero() || deadline > LONGEST_DEADLINE {
        return Err(format!("{written:?} is out of range; use 1us to 1h"));
    }
    Ok(deadline)
}

fn parse_memory(written: &str) -> Result<u64, String> {
    let memory = crate::units::parse_size(written)?;
    if !(64 * 1024..=MOST_MEMORY).contains(&memory) {
        return Err(format!("{written:?} is out of range; use 64KiB to 4GiB"));
    }
    Ok(memory)
}

pub(super) const REPLAY_HELP: &str = "\
Each recorded call is repeated with the same request, random draws, clock readings, backend facts
and store answers. Nothing is sent anywhere.

Examples:
  waypost policy replay mine.wasm requests.jsonl
  waypost policy replay builtin:random requests.jsonl --policy random --expect-same
  waypost policy replay mine.wasm requests.jsonl --settings @settings.json --json

Exit codes:
  0 no fault; 1 faults, a refused component, or (with --expect-same) a decision that differs;
  2 a file can't be read or is not a recording.";

pub(super) const DIFF_HELP: &str = "\
Both components answer the recorded calls; their answers and header edits are compared.

Examples:
  waypost policy diff mine-1.wasm mine-2.wasm requests.jsonl
  waypost policy diff builtin:random mine.wasm requests.jsonl --policy random --samples 50
  waypost policy diff mine.wasm mine.wasm requests.jsonl --new-settings '{\"limit\": 5}'

Exit codes:
  0 they decide the same; 1 they differ; 2 a file can't be read, or is not a recording or
  component.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_units_and_bounds() {
        assert_eq!(parse_deadline("5ms"), Ok(Duration::from_millis(5)));
        assert_eq!(parse_memory("32MiB"), Ok(32 << 20));
        for mistake in ["5", "0s", "2h", "soon"] {
            assert!(parse_deadline(mistake).is_err(), "{mistake}");
        }
        for mistake in ["1KiB", "5GiB", "much"] {
            assert!(parse_memory(mistake).is_err(), "{mistake}");
        }
    }
}
