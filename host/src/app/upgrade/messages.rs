//! What the two processes of an upgrade say to each other.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::app::unix_socket::Identity;

/// The version of these messages. A new key needs no other one: keys that are not known are
/// skipped.
pub(super) const VERSION: u32 = 1;
/// The environment variable that announces an upgrade: the number of the process that serves.
pub(super) const VARIABLE: &str = "WAYPOST_UPGRADE";
/// The one that says that it waits for a greeting, and of which version it is. Processes before
/// that did not: they passed all at once.
pub(super) const GREETED: &str = "WAYPOST_UPGRADE_VERSION";
/// The file that an upgrade has named. Later upgrades start it too: it is examined each time.
pub(super) const NAMED: &str = "WAYPOST_UPGRADE_BINARY";
/// Descriptors that one message carries; the kernel takes 253.
pub(super) const DESCRIPTORS: usize = 64;
/// The longest message.
pub(super) const LONGEST: usize = 60 << 10;

/// From the process that serves.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ToSuccessor {
    /// The descriptors of this message.
    Take {
        version: u32,
        /// From when policies' clock counts: nanoseconds of the system's monotonic clock.
        clock: u64,
        /// [`What`] each is, as far as the other process knows such a thing.
        what: Vec<Value>,
        /// Another message with descriptors follows.
        more: bool,
    },
    /// What is known against backends, in the descriptor of this message.
    Health,
    /// Serve from now on, with the entries of policies' stores in the descriptor of this message,
    /// if it has one.
    Serve,
    /// The process that served does not any more.
    Over,
}

/// From the process that was started.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ToPredecessor {
    /// This is the program that was meant to start: it may have the sockets.
    Greeting { version: u32 },
    /// It could serve, with the listeners of these numbers.
    Ready { listeners: Vec<usize> },
    /// It can't, for this reason.
    Refused { reason: String },
    /// It serves.
    Serves,
}

/// One descriptor.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum What {
    /// A socket of a listener on a TCP address as it was configured. Sockets with the same number
    /// are of the same listener.
    Tcp {
        number: usize,
        address: SocketAddr,
        only_v6: bool,
    },
    /// The socket of a listener on a path.
    Unix {
        number: usize,
        path: PathBuf,
        file: Option<Identity>,
    },
    /// The socket of the admin listener.
    Admin { address: SocketAddr },
    /// The lock of the state directory.
    StateLock,
    /// Policies that were deployed, in a file in memory.
    Policies,
    /// What is known of backends beside the configuration, in a file in memory.
    Backends,
}

/// What may be said. A process of another version may say more, which is skipped.
pub(super) trait Message: DeserializeOwned {
    /// The names of all.
    const ALL: &'static [&'static str];

    /// Whether it is one of those. What is no message at all counts as one, so that reading it ends
    /// in an error.
    fn is_known(written: &Value) -> bool {
        let of_object = |all: &Map<String, Value>| all.keys().next().cloned();
        let name = written.as_str().map(str::to_owned);
        let name = name.or_else(|| of_object(written.as_object()?));
        name.is_none_or(|name| Self::ALL.contains(&name.as_str()))
    }
}

impl Message for ToSuccessor {
    const ALL: &'static [&'static str] = &["take", "health", "serve", "over"];
}

impl Message for ToPredecessor {
    const ALL: &'static [&'static str] = &["greeting", "ready", "refused", "serves"];
}

impl What {
    /// `None` for what this version does not know.
    pub(super) fn read(written: &Value) -> Option<Self> {
        let read = serde_json::from_value(written.clone());
        let unknown = |e: &_| tracing::info!("the former process passes {written}, skipped: {e}");
        read.inspect_err(unknown).ok()
    }
}

/// A moment as the other process knows it. The system's monotonic clock is the same for both.
pub(super) fn to_nanoseconds(moment: Instant) -> u64 {
    let passed = u64::try_from(moment.elapsed().as_nanos()).unwrap_or(u64::MAX);
    monotonic().saturating_sub(passed)
}

/// The moment that another process has written so; none that is before the machine's start.
pub(super) fn from_nanoseconds(written: u64) -> Option<Instant> {
    let passed = monotonic().checked_sub(written)?;
    Instant::now().checked_sub(Duration::from_nanos(passed))
}

fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
    u64::try_from(now.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_the_same_for_both_processes() {
        let moment = Instant::now();
        let read = from_nanoseconds(to_nanoseconds(moment)).unwrap();
        // The two clocks are read one after the other, and a thread may lose its core in between.
        let apart = read.max(moment) - read.min(moment);
        assert!(apart < Duration::from_secs(10), "{apart:?}");
        assert_eq!(from_nanoseconds(u64::MAX), None);
    }
}
