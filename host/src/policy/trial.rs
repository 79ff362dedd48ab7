//! A generation on trial: asked beside the active one, or in its place for a share of the requests.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::answer::BackendFacts;
use super::generation::Generation;
use super::seat::Seat;
use crate::stats::{Decisions, TrialShard};

/// The longest that a shadow may run: nobody waits for its answer, but a request waits for its end.
const SHADOW_DEADLINE: Duration = Duration::from_millis(50);
/// Shares are counted in ten-thousandths.
pub const WHOLE: u32 = 10_000;
/// So many differences are kept from the beginning, where they are new ...
const FIRST: usize = 20;
/// ... and so many of the latest.
const LATEST: usize = 30;
/// After the first, one sample in this time: a shadow that always differs must not cost a lock for each request.
const SAMPLE_EVERY: Duration = Duration::from_millis(100);

/// What a candidate is to the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is asked as well; its answers are compared and dropped.
    Shadow,
    /// It decides a share of the requests.
    Canary(Stickiness),
}

/// What a request's generation is chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stickiness {
    /// The client's address: a client stays with its generation, also while the share grows.
    #[default]
    Client,
    /// Each request by lot.
    Request,
}

/// A generation on trial, shared by all workers.
#[derive(Debug)]
pub struct Trial {
    /// The candidate.
    pub generation: Arc<Generation>,
    /// What it is to the traffic.
    pub mode: Mode,
    /// When the trial began.
    pub began: SystemTime,
    /// What each worker counted.
    pub shards: Vec<Arc<TrialShard>>,
    share: AtomicU32,
    samples: Mutex<Samples>,
}

/// One decision on which the generations differed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// When it was made.
    pub time: SystemTime,
    /// The hook.
    pub hook: &'static str,
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
    /// A trial that begins now, with this share of the requests in ten-thousandths.
    pub fn new(generation: Arc<Generation>, mode: Mode, share: u32, workers: usize) -> Self {
        let pools = generation.pools();
        let shard = || {
            let shard = TrialShard::default();
            shard.candidate.decisions.get_or_init(|| Decisions::new(pools.iter().map(|p| (p.id, p.backends.len()))));
            Arc::new(shard)
        };
        Self {
            shards: (0..workers).map(|_| shard()).collect(),
            generation,
            mode,
            began: SystemTime::now(),
            share: AtomicU32::new(share.min(WHOLE)),
            samples: Mutex::default(),
        }
    }

    /// The share of the requests, in ten-thousandths.
    pub fn share(&self) -> u32 {
        self.share.load(Relaxed)
    }

    /// Changes the share, for requests that begin from now on.
    pub fn set_share(&self, share: u32) {
        self.share.store(share.min(WHOLE), Relaxed);
    }

    /// Whether a request takes part; `lot` is a random number.
    pub fn takes(&self, client: IpAddr, lot: impl FnOnce() -> u32) -> bool {
        let number = match self.mode {
            Mode::Canary(Stickiness::Client) => client_number(self.generation.name(), client),
            Mode::Canary(Stickiness::Request) | Mode::Shadow => lot(),
        };
        number % WHOLE < self.share()
    }

    /// A worker's seat at the candidate.
    pub fn seat(&self, worker: usize, facts: Arc<dyn BackendFacts>) -> Seat {
        let seat = Seat::adopt(Arc::clone(&self.generation), worker, facts, Arc::clone(&self.shards[worker].candidate));
        match self.mode {
            Mode::Shadow => seat.with_deadline_of_at_most(SHADOW_DEADLINE),
            Mode::Canary(_) => seat,
        }
    }

    /// Keeps a difference as a sample, if it is time for one and nobody reads them just now.
    pub fn differed(&self, sample: impl FnOnce() -> Sample) {
        let Ok(mut samples) = self.samples.try_lock() else { return };
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
        samples.first.iter().chain(&samples.latest).cloned().collect()
    }
}

/// A number that belongs to this client, and is another one for another policy: the clients of two canaries are not
/// the same ones.
fn client_number(policy: &str, client: IpAddr) -> u32 {
    let mut hasher = DefaultHasher::new();
    (policy, client).hash(&mut hasher);
    (hasher.finish() >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_spread_evenly_and_by_policy() {
        let client = |n: u32| IpAddr::from(n.to_be_bytes());
        let below = |policy: &str, share: u32| -> Vec<u32> {
            (0..10_000).filter(|n| client_number(policy, client(*n)) % WHOLE < share).collect()
        };
        let (five, ten) = (below("a", 500), below("a", 1_000));
        assert!((400..600).contains(&five.len()), "{}", five.len());
        assert!(five.iter().all(|n| ten.contains(n)), "who is in stays in while the share grows");
        assert_ne!(five, below("b", 500));
    }
}
