//! The second of two attempts at one request, from before it begins, and how both end.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep};

use super::exchange::Attempted;
use super::second::Brought;
use super::tries::Tries;
use crate::config::RetryPolicy;
use crate::upstream::{Contender, WorkerPool};

/// How two attempts have ended.
pub(super) enum Raced<'p> {
    /// By the first; and what the second has brought, which is a failure.
    First(Attempted, Option<Box<Brought<'p>>>),
    /// By the second.
    Second(Box<Brought<'p>>),
}

pub(super) type Running<'f, 'p> = Pin<Box<dyn Future<Output = Option<Brought<'p>>> + 'f>>;

/// The second attempt, from before it begins.
pub(super) struct Beside<'f, 'p, F> {
    after: Duration,
    /// The first one, and since when.
    pub first: (Contender, Instant),
    delay: Pin<Box<Sleep>>,
    /// Begins it, unless it must not be made.
    begin: Option<F>,
    running: Option<Running<'f, 'p>>,
    /// The same of this one.
    begun: Option<(Contender, Instant)>,
    /// What it has brought, if that is a failure.
    failure: Option<Box<Brought<'p>>>,
    /// It has lost by a status that is a failure of its backend.
    has_refused: bool,
}

impl<'f, 'p, F: FnOnce() -> Option<(Contender, Running<'f, 'p>)>> Beside<'f, 'p, F> {
    pub(super) fn after(after: Duration, first: Contender, begin: F) -> Self {
        Self {
            after,
            first: (first, Instant::now()),
            delay: Box::pin(sleep(after)),
            begin: Some(begin),
            running: None,
            begun: None,
            failure: None,
            has_refused: false,
        }
    }

    /// Whether it has ended; what it has brought, unless that is a failure.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        policy: &RetryPolicy,
    ) -> Poll<Option<Box<Brought<'p>>>> {
        if self.running.is_none() {
            if self.begin.is_none() || self.delay.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if let Some((contender, running)) = self.begin.take().and_then(|begin| begin()) {
                self.begun = Some((contender, Instant::now()));
                self.running = Some(running);
            }
        }
        let Some(running) = &mut self.running else {
            return Poll::Pending;
        };
        let brought = ready!(running.as_mut().poll(cx));
        self.running = None;
        match brought.map(Box::new) {
            Some(brought) if fails(brought.response.status, policy) => {
                self.failure = Some(brought);
                Poll::Ready(None)
            }
            brought => Poll::Ready(brought),
        }
    }

    /// The first one is taken.
    fn loses(&mut self, pool: &WorkerPool) {
        self.begin = None;
        if self.running.take().is_some() {
            self.is_given_up(pool);
        }
        if let Some(failure) = self.failure.take() {
            self.has_refused = pool.topology.health.counts(failure.response.status);
        }
    }
}

impl<'f, 'p, F> Beside<'f, 'p, F> {
    /// It is waited for no longer. One that had less time than the first one says nothing.
    pub(super) fn is_given_up(&self, pool: &WorkerPool) {
        if let Some((contender, since)) = self.begun
            && since.elapsed() >= self.after
        {
            pool.gives_up(contender);
        }
    }

    /// It, if it goes on.
    pub(super) fn take(&mut self) -> Option<Running<'f, 'p>> {
        self.running.take()
    }

    /// It, if it was not taken because of a status that is a failure of its backend.
    pub(super) fn refused(&self) -> Option<Contender> {
        let (contender, _) = self.begun.filter(|_| self.has_refused)?;
        Some(contender)
    }
}

/// Polls both attempts until one of them has decided the race, and then the first to its end.
pub(super) fn poll_race<'f, 'p, F: FnOnce() -> Option<(Contender, Running<'f, 'p>)>>(
    cx: &mut Context<'_>,
    mut first: Pin<&mut impl Future<Output = Attempted>>,
    beside: &mut Beside<'f, 'p, F>,
    tries: &Tries<'_>,
) -> Poll<Raced<'p>> {
    let Some(race) = tries.race else {
        return first
            .poll(cx)
            .map(|attempted| Raced::First(attempted, None));
    };
    loop {
        let ended = first.as_mut().poll(cx);
        if race.decided.get() {
            beside.loses(tries.pool);
        }
        if let Poll::Ready(attempted) = ended {
            return Poll::Ready(Raced::First(attempted, beside.failure.take()));
        }
        if race.decided.get() {
            return Poll::Pending;
        }
        let brought = ready!(beside.poll(cx, tries.policy));
        race.second.set(false);
        if let Some(brought) = brought {
            return Poll::Ready(Raced::Second(brought));
        }
    }
}

/// Whether a response is a failure, which is not taken while another may come.
pub(super) fn fails(status: u16, policy: &RetryPolicy) -> bool {
    status >= 500 || policy.repeats_status(status)
}
