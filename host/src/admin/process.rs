//! The report on the process itself.

use std::fs;
use std::sync::LazyLock;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use nix::time::ClockId;
use rustix::process::{Resource, getrlimit};
use serde::Serialize;

use crate::ground;

/// Failures in the process that no request shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Process {
    /// Lines of the operational log that standard error did not accept.
    pub log_lines_lost: u64,
    /// Panics of any thread; each is a bug of the proxy.
    pub panics: u64,
    /// The last panic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_panic: Option<String>,
}

impl Process {
    /// The counters' present values.
    pub fn new() -> Self {
        let counters = ground::counters();
        Self {
            log_lines_lost: counters.log_lines_lost.load(Relaxed),
            panics: counters.panics.load(Relaxed),
            last_panic: ground::last_panic(),
        }
    }

    /// Lines of the access log that could not be written.
    pub fn access_log_lines_lost() -> u64 {
        ground::counters().access_log_lines_lost.load(Relaxed)
    }
}

/// What the kernel says of the process. What it does not say, as without `/proc`, is left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Of all threads.
    pub cpu_nanoseconds: Option<u64>,
    /// Memory that is in RAM.
    pub resident_bytes: Option<u64>,
    /// Addresses that are in use, also for what is only reserved.
    pub virtual_bytes: Option<u64>,
    /// Descriptors.
    pub open_fds: Option<u64>,
    /// The most that it may have; no limit is no number.
    pub max_fds: Option<u64>,
    /// Seconds since 1970.
    pub started_unix: Option<u64>,
}

/// The unit of times in `/proc`, the same on all architectures that Rust's standard library is
/// built for.
const TICKS_PER_SECOND: u64 = 100;

impl Usage {
    /// What it says now.
    pub(super) fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let cpu = ClockId::CLOCK_PROCESS_CPUTIME_ID.now().ok();
        let cpu = cpu.and_then(|time| u64::try_from(Duration::from(time).as_nanos()).ok());
        // One of them is the folder that is read.
        let descriptors = fs::read_dir("/proc/self/fd").ok();
        Self {
            cpu_nanoseconds: cpu,
            resident_bytes: kibibytes(&status, "VmRSS:"),
            virtual_bytes: kibibytes(&status, "VmSize:"),
            open_fds: descriptors.map(|all| (all.count() as u64).saturating_sub(1)),
            max_fds: getrlimit(Resource::Nofile).current,
            started_unix: *STARTED,
        }
    }
}

/// Read once: the kernel's own answer moves with corrections of the clock, and whatever sees a
/// restart by it would see one then.
static STARTED: LazyLock<Option<u64>> = LazyLock::new(|| {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let system = fs::read_to_string("/proc/stat").ok()?;
    started(&stat, &system)
});

/// By `/proc/self/stat` (proc(5), field 22) and `/proc/stat`.
fn started(stat: &str, system: &str) -> Option<u64> {
    // The name in brackets may have brackets and spaces; the third field stands behind it.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: u64 = fields.split_whitespace().nth(19)?.parse().ok()?;
    let booted = system
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?;
    Some(booted.trim().parse::<u64>().ok()? + ticks / TICKS_PER_SECOND)
}

/// The value of a line of `/proc/self/status`.
fn kibibytes(status: &str, key: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(key))?;
    let number: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    number.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_read_whatever_the_process_is_called() {
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 1234 99 88";
        let system = "cpu 1 2 3\nbtime 1700000000\nprocesses 9\n";
        assert_eq!(started(stat, system), Some(1_700_000_012));
        assert_eq!(started("7 (a) S", system), None);
        assert_eq!(started(stat, "cpu 1"), None);
        let status = "Name:\tVmRSS:\nVmSize:\t    2048 kB\nVmRSS:\t  12 kB\n";
        assert_eq!(kibibytes(status, "VmRSS:"), Some(12 * 1_024));
        assert_eq!(kibibytes(status, "VmSize:"), Some(2 << 20));
        assert_eq!(kibibytes(status, "VmSwap:"), None);
    }
}
