//! The halves of a client's connection, with the time-outs of its request.

use super::worker::Worker;
use crate::config::Timeouts;
use crate::net::{TimedIo, Timer, Wait};

/// The reading half of a client connection.
pub(super) fn client_read<'a, H>(
    worker: &'a Worker,
    timeouts: &Timeouts,
    timer: &'a Timer,
    half: H,
) -> TimedIo<'a, H> {
    TimedIo {
        half,
        timers: &worker.timers,
        timer,
        wait: Wait::ClientRead,
        patience: timeouts.body_read,
        bytes: &worker.shard.bytes_from_clients,
    }
}

/// The writing half of a client connection.
pub(super) fn client_write<'a, H>(
    worker: &'a Worker,
    timeouts: &Timeouts,
    timer: &'a Timer,
    half: H,
) -> TimedIo<'a, H> {
    TimedIo {
        half,
        timers: &worker.timers,
        timer,
        wait: Wait::ClientWrite,
        patience: timeouts.send,
        bytes: &worker.shard.bytes_to_clients,
    }
}
