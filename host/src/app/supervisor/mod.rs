//! What a supervisor like systemd passes to the process (`sockets`), and how it learns of its state
//! (`notify`).

mod notify;
mod sockets;

pub(super) use notify::{Notifier, keep_alive};
pub use sockets::Activation;
