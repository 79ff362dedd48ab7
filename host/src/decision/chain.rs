//! The policies of a route, in order, and what becomes of a request when one of them fails.

use std::time::{Duration, Instant};

use http::Method;

use super::choice::{Chooser, Unchosen};
use super::environment::Environment;
use super::link::{Answer, Answered, Link, replied};
use super::slot::WorkerPolicies;
use super::state::RequestPolicyState;
use super::stop::Stop;
use super::trial;
use crate::config::{OnFailure, TargetRights};
use crate::message::{Fields, RequestHead};
use crate::observe::Outcome;
use crate::policy::{
    Ask, Attempt, ByteRange, CheckRange, EditRequest, EditResponse, Edited, Hook, Message,
    PolicyId, RangeVerdict, Reply, RoutePools, Select, Selected,
};
use crate::recording::Role;

/// What a chain needs to know of a route.
#[derive(Debug, Clone, Copy)]
pub struct ChainRoute<'a> {
    /// Its place among the routes of the configuration.
    pub number: u32,
    /// Its pools, by their numbers.
    pub pools: RoutePools<'a>,
    /// What its policies may edit of a request's target.
    pub rights: TargetRights,
    /// Its policies, in the order in which they are asked.
    pub policies: &'a [PolicyId],
}

/// The policies of one route, as one worker asks them about one request.
#[derive(Debug, Clone, Copy)]
pub struct PolicyChain<'a, E> {
    /// The route.
    pub route: ChainRoute<'a>,
    /// This worker's slots for all policies.
    pub policies: &'a WorkerPolicies,
    /// What is settled for this request alone.
    pub state: &'a RequestPolicyState,
    /// The worker, or what stands for it.
    pub environment: E,
}

