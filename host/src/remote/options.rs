//! What a command for a running proxy asks for.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::AdminAddress;
use crate::policy::Stickiness;

/// The proxy, and how it is reached.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// Its admin listener.
    pub address: AdminAddress,
    /// A file that holds the admin token.
    pub token_file: Option<PathBuf>,
}

/// A command for a running proxy.
#[derive(Debug, Clone)]
pub enum Command {
    /// Shows one policy, or all.
    Status {
        /// The policy.
        name: Option<String>,
    },
    /// Deploys a component.
    Deploy(Deploy),
    /// Changes which generation decides, without a new component.
    Change {
        /// The policy.
        name: String,
        /// What changes.
        change: Change,
    },
    /// Issues a token for explaining requests.
    Token,
    /// Reads the configuration again.
    Reload {
        /// Whether it is only said what would change.
        check: bool,
    },
    /// Has another process of the program take its place.
    Upgrade {
        /// The file to start, if it is another one.
        binary: Option<PathBuf>,
    },
    /// Opens the logs anew.
    Reopen,
    /// Shows the configuration that runs.
    Config,
    /// Shows or changes backends.
    Backends(Backends),
    /// Prints sampled requests.
    Tap(Tap),
    /// Asks whether it is ready: open to all, and so without the token, which is not shown to what
    /// may be another program.
    Health,
}

/// Which requests are printed, and how many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tap {
    /// The beginning of their route's name.
    pub route: Option<String>,
    /// Their status.
    pub status: Option<String>,
    /// A policy of their route.
    pub policy: Option<String>,
    /// Their pool.
    pub pool: Option<String>,
    /// The most that are printed.
    pub limit: Option<u64>,
}

/// A command about the backends of pools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backends {
    /// Shows all pools, or the backends of one.
    List {
        /// The pool.
        pool: Option<String>,
    },
    /// Adds backends.
    Add {
        /// The pool.
        pool: String,
        /// Where they are.
        addresses: Vec<String>,
        /// The weight of each.
        weight: Option<u32>,
        /// The labels of each.
        labels: Vec<(String, String)>,
    },
    /// Removes backends that were added.
    Remove {
        /// The pool.
        pool: String,
        /// Where they are.
        addresses: Vec<String>,
    },
    /// Says something of backends.
    Say {
        /// The pool.
        pool: String,
        /// Where they are.
        addresses: Vec<String>,
        /// What.
        said: Said,
    },
}

/// What is said of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It gets no new requests.
    Drain,
    /// It gets requests again.
    Up,
    /// It is out of order.
    Down,
    /// Its weight; `None` = as it is configured.
    Weight(Option<u32>),
}

/// A change without a new component.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    /// The generation on trial decides all requests.
    Promote {
        /// The generation that is meant.
        generation: Option<u64>,
    },
    /// The canary is withdrawn; without one, the previous generation decides again.
    Rollback {
        /// The generation that is meant.
        generation: Option<u64>,
    },
    /// The trial ends.
    Withdraw,
    /// The generation on trial decides a share of the requests.
    Canary {
        /// The share, in percent.
        percent: f64,
        /// How requests are chosen; as before if it is left out.
        by: Option<Stickiness>,
    },
}

/// A deployment.
#[derive(Debug, Clone)]
pub struct Deploy {
    /// The policy.
    pub name: String,
    /// The component, or `builtin:NAME`.
    pub file: PathBuf,
    /// The component's role.
    pub role: Role,
    /// The share of the requests in percent; the proxy has a default for a shadow.
    pub percent: Option<f64>,
    /// How a canary's requests are chosen.
    pub by: Option<Stickiness>,
    /// Whether the trial is watched.
    pub watching: Watching,
    /// The time after which a canary is promoted; until then it is watched.
    pub promote_after: Option<Duration>,
}

/// The role of a deployed component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It decides all requests.
    Active,
    /// It sees live traffic; its answers are compared and discarded.
    Shadow,
    /// It decides a share of the requests.
    Canary,
}

/// Whether a trial is watched until it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watching {
    /// It is.
    Always,
    /// It is not.
    Never,
    /// It is if a person sees it.
    AtTerminal,
}

impl Role {
    /// The admin listener's word for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Shadow => "shadow",
            Self::Canary => "canary",
        }
    }
}

/// The admin listener's word for how requests are chosen.
pub(super) fn chosen_by(by: Stickiness) -> &'static str {
    match by {
        Stickiness::Client => "client",
        Stickiness::Request => "request",
    }
}
