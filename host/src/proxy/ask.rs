//! Asking the policies of a route, in order, and what becomes of a request when one of them fails.

use std::cell::RefCell;
use std::fmt::Display;

use http::Method;

use super::refusal::{Refusal, fault_line};
use super::slice;
use super::snapshot::{Place, View};
use super::turn::{Answered, Turn};
use super::worker::Worker;
use crate::config::OnFailure;
use crate::message::{Fields, Notes, RequestHead};
use crate::policy::{
    Ask, Attempt, ByteRange, CheckRange, EditRequest, EditResponse, Edited, Fault, Message,
    RangeVerdict, Reply, Seat, Select, Selected,
};
use crate::recording::{Recordable, Role};
use crate::route::Rule;
use crate::upstream::FailedAttempt;

/// An answer that comes from here and not from a backend.
#[derive(Debug)]
pub enum Local {
    /// A policy's.
    Reply {
        /// What it says.
        reply: Reply,
        /// The policy that gave it.
        policy: String,
    },
    /// The proxy's.
    Refusal(Refusal),
    /// What may be done here: the request was not to go further (RFC 9110 section 7.6.2).
    Options,
}

/// The policies of one route as this worker asks them.
#[derive(Debug, Clone, Copy)]
pub struct Panel<'a> {
    /// The worker.
    pub worker: &'a Worker,
    /// The request's view.
    pub view: &'a View,
    /// The request's route.
    pub rule: &'a Rule,
    /// What is settled for this request alone.
    pub turn: &'a Turn,
}

/// One policy of a route.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member<'a> {
    /// Its index among all policies.
    pub policy: usize,
    /// This worker's seats.
    pub place: &'a Place,
    /// Its place in the route, as a bit; none beyond the 64th.
    pub bit: u64,
}

