//! Learns from the requests that are over which backends are quick, and chooses the better of two.
//!
//! Use it where backends differ, or slow down and recover. Each request that ends teaches the
//! worker that served it: the latency of its backend, as a moving average, to which a failure adds
//! as if it had taken `penalty`. Of two random backends either may take the request, but the longer
//! it would wait there (latency times requests in flight, by weight), the less likely, by the
//! square. So equal backends have equal shares, and one that is twice as slow as another gets one
//! request where that one gets four.
//!
//! No backend, and no single request, counts for more than ten times what is usual in the pool (the
//! median). So even the worst has one request in a hundred to show that it is well again, and one
//! long answer costs little. Without news of a backend what was learned is forgotten: it comes
//! closer to what is usual, and the first answer after that counts for more. One that was ejected
//! gets the request that ends the ejection when the proxy allows one. So a backend has its share
//! when it is quick again, within a few times `decay`.
//!
//! ```toml
//! [policies.quick.settings]
//! decay = 1.0           # seconds in which two thirds of what was learned are forgotten
//! penalty = 1.0         # seconds that a failed request counts for, at most
//! ```

use std::time::Duration;

use serde::Deserialize;
use waypost_policy::{Chosen, RequestFailure, clock, prelude::*, random};

/// A backend counts as so many times slower than what is usual in its pool at most.
const WORST: f64 = 10.0;
/// What the last request counts for, where others have ended just before.
const SMOOTHING: f64 = 1.0 / 8.0;
/// How often what is usual is looked at, in nanoseconds.
const REVIEW: u64 = 100_000_000;

struct LatencyLearning {
    decay: f64,
    penalty: f64,
    pools: Pools<Known>,
    failures: Counter,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default = "decay")]
    decay: f64,
    #[serde(default = "penalty")]
    penalty: f64,
}

fn decay() -> f64 {
    1.0
}

fn penalty() -> f64 {
    1.0
}

/// What is known of a pool.
#[derive(Clone, Default)]
struct Known {
    backends: Vec<Learned>,
    /// The median of their latencies in microseconds; 0 before the first.
    usual: f64,
    /// When that was looked at, in nanoseconds of the monotonic clock.
    reviewed_at: u64,
}

/// What is known of a backend.
#[derive(Clone, Default)]
struct Learned {
    address: String,
    /// Its weight, as a part of the largest in the pool.
    part: f64,
    /// The average of its answers in microseconds; 0 before the first.
    latency: f64,
    /// What a request loses by those that fail, on the average, in microseconds.
    failures: f64,
    /// When the last request ended that taught something, in nanoseconds of the monotonic clock.
    at: Option<u64>,
}

impl Configure for LatencyLearning {
    fn configure(settings: Settings) -> Result<Self, String> {
        let Options { decay, penalty } = settings.parse()?;
        if !(0.001..=86_400.0).contains(&decay) {
            return Err(format!("decay: {decay} is not 0.001 to 86400 seconds"));
        }
        if !(0.0..=3_600.0).contains(&penalty) {
            return Err(format!("penalty: {penalty} is not 0 to 3600 seconds"));
        }
        Ok(LatencyLearning {
            decay: decay * 1e9,
            penalty: penalty * 1e6,
            pools: Pools::default(),
            failures: Counter::define("failures")?,
        })
    }
}

impl Topology for LatencyLearning {
    fn backends_changed(&mut self, pool: &Pool, backends: &[Backend]) {
        let former = self.pools.at(pool.id).cloned().unwrap_or_default();
        let weight = |backend: &Backend| f64::from(backend.weight.max(1));
        let largest = backends.iter().map(weight).fold(1.0, f64::max);
        let learned = backends.iter().map(|backend| {
            // What stays is not learned again.
            let mut all = former.backends.iter();
            let known = all.find(|known| known.address == backend.address);
            Learned {
                address: backend.address.clone(),
                part: weight(backend) / largest,
                ..known.cloned().unwrap_or_default()
            }
        });
        let backends = learned.collect();
        self.pools.keep(pool.id, Known { backends, ..former });
    }
}

impl Select for LatencyLearning {
    fn select(&mut self, _request: &Request, attempt: &Attempt) -> Decision {
        let Some(pool) = self.pools.at(attempt.pool) else {
            return Decision::Pass;
        };
        let count = pool.backends.len() as u32;
        let usable = |backend: &u32| attempt.is_usable(*backend);
        if count > 1 {
            let (one, other) = draw_two(count);
            if usable(&one) && usable(&other) {
                return self.better(pool, attempt, one, other).into();
            }
        }
        let left: Vec<u32> = (0..count).filter(usable).collect();
        match left.as_slice() {
            [] => Decision::Pass,
            [only] => Decision::Backend(*only),
            _ => {
                let (one, other) = draw_two(left.len() as u32);
                self.better(pool, attempt, left[one as usize], left[other as usize])
                    .into()
            }
        }
    }
}

