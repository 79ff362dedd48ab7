//! Hedging: a second backend is asked beside one that has not answered in the usual time, and the
//! first response that is no failure is taken. The other attempt is given up.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::beside::{Beside, Raced, Running, fails, poll_race};
use super::boxed::boxed;
use super::client::Client;
use super::conditions::is_no_answer;
use super::context::{RequestContext, Target};
use super::download::Download;
use super::end::{ExchangeEnd, LEFT};
use super::exchange::{Attempted, Exchange};
use super::second::{Brought, Copied, Second, upward};
use super::spans;
use super::switched::Backend;
use super::tries::{Race, Tries, is_idempotent};
use super::worker::Worker;
use crate::config::HedgeAfter;
use crate::message::{BodyLength, RequestHead};
use crate::net::Wait;
use crate::observe::Hedge;
use crate::policy::{Attempt, ByteRange};
use crate::upstream::{AttemptOutcome, Contender, FailedAttempt, Failure, Lease, WorkerPool};

impl Download<'_> {
    /// The first of two attempts has a response head: takes it, or waits for what the other has to
    /// say if it is a failure. If a third one may be asked, the other has as much time for that as
    /// the first one had alone.
    #[cold]
    pub(super) async fn win(&self, race: &Race) -> Result<(), ExchangeEnd> {
        let (status, tries) = (self.response.status, self.to.tries);
        if fails(status, tries.policy) {
            race.first_failed
                .set(Some(match self.to.is_failure(status) {
                    true => AttemptOutcome::FailureStatus,
                    false => AttemptOutcome::Answered,
                }));
            let other = poll_fn(|_| match race.second.get() {
                true => Poll::Pending,
                false => Poll::Ready(()),
            });
            let may_go_on = race.second.get() && self.is_wanted_elsewhere();
            tries.over_budget.set(false);
            self.while_there(Box::pin(within(race, may_go_on, other)))
                .await
                .ok_or(LEFT)?;
        }
        race.decided.set(true);
        Ok(())
    }
}

/// Waits for the second attempt, for no longer than the first one had alone if another attempt may
/// follow. `None` if it takes longer.
async fn within<T>(race: &Race, may_go_on: bool, second: impl Future<Output = T>) -> Option<T> {
    match may_go_on {
        true => timeout(race.after.get(), second).await.ok(),
        false => Some(second.await),
    }
}

/// Gives the connection back for the next request; a stream is given back by its end.
fn keep(worker: &Worker, pool: &WorkerPool, backend: Backend) {
    if let Backend::Connection(connection) = backend {
        connection.keep(worker.timers.now(), pool.topology.max_idle);
    }
}

/// How an attempt has failed after which another one may follow.
fn failure_of(attempted: &Attempted) -> Option<AttemptOutcome> {
    match attempted {
        Attempted::Failed(outcome) | Attempted::Unread(_, outcome) => Some(*outcome),
        Attempted::Local(local, outcome) if is_no_answer(local) => Some(*outcome),
        Attempted::Ended(_) | Attempted::Local(..) => None,
    }
}

/// What policies see of the attempt at this position, which goes on.
fn slow(backend: u32) -> FailedAttempt {
    let failure = Failure::Other;
    FailedAttempt { backend, failure }
}

/// The second attempt is under way, at the backend at this position.
fn begin_beside(
    context: RequestContext<'_>,
    tries: &Tries<'_>,
    head: &mut RequestHead,
    backend: u32,
) -> Option<()> {
    let race = tries.race?;
    race.second.set(true);
    let endpoint = &tries.pool.endpoints[backend as usize];
    let resent = tries.sent.get().saturating_sub(1);
    race.span
        .set(spans::begin(context, head, (endpoint, resent)));
    Some(())
}

