//! A connection that is being made, and all that wait for it.

use std::cell::Cell;

use tokio::sync::Notify;

use super::AttemptOutcome;

/// A connection that is being made.
#[derive(Debug, Default)]
pub(super) struct Opening {
    result: Cell<Option<Result<bool, AttemptOutcome>>>,
    done: Notify,
}

impl Opening {
    /// Waits for the connection; whether it is one of HTTP/2. The caller limits the time.
    pub(super) async fn wait(&self) -> Result<bool, AttemptOutcome> {
        loop {
            if let Some(result) = self.result.get() {
                return result;
            }
            self.done.notified().await;
        }
    }

    /// It is there, or will never be.
    pub(super) fn end(&self, result: Result<bool, AttemptOutcome>) {
        self.result.set(Some(result));
        self.done.notify_waiters();
    }
}
