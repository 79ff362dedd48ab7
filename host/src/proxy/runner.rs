//! The tasks in which streams are served: one that has served a stream waits for another.
//!
//! Making a task for each would cost some hundredths of what a small request costs, and leave the
//! heap in pieces: a task is aligned to two lines of the processor's cache.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use tokio::task::spawn_local;

use super::spares::Spares;

/// What a task has to do. In a box: the runtime would copy it eight times on its way into a task.
pub(super) type Job = Pin<Box<dyn Future<Output = ()>>>;

/// A task that waits for something to do. Dropped, it ends.
pub(super) struct Runner(Rc<Slot>);

/// Where a task finds what it does next.
#[derive(Default)]
struct Slot {
    next: Cell<Option<Job>>,
    is_left: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.0.is_left.set(true);
        if let Some(waker) = self.0.waker.take() {
            waker.wake();
        }
    }
}

/// Has a task do it, as soon as the present one waits. A panic ends this job only: tokio catches
/// it, and what the job holds is dropped.
pub(super) fn run(runners: &Rc<Spares<Runner>>, job: Job) {
    match runners.take() {
        Some(runner) => runner.0.next.set(Some(job)),
        None => drop(spawn_local(run_all(Rc::clone(runners), job))),
    }
}

/// Does one job after the other, for as long as there is a place to wait.
async fn run_all(runners: Rc<Spares<Runner>>, mut job: Job) {
    let slot = Rc::new(Slot::default());
    loop {
        job.await;
        slot.is_left.set(false);
        if runners.keep(Runner(Rc::clone(&slot))).is_some() {
            return;
        }
        match slot.next().await {
            Some(next) => job = next,
            None => return,
        }
    }
}

impl Slot {
    /// Waits for a job; `None` if there will be none.
    async fn next(&self) -> Option<Job> {
        poll_fn(|cx| match self.next.take() {
            None if !self.is_left.get() => {
                *self.waker.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
            job => Poll::Ready(job),
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use tokio::task::{LocalSet, yield_now};

    use super::*;

    fn counting(done: &Rc<Cell<u32>>) -> Job {
        let done = Rc::clone(done);
        Box::pin(async move {
            yield_now().await;
            done.set(done.get() + 1);
        })
    }

    async fn until(done: &Cell<u32>, count: u32) {
        while done.get() < count {
            yield_now().await;
        }
        // The task puts itself by, or ends.
        yield_now().await;
    }

    async fn locally(test: impl Future<Output = ()>) {
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn a_task_that_has_done_its_job_does_the_next() {
        locally(async {
            let (runners, done) = (Rc::new(Spares::default()), Rc::new(Cell::new(0)));
            for count in 1..=3 {
                run(&runners, counting(&done));
                until(&done, count).await;
                let waits = runners.take().expect("it waits");
                assert!(runners.take().is_none(), "it is the only one");
                runners.keep(waits);
            }
            run(&runners, counting(&done));
            run(&runners, counting(&done));
            until(&done, 5).await;
            assert!(runners.take().is_some() && runners.take().is_some());
        })
        .await;
    }

    #[tokio::test]
    async fn a_panic_ends_a_task_and_one_that_is_dropped_ends() {
        locally(async {
            let (runners, done) = (Rc::new(Spares::default()), Rc::new(Cell::new(0)));
            run(&runners, Box::pin(async { panic!("of a stream") }));
            run(&runners, counting(&done));
            until(&done, 1).await;
            let waits = runners.take().expect("the other");
            assert!(runners.take().is_none(), "a panic leaves none");
            let slot = Rc::clone(&waits.0);
            drop(waits);
            while Rc::strong_count(&slot) > 1 {
                yield_now().await;
            }
            run(&runners, Box::pin(ready(())));
        })
        .await;
    }
}