/// Chooses the second backend; `None` if there is to be none.
fn begin<'p>(
    context: RequestContext<'_>,
    tries: &Tries<'p>,
    mut request: Copied,
    first: FailedAttempt,
    may_connect: bool,
) -> Option<Second<'p>> {
    // The first one may have had two connections meanwhile.
    if tries.is_last() || !tries.may_repeat() {
        return None;
    }
    let failed = tries.failed_with(first);
    let attempt = Attempt {
        number: u32::try_from(failed.len() + 1).unwrap_or(u32::MAX),
        failed: &failed,
    };
    let chosen = context.chain().select(&mut request.head, attempt);
    let is_new = |chosen: &u32| !failed.iter().any(|f| f.backend == *chosen);
    let backend = chosen.ok().filter(is_new)?;
    request.head.name_backend(|| tries.pool.authority(backend));
    // It waits in no queue: others need the place more.
    let place = match tries.pool.request_limit(backend) {
        None => None,
        Some(limit) => Some(limit.take()?),
    };
    let at = tries.pool.endpoints[first.backend as usize].address;
    let number = tries.sent.get();
    context.state.attempted(number, at, || "slow".to_owned());
    tries.sent.set(number + 1);
    tries.also_failed.set(Some(slow(backend)));
    begin_beside(context, tries, &mut request.head, backend)?;
    context.worker.shard.attempts.hedges.increment();
    let timeouts = context.timeouts;
    Some(Second {
        lease: tries.pool.lease(backend),
        held: (Some(tries.pool.repeat()), place),
        request,
        may_connect,
        is_certain: false,
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
        let position = lease.position();
        let Some((after, copied)) = self.may_hedge(tries, position) else {
            return self.attempt(context, lease, ranges, tries).await;
        };
        if let Some(race) = tries.race {
            race.after.set(after);
        }
        // A stream may only use what connections there are.
        let may_connect = matches!(self.client, Client::H1(_));
        let mut beside = Beside::after(after, lease.contender(), || {
            let second = begin(context, tries, copied, slow(position), may_connect)?;
            let contender = second.lease.contender();
            let run = second.run(context.terms(), context.rule.preserve_case);
            Some((contender, Box::pin(run) as Running<'_, '_>))
        });
        let raced = {
            let mut attempt = boxed(|| self.attempt(context, lease, ranges, tries));
            poll_fn(|cx| poll_race(cx, attempt.as_mut(), &mut beside, tries)).await
        };
        let (attempted, brought) = self.decided_by(tries, raced, &mut beside).await;
        let Some(brought) = brought else {
            return attempted;
        };
        let mut first = slow(position);
        if let Some(outcome) = failure_of(&attempted) {
            first.failure = outcome.failure();
        }
        self.take(context, *brought, ranges, (tries, first)).await
    }

    /// What the first attempt came to, and what is taken of the second, if it is.
    async fn decided_by<'p, F>(
        &mut self,
        tries: &Tries<'_>,
        raced: Raced<'p>,
        beside: &mut Beside<'_, 'p, F>,
    ) -> (Attempted, Option<Box<Brought<'p>>>) {
        if tries.also_failed.get().is_some() {
            self.outcome.hedge = Hedge::Lost;
            self.outcome.attempts = tries.sent.get();
        }
        if let Some(second) = beside.refused() {
            self.has_refused(tries, second, beside.first.0.position);
        }
        match raced {
            Raced::First(attempted @ Attempted::Ended(_), _) => (attempted, None),
            Raced::First(attempted, brought) => {
                (self.second_alone(tries, beside, (attempted, brought))).await
            }
            Raced::Second(brought) => {
                self.first_lost(tries, beside.first);
                (Attempted::Failed(AttemptOutcome::NoResponse), Some(brought))
            }
        }
    }

    /// The first attempt has failed: what the second brings is taken, whatever it is. It is waited
    /// for no longer than the first one had alone if another backend may be asked.
    async fn second_alone<'p, F>(
        &mut self,
        tries: &Tries<'_>,
        beside: &mut Beside<'_, 'p, F>,
        (attempted, brought): (Attempted, Option<Box<Brought<'p>>>),
    ) -> (Attempted, Option<Box<Brought<'p>>>) {
        let (Some(race), Some(running)) = (tries.race, beside.take()) else {
            return (attempted, brought);
        };
        let position = beside.first.0.position;
        let outcome = failure_of(&attempted);
        let may_go_on = outcome.is_some_and(|o| self.may_go_on(tries, position, o));
        let ended = within(race, may_go_on, running);
        match self.presence().during(Box::pin(ended)).await {
            None => (Attempted::Ended(self.client_left()), None),
            Some(None) => {
                beside.is_given_up(tries.pool);
                (attempted, None)
            }
            Some(Some(brought)) => (attempted, brought.map(Box::new)),
        }
    }

    /// The second attempt is taken. If the first has a response by now, it is a failure; else it
    /// was slow, and whether anything comes from its backend is for others to see.
    fn first_lost(&mut self, tries: &Tries<'_>, (first, since): (Contender, Instant)) {
        let client = self.scratch.head.client;
        match tries.race.and_then(|race| race.first_failed.get()) {
            Some(outcome @ AttemptOutcome::FailureStatus) => {
                tries.pool.fails(first, outcome, &mut self.doubt, client);
            }
            Some(_) => {}
            None => {
                tries.pool.endpoints[first.position as usize].was_slow(since.elapsed());
                tries.pool.gives_up(first);
            }
        }
    }

    /// The second attempt has answered by a failure, and the response of the first one, at this
    /// position, was taken.
    fn has_refused(&mut self, tries: &Tries<'_>, second: Contender, first: u32) {
        let client = self.scratch.head.client;
        let outcome = AttemptOutcome::FailureStatus;
        tries.pool.fails(second, outcome, &mut self.doubt, client);
        if tries
            .race
            .is_some_and(|race| race.first_failed.get().is_none())
        {
            tries.pool.answers(first, &mut self.doubt, client);
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
    pub(super) fn whole_body(&self) -> Option<(&[u8], BodyLength)> {
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
        self.note_won(context, &lease, (tries, first));
        let (failed, worker, race) = (tries.failed_with(first), context.worker, tries.race);
        let tries = Tries::new(tries.policy, tries.pool, &failed, tries.sent.get());
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
        self.ended_second((context, race), (end, duplex.status()), outcome)
    }

    /// The second attempt has brought what is taken.
    fn note_won(
        &mut self,
        context: RequestContext<'_>,
        lease: &Lease<'_>,
        (tries, first): (&Tries<'_>, FailedAttempt),
    ) {
        if let Some(race) = tries.race {
            race.taken.set(Some(lease.position()));
        }
        tries.also_failed.set(Some(first));
        self.outcome.failed.push(first);
        // The first one may have been waiting still.
        for wait in [Wait::UpstreamRead, Wait::UpstreamWrite, Wait::Presence] {
            self.client.timer().disarm(wait);
        }
        self.outcome.hedge = Hedge::Won;
        self.outcome.attempts = tries.sent.get();
        self.outcome.backend = Some(Rc::clone(lease.endpoint()));
        self.outcome.position = lease.position();
        context.worker.shard.attempts.hedges_won.increment();
    }
}
