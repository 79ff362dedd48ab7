//! Panics are survived where the work can continue.

use std::future::{Future, poll_fn};
use std::panic::{self, AssertUnwindSafe};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// The pause after a panic, so that work that panics again immediately does not use up a core.
const REST: Duration = Duration::from_millis(100);

/// The work has panicked; the log has the details.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panicked;

/// Does one piece of work; `None` if it panicked. The state that it leaves must be fit for the next
/// piece.
pub fn goes_on<T>(work: impl FnOnce() -> T) -> Option<T> {
    panic::catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Runs the body of a thread until it returns, and restarts it after a panic.
pub fn keeps_running(what: &str, mut body: impl FnMut()) {
    while goes_on(&mut body).is_none() {
        tracing::error!("{what} panicked and is restarted");
        std::thread::sleep(REST);
    }
}

/// The result of a future, or an error if it panicked.
pub async fn caught<T>(future: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut future = pin!(future);
    poll_fn(
        |cx| match panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(_) => Poll::Ready(Err(Panicked)),
        },
    )
    .await
}

/// Runs a task until it returns, and starts another in its place after a panic.
pub async fn stays<T, F: Future<Output = T>>(what: &str, mut task: impl FnMut() -> F) -> T {
    loop {
        match caught(task()).await {
            Ok(result) => return result,
            Err(Panicked) => {
                tracing::error!("{what} panicked and is restarted");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_panics_runs_again_until_it_returns() {
        let mut runs = 0;
        keeps_running("a test", || {
            runs += 1;
            assert!(runs == 3, "run {runs}");
        });
        assert_eq!(runs, 3);
    }

    #[tokio::test]
    async fn a_task_that_panics_after_a_wait_is_replaced() {
        crate::ground::limit_this_test();
        let mut tasks = 0;
        let result = stays("a test", || {
            tasks += 1;
            let task = tasks;
            async move {
                tokio::task::yield_now().await;
                assert!(task > 1, "the first one panics");
                task
            }
        });
        assert_eq!(result.await, 2);
    }
}