impl<'a> Panel<'a> {
    pub(super) fn members(self) -> impl DoubleEndedIterator<Item = Member<'a>> {
        let all = (0..self.rule.policies.len()).map(move |at| (at, self.rule.policies[at]));
        all.map(move |(at, policy)| Member {
            policy,
            place: &self.view.places[policy],
            bit: 1u64.checked_shl(at as u32).unwrap_or(0),
        })
    }

    /// Looks for policies of the route that have no generation: nothing is asked, and nothing
    /// answers, before that is settled.
    pub fn all_there(self) -> Result<(), Local> {
        if !self.view.absent {
            return Ok(());
        }
        for member in self
            .members()
            .filter(|member| member.place.active.is_none())
        {
            member.place.shard.failure_mode_uses.increment();
            let lineup = &self.view.snapshot.policies[member.policy];
            if let (OnFailure::Status(status), Err(reason)) = (lineup.while_absent, &lineup.active)
            {
                let (policy, reason) = (lineup.name.to_string(), reason.to_string());
                return Err(Local::Refusal(Refusal::PolicyAbsent {
                    policy,
                    status,
                    reason,
                }));
            }
        }
        Ok(())
    }

    /// Asks which range is wanted, and makes the request's `Range` field say just that. The ranges
    /// are returned if the proxy may have to cut the answer itself; otherwise there are none.
    pub fn range(self, head: &mut RequestHead, notes: Notes) -> Result<Vec<ByteRange>, Local> {
        if !may_ask_for_range(head, notes) {
            return Ok(Vec::new());
        }
        let question = CheckRange {
            pool: self.rule.pool.number(),
        };
        for member in self.members() {
            let Some(answered) = self.ask(member, &question, &mut Message::request(head)) else {
                continue;
            };
            match answered.answer {
                Ok(RangeVerdict::Untouched) => {}
                Ok(RangeVerdict::Ignore) => {
                    head.fields.remove(b"range");
                    head.fields.remove(b"if-range");
                }
                Ok(RangeVerdict::Ranges(ranges)) => {
                    head.fields
                        .set(b"range", slice::range_field(&ranges).as_bytes());
                    return Ok(if head.method == Method::GET {
                        ranges
                    } else {
                        Vec::new()
                    });
                }
                Ok(RangeVerdict::Answer(reply)) => {
                    return Err(answer(&answered.seat.borrow(), reply));
                }
                Err(fault) => {
                    if self.failed(member, &fault)? == OnFailure::Next {
                        continue;
                    }
                }
            }
            return Ok(Vec::new());
        }
        Ok(Vec::new())
    }

    /// Lets the policies edit the request's fields.
    pub fn edit_request(self, head: &mut RequestHead) -> Result<(), Local> {
        let question = EditRequest {
            pool: self.rule.pool.number(),
        };
        for member in self.members() {
            let Some(answered) = self.ask(member, &question, &mut Message::request(head)) else {
                continue;
            };
            match answered.answer {
                Ok(Edited::Done) => {}
                Ok(Edited::Answer(reply)) => return Err(answer(&answered.seat.borrow(), reply)),
                Err(fault) => {
                    self.failed(member, &fault)?;
                }
            }
        }
        Ok(())
    }

    /// Asks which backend takes the request.
    pub fn select(
        self,
        head: &mut RequestHead,
        number: u32,
        failed: &[FailedAttempt],
    ) -> Result<u32, Local> {
        let pool = self.rule.pool;
        self.turn.record(|record| record.attempt(number, failed));
        let question = Select {
            pool: pool.number(),
            attempt: Attempt { number, failed },
        };
        for member in self.members() {
            let Some(answered) = self.ask(member, &question, &mut Message::request(head)) else {
                continue;
            };
            match answered.answer {
                Ok(Selected::Backend(backend)) if self.view.pools.takes_traffic(pool, backend) => {
                    return Ok(backend);
                }
                // Of weight 0: the operator has the last word, and the next policy is asked.
                Ok(Selected::Backend(_)) => {}
                Ok(Selected::NoChoice) => {}
                Ok(Selected::Answer(reply)) => return Err(answer(&answered.seat.borrow(), reply)),
                Err(fault) => {
                    if self.failed(member, &fault)? == OnFailure::Random {
                        break;
                    }
                }
            }
        }
        let chosen = self
            .view
            .pools
            .choose(pool, failed, &mut self.worker.rng.borrow_mut());
        chosen.ok_or(Local::Refusal(Refusal::NoBackend))
    }

    /// Lets the policies edit the response's fields, the last of the route first.
    pub fn edit_response(
        self,
        head: &mut RequestHead,
        status: u16,
        backend: u32,
        fields: &mut Fields,
    ) -> Result<(), Local> {
        self.turn.record(|record| record.response(status, backend));
        let question = EditResponse {
            pool: self.rule.pool.number(),
            status,
            backend,
        };
        let mut message = Message {
            head,
            response: Some(fields),
        };
        for member in self.members().rev() {
            let Some(answered) = self.ask(member, &question, &mut message) else {
                continue;
            };
            match answered.answer {
                Ok(Edited::Done) => {}
                Ok(Edited::Answer(reply)) => return Err(answer(&answered.seat.borrow(), reply)),
                Err(fault) => {
                    self.failed(member, &fault)?;
                }
            }
        }
        Ok(())
    }

    /// Whether a policy of the route may edit responses.
    #[cold]
    pub(super) fn edits_responses(self) -> bool {
        let edits = |seat: &RefCell<Seat>| seat.borrow().hooks().response_headers;
        self.members().any(|member| {
            let on_trial = member.place.trial.as_ref().map(|trial| &trial.seat);
            member
                .place
                .active
                .iter()
                .chain(on_trial)
                .any(|seat| edits(seat))
        })
    }

    /// Asks one policy: the generation that decides this request, and the shadow if there is one.
    /// `None` if the policy has no such hook.
    fn ask<Q: Ask<Answer: PartialEq + Display + Recordable>>(
        self,
        member: Member<'a>,
        question: &Q,
        message: &mut Message<'_>,
    ) -> Option<Answered<'a, Q::Answer>> {
        let active = member.place.active.as_ref()?;
        match &member.place.trial {
            Some(on_trial) => self.ask_on_trial(member, active, on_trial, question, message),
            None => self.put(active, Role::Active, question, message),
        }
    }

    /// What becomes of the request: it goes on in one of two ways, or ends with the operator's
    /// status.
    fn failed(self, member: Member<'_>, fault: &Fault) -> Result<OnFailure, Local> {
        let lineup = &self.view.snapshot.policies[member.policy];
        member.place.shard.failure_mode_uses.increment();
        self.worker.log_fault(|| fault_line(&lineup.name, fault));
        // `next` passes over a policy that failed when it was asked. One that was not asked may be
        // what guards this route, and a client that makes it fail must not open the way for others.
        if lineup.on_failure == OnFailure::Next && fault.kind.is_absence() {
            return Err(Local::Refusal(Refusal::not_asked(lineup.name.to_string())));
        }
        match lineup.on_failure {
            OnFailure::Status(status) => Err(Local::Refusal(Refusal::PolicyFailed {
                policy: lineup.name.to_string(),
                status,
            })),
            goes_on => Ok(goes_on),
        }
    }
}

fn answer(seat: &Seat, reply: Reply) -> Local {
    seat.shard().refusals.increment();
    Local::Reply {
        reply,
        policy: seat.generation().name().to_owned(),
    }
}

/// Whether the range hook is asked at all: most requests are spared the call.
fn may_ask_for_range(head: &RequestHead, notes: Notes) -> bool {
    // A percent sign may hide the parameter's name.
    let in_query = || {
        head.query()
            .is_some_and(|q| q.contains("range=") || q.contains('%'))
    };
    (notes.range || in_query()) && matches!(head.method, Method::GET | Method::HEAD)
}
