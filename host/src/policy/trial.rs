//! A generation on trial: asked beside the active one, or in its place for a share of the requests.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::generation::Generation;
use super::handle::PolicyHandle;
use super::hook::Hook;
use crate::config::Rollout;
use crate::stats::TrialShard;
use crate::upstream::BackendFacts;

/// The longest that a shadow may run: no request needs its answer, but one waits for its end.
const SHADOW_DEADLINE: Duration = Duration::from_millis(50);
/// Shares are counted in ten-thousandths.
pub const WHOLE: u32 = 10_000;
/// Differences that are kept from the beginning, where they are new ...
const FIRST: usize = 20;
/// ... and of the latest.
const LATEST: usize = 30;
/// After the first, one sample in this time: a shadow that always differs must not cost a lock for
/// each request.
const SAMPLE_EVERY: Duration = Duration::from_millis(100);

/// Slots for the counts of each client. Clients that share one count for less; no client can cause
/// that for another, because the hash has a key.
const SLOTS: usize = 16_384;
/// The number of requests of a client that count in any case: a fifth of the fewest that are
/// judged, and 4 at most. As failures they are within what chance explains for any number of other
/// requests, so that no client decides a verdict alone.
const EACH: u64 = 4;
/// The fewest requests that a verdict may go by; see [`Rollout::min_requests`].
pub const LEAST_JUDGED: u64 = 5;
/// The key of the hash that divides clients. The process keeps it, so that a client stays with its
/// generation when a candidate is deployed again, and no client can foresee its side.
static PARTING: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// The role of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It sees live traffic; its answers are compared and discarded.
    Shadow,
    /// It decides a share of the requests.
    Canary(Stickiness),
}

/// How a request's generation is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stickiness {
    /// The client's address: a client stays with its generation, also while the share grows.
    #[default]
    Client,
    /// A random number: each request is sampled for itself.
    Request,
}

impl Mode {
    /// What its share is a share of.
    pub fn crowd(self) -> &'static str {
        match self {
            Self::Canary(Stickiness::Client) => "clients",
            Self::Canary(Stickiness::Request) | Self::Shadow => "requests",
        }
    }
}

/// A generation on trial, shared by all workers.
#[derive(Debug)]
pub struct Trial {
    /// The candidate.
    pub generation: Arc<Generation>,
    /// Its role.
    pub mode: Mode,
    /// When the trial began.
    pub began: SystemTime,
    /// What each worker counted.
    pub shards: Vec<Arc<TrialShard>>,
    /// The names of the routes, by number.
    pub routes: Arc<[String]>,
    share: AtomicU32,
    samples: Mutex<Samples>,
    weights: Weights,
}

/// How much each client has counted.
#[derive(Debug)]
struct Weights {
    /// How many requests of each client count in any case.
    each: u32,
    /// The greatest share of the counts that a client may have once there are many.
    share: f64,
    hasher: RandomState,
    slots: Box<[AtomicU32]>,
}

/// One decision on which the generations differed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// When it was made.
    pub time: SystemTime,
    /// The hook.
    pub hook: Hook,
    /// The client's address.
    pub client: IpAddr,
    /// The request's method.
    pub method: String,
    /// The request's host.
    pub host: String,
    /// The request's path, without its query: that may hold what no log should.
    pub path: String,
    /// What the active generation decided.
    pub active: String,
    /// What the candidate would have decided.
    pub shadow: String,
}

#[derive(Debug, Default)]
struct Samples {
    first: Vec<Sample>,
    latest: VecDeque<Sample>,
    last: Option<Instant>,
}

impl Trial {
    /// A trial that begins now, with this share of the requests in ten-thousandths, to be judged by
    /// these rules; `routes` are their names.
    pub fn new(
        generation: Arc<Generation>,
        mode: Mode,
        share: u32,
        workers: usize,
        rules: &Rollout,
        routes: Arc<[String]>,
    ) -> Self {
        Self {
            shards: (0..workers).map(|_| Arc::default()).collect(),
            generation,
            mode,
            began: SystemTime::now(),
            share: AtomicU32::new(share.min(WHOLE)),
            samples: Mutex::default(),
            routes,
            weights: Weights::new(rules),
        }
    }

    /// Whether a request of this client counts, for one of the generations on this route or
    /// (`None`) on all of them, where so many count already.
    pub fn counts(&self, client: IpAddr, canary: bool, route: Option<u32>, counted: u64) -> bool {
        self.weights
            .counts((network(client), canary, route), counted)
    }

    /// The share of the requests, in ten-thousandths.
    pub fn share(&self) -> u32 {
        self.share.load(Relaxed)
    }

    /// Changes the share, for requests that begin from now on.
    pub fn set_share(&self, share: u32) {
        self.share.store(share.min(WHOLE), Relaxed);
    }

    /// Whether a request takes part; `sampled` is a random number.
    pub fn takes(&self, client: IpAddr, sampled: impl FnOnce() -> u32) -> bool {
        let number = match self.mode {
            Mode::Canary(Stickiness::Client) => client_number(self.generation.name(), client),
            Mode::Canary(Stickiness::Request) | Mode::Shadow => sampled(),
        };
        number % WHOLE < self.share()
    }

