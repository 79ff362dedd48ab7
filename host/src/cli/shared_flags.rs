//! Flags that several commands without a proxy share.

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::config::{COMPILE_MEMORY, COMPILE_TIME, CompileLimits};

/// The limits of the process that compiles the component; by default those of a proxy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
pub struct Compiling {
    /// The most CPU time for compiling, 1s to 1h, as `compile-time` of a policy in the
    /// configuration.
    #[arg(long, value_name = "TIME", value_parser = parse_compile_time)]
    pub compile_time: Option<Duration>,
    /// The most memory for compiling, 64MiB to 64GiB, as `compile-memory` of a policy in the
    /// configuration.
    #[arg(long, value_name = "SIZE", value_parser = parse_compile_memory)]
    pub compile_memory: Option<u64>,
}

impl Compiling {
    /// The same limits in the configuration's type.
    pub fn limits(self) -> CompileLimits {
        CompileLimits {
            time: self.compile_time,
            memory: self.compile_memory,
        }
    }
}

fn parse_compile_time(written: &str) -> Result<Duration, String> {
    let time = crate::units::parse_duration(written)?;
    if !COMPILE_TIME.contains(&time) {
        return Err(format!("{written:?} is out of range; use 1s to 1h"));
    }
    Ok(time)
}

fn parse_compile_memory(written: &str) -> Result<u64, String> {
    let memory = crate::units::parse_size(written)?;
    if !COMPILE_MEMORY.contains(&memory) {
        return Err(format!("{written:?} is out of range; use 64MiB to 64GiB"));
    }
    Ok(memory)
}

/// The format of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For scripts.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_compiling_have_units_and_bounds() {
        assert_eq!(parse_compile_time("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_compile_memory("2GiB"), Ok(2 << 30));
        for mistake in ["0s", "999ms", "2h", "30"] {
            assert!(parse_compile_time(mistake).is_err(), "{mistake}");
        }
        for mistake in ["1MiB", "65GiB", "much"] {
            assert!(parse_compile_memory(mistake).is_err(), "{mistake}");
        }
    }
}
