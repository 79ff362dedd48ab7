//! The clock of the deadlines: a thread that advances the epochs of the engines.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasmtime::Engine;

use crate::ground;

/// The time between two ticks. A deadline is kept to within two.
///
/// Each tick may take the core from a worker: at 1 ms that was measured at 6 % of a worker's time on a pinned core.
pub(super) const TICK: Duration = Duration::from_millis(2);

/// The thread; it ends when this is dropped.
pub(super) struct Ticker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Starts ticking for these engines.
    pub fn start(engines: Vec<Engine>) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("policy-ticker".to_owned()).spawn(move || {
            // Without it no deadline is kept.
            ground::keeps_running("the clock of the deadlines", || {
                while !stopped.load(Ordering::Relaxed) {
                    thread::sleep(TICK);
                    ground::fault_point("policy-ticker");
                    engines.iter().for_each(Engine::increment_epoch);
                }
            });
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Far beyond any deadline, and far from overflowing the epoch.
const MAX_TICKS: u64 = 1 << 40;

/// How many ticks a deadline is, rounded up. The first may come at once, so this may be up to one tick less.
pub(super) fn ticks(deadline: Duration) -> u64 {
    u64::try_from(deadline.as_nanos().div_ceil(TICK.as_nanos())).map_or(MAX_TICKS, |n| n.clamp(1, MAX_TICKS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_round_up() {
        assert_eq!(ticks(Duration::from_millis(1)), 1);
        assert_eq!(ticks(Duration::from_micros(2500)), 2);
        assert_eq!(ticks(Duration::ZERO), 1);
    }
}
