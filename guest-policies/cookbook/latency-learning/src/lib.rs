//! Learns from the requests that are over which backends are quick, and chooses the better of two.
//!
//! Use it where backends differ, or slow down and recover. Each request that ends teaches the
//! worker that served it: the latency of its backend counts at once if it is worse than what was
//! known (the peak), and little by little if it is better. A failure counts as a latency of
//! `penalty`. What is known is forgotten with time, so that a backend that was slow is tried again,
//! and has its share when it is quick again. Of two random backends the one with the less to wait
//! for takes the request: its latency times the requests that it has in flight, by weight.
//!
//! ```toml
//! [policies.quick.settings]
//! decay = 10.0          # seconds in which two thirds of what was learned are forgotten
//! penalty = 1.0         # seconds that a failed request counts for
//! ```

use std::time::Duration;

use serde::Deserialize;
use waypost_policy::{Chosen, RequestFailure, clock, prelude::*, random};

/// What is told of a backend that nothing is known of: it is tried before others.
const UNKNOWN: f64 = 1.0;

struct LatencyLearning {
    decay: f64,
    penalty: f64,
    pools: Pools<Vec<Learned>>,
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
    10.0
}

fn penalty() -> f64 {
    1.0
}

/// What is known of a backend.
#[derive(Clone)]
struct Learned {
    address: String,
    weight: u32,
    /// Microseconds, as of `at`.
    latency: f64,
    /// Nanoseconds of the monotonic clock.
    at: u64,
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
        let learned = backends.iter().map(|backend| {
            // What stays is not learned again.
            let known = former.iter().find(|known| known.address == backend.address);
            let (latency, at) = known.map_or((0.0, 0), |known| (known.latency, known.at));
            Learned {
                address: backend.address.clone(),
                weight: backend.weight,
                latency,
                at,
            }
        });
        self.pools.keep(pool.id, learned.collect());
    }
}

impl Select for LatencyLearning {
    fn select(&mut self, _request: &Request, attempt: &Attempt) -> Decision {
        let Some(pool) = self.pools.at(attempt.pool) else {
            return Decision::Pass;
        };
        let count = pool.len() as u32;
        let usable = |backend: &u32| attempt.is_usable(*backend);
        if count > 1 {
            let (one, other) = draw_two(count);
            if usable(&one) && usable(&other) {
                return self.better(pool, one, other).into();
            }
        }
        let left: Vec<u32> = (0..count).filter(usable).collect();
        match left.as_slice() {
            [] => Decision::Pass,
            [only] => Decision::Backend(*only),
            _ => {
                let (one, other) = draw_two(left.len() as u32);
                self.better(pool, left[one as usize], left[other as usize])
                    .into()
            }
        }
    }
}

impl Completed for LatencyLearning {
    fn completed(&mut self, _request: &Request, outcome: &Outcome) {
        let now = clock::monotonic_nanoseconds();
        let (decay, penalty) = (self.decay, self.penalty);
        let Some(pool) = self.pools.at_mut(outcome.pool) else {
            return;
        };
        let mut learn = |backend: u32, latency: f64| {
            if let Some(learned) = pool.get_mut(backend as usize) {
                learned.learn(latency, now, decay);
            }
        };
        // One attempt is nearly every request, and of that there is no list to ask for.
        let is_only = outcome.attempts <= 1;
        let failed = if is_only {
            Vec::new()
        } else {
            outcome.failed()
        };
        for past in &failed {
            self.failures.count();
            learn(past.backend, penalty);
        }
        let Chosen::Backend(backend) = outcome.backend else {
            return;
        };
        let known = outcome.latency.or(outcome.first_byte.filter(|_| is_only));
        if has_failed(outcome) {
            if !failed.iter().any(|past| past.backend == backend) {
                self.failures.count();
                learn(backend, penalty.max(known.map_or(0.0, microseconds)));
            }
        } else if let Some(latency) = known {
            learn(backend, microseconds(latency));
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
    fn better(&self, pool: &[Learned], one: u32, other: u32) -> u32 {
        let now = clock::monotonic_nanoseconds();
        let wait = |backend: u32| {
            let learned = &pool[backend as usize];
            let latency = learned.latency_at(now, self.decay).max(UNKNOWN);
            let queue = f64::from(facts::in_flight(backend)) + 1.0;
            latency * queue / f64::from(learned.weight.max(1))
        };
        if wait(one) <= wait(other) { one } else { other }
    }
}

impl Learned {
    /// What is left of what was learned.
    fn latency_at(&self, now: u64, decay: f64) -> f64 {
        self.latency * (-(now.saturating_sub(self.at) as f64) / decay).exp()
    }

    fn learn(&mut self, latency: f64, now: u64, decay: f64) {
        let known = self.latency_at(now, decay);
        let kept = known / self.latency.max(UNKNOWN);
        self.latency = match latency >= known {
            // A peak counts at once ...
            true => latency,
            // ... and a better one by the time that has passed, but by a tenth at least.
            false => {
                let part = (1.0 - kept).max(0.1);
                known + (latency - known) * part
            }
        };
        self.at = now;
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

    fn shares(policy: &mut TestPolicy<LatencyLearning>) -> [u32; 2] {
        let mut shares = [0; 2];
        for _ in 0..200 {
            match policy.select(&testing::get("/")) {
                Decision::Backend(backend) => shares[backend as usize] += 1,
                other => panic!("{other:?}"),
            }
        }
        shares
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
        assert_eq!(shares(&mut policy), [200, 0]);
        // It is worth a queue of twenty.
        pool.set_in_flight(0, 18);
        assert_eq!(shares(&mut policy), [200, 0]);
        pool.set_in_flight(0, 21);
        assert_eq!(shares(&mut policy), [0, 200]);
        pool.set_in_flight(0, 0);
        // The first is measured again and again, and the second is forgotten.
        for _ in 0..40 {
            host.advance(Duration::from_secs(1));
            hear(&mut policy, answered(0, 5));
        }
        assert_eq!(shares(&mut policy), [0, 200], "it is tried again");
        hear(&mut policy, answered(1, 100));
        assert_eq!(
            shares(&mut policy),
            [200, 0],
            "one answer says that it is slow still"
        );
    }

    #[test]
    fn failures_count_as_long_ones_and_those_of_clients_and_policies_do_not() {
        let (host, _pool, mut policy) = two();
        let failed = |backend, failure| Outcome {
            failure: Some(failure),
            latency: None,
            first_byte: None,
            status: None,
            ..answered(backend, 0)
        };
        hear(&mut policy, answered(0, 5));
        hear(&mut policy, answered(1, 50));
        hear(&mut policy, failed(0, RequestFailure::Client));
        hear(&mut policy, failed(0, RequestFailure::Policy));
        assert_eq!(
            (shares(&mut policy), host.counted("failures")),
            ([200, 0], 0)
        );
        hear(&mut policy, failed(0, RequestFailure::Timeout));
        assert_eq!(
            (shares(&mut policy), host.counted("failures")),
            ([0, 200], 1)
        );
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
        assert_eq!(shares(&mut policy), [200, 0]);
        let left = Outcome {
            backend: Chosen::Left,
            ..answered(0, 900)
        };
        hear(&mut policy, left);
        assert_eq!(
            shares(&mut policy),
            [200, 0],
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
