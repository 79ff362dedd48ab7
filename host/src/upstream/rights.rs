//! Rights of which all workers together have so many, first come, first served.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Rights of one kind, of which there may be more or fewer later.
#[derive(Debug)]
pub(super) struct Rights {
    free: Arc<Semaphore>,
    /// How many that are held are none any more once they are given back.
    owed: Arc<AtomicUsize>,
}

/// A right that is held. Dropped, it passes to the one that has waited longest.
#[derive(Debug)]
pub(super) struct Held {
    permit: Option<OwnedSemaphorePermit>,
    owed: Arc<AtomicUsize>,
}

impl Rights {
    pub(super) fn new(count: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS))),
            owed: Arc::default(),
        }
    }

    /// One, if one is free and no request waits for it.
    pub(super) fn take(&self) -> Option<Held> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        Some(self.hold(permit))
    }

    pub(super) async fn wait(&self) -> Option<Held> {
        let permit = Arc::clone(&self.free).acquire_owned().await.ok()?;
        Some(self.hold(permit))
    }

    fn hold(&self, permit: OwnedSemaphorePermit) -> Held {
        let owed = Arc::clone(&self.owed);
        let permit = Some(permit);
        Held { permit, owed }
    }

    pub(super) fn has_free(&self) -> bool {
        self.free.available_permits() > 0
    }

    /// Whether more are held than there are, since there are fewer.
    pub(super) fn is_over(&self) -> bool {
        self.owed.load(Relaxed) > 0
    }

    /// How many are held, of this many.
    pub(super) fn held(&self, count: usize) -> usize {
        let owed = self.owed.load(Relaxed);
        (count + owed).saturating_sub(self.free.available_permits())
    }

    pub(super) fn resize(&self, former: usize, count: usize) {
        let most = Semaphore::MAX_PERMITS;
        let (former, count) = (former.min(most), count.min(most));
        if count < former {
            let fewer = former - count;
            let gone = self.free.forget_permits(fewer);
            self.owed.fetch_add(fewer - gone, Relaxed);
            return;
        }
        let mut more = count - former;
        while more > 0 && take_one(&self.owed) {
            more -= 1;
        }
        self.free.add_permits(more);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take()
            && take_one(&self.owed)
        {
            permit.forget();
        }
    }
}

/// Whether there was one to take.
fn take_one(owed: &AtomicUsize) -> bool {
    // Nearly always there is none, and then nothing is written.
    owed.load(Relaxed) > 0
        && owed
            .fetch_update(Relaxed, Relaxed, |owed| owed.checked_sub(1))
            .is_ok()
}
