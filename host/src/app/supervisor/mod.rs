//! What a supervisor like systemd passes to the process (`sockets`), and what it is told (`notify`).

mod notify;
mod sockets;

pub(super) use notify::{Notifier, keep_alive};
pub use sockets::Activation;