impl<'a, E: Environment> PolicyChain<'a, E> {
    pub(super) fn links(self) -> impl DoubleEndedIterator<Item = Link<'a, E>> {
        let all = self.route.policies.iter().enumerate();
        all.filter_map(move |(at, policy)| {
            Some(Link {
                slot: self.policies.slot(*policy)?,
                bit: 1u64.checked_shl(at as u32).unwrap_or(0),
                environment: self.environment,
                state: self.state,
            })
        })
    }

    /// Starts a request: the generations that decide it are chosen, and policies with an instance
    /// for each request get theirs.
    pub fn begin(self, head: &RequestHead) {
        if self.policies.on_trial {
            self.choose_generations(head);
        }
        let handles = self.links().flat_map(|link| link.slot.handles());
        handles.for_each(|handle| handle.borrow_mut().begin_request());
    }

    #[cold]
    fn choose_generations(self, head: &RequestHead) {
        self.state.begun.set(true);
        self.links()
            .for_each(|link| trial::choose(link, head.client));
    }

    /// Ends a request.
    pub fn end(self) {
        let handles = self.links().flat_map(|link| link.slot.handles());
        handles.for_each(|handle| handle.borrow_mut().end_request());
    }

    /// Lets the policies see and edit the request before a backend is chosen. `has_range` says
    /// whether it has a `Range` field. Returns the ranges that the proxy may have to cut the answer
    /// to.
    pub fn prepare(self, head: &mut RequestHead, has_range: bool) -> Result<Vec<ByteRange>, Stop> {
        self.all_present()?;
        let ranges = self.check_range(head, has_range)?;
        self.edit_request(head)?;
        if self.route.rights.is_any() && self.policies.any_exports(Hook::RequestTarget) {
            self.edit_target(head)?;
        }
        Ok(ranges)
    }

    /// Looks for policies of the route that have no generation: nothing is asked, and nothing
    /// answers, before that is settled.
    #[inline]
    pub fn all_present(self) -> Result<(), Stop> {
        match self.policies.absent {
            false => Ok(()),
            true => self.absent_answers(),
        }
    }

    #[cold]
    fn absent_answers(self) -> Result<(), Stop> {
        for Link { slot, .. } in self.links().filter(|link| link.slot.active.is_none()) {
            slot.shard.failure_mode_uses.increment();
            let entry = &slot.entry;
            if let (OnFailure::Status(status), Err(reason)) = (entry.while_absent, &entry.active) {
                return Err(Stop::Absent {
                    policy: entry.name.to_string(),
                    status,
                    reason: reason.to_string(),
                });
            }
        }
        Ok(())
    }

    /// Asks which range is wanted, and makes the request's `Range` field say just that.
    fn check_range(self, head: &mut RequestHead, has_range: bool) -> Result<Vec<ByteRange>, Stop> {
        if !may_ask_for_range(head, has_range) {
            return Ok(Vec::new());
        }
        let question = CheckRange {
            pools: self.route.pools,
        };
        for link in self.links() {
            let Some(answered) = self.ask(link, &question, &mut Message::request(head)) else {
                continue;
            };
            match answered.answer {
                Ok(verdict) => {
                    return apply(verdict, head).map_err(|reply| replied(answered.handle, reply));
                }
                Err(fault) => {
                    if link.failed(&fault)? != OnFailure::Next {
                        break;
                    }
                }
            }
        }
        Ok(Vec::new())
    }

    /// Lets the policies edit the request's fields.
    fn edit_request(self, head: &mut RequestHead) -> Result<(), Stop> {
        let question = EditRequest {
            pools: self.route.pools,
        };
        for link in self.links() {
            self.edit(link, &question, &mut Message::request(head))?;
        }
        Ok(())
    }

    /// Asks which backend takes the request.
    pub fn select(self, head: &mut RequestHead, attempt: Attempt<'_>) -> Result<u32, Stop> {
        self.state.record(|record| record.attempt(attempt));
        let (backend, by) = self.selected(head, attempt)?;
        if let Some(capture) = &self.state.capture {
            let chosen = (self.route.pools.chosen, backend);
            by.note(capture, attempt, chosen, self.environment.facts());
        }
        Ok(backend)
    }

    /// The backend, and what has chosen it.
    #[inline]
    fn selected(
        self,
        head: &mut RequestHead,
        attempt: Attempt<'_>,
    ) -> Result<(u32, Chooser<'a>), Stop> {
        let (pools, mut why) = (self.route.pools, Unchosen::Unasked);
        let question = Select { pools, attempt };
        for link in self.links() {
            let Some(answered) = self.ask(link, &question, &mut Message::request(head)) else {
                continue;
            };
            match answered.answer {
                Ok(Selected::Backend(backend)) if self.environment.takes_traffic(backend) => {
                    return Ok((backend, Chooser::Policy(&link.slot.entry.name)));
                }
                // Of weight 0: the operator has the last word, and the next policy is asked.
                Ok(Selected::Backend(_)) => why = why.max(Unchosen::Drained),
                Ok(Selected::NoChoice) => why = why.max(Unchosen::NoChoice),
                Ok(Selected::Answer(reply)) => return Err(replied(answered.handle, reply)),
                Err(fault) => {
                    why = why.max(Unchosen::Failed);
                    if link.failed(&fault)? == OnFailure::Random {
                        break;
                    }
                }
            }
        }
        let chosen = self.environment.choose(attempt.failed);
        let chosen = chosen.ok_or(Stop::NoBackend)?;
        Ok((chosen, Chooser::Host(why)))
    }

    /// Lets the policies edit the fields of a backend's response, the last of the route first.
    pub fn edit_response(
        self,
        head: &mut RequestHead,
        status: u16,
        backend: u32,
        fields: &mut Fields,
    ) -> Result<(), Stop> {
        self.state.record(|record| record.response(status, backend));
        let question = EditResponse {
            pools: self.route.pools,
            status,
            backend,
        };
        let mut message = Message {
            head,
            response: Some(fields),
        };
        for link in self.links().rev() {
            self.edit(link, &question, &mut message)?;
        }
        Ok(())
    }

    /// Whether a policy of the route may edit responses.
    #[cold]
    pub fn edits_responses(self) -> bool {
        self.links().any(|link| {
            let mut handles = link.slot.handles();
            handles.any(|handle| handle.borrow().hooks().response_headers)
        })
    }

    /// A backend's answer has begun, for which it took so long.
    #[inline]
    pub fn answered(self, took: Option<Duration>) {
        self.state.took.set(took);
        if self.policies.notes_answers {
            self.state.answered.set(Some((Instant::now(), took)));
        }
    }

    /// The request has been answered, in full or not: counts it for the generation that was chosen
    /// for it.
    #[inline]
    pub fn conclude(self, outcome: &Outcome) {
        // Without a status the client was gone, which says nothing of the policy.
        if self.policies.on_trial && self.state.begun.get() && outcome.status != 0 {
            self.count(outcome);
        }
    }

    #[cold]
    fn count(self, outcome: &Outcome) {
        self.links()
            .for_each(|link| trial::count(link, self.route.number, outcome));
    }

    /// Asks one policy for edits.
    pub(super) fn edit<Q: Ask<Answer = Edited>>(
        self,
        link: Link<'a, E>,
        question: &Q,
        message: &mut Message<'_>,
    ) -> Result<(), Stop> {
        let Some(answered) = self.ask(link, question, message) else {
            return Ok(());
        };
        match answered.answer {
            Ok(Edited::Done) => Ok(()),
            Ok(Edited::Answer(reply)) => Err(replied(answered.handle, reply)),
            Err(fault) => link.failed(&fault).map(drop),
        }
    }

    /// Asks one policy: the generation that decides this request, and the shadow if there is one.
    /// `None` if the policy has no such hook.
    #[inline]
    pub(super) fn ask<Q: Ask<Answer: Answer>>(
        self,
        link: Link<'a, E>,
        question: &Q,
        message: &mut Message<'_>,
    ) -> Option<Answered<'a, Q::Answer>> {
        let active = link.slot.active.as_ref()?;
        match &link.slot.trial {
            Some(on_trial) => trial::ask(link, active, on_trial, question, message),
            None => link.put(active, Role::Active, question, message),
        }
    }
}

/// Makes the request's fields say what a verdict says of its ranges. Returns those that the proxy
/// may have to cut the answer to.
fn apply(verdict: RangeVerdict, head: &mut RequestHead) -> Result<Vec<ByteRange>, Reply> {
    match verdict {
        RangeVerdict::Untouched => {}
        RangeVerdict::Ignore => {
            head.fields.remove(b"range");
            head.fields.remove(b"if-range");
        }
        RangeVerdict::Ranges(ranges) => {
            let specs: Vec<String> = ranges.iter().map(ToString::to_string).collect();
            let value = format!("bytes={}", specs.join(", "));
            head.fields.set(b"range", value.as_bytes());
            if head.method == Method::GET {
                return Ok(ranges);
            }
        }
        RangeVerdict::Answer(reply) => return Err(reply),
    }
    Ok(Vec::new())
}

/// Whether the range hook is asked about a request at all: most are spared the call. `has_range`
/// says whether it has a `Range` field.
pub fn may_ask_for_range(head: &RequestHead, has_range: bool) -> bool {
    // A percent sign may hide the parameter's name.
    let in_query = || {
        head.query()
            .is_some_and(|q| q.contains("range=") || q.contains('%'))
    };
    (has_range || in_query()) && matches!(head.method, Method::GET | Method::HEAD)
}
