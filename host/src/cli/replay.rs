//! `waypost policy replay|diff`: recordings gone through offline, as written.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::offline::{Compiling, Format};

/// A deadline that is to be longer is none.
const LONGEST_DEADLINE: Duration = Duration::from_secs(3600);
/// What a component may have at most: its addresses have 32 bits.
const MOST_MEMORY: u64 = 4 << 30;

/// Flags of `policy replay`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Replay {
    /// The component, or `builtin:NAME`.
    pub file: PathBuf,
    /// The recording, and how it is gone through.
    #[command(flatten)]
    pub rehearsed: Rehearsed,
    /// Exit with 1 as well if it decides anything otherwise than recorded.
    #[arg(long)]
    pub expect_same: bool,
}

/// Flags of `policy diff`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Diff {
    /// A component, or `builtin:NAME`.
    pub old: PathBuf,
    /// The one that it is compared with.
    pub new: PathBuf,
    /// The recording, and how it is gone through.
    #[command(flatten)]
    pub rehearsed: Rehearsed,
}

/// A recording, and how it is gone through.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Rehearsed {
    /// The recording: a file that `[record]` wrote.
    #[arg(value_name = "LOG")]
    pub recording: PathBuf,
    /// How it is gone through.
    #[command(flatten)]
    pub common: Playing,
}

/// How a recording is gone through.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Playing {
    /// Whose calls are gone through; needed if the recording is of several policies.
    #[arg(long, value_name = "NAME")]
    pub policy: Option<String>,
    /// Settings in place of those that were recorded: JSON, or `@` and a file that holds it.
    #[arg(long, value_name = "JSON|@FILE")]
    pub settings: Option<String>,
    /// A deadline for each call in place of the one that was recorded, such as 5ms.
    #[arg(long, value_name = "TIME", value_parser = parse_deadline)]
    pub deadline: Option<Duration>,
    /// A limit of memory in place of the one that was recorded, such as 32MiB.
    #[arg(long, value_name = "SIZE", value_parser = parse_memory)]
    pub memory: Option<u64>,
    /// What compiling may take.
    #[command(flatten)]
    pub compiling: Compiling,
    /// Count instructions, which are the same on every machine; times get longer by that.
    #[arg(long)]
    pub fuel: bool,
    /// So many differences are shown one by one.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub samples: usize,
    /// Pass over lines that can't be read.
    #[arg(long)]
    pub lenient: bool,
    /// How it is printed.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    pub format: Format,
}

fn parse_deadline(written: &str) -> Result<Duration, String> {
    let deadline = crate::config::parse_duration(written)?;
    if deadline.is_zero() || deadline > LONGEST_DEADLINE {
        return Err(format!("{written:?} is out of range; write 1us to 1h"));
    }
    Ok(deadline)
}

fn parse_memory(written: &str) -> Result<u64, String> {
    let memory = crate::config::parse_size(written)?;
    if !(64 * 1024..=MOST_MEMORY).contains(&memory) {
        return Err(format!("{written:?} is out of range; write 64KiB to 4GiB"));
    }
    Ok(memory)
}

pub(super) const REPLAY_HELP: &str = "\
Each call that a proxy recorded is made again: with the same request, the same draws and readings of the clocks, the same
facts about backends and the same answers of the store. Nothing is sent anywhere.

Examples:
  waypost policy replay mine.wasm requests.jsonl
  waypost policy replay builtin:random requests.jsonl --policy random --expect-same
  waypost policy replay mine.wasm requests.jsonl --settings '{\"header\": \"x-tenant\"}' --format json | jq .hooks

Exit codes:
  0 no fault; 1 faults, a component that is refused, or (with --expect-same) another decision than recorded;
  2 a file can't be read, or is no recording.";

pub(super) const DIFF_HELP: &str = "\
Both components are asked what a proxy recorded, and their answers and header edits are compared.

Examples:
  waypost policy diff mine-1.wasm mine-2.wasm requests.jsonl
  waypost policy diff builtin:random mine.wasm requests.jsonl --policy random --samples 50

Exit codes:
  0 they decide the same; 1 they differ; 2 a file can't be read, is no recording or is no component.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_units_and_bounds() {
        assert_eq!(parse_deadline("5ms"), Ok(Duration::from_millis(5)));
        assert_eq!(parse_memory("32MiB"), Ok(32 << 20));
        for slip in ["5", "0s", "2h", "soon"] {
            assert!(parse_deadline(slip).is_err(), "{slip}");
        }
        for slip in ["1KiB", "5GiB", "much"] {
            assert!(parse_memory(slip).is_err(), "{slip}");
        }
    }
}
