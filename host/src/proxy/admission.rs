//! How many clients are let in: over all workers, and of one address (with IPv6, of one network).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::refusal::Refusal;
use crate::config::Limits;
use crate::net::ConnectionInfo;
use crate::upstream;

/// Counts client connections over all workers. Locked once when a connection comes and once when it
/// goes.
#[derive(Debug)]
pub struct Admission {
    /// Of a worker.
    pub(super) turned_away: usize,
    connections: Arc<Counted>,
    handshakes: Arc<Counted>,
}

/// What is counted of clients.
#[derive(Debug, Default)]
struct Counted(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// Something of a client that was let in; counts until it is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    counted: Arc<Counted>,
    /// If the client was counted when it came.
    client: Option<IpAddr>,
}

/// Lets in what counts as more connections of a client that has one.
#[derive(Debug)]
pub(super) struct Beside(Arc<Counted>);

impl Beside {
    /// One more, if that may be.
    pub(super) fn admit(&self, info: &ConnectionInfo, limits: &Limits) -> Option<Admitted> {
        let most = (limits.connections, limits.connections_per_client);
        self.0.take(info, most).ok()
    }
}

impl Admission {
    /// For all workers together; of those that are turned away a worker has so many at a time.
    pub fn new(turned_away: usize) -> Self {
        Self {
            turned_away,
            connections: Arc::default(),
            handshakes: Arc::default(),
        }
    }

    /// Lets a connection in.
    pub(super) fn admit(
        &self,
        info: &ConnectionInfo,
        limits: &Limits,
    ) -> Result<Admitted, Refusal> {
        let most = (limits.connections, limits.connections_per_client);
        self.connections.take(info, most)
    }

    /// Lets a handshake begin.
    pub(super) fn admit_handshake(
        &self,
        info: &ConnectionInfo,
        limits: &Limits,
    ) -> Result<Admitted, Refusal> {
        let most = (limits.tls_handshakes, limits.tls_handshakes_per_client);
        self.handshakes.take(info, most)
    }
}

impl Counted {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more, within limits for all and for each client; 0 is none.
    fn take(
        self: &Arc<Self>,
        info: &ConnectionInfo,
        (all, of_client): (usize, usize),
    ) -> Result<Admitted, Refusal> {
        let mut open = self.open();
        if all > 0 && open.all >= all {
            return Err(Refusal::TooManyConnections);
        }
        let client = open.count(info, of_client)?;
        open.all += 1;
        Ok(Admitted {
            counted: Arc::clone(self),
            client,
        })
    }
}

impl Open {
    /// Counts one more of this client, if they are limited.
    fn count(&mut self, info: &ConnectionInfo, most: usize) -> Result<Option<IpAddr>, Refusal> {
        // Clients of a Unix socket can't be distinguished; the file's mode says who may connect.
        if most == 0 || info.is_without_address() {
            return Ok(None);
        }
        let client = upstream::network(info.peer.ip());
        let count = self.by_client.entry(client).or_default();
        if *count >= most {
            return Err(Refusal::TooManyOfClient);
        }
        *count += 1;
        Ok(Some(client))
    }

    fn uncount(&mut self, client: Option<IpAddr>) {
        if let Some(client) = client
            && let Some(count) = self.by_client.get_mut(&client)
        {
            *count -= 1;
            if *count == 0 {
                self.by_client.remove(&client);
            }
        }
    }
}

impl Admitted {
    /// What lets more in beside it.
    pub(super) fn beside(&self) -> Beside {
        Beside(Arc::clone(&self.counted))
    }

