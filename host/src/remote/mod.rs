//! Remote: how does the command line reach a running proxy?
//!
//! [`execute`] runs the commands that need a proxy: those of `waypost policy`, `reload`, `upgrade`,
//! `backends`, `tap`, `healthcheck`. `options` are the commands as plain values, `client` is a
//! small HTTP client of the admin listener, `answers` are its answers as values, `render`, `trial`,
//! `backends` and `health` show them as text, `deploying` warns, `watch` and `display` follow a
//! trial, `tap` prints sampled requests (`sampled`) as they come (`lines`).
//! Called by `app`; the proxy itself does not use this room. Every wait has a limit. Answers are
//! not trusted: names, reasons and samples may contain text of guests and clients, so control
//! characters are removed.

mod answers;
mod backends;
mod client;
mod commands;
mod deploying;
mod display;
mod error;
mod figures;
mod health;
mod lines;
mod options;
mod render;
mod sampled;
mod tap;
mod trial;
mod watch;

pub use commands::{Surroundings, execute};
pub use error::RemoteError;
pub use options::{Backends, Change, Command, Deploy, Proxy, Role, Said, Tap, Watching};
