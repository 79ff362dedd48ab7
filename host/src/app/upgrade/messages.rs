//! What the two processes of an upgrade say to each other.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::app::unix_socket::Identity;

/// The version of these messages. A new key needs no other one: keys that are not known are skipped.
pub(super) const VERSION: u32 = 1;
/// The environment variable that announces an upgrade: the number of the process that serves.
pub(super) const VARIABLE: &str = "WAYPOST_UPGRADE";
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
        what: Vec<What>,
        /// Another message with descriptors follows.
        more: bool,
    },
    /// Serve from now on.
    Serve,
    /// The process that served does not any more.
    Over,
}

/// From the process that was started.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ToPredecessor {
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
}
