//! Connections to backends that the streams of one client's connection use, where each stream needs
//! one of its own.
//!
//! A client's connection stands for one of them. Each further one counts as one more connection of
//! the client, within the same limits: else a few connections of HTTP/2 could use up what the
//! process may open. What was counted is kept for the next stream, as far as others are under way,
//! so that few streams touch what all workers share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::admission::{Admitted, Beside};
use crate::config::Limits;
use crate::net::ConnectionInfo;

/// What the streams of one connection have of its client's connections.
#[derive(Debug)]
pub(super) struct Shares {
    beside: Beside,
    /// The one that the client's connection stands for is in use.
    own: Cell<bool>,
    /// Those beside it that are.
    used: Cell<usize>,
    /// Those beside it that are counted and not in use.
    spare: RefCell<Vec<Admitted>>,
    /// A stream got none, and none has come back since: until then, in milliseconds of the worker's
    /// clock, no other is tried.
    exhausted: Cell<u64>,
}

/// After so many milliseconds it is tried again: others may have left room, and a stream may need
/// no connection of its own.
const AGAIN: u64 = 100;

/// The right of a stream to a connection to a backend.
#[derive(Debug)]
pub(super) struct Share {
    of: Rc<Shares>,
    /// `None` if it is the one that the client's connection stands for.
    counted: Option<Admitted>,
}

impl Shares {
    /// Those of a connection that was let in.
    pub(super) fn new(beside: Beside) -> Self {
        Self {
            beside,
            own: Cell::new(false),
            used: Cell::new(0),
            spare: RefCell::default(),
            exhausted: Cell::new(0),
        }
    }

    /// Whether a stream would get none, as far as is known.
    pub(super) fn is_exhausted(&self, now: u64) -> bool {
        now < self.exhausted.get()
    }

    /// One more, if the limits allow it.
    pub(super) fn take(
        self: &Rc<Self>,
        info: &ConnectionInfo,
        limits: &Limits,
        now: u64,
    ) -> Option<Share> {
        let counted = match self.own.replace(true) {
            false => None,
            true => Some(self.further(info, limits, now)?),
        };
        let of = Rc::clone(self);
        Some(Share { of, counted })
    }

    fn further(&self, info: &ConnectionInfo, limits: &Limits, now: u64) -> Option<Admitted> {
        let spare = self.spare.borrow_mut().pop();
        let further = spare.or_else(|| self.beside.admit(info, limits));
        match further {
            Some(_) => self.used.set(self.used.get() + 1),
            None => self.exhausted.set(now + AGAIN),
        }
        further
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let of = &self.of;
        of.exhausted.set(0);
        let Some(counted) = self.counted.take() else {
            of.own.set(false);
            return;
        };
        let used = of.used.get() - 1;
        of.used.set(used);
        let mut spare = of.spare.borrow_mut();
        if spare.len() < used {
            spare.push(counted);
        } else {
            // As few stay as are in use.
            spare.truncate(used);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::proxy::admission::Admission;

    const NOW: u64 = 1_000;

    fn info(address: &str) -> ConnectionInfo {
        let peer = SocketAddr::new(address.parse().unwrap(), 40_000);
        ConnectionInfo::new(peer, ([127, 0, 0, 1], 80).into())
    }

    fn limits(connections: usize, connections_per_client: usize) -> Limits {
        Limits {
            connections,
            connections_per_client,
            ..Limits::default()
        }
    }

    #[test]
    fn a_connection_has_one_share_for_certain_and_more_within_its_clients_limit() {
        let (admission, limits) = (Admission::new(1), limits(10, 4));
        let client = info("192.0.2.1");
        let connections = [(); 2].map(|()| admission.admit(&client, &limits).unwrap());
        let [one, two] = connections
            .each_ref()
            .map(|connection| Rc::new(Shares::new(connection.beside())));
        let mut held: Vec<Share> = (0..3)
            .map(|_| one.take(&client, &limits, NOW).unwrap())
            .collect();
        assert!(one.take(&client, &limits, NOW).is_none() && one.is_exhausted(NOW));
        let other = two.take(&client, &limits, NOW).unwrap();
        assert!(!two.is_exhausted(NOW));
        assert!(two.take(&client, &limits, NOW).is_none() && two.is_exhausted(NOW));
        assert!(!one.is_exhausted(NOW + AGAIN), "others may have left room");
        held.pop();
        assert!(!one.is_exhausted(NOW));
        assert!(one.take(&client, &limits, NOW).is_some());
        drop((held, other));
        // All that was counted beside the connections has come back.
        let more: Vec<_> = (0..2).map(|_| admission.admit(&client, &limits)).collect();
        assert!(more.iter().all(Result::is_ok));
        assert!(admission.admit(&client, &limits).is_err());
    }

    #[test]
    fn what_one_client_counts_leaves_others_their_connections() {
        let (admission, limits) = (Admission::new(1), limits(10, 6));
        let flooder = info("192.0.2.1");
        let connection = admission.admit(&flooder, &limits).unwrap();
        let shares = Rc::new(Shares::new(connection.beside()));
        let held: Vec<_> = (0..20)
            .map_while(|_| shares.take(&flooder, &limits, NOW))
            .collect();
        assert_eq!(held.len(), 6);
        let other = info("192.0.2.2");
        let others: Vec<_> = (0..4).map(|_| admission.admit(&other, &limits)).collect();
        assert!(others.iter().all(Result::is_ok));
    }
}
