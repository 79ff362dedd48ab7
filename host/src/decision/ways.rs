//! Where a request goes, and what a response that no backend has made says: hooks that few policies
//! have. Where none has one, no chain is walked through for it.

use std::sync::Arc;

use super::chain::PolicyChain;
use super::environment::Environment;
use super::faults::fault_line;
use super::link::{Answer, replied};
use super::stop::Stop;
use crate::config::OnFailure;
use crate::message::{Fields, RequestHead};
use crate::policy::{
    Ask, Decide, EditLocalResponse, EditTarget, Hook, LocalSource, Message, Route, Routed,
};

impl<E: Environment> PolicyChain<'_, E> {
    /// Lets the policies edit what the backend is asked for.
    #[cold]
    pub(super) fn edit_target(self, head: &mut RequestHead) -> Result<(), Stop> {
        let rights = self.route.rights;
        self.state.record(|record| record.target(rights));
        let question = EditTarget {
            pools: self.route.pools,
            rights,
        };
        for link in self.links() {
            self.edit(link, &question, &mut Message::request(head))?;
        }
        Ok(())
    }

    /// Asks which of the route's pools takes the request, by its position; `None` leaves it to
    /// their weights.
    #[inline]
    pub fn route(self, head: &mut RequestHead) -> Result<Option<u32>, Stop> {
        let pools = self.route.pools;
        if pools.all.len() < 2 || !self.policies.any_exports(Hook::Routing) {
            return Ok(None);
        }
        let chosen = self.first_choice(&Route { pools }, head)?;
        self.state.routed.set(chosen);
        let pool = chosen.and_then(|position| pools.all.get(position as usize));
        if let Some(pool) = pool {
            self.state.record(|record| record.routed(*pool));
        }
        Ok(chosen)
    }

    /// Asks whether a client of the forward proxy may reach this port of the request's host, and by
    /// which of the pools, by its position; `None` leaves it to the rules of the proxy.
    pub fn decide(
        self,
        head: &mut RequestHead,
        (port, user): (u16, Option<&Arc<str>>),
    ) -> Result<Option<u32>, Stop> {
        self.all_present()?;
        let question = Decide {
            pools: self.route.pools,
            port,
            user,
        };
        self.state.record(|record| record.destination(port, user));
        self.first_choice(&question, head)
    }

    /// The first choice that a policy makes.
    #[cold]
    fn first_choice<Q: Ask<Answer = Routed>>(
        self,
        question: &Q,
        head: &mut RequestHead,
    ) -> Result<Option<u32>, Stop>
    where
        Routed: Answer,
    {
        for link in self.links() {
            let Some(answered) = self.ask(link, question, &mut Message::request(head)) else {
                // What `[forward]` names is there to refuse. A component without the hook must not
                // open the way.
                if Q::HOOK == Hook::Destination {
                    let policy = link.slot.entry.name.to_string();
                    return Err(Stop::NotAsked { policy });
                }
                continue;
            };
            match answered.answer {
                Ok(Routed::Pool(position)) => return Ok(Some(position)),
                Ok(Routed::NoChoice) => {}
                Ok(Routed::Answer(reply)) => return Err(replied(answered.handle, reply)),
                Err(fault) => {
                    // Of destinations none is drawn: a policy that fails must not open the way for
                    // what the next one would refuse.
                    let ends = Q::HOOK != Hook::Destination;
                    if link.failed(&fault)? == OnFailure::Random && ends {
                        break;
                    }
                }
            }
        }
        Ok(None)
    }

    /// Whether a policy may edit responses that no backend has made.
    #[inline]
    pub fn edits_local_responses(self) -> bool {
        self.policies.any_exports(Hook::LocalResponse)
    }

    /// Lets the policies edit the fields of a response that no backend has made, the last of the
    /// route first. What fails is only logged: the response stays as it was.
    #[cold]
    pub fn edit_local_response(
        self,
        head: &mut RequestHead,
        (status, source): (u16, LocalSource),
        fields: &mut Fields,
    ) {
        self.state
            .record(|record| record.local_response(status, source));
        let question = EditLocalResponse {
            pools: self.route.pools,
            status,
            source,
        };
        let mut message = Message {
            head,
            response: Some(fields),
        };
        for link in self.links().rev() {
            let answered = self.ask(link, &question, &mut message);
            if let Some(Err(fault)) = answered.map(|answered| answered.answer) {
                let entry = &link.slot.entry;
                link.environment
                    .log_fault(entry.fault_key(), || fault_line(&entry.name, &fault));
            }
        }
    }
}
