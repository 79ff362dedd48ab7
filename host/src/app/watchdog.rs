//! Reports workers that hang, by a bug or in a system call that does not return.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use anyhow::{Context, Result};

use super::control::Adoption;
use crate::ground;
use crate::stats::Stats;

/// How often the workers' heartbeats are compared.
const LOOK: Duration = Duration::from_secs(1);
/// After this many checks without a heartbeat (normally 20 a second) a worker counts as hanging.
/// Checks are counted, not time, because a suspended process suspends this thread too.
const SILENT: u64 = 5;

/// Checks the workers until it is dropped.
#[derive(Debug)]
pub(super) struct Watchdog {
    _stop: Sender<()>,
}

impl Watchdog {
    /// Starts the thread.
    pub(super) fn start(stats: &Stats, adoption: Arc<Adoption>) -> Result<Self> {
        let (stop, stopped) = channel();
        let mut watch = Watch::new(stats.clone());
        std::thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || {
                ground::keeps_running("the watchdog", || {
                    while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                        watch.look(|worker| adoption.is_gone(worker));
                    }
                });
            })
            .context("the watchdog's thread can't be started")?;
        Ok(Self { _stop: stop })
    }
}

#[derive(Debug)]
struct Watch {
    stats: Stats,
    /// For each worker its heartbeats at the last check, and the number of checks without one.
    seen: Vec<(u64, u64)>,
}

impl Watch {
    fn new(stats: Stats) -> Self {
        let seen = stats
            .workers()
            .iter()
            .map(|shard| (shard.heartbeats.value(), 0))
            .collect();
        Self { stats, seen }
    }

    /// Workers that have ended don't hang.
    fn look(&mut self, is_gone: impl Fn(usize) -> bool) {
        for (index, (shard, (seen, silent))) in
            self.stats.workers().iter().zip(&mut self.seen).enumerate()
        {
            let beats = shard.heartbeats.value();
            if is_gone(index) {
                *silent = 0;
            } else if beats == *seen {
                *silent += 1;
            } else {
                if *silent >= SILENT {
                    tracing::info!(worker = index, "the worker continues");
                }
                (*seen, *silent) = (beats, 0);
            }
            if *silent == SILENT {
                tracing::warn!(
                    worker = index,
                    "the worker hangs: it has done nothing for {SILENT} s, and its clients get no \
                     answer; a stack trace of its thread shows where; if it does not continue, \
                     only a restart helps"
                );
            }
            shard.hanging_seconds.set(if *silent < SILENT {
                0
            } else {
                *silent * LOOK.as_secs()
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_hangs_after_enough_looks_and_until_its_next_heartbeat() {
        let stats = Stats::new(2);
        let [well, hangs] = stats.workers() else {
            panic!("two workers")
        };
        let mut watch = Watch::new(stats.clone());
        for look in 1..=SILENT + 2 {
            well.heartbeats.increment();
            watch.look(|_| false);
            assert_eq!(well.hanging_seconds.value(), 0);
            let expected = if look < SILENT { 0 } else { look };
            assert_eq!(hangs.hanging_seconds.value(), expected, "look {look}");
        }
        hangs.heartbeats.increment();
        watch.look(|_| false);
        assert_eq!(hangs.hanging_seconds.value(), 0);
        for _ in 1..SILENT {
            watch.look(|_| false);
            assert_eq!(hangs.hanging_seconds.value(), 0, "the count starts again");
        }
        watch.look(|_| false);
        assert_eq!(hangs.hanging_seconds.value(), SILENT);
        watch.look(|worker| worker == 1);
        assert_eq!(hangs.hanging_seconds.value(), 0, "it has ended");
    }
}
