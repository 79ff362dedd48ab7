//! The arguments of `waypost healthcheck`.

use clap::Args;

use super::{Reach, Remote};
use crate::config::AdminAddress;

/// Flags of `healthcheck`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Healthcheck {
    /// The proxy's admin listener: HOST:PORT or http://HOST:PORT (also WAYPOST_ADMIN_LISTEN;
    /// default 127.0.0.1:9090).
    #[arg(long, value_name = "ADDR", value_parser = str::parse::<AdminAddress>)]
    pub admin: Option<AdminAddress>,
}

impl Healthcheck {
    /// How the proxy is reached: whether it is ready is no secret and takes no token.
    pub fn remote(self) -> Remote {
        let reach = Reach {
            admin: self.admin,
            ..Reach::default()
        };
        Remote {
            reach,
            ..Remote::default()
        }
    }
}

pub(super) const HEALTHCHECK_HELP: &str = "\
Examples:
  waypost healthcheck
  waypost healthcheck --admin 127.0.0.1:9091
  docker run --health-cmd 'waypost healthcheck' waypost

Asks `GET /readyz`, which needs no token. A proxy is ready when its listeners are open and its
policies are loaded, until it begins to stop.

Exit codes:
  0 ready; 1 not ready or unreachable, with the reason; 2 a mistake in the command line.

Environment:
  WAYPOST_ADMIN_LISTEN is as --admin.";
