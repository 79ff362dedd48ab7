//! Asking the policies of a route, in order, and what becomes of a request when one of them fails.

use std::cell::RefCell;
use std::rc::Rc;

use http::Method;

use super::refusal::{Refusal, fault_line};
use super::slice;
use super::snapshot::View;
use super::worker::Worker;
use crate::config::OnFailure;
use crate::policy::{Attempt, ByteRange, Edited, FailedAttempt, Fault, RangeVerdict, Reply, Seat, Selected};
use crate::route::Rule;
use crate::wire::{Control, Fields, RequestHead};

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
}

impl<'a> Panel<'a> {
    fn seats(self) -> impl DoubleEndedIterator<Item = &'a Rc<RefCell<Seat>>> {
        self.rule.policies.iter().map(move |policy| &self.view.seats[*policy])
    }

    /// Starts a request: policies with an instance for each request get theirs.
    pub fn begin(self) {
        self.seats().for_each(|seat| seat.borrow_mut().begin_request());
    }

    /// Ends a request.
    pub fn end(self) {
        self.seats().for_each(|seat| seat.borrow_mut().end_request());
    }

    /// Asks which range is wanted, and makes the request's `Range` field say just that. The range is returned if the proxy may have
    /// to cut the answer itself.
    pub fn range(self, head: &mut RequestHead, control: Control) -> Result<Option<ByteRange>, Local> {
        if !may_ask_for_range(head, control) {
            return Ok(None);
        }
        for seat in self.seats() {
            let mut seat = seat.borrow_mut();
            if !seat.hooks().range {
                continue;
            }
            match seat.check_range(head, self.rule.pool) {
                Ok(RangeVerdict::Untouched) => {}
                Ok(RangeVerdict::Ignore) => {
                    head.fields.remove(b"range");
                    head.fields.remove(b"if-range");
                }
                Ok(RangeVerdict::Ranges(ranges)) => {
                    head.fields.set(b"range", slice::range_field(&ranges).as_bytes());
                    let single = ranges.len() == 1 && head.method == Method::GET;
                    return Ok(ranges.first().copied().filter(|_| single));
                }
                Ok(RangeVerdict::Answer(reply)) => return Err(answer(&seat, reply)),
                Err(fault) => {
                    if self.failed(&seat, &fault)? == OnFailure::Next {
                        continue;
                    }
                }
            }
            return Ok(None);
        }
        Ok(None)
    }

    /// Lets the policies edit the request's fields.
    pub fn edit_request(self, head: &mut RequestHead) -> Result<(), Local> {
        for seat in self.seats() {
            let mut seat = seat.borrow_mut();
            if !seat.hooks().request_headers {
                continue;
            }
            match seat.edit_request(head, self.rule.pool) {
                Ok(Edited::Done) => {}
                Ok(Edited::Answer(reply)) => return Err(answer(&seat, reply)),
                Err(fault) => {
                    self.failed(&seat, &fault)?;
                }
            }
        }
        Ok(())
    }

    /// Asks which backend takes the request.
    pub fn select(self, head: &mut RequestHead, number: u32, failed: &[FailedAttempt]) -> Result<u32, Local> {
        let pool = self.rule.pool;
        for seat in self.seats() {
            let mut seat = seat.borrow_mut();
            if !seat.hooks().selection {
                continue;
            }
            match seat.select(head, pool, Attempt { number, failed }) {
                Ok(Selected::Backend(backend)) => return Ok(backend),
                Ok(Selected::NoChoice) => {}
                Ok(Selected::Answer(reply)) => return Err(answer(&seat, reply)),
                Err(fault) => {
                    if self.failed(&seat, &fault)? == OnFailure::Random {
                        break;
                    }
                }
            }
        }
        let chosen = self.view.pools.choose(pool, failed, &mut self.worker.rng.borrow_mut());
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
        for seat in self.seats().rev() {
            let mut seat = seat.borrow_mut();
            if !seat.hooks().response_headers {
                continue;
            }
            match seat.edit_response(head, self.rule.pool, status, backend, fields) {
                Ok(Edited::Done) => {}
                Ok(Edited::Answer(reply)) => return Err(answer(&seat, reply)),
                Err(fault) => {
                    self.failed(&seat, &fault)?;
                }
            }
        }
        Ok(())
    }

    /// What becomes of the request: it goes on in one of two ways, or ends with the operator's status.
    fn failed(self, seat: &Seat, fault: &Fault) -> Result<OnFailure, Local> {
        let generation = seat.generation();
        seat.shard().failure_mode_uses.increment();
        self.worker.log_fault(|| fault_line(generation.name(), fault));
        match generation.on_failure() {
            OnFailure::Status(status) => {
                let policy = generation.name().to_owned();
                Err(Local::Refusal(Refusal::PolicyFailed { policy, status }))
            }
            goes_on => Ok(goes_on),
        }
    }
}

fn answer(seat: &Seat, reply: Reply) -> Local {
    seat.shard().refusals.increment();
    Local::Reply { reply, policy: seat.generation().name().to_owned() }
}

/// Whether the range hook is asked at all: most requests are spared the call.
fn may_ask_for_range(head: &RequestHead, control: Control) -> bool {
    // A percent sign may hide the parameter's name.
    let in_query = || head.query().is_some_and(|q| q.contains("range=") || q.contains('%'));
    (control.range || in_query()) && matches!(head.method, Method::GET | Method::HEAD)
}