    /// A worker's handle of the candidate.
    pub fn handle(&self, worker: usize, facts: Arc<dyn BackendFacts>) -> PolicyHandle {
        let handle = PolicyHandle::adopt(
            Arc::clone(&self.generation),
            worker,
            facts,
            Arc::clone(&self.shards[worker].candidate),
        );
        match self.mode {
            Mode::Shadow => handle.with_deadline_of_at_most(SHADOW_DEADLINE),
            Mode::Canary(_) => handle,
        }
    }

    /// Keeps a difference as a sample, if it is time for one and none are being read just now.
    pub fn differed(&self, sample: impl FnOnce() -> Sample) {
        let Ok(mut samples) = self.samples.try_lock() else {
            return;
        };
        if samples.first.len() < FIRST {
            samples.first.push(sample());
            return;
        }
        let now = Instant::now();
        if samples.last.is_some_and(|last| now < last + SAMPLE_EVERY) {
            return;
        }
        samples.last = Some(now);
        if samples.latest.len() >= LATEST {
            samples.latest.pop_front();
        }
        samples.latest.push_back(sample());
    }

    /// The samples, oldest first.
    pub fn samples(&self) -> Vec<Sample> {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples
            .first
            .iter()
            .chain(&samples.latest)
            .cloned()
            .collect()
    }
}

impl Weights {
    fn new(rules: &Rollout) -> Self {
        Self {
            each: (rules.min_requests / LEAST_JUDGED).clamp(1, EACH) as u32,
            // Half of the tolerated failures, so that one client's failures always stay below the
            // limit.
            share: rules.failure_margin / 2.0,
            hasher: RandomState::new(),
            slots: (0..SLOTS).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    fn counts(&self, key: impl Hash, counted: u64) -> bool {
        let allowed = ((counted as f64 * self.share) as u32).max(self.each);
        let slot = &self.slots[self.hasher.hash_one(key) as usize % SLOTS];
        // Workers that meet here may each see the last place; only one of them gets it.
        slot.load(Relaxed) < allowed && slot.fetch_add(1, Relaxed) < allowed
    }
}

/// The addresses that one client can easily have: of IPv6 a whole network (RFC 6177).
fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

/// A number that belongs to this client, and is another one for another policy: the clients of two
/// canaries are not the same ones.
fn client_number(policy: &str, client: IpAddr) -> u32 {
    (PARTING.hash_one((policy, network(client))) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_spread_evenly_and_by_policy() {
        let client = |n: u32| IpAddr::from(n.to_be_bytes());
        let below = |policy: &str, share: u32| -> Vec<u32> {
            (0..10_000)
                .filter(|n| client_number(policy, client(*n)) % WHOLE < share)
                .collect()
        };
        let (five, ten) = (below("a", 500), below("a", 1_000));
        assert!((400..600).contains(&five.len()), "{}", five.len());
        assert!(
            five.iter().all(|n| ten.contains(n)),
            "who is in stays in while the share grows"
        );
        assert_ne!(five, below("b", 500));
    }

    #[test]
    fn no_client_counts_for_more_than_its_share() {
        let client = |n: u8| IpAddr::from([192, 0, 2, n]);
        let rules = Rollout::default();
        let weights = Weights::new(&rules);
        let admitted = |client: IpAddr, counted: u64| {
            (0..1_000)
                .filter(|_| weights.counts(client, counted))
                .count()
        };
        assert_eq!(admitted(client(1), 0), 4);
        assert_eq!(
            admitted(client(1), 199),
            0,
            "2.5 % of them are the 4 that it has had"
        );
        assert_eq!(admitted(client(1), 200), 1);
        assert_eq!(admitted(client(1), 4_000), 95);
        // One that shares its slot with another would have nothing left; that is one in 16,384.
        let fresh = (2..12).filter(|n| admitted(client(*n), 0) == 4).count();
        assert!(fresh >= 8, "{fresh} of 10");
        let each = |rules: Rollout, counted: u64| {
            let weights = Weights::new(&rules);
            (0..1_000).filter(|_| weights.counts(1, counted)).count()
        };
        assert_eq!(
            each(
                Rollout {
                    failure_margin: 0.0,
                    ..rules
                },
                u64::MAX
            ),
            4,
            "without a margin it never grows"
        );
        for (min_requests, most) in [
            (1, 1),
            (5, 1),
            (9, 1),
            (10, 2),
            (19, 3),
            (20, 4),
            (1_000, 4),
        ] {
            assert_eq!(
                each(
                    Rollout {
                        min_requests,
                        ..rules
                    },
                    0
                ),
                most,
                "{min_requests}"
            );
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(
            network(at("2001:db8:0:1::1")),
            network(at("2001:db8:0:1:ffff::2"))
        );
        assert_ne!(
            network(at("2001:db8:0:1::1")),
            network(at("2001:db8:0:2::1"))
        );
        assert_ne!(network(at("192.0.2.1")), network(at("192.0.2.2")));
        assert_eq!(
            client_number("a", at("2001:db8::1")),
            client_number("a", at("2001:db8::2"))
        );
    }
}