impl Completed for LatencyLearning {
    fn completed(&mut self, _request: &Request, outcome: &Outcome) {
        let now = clock::monotonic_nanoseconds();
        let Some(pool) = self.pools.at_mut(outcome.pool) else {
            return;
        };
        let mut learn = |backend, end| pool.learn(backend, end, now, self.decay);
        // One attempt is nearly every request, and of that there is no list to ask for.
        let is_only = outcome.attempts <= 1;
        let failed = if is_only {
            Vec::new()
        } else {
            outcome.failed()
        };
        for past in &failed {
            self.failures.count();
            learn(past.backend, Err(self.penalty));
        }
        let Chosen::Backend(backend) = outcome.backend else {
            return;
        };
        let known = outcome.latency.or(outcome.first_byte.filter(|_| is_only));
        if has_failed(outcome) {
            if !failed.iter().any(|past| past.backend == backend) {
                self.failures.count();
                learn(backend, Err(self.penalty));
            }
        } else if let Some(latency) = known {
            learn(backend, Ok(microseconds(latency)));
        }
    }
}

/// Whether it is the backend that has failed.
fn has_failed(outcome: &Outcome) -> bool {
    match outcome.failure {
        Some(RequestFailure::Backend | RequestFailure::Timeout) => true,
        Some(_) => false,
        None => matches!(outcome.status, Some(500..)),
    }
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Two different numbers below `count`, which is at least 2.
fn draw_two(count: u32) -> (u32, u32) {
    let (one, other) = (random::below(count), random::below(count - 1));
    (one, if other >= one { other + 1 } else { other })
}

impl LatencyLearning {
    fn better(&self, pool: &Known, attempt: &Attempt, one: u32, other: u32) -> u32 {
        let now = clock::monotonic_nanoseconds();
        // Ejected, and usable nevertheless: one request is to show whether it is well again, but
        // not one that has failed before.
        let is_tried = |backend: &u32| {
            let news = pool.backends[*backend as usize].news(now, self.decay);
            news < 0.5 && facts::state(*backend) == facts::HealthState::Ejected
        };
        if attempt.number == 1
            && let Some(tried) = [one, other].into_iter().find(is_tried)
        {
            return tried;
        }
        let share = |backend: u32| {
            let learned = &pool.backends[backend as usize];
            let queue = f64::from(facts::in_flight(backend)) / learned.part + 1.0;
            let latency = learned.estimate(pool.usual, now, self.decay);
            learned.part / (latency * queue).powi(2)
        };
        let (one_gets, other_gets) = (share(one), share(other));
        // 53 bits are what a number from 0 to 1 has.
        let draw = (random::bits() >> 11) as f64 / (1_u64 << 53) as f64;
        match draw * (one_gets + other_gets) < one_gets {
            true => one,
            false => other,
        }
    }
}

impl Known {
    fn learn(&mut self, backend: u32, end: Result<f64, f64>, now: u64, decay: f64) {
        let Some(learned) = self.backends.get_mut(backend as usize) else {
            return;
        };
        learned.learn(end, self.usual, now, decay);
        if self.usual == 0.0 || now.saturating_sub(self.reviewed_at) >= REVIEW {
            self.reviewed_at = now;
            let all = self.backends.iter().map(|learned| learned.latency);
            let mut all: Vec<f64> = all.filter(|latency| *latency > 0.0).collect();
            all.sort_unstable_by(f64::total_cmp);
            // The lower one of the two in the middle: of two backends the quicker one.
            self.usual = all.get(all.len().saturating_sub(1) / 2).map_or(0.0, |l| *l);
        }
    }
}

impl Learned {
    /// What is left of what was learned: 1 just after a request, 0 before the first.
    fn news(&self, now: u64, decay: f64) -> f64 {
        let age = |at| now.saturating_sub(at) as f64;
        self.at.map_or(0.0, |at| (-age(at) / decay).exp())
    }

    /// What a request is to count on, in microseconds: the less is known, the more what is usual.
    fn estimate(&self, usual: f64, now: u64, decay: f64) -> f64 {
        let known = match self.latency {
            0.0 => usual,
            latency => latency,
        };
        let known = (known + self.failures).min(usual * WORST);
        (usual + (known - usual) * self.news(now, decay)).max(1.0)
    }

    /// A request ended: with an answer after so many microseconds, or with a failure that counts
    /// for so many.
    fn learn(&mut self, end: Result<f64, f64>, usual: f64, now: u64, decay: f64) {
        let part = (1.0 - self.news(now, decay)).max(SMOOTHING);
        // One request that took very long, or failed, says little about the next.
        let bounded = |time: f64| match usual {
            0.0 => time,
            usual => time.min(usual * WORST),
        };
        let failure = end.err().map_or(0.0, bounded);
        self.failures = bounded(self.failures + (failure - self.failures) * part);
        if let Ok(answer) = end {
            let answer = bounded(answer).max(1.0);
            self.latency = match bounded(self.latency) {
                0.0 => answer,
                latency => latency + (answer - latency) * part,
            };
        }
        self.at = Some(now);
    }
}

waypost_policy::export!(LatencyLearning: Configure, Topology, Select, Completed);

#[cfg(test)]
mod tests {
    use waypost_policy::testing::{self, Host, TestPolicy};

    use super::*;

    fn answered(backend: u32, milliseconds: u64) -> Outcome {
        let latency = Some(Duration::from_millis(milliseconds));
        Outcome {
            backend: Chosen::Backend(backend),
            status: Some(200),
            attempts: 1,
            first_byte: latency,
            latency,
            ..Outcome::default()
        }
    }

    fn hear(policy: &mut TestPolicy<LatencyLearning>, outcome: Outcome) {
        policy.completed(&testing::get("/"), outcome, [] as [u32; 0]);
    }

    /// Of 1000 requests.
    fn shares(policy: &mut TestPolicy<LatencyLearning>) -> [u32; 2] {
        let mut shares = [0; 2];
        for _ in 0..1_000 {
            match policy.select(&testing::get("/")) {
                Decision::Backend(backend) => shares[backend as usize] += 1,
                other => panic!("{other:?}"),
            }
        }
        shares
    }

    #[track_caller]
    fn assert_even(shares: [u32; 2]) {
        assert!(shares.iter().all(|n| *n > 400), "{shares:?}");
    }

    fn failed(backend: u32, failure: RequestFailure) -> Outcome {
        Outcome {
            failure: Some(failure),
            latency: None,
            first_byte: None,
            status: None,
            ..answered(backend, 0)
        }
    }

    fn two() -> (Host, testing::TestPool, TestPolicy<LatencyLearning>) {
        let host = Host::new();
        let pool = host.pool("web", ["10.0.0.1:80", "10.0.0.2:80"].map(Backend::new));
        let policy = host.load("{}").unwrap();
        (host, pool, policy)
    }

    #[test]
    fn a_slow_backend_gets_less_until_that_is_forgotten() {
        let (host, pool, mut policy) = two();
        hear(&mut policy, answered(0, 5));
        hear(&mut policy, answered(1, 100));
        let [quick, slow] = shares(&mut policy);
        assert!(quick > 970 && slow > 0, "{slow}: ten times is the most");
        pool.set_in_flight(0, 9);
        assert_even(shares(&mut policy));
        pool.set_in_flight(0, 0);
        // The first is measured again and again, and the second is forgotten.
        for _ in 0..5 {
            host.advance(Duration::from_secs(1));
            hear(&mut policy, answered(0, 5));
        }
        assert_even(shares(&mut policy));
        hear(&mut policy, answered(1, 100));
        assert!(shares(&mut policy)[1] < 30, "one answer says: slow still");
        host.advance(Duration::from_secs(5));
        hear(&mut policy, answered(1, 5));
        assert_even(shares(&mut policy));
    }

    #[test]
    fn an_answer_that_took_long_takes_little_of_the_share() {
        let (_host, _pool, mut policy) = two();
        for _ in 0..2 {
            hear(&mut policy, answered(0, 5));
            hear(&mut policy, answered(1, 5));
        }
        hear(&mut policy, answered(1, 3_000));
        let [_, slow] = shares(&mut policy);
        assert!((100..350).contains(&slow), "{slow}");
        for _ in 0..20 {
            hear(&mut policy, answered(1, 5));
        }
        assert_even(shares(&mut policy));
    }

    #[test]
    fn a_backend_that_returns_has_its_share_at_once() {
        let (host, pool, mut policy) = two();
        hear(&mut policy, answered(0, 5));
        hear(&mut policy, answered(1, 5));
        for _ in 0..40 {
            hear(&mut policy, failed(1, RequestFailure::Backend));
        }
        assert!(shares(&mut policy)[1] < 30, "it fails");
        pool.set_healthy(1, false);
        assert_eq!(shares(&mut policy), [1_000, 0]);
        host.advance(Duration::from_secs(5));
        hear(&mut policy, answered(0, 5));
        // Its time is over.
        pool.set_healthy(1, true);
        pool.set_state(1, facts::HealthState::Ejected);
        assert_eq!(shares(&mut policy), [0, 1_000], "the next request tries it");
        pool.set_state(1, facts::HealthState::Healthy);
        hear(&mut policy, answered(1, 5));
        assert_even(shares(&mut policy));
    }

    #[test]
    fn after_all_have_failed_the_first_to_answer_does_not_take_all() {
        let (host, _pool, mut policy) = two();
        for backend in [0, 1] {
            hear(&mut policy, answered(backend, 5));
            hear(&mut policy, failed(backend, RequestFailure::Backend));
        }
        assert_even(shares(&mut policy));
        host.advance(Duration::from_secs(3));
        hear(&mut policy, answered(0, 5));
        let [_, other] = shares(&mut policy);
        assert!(other > 250, "{other}");
        hear(&mut policy, answered(1, 5));
        assert_even(shares(&mut policy));
    }

    #[test]
    fn what_failed_before_anything_was_answered_is_not_held_against_it_for_long() {
        let (host, _pool, mut policy) = two();
        for backend in [0, 1] {
            hear(&mut policy, failed(backend, RequestFailure::Backend));
        }
        assert_even(shares(&mut policy));
        host.advance(Duration::from_secs(1));
        for _ in 0..20 {
            hear(&mut policy, answered(0, 5));
            hear(&mut policy, answered(1, 5));
        }
        assert_even(shares(&mut policy));
    }

    #[test]
    fn equals_share_by_weight() {
        let host = Host::new();
        let weights = [("10.0.0.1:80", 1), ("10.0.0.2:80", 4)];
        let backends = weights.map(|(address, weight)| Backend {
            weight,
            ..Backend::new(address)
        });
        let pool = host.pool("web", backends);
        let mut policy = host.load("{}").unwrap();
        let [light, _] = shares(&mut policy);
        assert!((150..250).contains(&light), "{light}");
        // Each has what it can bear.
        pool.set_in_flight(0, 5);
        pool.set_in_flight(1, 20);
        let [light, _] = shares(&mut policy);
        assert!((150..250).contains(&light), "{light}");
    }

    #[test]
    fn failures_count_as_long_ones_and_those_of_clients_and_policies_do_not() {
        let (host, _pool, mut policy) = two();
        hear(&mut policy, answered(0, 5));
        hear(&mut policy, answered(1, 5));
        hear(&mut policy, failed(0, RequestFailure::Client));
        hear(&mut policy, failed(0, RequestFailure::Policy));
        assert_even(shares(&mut policy));
        assert_eq!(host.counted("failures"), 0);
        hear(&mut policy, failed(0, RequestFailure::Timeout));
        assert!(shares(&mut policy)[0] < 250);
        assert_eq!(host.counted("failures"), 1);
        let quick = Outcome {
            status: Some(503),
            ..answered(1, 1)
        };
        hear(&mut policy, quick);
        assert_eq!(
            host.counted("failures"),
            2,
            "a quick 503 is no quick answer"
        );
        let retried = Outcome {
            attempts: 2,
            ..answered(1, 4)
        };
        policy.completed(&testing::get("/"), retried, [0]);
        assert_eq!(host.counted("failures"), 3);
    }

    #[test]
    fn what_is_known_of_a_backend_stays_when_others_come_and_go() {
        let (_host, pool, mut policy) = two();
        hear(&mut policy, answered(0, 100));
        hear(&mut policy, answered(1, 5));
        let list = ["10.0.0.2:80", "10.0.0.1:80"].map(Backend::new);
        pool.change(&mut policy, list);
        assert!(shares(&mut policy)[0] > 970);
        let left = Outcome {
            backend: Chosen::Left,
            ..answered(0, 900)
        };
        hear(&mut policy, left);
        assert!(
            shares(&mut policy)[0] > 970,
            "of one that has left nothing is learned"
        );
        pool.set_healthy(0, false);
        assert_eq!(policy.select(&testing::get("/")), Decision::Backend(1));
        assert_eq!(policy.retry(&testing::get("/"), [1]), Decision::Pass);
    }

    #[test]
    fn mistakes_are_told() {
        let error = |settings: &str| Host::new().load::<LatencyLearning>(settings).unwrap_err();
        assert!(error(r#"{"decay": 0}"#).starts_with("decay: 0 is not"));
        assert!(error(r#"{"penalty": -1}"#).starts_with("penalty: -1 is not"));
        assert!(error(r#"{"decay": "1"}"#).starts_with("decay: invalid type"));
    }
}
