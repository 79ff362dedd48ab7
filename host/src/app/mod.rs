//! App: what runs, and on which thread?
//!
//! This room connects the others and spawns all long-lived tasks: `run` starts and stops the proxy,
//! `intake` opens the listeners, `upgrade` passes them to another process, `supervisor` gets them
//! from systemd, `data_plane` is a worker's thread, `control` publishes snapshots and replaces
//! policies, `watch` follows policy files, `commands` runs what the command line asks for. Called
//! by `main`. It decides nothing about a request.

#[cfg(feature = "acme")]
mod acme;
mod ask;
mod backend_files;
#[cfg(feature = "authoring")]
mod begin;
mod beside;
mod certificates;
mod check;
mod commands;
pub mod control;
mod data_plane;
#[cfg(feature = "demo")]
mod demo;
mod descriptors;
mod forward;
mod health;
mod intake;
mod load;
mod looks;
mod names;
mod open_listeners;
mod pages;
mod passed;
mod pid_file;
mod place;
mod policies;
mod probes;
mod rehearse;
mod reload;
mod reloading;
mod reopening;
mod run;
mod running;
mod signals;
mod supervisor;
mod traces;
mod unix_socket;
mod upgrade;
mod watch;
mod watchdog;
mod worker_listeners;
mod workers;

pub use commands::{code_of, execute};
pub use signals::Held as HeldSignals;
pub use supervisor::Activation;
