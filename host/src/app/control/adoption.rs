//! Which snapshot each worker has adopted.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Which snapshot each worker has adopted.
#[derive(Debug)]
pub struct Adoption {
    versions: Vec<AtomicU64>,
    changed: Notify,
}

impl Adoption {
    /// No worker has adopted a snapshot yet.
    pub fn new(workers: usize) -> Self {
        Self {
            versions: (0..workers).map(|_| AtomicU64::new(0)).collect(),
            changed: Notify::new(),
        }
    }

    /// Notes that a worker has adopted this version.
    pub fn adopted(&self, worker: usize, version: u64) {
        self.versions[worker].store(version, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Notes that a worker has ended, so that nothing waits for it any more.
    pub fn gone(&self, worker: usize) {
        self.adopted(worker, u64::MAX);
    }

    /// Whether a worker has ended.
    pub fn is_gone(&self, worker: usize) -> bool {
        self.versions[worker].load(Ordering::Acquire) == u64::MAX
    }

    /// Whether any worker has adopted a snapshot.
    pub fn has_begun(&self) -> bool {
        self.versions.iter().any(|v| v.load(Ordering::Acquire) > 0)
    }

    /// Waits until all workers have adopted this version or a later one.
    pub async fn wait(&self, version: u64) {
        loop {
            let changed = self.changed.notified();
            if self
                .versions
                .iter()
                .all(|v| v.load(Ordering::Acquire) >= version)
            {
                return;
            }
            changed.await;
        }
    }
}
