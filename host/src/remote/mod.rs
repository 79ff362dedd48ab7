//! Remote: how does the command line reach a running proxy?
//!
//! [`execute`] does what `waypost policy` asks for: a small HTTP client of the admin listener
//! (`client`), its answers as values (`answers`), those as text (`render`), and a canary's progress
//! (`watch`, `display`). Called by `app` with what `cli` read. Never used by the proxy itself,
//! never waits without a limit, never trusts what it is answered: names, reasons and samples may
//! hold what a guest or a client wrote, and nothing of that reaches a terminal as a control
//! character.

mod answers;
mod client;
mod commands;
mod display;
mod error;
mod render;
mod watch;

pub use commands::{Surroundings, execute};
pub use error::RemoteError;
