//! Uploads of components: how much memory they take, and which one is deployed next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// All uploads.
#[derive(Debug)]
pub(super) struct Uploads {
    /// The most bytes of all uploads together.
    most: usize,
    all: Mutex<Vec<Arc<Upload>>>,
    /// By policy: its deployments happen one after the other. Only configured policies get an
    /// entry.
    turns: Mutex<HashMap<String, Arc<Semaphore>>>,
}

#[derive(Debug)]
struct Upload {
    state: Mutex<State>,
    leave: Notify,
}

#[derive(Debug)]
struct State {
    bytes: usize,
    /// When the last piece arrived.
    progress: Instant,
    whole: bool,
}

/// The memory of one upload, released on drop.
#[derive(Debug)]
pub(super) struct Room {
    uploads: Arc<Uploads>,
    upload: Arc<Upload>,
}

impl Uploads {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            all: Mutex::default(),
            turns: Mutex::default(),
        })
    }

    /// Begins an upload.
    pub(super) fn begin(self: &Arc<Self>) -> Room {
        let state = State {
            bytes: 0,
            progress: Instant::now(),
            whole: false,
        };
        let upload = Arc::new(Upload {
            state: Mutex::new(state),
            leave: Notify::new(),
        });
        self.all
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::clone(&upload));
        Room {
            uploads: Arc::clone(self),
            upload,
        }
    }

    /// Waits for this policy's turn, at most for `patience`. Called when the component is complete,
    /// so that a slow upload does not delay others.
    pub(super) async fn turn(
        &self,
        policy: &str,
        patience: Duration,
    ) -> Option<OwnedSemaphorePermit> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(
                turns
                    .entry(policy.to_owned())
                    .or_insert_with(|| Arc::new(Semaphore::new(1))),
            )
        };
        timeout(patience, turn.acquire_owned()).await.ok()?.ok()
    }
}

impl Room {
    /// Reserves memory for a further piece, if need be by ending uploads that have been silent
    /// longest. False if that does not suffice.
    pub(super) fn grow(&self, bytes: usize) -> bool {
        let mut all = self
            .uploads
            .all
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.upload.with(|state| {
            state.bytes += bytes;
            state.progress = Instant::now();
        });
        loop {
            let taken: usize = all.iter().map(|u| u.with(|s| s.bytes)).sum();
            if taken <= self.uploads.most {
                return true;
            }
            let others = all
                .iter()
                .enumerate()
                .filter(|(_, u)| !Arc::ptr_eq(u, &self.upload));
            let may_go = others.filter_map(|(at, u)| {
                u.with(|s| (!s.whole && s.bytes > 0).then_some((s.progress, at)))
            });
            let Some((_, silent)) = may_go.min() else {
                return false;
            };
            all.remove(silent).leave.notify_one();
        }
    }

    /// Notes that the upload is complete.
    pub(super) fn is_whole(&self) {
        self.upload.with(|state| state.whole = true);
    }

    /// Completes when another upload needs the memory.
    pub(super) async fn taken_away(&self) {
        self.upload.leave.notified().await;
    }
}

impl Upload {
    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut all = self
            .uploads
            .all
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.retain(|u| !Arc::ptr_eq(u, &self.upload));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away(room: &Room) -> bool {
        let mut away = std::pin::pin!(room.taken_away());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        away.as_mut().poll(&mut context).is_ready()
    }

    #[test]
    fn the_longest_silent_upload_makes_room_and_a_complete_one_does_not() {
        let uploads = Uploads::new(100);
        let (whole, silent, later) = (uploads.begin(), uploads.begin(), uploads.begin());
        assert!(whole.grow(30));
        whole.is_whole();
        assert!(silent.grow(30));
        std::thread::sleep(Duration::from_millis(2));
        assert!(later.grow(30));
        let new = uploads.begin();
        assert!(new.grow(10));
        assert!(!away(&silent), "all have room");
        assert!(new.grow(1));
        assert_eq!(
            [away(&whole), away(&silent), away(&later)],
            [false, true, false]
        );
        assert!(new.grow(59));
        assert!(away(&later));
        assert!(!new.grow(1), "complete ones stay, and there are no others");
        drop(whole);
        assert!(new.grow(1));
    }

    #[tokio::test]
    async fn a_turn_is_one_policys() {
        let uploads = Uploads::new(100);
        let turn = uploads.turn("a", Duration::from_millis(1)).await;
        assert!(turn.is_some());
        assert!(uploads.turn("a", Duration::from_millis(1)).await.is_none());
        assert!(uploads.turn("b", Duration::from_millis(1)).await.is_some());
        drop(turn);
        assert!(uploads.turn("a", Duration::from_millis(1)).await.is_some());
    }
}
