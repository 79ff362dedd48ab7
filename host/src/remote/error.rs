//! Why a command came to nothing.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::cli::Address;
use crate::config::ConfigErrors;

/// Why a command came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The address in the environment is none.
    #[error(transparent)]
    Address(#[from] ConfigErrors),
    /// A file of the command line can't be read.
    #[error("{}: {reason}", path.display())]
    File {
        /// As it was written.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The token can't be one.
    #[error(
        "the admin token from {0} is empty or holds what a header field can't; write it as in [admin] token"
    )]
    Token(String),
    /// No connection.
    #[error(
        "nobody answers at {address} ({reason}): is the proxy running, and is its admin listener there? \
         It is at 127.0.0.1:9090 unless configured otherwise; name another one with --admin or WAYPOST_ADMIN_LISTEN"
    )]
    Unreachable {
        /// Where it was tried.
        address: Address,
        /// The operating system's, or a time that was not enough.
        reason: String,
    },
    /// A connection and no answer.
    #[error(
        "{address} took the connection and did not answer within {}; `waypost policy status` tells later \
         whether anything has changed", humantime::format_duration(*after)
    )]
    Silent {
        /// Who.
        address: Address,
        /// For how long.
        after: Duration,
    },
    /// A connection that broke.
    #[error("the connection to {address} broke before the answer was there: {reason}")]
    Broken {
        /// Who.
        address: Address,
        /// What happened.
        reason: String,
    },
    /// Something else listens there.
    #[error(
        "what listens at {address} does not answer like Waypost's admin listener ({reason}); \
         is this the port where clients connect? Name the admin listener with --admin"
    )]
    Strange {
        /// Where.
        address: Address,
        /// What was unexpected.
        reason: String,
    },
    /// 401.
    #[error(
        "{address} wants its admin token ({sentence}); set WAYPOST_ADMIN_TOKEN, or write --token-file FILE"
    )]
    Unauthorised {
        /// Who.
        address: Address,
        /// In its words.
        sentence: String,
    },
    /// The proxy refused.
    #[error("{sentence}")]
    Refused {
        /// The status.
        status: u16,
        /// In its words.
        sentence: String,
    },
    /// The trial is over, and not by a promotion; or it was not what was asked for.
    #[error("{0}")]
    Over(String),
    /// Standard output is gone.
    #[error("the answer can't be written: {0}")]
    Output(#[from] io::Error),
}

impl RemoteError {
    /// Whether asking again may help.
    pub(super) fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Silent { .. } | Self::Broken { .. }
        )
    }
}
