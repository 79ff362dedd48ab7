//! The cost of failed calls: which client pays for it, and when clients are paused and hooks
//! suspended.
//!
//! A failed call costs its time and that of a new instance. As long as that is little of the
//! worker's time, nothing happens: a new instance is built and decides the next request. The cost
//! is charged to the client whose request failed. A client that costs more than its share is
//! *paused*: for a while its requests get the policy's failure answer without a call, and those of
//! all others are decided by the policy. A hook is *suspended*, for all clients, only if many of
//! them together cost more than the budget that the worker has for faults. After that, clients that
//! still have a debt have to wait until the hook's debt is paid, so that they can't prevent its
//! recovery.
//!
//! One worker does not know of the others'. Nothing here is looked at while all is well, but one
//! flag.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::stats::HOOKS;

/// Faults of one client may cost this part of a worker's time: one in twenty ...
const CLIENT_SHARE: u64 = 20;
/// ... and faults of all clients in one hook one in five.
const HOOK_SHARE: u64 = 5;
/// The debt at which a client is paused, or four missed deadlines if those are more.
const CLIENT_DEBT: Duration = Duration::from_millis(50);
const DEADLINES: u32 = 4;
/// The most time that a call takes beyond its deadline.
pub(super) const BEYOND: Duration = Duration::from_millis(5);
/// As many clients as these have to owe as much as they may before a hook is suspended.
const CLIENTS: u64 = 5;
/// The longest pause, of a client or a hook.
const LONGEST: Duration = Duration::from_secs(30);
/// Clients that are remembered, as a number of sets and the clients of a set. A client with less
/// debt makes room for one with more.
const SETS: usize = 256;
const WAYS: usize = 4;

/// One worker's patience with one generation of a policy. Times are nanoseconds since `origin`.
#[derive(Debug)]
pub(super) struct Breaker {
    /// Whether some calls must not be made: the only thing that a call looks at while all is well.
    armed: bool,
    /// Until then, at the latest.
    armed_until: u64,
    origin: Instant,
    /// The debt at which a client is paused.
    client_debt: u64,
    hooks: [Account; HOOKS],
    clients: Option<Box<Clients>>,
}

/// A debt that is paid back with time.
#[derive(Debug, Default, Clone, Copy)]
struct Account {
    /// When it will have been paid back.
    clear_at: u64,
    /// Until then no call is made.
    until: u64,
}

/// Clients with a debt, by a keyed hash of their address. The debt of a client in one hook counts
/// in all of them, because they share an instance.
#[derive(Debug)]
struct Clients {
    hasher: RandomState,
    sets: Box<[[(u64, Account); WAYS]; SETS]>,
}

/// Why a call is not made, and for how much longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// The hook is suspended.
    Suspended(Duration),
    /// This client is paused.
    Paused(Duration),
}

/// The consequence of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Consequence {
    /// Nothing.
    None,
    /// The client is paused for this time.
    Pause(Duration),
    /// The hook is suspended for this time.
    Suspension(Duration),
}

impl Breaker {
    /// For a policy whose calls have this deadline.
    pub(super) fn new(deadline: Duration) -> Self {
        let client_debt = CLIENT_DEBT.max(DEADLINES * deadline.saturating_add(BEYOND));
        Self {
            armed: false,
            armed_until: 0,
            origin: Instant::now(),
            client_debt: nanoseconds(client_debt),
            hooks: Default::default(),
            clients: None,
        }
    }

    /// Whether [`Self::refuses`] has to be asked before a call.
    #[inline]
    pub(super) fn is_armed(&self) -> bool {
        self.armed
    }

    /// Why no call of this hook is to be made for this client, if it is one's.
    #[cold]
    pub(super) fn refuses(&mut self, hook: usize, client: Option<IpAddr>) -> Option<Refused> {
        self.refuses_at(hook, client, self.now())
    }

    /// A call of this hook for this client, if it is one's, failed and cost this much.
    #[cold]
    pub(super) fn charge(
        &mut self,
        hook: usize,
        client: Option<IpAddr>,
        cost: Duration,
    ) -> Consequence {
        self.charge_at(hook, client, nanoseconds(cost), self.now())
    }

    fn now(&self) -> u64 {
        nanoseconds(self.origin.elapsed())
    }

