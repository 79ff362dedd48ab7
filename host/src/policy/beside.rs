//! What works for policies beside the workers, for as long as a generation lives.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::{io, thread};

use super::builder::Builders;
use super::instance::Instance;
use super::ticker::Ticker;

/// The threads that build instances and drop them, and the clock of deadlines.
pub(super) struct Beside {
    pub builders: Builders,
    leaving: SyncSender<Box<Instance>>,
    pub ticker: Ticker,
}

impl Beside {
    /// Starts the threads. At most `leaving` instances wait to be dropped.
    pub(super) fn start(ticker: Ticker, workers: usize, leaving: usize) -> io::Result<Self> {
        let builders = Builders::start(workers)?;
        let (sink, left) = sync_channel::<Box<Instance>>(leaving);
        thread::Builder::new()
            .name("policy-leaving".to_owned())
            .spawn(move || left.into_iter().for_each(drop))?;
        Ok(Self {
            builders,
            leaving: sink,
            ticker,
        })
    }

    /// Drops an instance on a thread beside the workers; here if that one is behind.
    pub(super) fn drop_elsewhere(&self, instance: Box<Instance>) {
        let _ = self.leaving.try_send(instance);
    }
}