    /// Counts a connection as that of another client from now on.
    ///
    /// # Errors
    ///
    /// That client has reached its limit; the connection stays counted as it was.
    pub(super) fn charge_to(
        &mut self,
        info: &ConnectionInfo,
        limits: &Limits,
    ) -> Result<(), Refusal> {
        let mut open = self.counted.open();
        let client = open.count(info, limits.connections_per_client)?;
        let former = std::mem::replace(&mut self.client, client);
        open.uncount(former);
        Ok(())
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.counted.open();
        open.all -= 1;
        open.uncount(self.client);
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn limits(connections: usize, connections_per_client: usize) -> Limits {
        Limits {
            connections,
            connections_per_client,
            ..Limits::default()
        }
    }

    fn address(text: &str) -> ConnectionInfo {
        let peer = SocketAddr::new(text.parse().unwrap(), 40_000);
        ConnectionInfo::new(peer, ([127, 0, 0, 1], 80).into())
    }

    #[test]
    fn a_client_has_one_account_however_it_came_and_gets_its_places_back() {
        let (admission, limits) = (Arc::new(Admission::new(1)), limits(9, 2));
        let (plain, mapped) = (address("192.0.2.1"), address("::ffff:192.0.2.1"));
        for _ in 0..3 {
            let (one, two) = (
                admission.admit(&plain, &limits).unwrap(),
                admission.admit(&mapped, &limits).unwrap(),
            );
            for again in [&plain, &mapped] {
                assert!(
                    matches!(
                        admission.admit(again, &limits),
                        Err(Refusal::TooManyOfClient)
                    ),
                    "{again:?}"
                );
            }
            let other = admission.admit(&address("192.0.2.2"), &limits).unwrap();
            drop(one);
            let three = admission.admit(&plain, &limits).unwrap();
            assert!(matches!(
                admission.admit(&plain, &limits),
                Err(Refusal::TooManyOfClient)
            ));
            drop((two, three, other));
            let open = admission.connections.open();
            assert_eq!(
                (open.all, open.by_client.len()),
                (0, 0),
                "and nothing is left of those that went"
            );
        }
    }

    #[test]
    fn with_ipv6_the_addresses_of_a_network_are_one_client() {
        let (admission, limits) = (Admission::new(1), limits(9, 1));
        let first = admission.admit(&address("2001:db8::1"), &limits);
        let again = admission.admit(&address("2001:db8::2:0:0:1"), &limits);
        assert!(matches!(again, Err(Refusal::TooManyOfClient)));
        assert!(
            admission
                .admit(&address("2001:db8:0:1::1"), &limits)
                .is_ok()
        );
        drop(first);
        assert!(admission.admit(&address("2001:db8::2"), &limits).is_ok());
    }

    #[test]
    fn the_limit_of_all_is_of_all_and_one_that_was_refused_takes_no_place() {
        let (admission, limits) = (Arc::new(Admission::new(1)), limits(3, 2));
        let first = admission.admit(&address("192.0.2.1"), &limits).unwrap();
        let _second = admission.admit(&address("192.0.2.1"), &limits).unwrap();
        assert!(matches!(
            admission.admit(&address("192.0.2.1"), &limits),
            Err(Refusal::TooManyOfClient)
        ));
        let _third = admission.admit(&address("192.0.2.2"), &limits).unwrap();
        assert!(matches!(
            admission.admit(&address("192.0.2.3"), &limits),
            Err(Refusal::TooManyConnections)
        ));
        drop(first);
        assert!(admission.admit(&address("192.0.2.3"), &limits).is_ok());
    }

    #[test]
    fn without_a_limit_every_connection_is_admitted() {
        let (admission, limits) = (Arc::new(Admission::new(1)), limits(0, 0));
        let open: Vec<_> = (0..100)
            .map(|_| admission.admit(&address("192.0.2.1"), &limits))
            .collect();
        assert!(open.iter().all(Result::is_ok));
    }

    #[test]
    fn limits_may_change_while_connections_are_open() {
        let admission = Arc::new(Admission::new(1));
        let client = address("192.0.2.1");
        let before = admission.admit(&client, &limits(0, 0)).unwrap();
        let limited = limits(2, 1);
        let counted = admission.admit(&client, &limited).unwrap();
        assert!(matches!(
            admission.admit(&client, &limited),
            Err(Refusal::TooManyConnections)
        ));
        // It came when nothing was counted for its client.
        drop(before);
        assert!(matches!(
            admission.admit(&client, &limited),
            Err(Refusal::TooManyOfClient)
        ));
        drop(counted);
        assert!(admission.admit(&client, &limited).is_ok());
    }

    #[test]
    fn a_connection_counts_for_the_client_that_was_announced() {
        let admission = Arc::new(Admission::new(1));
        let (balancer, client) = (address("10.0.0.1"), address("192.0.2.1"));
        let limits = limits(0, 1);
        let mut first = admission.admit(&balancer, &limits).unwrap();
        assert!(admission.admit(&balancer, &limits).is_err());
        first.charge_to(&client, &limits).unwrap();
        let mut second = admission.admit(&balancer, &limits).unwrap();
        let refused = second.charge_to(&client, &limits);
        assert!(matches!(refused, Err(Refusal::TooManyOfClient)));
        let still = admission.admit(&balancer, &limits);
        assert!(still.is_err(), "it counts as before");
        drop(first);
        second.charge_to(&client, &limits).unwrap();
        drop(second);
        let open = admission.connections.open();
        assert_eq!((open.all, open.by_client.len()), (0, 0));
    }

    #[test]
    fn handshakes_have_limits_of_their_own_and_clients_without_an_address_have_none() {
        let admission = Arc::new(Admission::new(1));
        let limits = Limits {
            tls_handshakes: 3,
            tls_handshakes_per_client: 1,
            ..limits(1, 1)
        };
        let client = address("192.0.2.1");
        let connection = admission.admit(&client, &limits).unwrap();
        let handshake = admission.admit_handshake(&client, &limits).unwrap();
        assert!(admission.admit_handshake(&client, &limits).is_err());
        let local = ConnectionInfo::of_unix_socket();
        let two: Vec<_> = (0..2)
            .map(|_| admission.admit_handshake(&local, &limits).unwrap())
            .collect();
        assert!(
            admission.admit_handshake(&local, &limits).is_err(),
            "of all"
        );
        drop((connection, handshake, two));
        assert!(admission.admit_handshake(&client, &limits).is_ok());
    }
}
