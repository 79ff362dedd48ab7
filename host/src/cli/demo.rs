//! `waypost demo` and `waypost origin`, as written.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::config::parse_listen;

/// Flags of `demo`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Demo {
    /// The address of the proxy.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", value_parser = parse_listen)]
    pub listen: SocketAddr,
    /// The address of the admin listener.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9090", value_parser = parse_listen)]
    pub admin_listen: SocketAddr,
    /// Serve HTTPS too, with a certificate for localhost that is made in memory (default address
    /// 127.0.0.1:8443).
    #[arg(
        long,
        value_name = "ADDR",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = super::SELF_SIGNED,
        value_parser = parse_listen
    )]
    pub tls_self_signed: Option<SocketAddr>,
    /// The number of web servers behind the proxy.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 3,
        value_parser = clap::value_parser!(u16).range(1..=64)
    )]
    pub origins: u16,
}

/// Flags of `origin`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Origin {
    /// The address to listen on.
    #[arg(long, value_name = "ADDR", value_parser = parse_listen)]
    pub listen: SocketAddr,
    /// A folder to serve too.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// The server's name in its answers (default: its address).
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
}

pub(super) const DEMO_HELP: &str = "\
Examples:
  waypost demo
  waypost demo --tls-self-signed
  waypost demo --listen 127.0.0.1:8000 --admin-listen 127.0.0.1:9000 --origins 5

Then, from another terminal:
  curl http://127.0.0.1:8080/page_one
  curl http://127.0.0.1:9090/stats

And in a browser: http://127.0.0.1:9090/";

pub(super) const ORIGIN_HELP: &str = "\
Examples:
  waypost origin --listen 127.0.0.1:8001
  waypost origin --listen 127.0.0.1:8002 --dir ./public --name second";
