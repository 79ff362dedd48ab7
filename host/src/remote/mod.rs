//! Remote: how does the command line reach a running proxy?
//!
//! [`execute`] runs the commands of `waypost policy`, `reload` and `backends` that need a proxy:
//! `options` are the commands as plain values, `client` is a small HTTP client of the admin
//! listener, `answers` are its answers as values, `render`, `trial` and `backends` show them as
//! text, `watch` and `display` follow a trial.
//! Called by `app`; the proxy itself does not use this room. Every wait has a limit. Answers are
//! not trusted: names, reasons and samples may contain text of guests and clients, so control
//! characters are removed.

mod answers;
mod backends;
mod client;
mod commands;
mod display;
mod error;
mod figures;
mod options;
mod render;
mod trial;
mod watch;

pub use commands::{Surroundings, execute};
pub use error::RemoteError;
pub use options::{Backends, Change, Command, Deploy, Proxy, Role, Said, Watching};
