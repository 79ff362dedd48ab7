//! Why a command failed.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::AdminAddress;
use crate::units::exact_duration;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// A file of the command line can't be read.
    #[error("{}: {reason}", path.display())]
    File {
        /// The path as given.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The token can't be sent.
    #[error(
        "the admin token from {0} is empty or has characters that a header field can't have; \
         write it as in [admin] token"
    )]
    Token(String),
    /// No connection.
    #[error(
        "no proxy answers at {address} ({reason}): is it running, and is this its admin listener? \
         The default is 127.0.0.1:9090; name another with --admin or WAYPOST_ADMIN_LISTEN"
    )]
    Unreachable {
        /// The address that was tried.
        address: AdminAddress,
        /// The system's error, or the time limit.
        reason: String,
    },
    /// A connection and no answer.
    #[error(
        "{address} accepted the connection but did not answer within {}; run `waypost policy \
         status` later to see whether anything has changed",
        exact_duration(*after)
    )]
    Silent {
        /// The admin listener.
        address: AdminAddress,
        /// The time limit.
        after: Duration,
    },
    /// A connection that broke.
    #[error("the connection to {address} broke before the answer was complete: {reason}")]
    Broken {
        /// The admin listener.
        address: AdminAddress,
        /// What happened.
        reason: String,
    },
    /// Something else listens there.
    #[error(
        "{address} does not answer like Waypost's admin listener ({reason}); is this the port \
         where clients connect? Name the admin listener with --admin"
    )]
    Strange {
        /// The address that was tried.
        address: AdminAddress,
        /// The unexpected part.
        reason: String,
    },
    /// 401.
    #[error(
        "{address} requires its admin token ({sentence}); set WAYPOST_ADMIN_TOKEN, or use \
         --token-file FILE"
    )]
    Unauthorised {
        /// The admin listener.
        address: AdminAddress,
        /// The proxy's explanation.
        sentence: String,
    },
    /// The proxy refused.
    #[error("{sentence}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The proxy's explanation.
        sentence: String,
    },
    /// A proxy that should get no traffic, or whose admin listener hangs.
    #[error("not ready: {0}")]
    NotReady(String),
    /// The trial ended without a promotion, or is not the expected one.
    #[error("{0}")]
    Over(String),
    /// Standard output can't be written.
    #[error("the answer can't be written: {0}")]
    Output(#[from] io::Error),
}

impl RemoteError {
    /// Whether a retry may help.
    pub(super) fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Silent { .. } | Self::Broken { .. }
        )
    }
}
