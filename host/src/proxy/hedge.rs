//! Hedging: a second backend is asked beside one that has not answered in the usual time, and the
//! first response that is no failure is taken. The other attempt is given up, without blame for its
//! backend.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep};

use super::boxed::boxed;
use super::client::Client;
use super::connection::Disposition;
use super::context::{RequestContext, Target};
use super::download::Download;
use super::end::{ExchangeEnd, LEFT};
use super::exchange::{Attempted, Exchange};
use super::second::{Brought, Copied, Second, upward};
use super::switched::Backend;
use super::tries::{Race, Tries, is_idempotent};
use super::worker::Worker;
use crate::config::{HedgeAfter, RetryPolicy};
use crate::message::BodyLength;
use crate::net::Wait;
use crate::observe::Hedge;
use crate::policy::{Attempt, ByteRange};
use crate::upstream::{FailedAttempt, Failure, Lease, WorkerPool};

impl Download<'_> {
    /// The first of two attempts has a response head: takes it, or waits for what the other has to
    /// say if it is a failure.
    #[cold]
    pub(super) async fn win(&self, race: &Race) -> Result<(), ExchangeEnd> {
        if fails(self.response.status, self.to.tries.policy) {
            let other = poll_fn(|_| match race.second.get() {
                true => Poll::Pending,
                false => Poll::Ready(()),
            });
            self.while_there(Box::pin(other)).await.ok_or(LEFT)?;
        }
        race.decided.set(true);
        Ok(())
    }
}

