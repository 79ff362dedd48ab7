//! How many tunnels there are, of all clients and of each.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::ForwardProxy;
use crate::proxy::refusal::ForwardRefusal;
use crate::stats::WorkerShard;
use crate::upstream::network;

/// The tunnels of all workers. Touched when one begins and when it ends.
#[derive(Debug, Default)]
pub struct OpenTunnels(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// The right to one tunnel, for as long as it lives.
#[derive(Debug)]
pub(in crate::proxy) struct TunnelPlace {
    of: Arc<OpenTunnels>,
    client: IpAddr,
    shard: Arc<WorkerShard>,
    opened: bool,
}

impl OpenTunnels {
    /// The right to one more tunnel of this client.
    pub(super) fn take(
        self: &Arc<Self>,
        client: IpAddr,
        limits: &ForwardProxy,
        shard: &Arc<WorkerShard>,
    ) -> Result<TunnelPlace, ForwardRefusal> {
        // Who has one address of IPv6 has all of its network.
        let client = network(client);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_client = counts.by_client.get(&client).copied().unwrap_or_default();
        if of_client >= limits.tunnels_per_client {
            return Err(ForwardRefusal::TooManyOfClient);
        }
        if counts.all >= limits.tunnels {
            return Err(ForwardRefusal::TooManyTunnels);
        }
        counts.all += 1;
        counts.by_client.insert(client, of_client + 1);
        Ok(TunnelPlace {
            of: Arc::clone(self),
            client,
            shard: Arc::clone(shard),
            opened: false,
        })
    }
}

impl TunnelPlace {
    /// The tunnel is open.
    pub(super) fn open(&mut self) {
        self.opened = true;
        self.shard.forward.tunnels.increment();
        self.shard.forward.tunnels_active.increment();
    }

    /// It has carried so many bytes from and to its client.
    pub(in crate::proxy) fn carried(&self, (from_client, to_client): (u64, u64)) {
        let counters = &self.shard.forward;
        counters.tunnel_bytes_from_clients.add(from_client);
        counters.tunnel_bytes_to_clients.add(to_client);
    }
}

impl Drop for TunnelPlace {
    fn drop(&mut self) {
        if self.opened {
            self.shard.forward.tunnels_active.decrement();
        }
        let mut counts = self.of.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all = counts.all.saturating_sub(1);
        if let Some(of_client) = counts.by_client.get_mut(&self.client) {
            *of_client = of_client.saturating_sub(1);
            if *of_client == 0 {
                counts.by_client.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends by a panic")]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_for_each_client_and_for_all() {
        let open = Arc::new(OpenTunnels::default());
        let shard = Arc::default();
        let limits = ForwardProxy {
            allow: Vec::new(),
            authentication: None,
            tunnels: 3,
            tunnels_per_client: 2,
        };
        let take = |client: &str| open.take(client.parse().unwrap(), &limits, &shard);
        let first = take("2001:db8::1").unwrap();
        let _second = take("2001:db8::2").unwrap();
        assert_eq!(
            take("2001:db8::3").unwrap_err(),
            ForwardRefusal::TooManyOfClient
        );
        let third = take("192.0.2.1").unwrap();
        assert_eq!(
            take("192.0.2.2").unwrap_err(),
            ForwardRefusal::TooManyTunnels
        );
        drop((first, third));
        let _third = take("192.0.2.2").unwrap();
        let _again = take("2001:db8::3").unwrap();
        assert_eq!(open.0.lock().unwrap().by_client.len(), 2);
    }
}