    fn refuses_at(&mut self, hook: usize, client: Option<IpAddr>, now: u64) -> Option<Refused> {
        if now >= self.armed_until {
            self.armed = false;
            return None;
        }
        let of_hook = self.hooks[hook];
        let remaining = |until: u64| Duration::from_nanos(until - now);
        if of_hook.until > now {
            return Some(Refused::Suspended(remaining(of_hook.until)));
        }
        let of_client = self.clients.as_ref()?.find(client?)?;
        if of_client.until > now {
            return Some(Refused::Paused(remaining(of_client.until)));
        }
        // Suspended not long ago: those that had a part in it are the last to come back.
        let recovering = of_hook.until > 0 && of_hook.clear_at > now && of_client.clear_at > now;
        recovering.then(|| Refused::Paused(remaining(of_hook.clear_at.min(of_client.clear_at))))
    }

    fn charge_at(
        &mut self,
        hook: usize,
        client: Option<IpAddr>,
        cost: u64,
        now: u64,
    ) -> Consequence {
        // The end of the pause that this is the beginning of.
        let (mut paused, mut paused_until) = (None, 0);
        if let Some(client) = client {
            let clients = self.clients.get_or_insert_with(|| Box::new(Clients::new()));
            let of_client = clients.account(client, now);
            let was_paused = of_client.until > now;
            paused = of_client.charge(cost, CLIENT_SHARE, self.client_debt, now);
            paused = paused.filter(|_| !was_paused);
            paused_until = of_client.until;
        }
        // One client alone never suspends a hook, however expensive its calls are.
        let part = cost.min(self.client_debt);
        let of_hook = &mut self.hooks[hook];
        if of_hook.clear_at <= now {
            of_hook.until = 0;
        }
        let suspended = of_hook.charge(part, HOOK_SHARE, CLIENTS * self.client_debt, now);
        let (pause, debt) = match (paused, suspended) {
            (_, Some(pause)) => (Consequence::Suspension(pause), of_hook.clear_at),
            (Some(pause), None) => (Consequence::Pause(pause), paused_until),
            _ => return Consequence::None,
        };
        self.armed = true;
        self.armed_until = self.armed_until.max(debt);
        pause
    }
}

impl Account {
    /// Adds to the debt, of which one part in `share` of the time is paid back. If that is more
    /// than there may be, no call is made until half of it is left.
    fn charge(&mut self, cost: u64, share: u64, most: u64, now: u64) -> Option<Duration> {
        let debt = self
            .clear_at
            .saturating_sub(now)
            .saturating_add(cost.saturating_mul(share));
        let most = most.saturating_mul(share);
        let longest = nanoseconds(LONGEST);
        // Debt far beyond the limit is forgiven.
        self.clear_at = now + debt.min(2 * most.max(longest));
        if debt <= most {
            return None;
        }
        let pause = (self.clear_at - most / 2 - now).min(longest);
        self.until = now + pause;
        Some(Duration::from_nanos(pause))
    }
}

impl Clients {
    fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            sets: Box::new([[(0, Account::default()); WAYS]; SETS]),
        }
    }

    /// Never 0, which is a place that was not used yet.
    fn key(&self, client: IpAddr) -> u64 {
        // A client with one address of an IPv6 network has 2^64 of them.
        let network = match client.to_canonical() {
            IpAddr::V4(address) => u64::from(address.to_bits()),
            IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
        };
        self.hasher
            .hash_one((client.to_canonical().is_ipv4(), network))
            | 1
    }

    fn find(&self, client: IpAddr) -> Option<Account> {
        let key = self.key(client);
        let set = &self.sets[set_of(key)];
        set.iter()
            .find(|(known, _)| *known == key)
            .map(|(_, account)| *account)
    }

    fn account(&mut self, client: IpAddr, now: u64) -> &mut Account {
        let key = self.key(client);
        let set = &mut self.sets[set_of(key)];
        let at = set
            .iter()
            .position(|(known, _)| *known == key)
            .unwrap_or_else(|| {
                let owes_least = (0..WAYS).min_by_key(|at| set[*at].1.clear_at).unwrap_or(0);
                set[owes_least] = (
                    key,
                    Account {
                        clear_at: now,
                        until: 0,
                    },
                );
                owes_least
            });
        &mut set[at].1
    }
}

fn set_of(key: u64) -> usize {
    (key >> 32) as usize % SETS
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