/// How two attempts have ended.
enum Raced<'p> {
    /// By the first; and what the second has brought, which is a failure.
    First(Attempted, Option<Box<Brought<'p>>>),
    /// By the second.
    Second(Box<Brought<'p>>),
}

type Running<'f, 'p> = Pin<Box<dyn Future<Output = Option<Brought<'p>>> + 'f>>;

/// The second attempt, from before it begins.
struct Beside<'f, 'p, F> {
    delay: Pin<Box<Sleep>>,
    /// Begins it, unless it must not be made.
    begin: Option<F>,
    running: Option<Running<'f, 'p>>,
    /// What it has brought, if that is a failure.
    failure: Option<Box<Brought<'p>>>,
}

impl<'f, 'p, F: FnOnce() -> Option<Running<'f, 'p>>> Beside<'f, 'p, F> {
    fn after(delay: Duration, begin: F) -> Self {
        Self {
            delay: Box::pin(sleep(delay)),
            begin: Some(begin),
            running: None,
            failure: None,
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
            self.running = self.begin.take().and_then(|begin| begin());
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
}

/// Polls both attempts until one of them has decided the race, and then the first to its end.
fn poll_race<'f, 'p, F: FnOnce() -> Option<Running<'f, 'p>>>(
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
        if let Poll::Ready(attempted) = first.as_mut().poll(cx) {
            return Poll::Ready(Raced::First(attempted, beside.failure.take()));
        }
        if race.decided.get() {
            (beside.begin, beside.running, beside.failure) = (None, None, None);
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
fn fails(status: u16, policy: &RetryPolicy) -> bool {
    status >= 500 || policy.repeats_status(status)
}

/// Gives the connection back for the next request; a stream is given back by its end.
fn keep(worker: &Worker, pool: &WorkerPool, backend: Backend) {
    if let Backend::Connection(connection) = backend {
        connection.keep(worker.timers.now(), pool.topology.max_idle);
    }
}

/// What policies see of the attempt at this position, which goes on.
fn slow(backend: u32) -> FailedAttempt {
    let failure = Failure::Other;
    FailedAttempt { backend, failure }
}

/// Chooses the second backend; `None` if there is to be none.
fn begin<'p>(
    context: RequestContext<'_>,
    tries: &Tries<'p>,
    mut request: Copied,
    first: FailedAttempt,
    may_connect: bool,
) -> Option<Second<'p>> {
    if !tries.may_repeat() {
        return None;
    }
    let failed = [first];
    let attempt = Attempt {
        number: tries.sent.get() + 1,
        failed: &failed,
    };
    let chosen = context.chain().select(&mut request.head, attempt);
    let backend = chosen.ok().filter(|chosen| *chosen != first.backend)?;
    // It waits in no queue: others need the place more.
    let place = match tries.pool.request_limit(backend) {
        None => None,
        Some(limit) => Some(limit.take()?),
    };
    let at = tries.pool.endpoints[first.backend as usize].address;
    let number = tries.sent.get();
    context.state.attempted(number, at, || "slow".to_owned());
    tries.also_failed.set(Some(slow(backend)));
    tries.race?.second.set(true);
    context.worker.shard.attempts.hedges.increment();
    let timeouts = &context.view.settings.timeouts;
    Some(Second {
        lease: tries.pool.lease(backend),
        held: (tries.pool.repeat(), place),
        request,
        may_connect,
        patience: (tries.within(timeouts.connect), tries.patience(timeouts)),
    })
}

impl Exchange<'_> {
    /// Tries one endpoint, and after a while another one beside it.
    #[cold]
    pub(super) async fn hedged(
        &mut self,
        context: RequestContext<'_>,
        lease: Lease<'_>,
        ranges: &[ByteRange],
        tries: &Tries<'_>,
    ) -> Attempted {
        let (position, pool) = (lease.position(), lease.pool());
        let Some((after, copied)) = self.may_hedge(tries, position) else {
            return self.attempt(context, lease, ranges, tries).await;
        };
        let (began, first) = (Instant::now(), slow(position));
        // A stream may only use what connections there are.
        let may_connect = matches!(self.client, Client::H1(_));
        let mut beside = Beside::after(after, || {
            let second = begin(context, tries, copied, first, may_connect)?;
            Some(Box::pin(second.run(context)) as Running<'_, '_>)
        });
        let raced = {
            let mut attempt = boxed(|| self.attempt(context, lease, ranges, tries));
            poll_fn(|cx| poll_race(cx, attempt.as_mut(), &mut beside, tries)).await
        };
        if tries.also_failed.get().is_some() {
            self.outcome.hedge = Hedge::Lost;
        }
        let (attempted, brought) = match raced {
            Raced::First(attempted @ Attempted::Ended(_), _) => return attempted,
            Raced::First(attempted, brought) => (Some(attempted), brought),
            Raced::Second(brought) => {
                pool.endpoints[position as usize].was_slow(began.elapsed());
                (None, Some(brought))
            }
        };
        let brought = self.second_alone(brought, beside.running.take()).await;
        match (brought, attempted) {
            (Ok(Some(brought)), _) => self.take(context, *brought, ranges, (tries, first)).await,
            (Ok(None), Some(attempted)) => attempted,
            (Ok(None), None) => Attempted::Ended(self.client_left()),
            (Err(disposition), _) => Attempted::Ended(disposition),
        }
    }

    /// The first attempt has failed: what the second brings is taken, whatever it is.
    async fn second_alone<'p>(
        &mut self,
        brought: Option<Box<Brought<'p>>>,
        running: Option<Running<'_, 'p>>,
    ) -> Result<Option<Box<Brought<'p>>>, Disposition> {
        let Some(running) = running else {
            return Ok(brought);
        };
        match self.presence().during(running).await {
            None => Err(self.client_left()),
            Some(brought) => Ok(brought.map(Box::new)),
        }
    }

    /// Whether a second backend may be asked beside the one at this position, after how long, and
    /// what it is sent.
    fn may_hedge(&self, tries: &Tries<'_>, position: u32) -> Option<(Duration, Copied)> {
        let head = &self.scratch.head;
        let may =
            is_idempotent(&head.method) && head.upgrade.is_empty() && tries.has_another(position);
        let (body, length) = self
            .whole_body()
            .filter(|(body, _)| may && body.len() <= tries.policy.most_held())?;
        let after = match tries.policy.hedge? {
            HedgeAfter::Time(after) => after,
            HedgeAfter::Percentile(percentile) => tries.pool.recent(percentile)?,
        };
        let copied = Copied {
            head: head.clone(),
            body: body.to_vec(),
            length,
        };
        Some((after, copied))
    }

    /// The request's body, if all of it is there.
    fn whole_body(&self) -> Option<(&[u8], BodyLength)> {
        match &self.progress {
            None => {
                let body = self.client.in_hand_bytes(self.body_in_hand()?);
                Some((body, self.facts.body))
            }
            Some(progress) if progress.is_whole() && progress.is_at_end() => {
                let (body, trailers) = (progress.kept(), &self.scratch.request_trailers);
                let length = BodyLength::Known(body.len() as u64);
                trailers.is_empty().then_some((body, length))
            }
            Some(_) => None,
        }
    }

    /// Sends a response on whose head a second attempt has brought.
    async fn take(
        &mut self,
        context: RequestContext<'_>,
        brought: Brought<'_>,
        ranges: &[ByteRange],
        (tries, first): (&Tries<'_>, FailedAttempt),
    ) -> Attempted {
        let Brought {
            lease,
            held: _held,
            reused,
            mut backend,
            mut buffer,
            response,
            meta,
            duplex,
        } = brought;
        self.note_won(context, &lease, tries, first);
        let (failed, sent, worker) = ([first], tries.sent.get() + 1, context.worker);
        let tries = Tries::new(tries.policy, tries.pool, &failed, sent);
        let to = Target::new(context, &lease, ranges, &tries);
        let (waited, (plan, _)) = (self.client.timer().moved.waited.get(), self.plan(to));
        let end = {
            let up = upward(&mut backend, &mut buffer);
            let mut download = self.download(to, up, &plan, &duplex);
            *download.response = response;
            download.respond_to(meta).await.unwrap_or_else(|end| end)
        };
        let known = self.circumstances(worker, reused, &duplex, waited);
        let outcome = self.outcome(to, &end, known);
        self.settle(lease.endpoint(), &plan, &duplex);
        let reported = self.reported(to, outcome);
        lease.finish(reported, &mut self.doubt, self.scratch.head.client);
        worker.buffers.take_back(buffer);
        if end.is_reusable() {
            keep(worker, tries.pool, backend);
        }
        self.note_budget(worker, &tries);
        self.ended(end, duplex.status(), true, outcome)
    }

    /// The second attempt has brought what is taken.
    fn note_won(
        &mut self,
        context: RequestContext<'_>,
        lease: &Lease<'_>,
        tries: &Tries<'_>,
        first: FailedAttempt,
    ) {
        self.outcome.failed.push(first);
        // The first one may have been waiting still.
        for wait in [Wait::UpstreamRead, Wait::UpstreamWrite, Wait::Presence] {
            self.client.timer().disarm(wait);
        }
        self.outcome.hedge = Hedge::Won;
        self.outcome.attempts = tries.sent.get() + 1;
        self.outcome.backend = Some(Rc::clone(lease.endpoint()));
        self.outcome.position = lease.position();
        context.worker.shard.attempts.hedges_won.increment();
    }
}
