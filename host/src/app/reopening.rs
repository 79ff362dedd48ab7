//! The logs are opened anew, and whoever asked for it learns what came of it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use crate::ground::Reopening;

/// How long the thread of one file may take: it writes first what it has.
const FILE: Duration = Duration::from_secs(5);
/// How long all of it may take, until it is begun included.
const ALL: Duration = Duration::from_secs(20);

/// Those who have asked and have no answer yet.
#[derive(Debug, Default)]
pub(super) struct Reopenings {
    waiting: Mutex<Vec<oneshot::Sender<Vec<String>>>>,
    asked: Notify,
}

impl Reopenings {
    /// Asks, and waits for what could not be opened.
    pub(super) async fn ask(&self) -> Vec<String> {
        let (answer, failures) = oneshot::channel();
        self.waiting().push(answer);
        self.asked.notify_one();
        match timeout(ALL, failures).await {
            Ok(Ok(failures)) => failures,
            _ => vec![format!(
                "the logs were not opened again within {ALL:?}: the proxy stops, or hangs"
            )],
        }
    }

    /// Waits until it is asked for.
    pub(super) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// These are being opened, beside what can't be. Waits for them off the control runtime, and
    /// answers.
    pub(super) fn begin(&self, begun: Vec<Result<Reopening, String>>) {
        let waiting = std::mem::take(&mut *self.waiting());
        if waiting.is_empty() {
            return;
        }
        tokio::task::spawn_blocking(move || {
            let wait = |file: Result<Reopening, String>| file.and_then(|file| file.wait(FILE));
            let failures: Vec<String> = begun
                .into_iter()
                .filter_map(|file| wait(file).err())
                .collect();
            for answer in waiting {
                // It may have given up.
                let _ = answer.send(failures.clone());
            }
        });
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<oneshot::Sender<Vec<String>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
