//! The halves of a client's connection, with the time-outs of its request's settings.

use super::settings::Settings;
use super::worker::Worker;
use crate::net::{TimedIo, Timer, Wait};

/// The reading half of a client connection.
pub(super) fn client_read<'a, H>(
    worker: &'a Worker,
    settings: &Settings,
    timer: &'a Timer,
    half: H,
) -> TimedIo<'a, H> {
    TimedIo {
        half,
        timers: &worker.timers,
        timer,
        wait: Wait::ClientRead,
        patience: settings.timeouts.body_read,
        bytes: &worker.shard.bytes_from_clients,
    }
}

/// The writing half of a client connection.
pub(super) fn client_write<'a, H>(
    worker: &'a Worker,
    settings: &Settings,
    timer: &'a Timer,
    half: H,
) -> TimedIo<'a, H> {
    TimedIo {
        half,
        timers: &worker.timers,
        timer,
        wait: Wait::ClientWrite,
        patience: settings.timeouts.send,
        bytes: &worker.shard.bytes_to_clients,
    }
}
