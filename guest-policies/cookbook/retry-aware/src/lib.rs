//! Avoids slow and failing backends, and makes the second attempt in another zone than the first.
//!
//! Use it where zones fail as a whole: a rack, a data centre, a bad release that is rolled out zone
//! by zone. A backend that failed a request since its last success, or is several times slower than
//! the fastest, gets requests only if nobody else is left, and one first attempt in 64, which does
//! not look at that: only by a request can it show that it is well again. After `attempts` the
//! client is told to come back instead of making a bad moment worse.
//!
//! ```toml
//! [policies.careful.settings]
//! label = "zone"          # the label that says where a backend is
//! slow = 4.0              # so many times the latency of the fastest is slow
//! attempts = 3            # how many the policy makes; then 503
//! retry-after = 5         # seconds, told with the 503
//! ```

use serde::Deserialize;
use waypost_policy::{prelude::*, random};

/// Once in so many first attempts a backend is taken however slow it was and whatever failed.
const EXPLORE_ONE_IN: u32 = 64;

struct RetryAware {
    options: Options,
    pools: Pools<Vec<Option<String>>>,
    elsewhere: Counter,
    given_up: Counter,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Options {
    label: String,
    slow: f64,
    attempts: u32,
    retry_after: u32,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            label: "zone".to_owned(),
            slow: 4.0,
            attempts: 3,
            retry_after: 5,
        }
    }
}

impl Configure for RetryAware {
    fn configure(settings: Settings) -> Result<Self, String> {
        let options: Options = settings.parse()?;
        if options.slow < 1.0 {
            return Err(format!(
                "slow: {} would make the fastest backend a slow one; 1 is the least",
                options.slow
            ));
        }
        if options.attempts == 0 {
            return Err("attempts: has to be 1 at least".to_owned());
        }
        let (elsewhere, given_up) = (Counter::define("elsewhere")?, Counter::define("given_up")?);
        Ok(RetryAware {
            options,
            pools: Pools::default(),
            elsewhere,
            given_up,
        })
    }
}

impl Topology for RetryAware {
    fn backends_changed(&mut self, pool: &Pool, backends: &[Backend]) {
        let zone = |backend: &Backend| backend.label(&self.options.label).map(str::to_owned);
        self.pools
            .keep(pool.id, backends.iter().map(zone).collect());
    }
}

impl Select for RetryAware {
    fn select(&mut self, _request: &Request, attempt: &Attempt) -> Decision {
        let Options {
            attempts,
            retry_after,
            slow,
            ..
        } = self.options;
        if attempt.number > attempts {
            self.given_up.count();
            let busy = Response::new(503).field("retry-after", retry_after.to_string());
            return busy
                .text(format!("Please try again in {retry_after} s.\n"))
                .into();
        }
        let Some(zones) = self.pools.at(attempt.pool) else {
            return Decision::Pass;
        };
        let usable: Vec<u32> = (0..zones.len() as u32)
            .filter(|backend| attempt.is_usable(*backend))
            .collect();
        let measured = usable
            .iter()
            .map(|backend| facts::latency_microseconds(*backend))
            .filter(|time| *time > 0);
        let limit = measured
            .min()
            .map_or(f64::INFINITY, |fastest| fastest as f64 * slow);
        let is_well = |backend: &u32| {
            facts::consecutive_failures(*backend) == 0
                && facts::latency_microseconds(*backend) as f64 <= limit
        };
        let zone = |backend: u32| zones.get(backend as usize).and_then(Option::as_deref);
        let is_elsewhere = |backend: &u32| {
            let own = zone(*backend);
            own.is_none()
                || attempt
                    .failed()
                    .iter()
                    .all(|past| zone(past.backend) != own)
        };
        // Not with a request that has failed once already.
        let explores = attempt.number == 1 && random::below(EXPLORE_ONE_IN) == 0;
        // The wishes, from all of them to none: another zone counts for more than speed.
        let wishes: [(bool, bool); 4] =
            [(true, true), (true, false), (false, true), (false, false)];
        let choice = wishes.into_iter().find_map(|(elsewhere, well)| {
            let fits = |backend: &u32| {
                (!elsewhere || is_elsewhere(backend)) && (!well || explores || is_well(backend))
            };
            attempt.least_busy(&usable.iter().copied().filter(fits).collect::<Vec<_>>())
        });
        if attempt.number > 1 && choice.as_ref().is_some_and(is_elsewhere) {
            self.elsewhere.count();
        }
        choice.into()
    }
}

waypost_policy::export!(RetryAware: Configure, Topology, Select);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use waypost_policy::testing::{self, Host};

    use super::*;

    #[test]
    fn the_second_attempt_goes_elsewhere() {
        let host = Host::new();
        let pool = host.pool(
            "web",
            ["a", "a", "b"].map(|zone| Backend::new("10.0.0.1:80").with_label("zone", zone)),
        );
        let mut policy = host.load::<RetryAware>(r#"{"retry-after": 7}"#).unwrap();
        let get = testing::get("/");
        pool.set_in_flight(2, 50);
        assert_eq!(policy.retry(&get, [0]), Decision::Backend(2));
        assert_eq!(
            policy.retry(&get, [0, 2]),
            Decision::Backend(1),
            "no zone is left, a backend is"
        );
        assert_eq!(host.counted("elsewhere"), 1);
        let Decision::Answer(refusal) = policy.retry(&get, [0, 1, 2]) else {
            panic!("it did not give up")
        };
        assert_eq!(
            (refusal.status, refusal.value("retry-after")),
            (503, Some(&b"7"[..]))
        );
        pool.set_healthy(2, false);
        assert_eq!(policy.retry(&get, [0]), Decision::Backend(1));
    }

    #[test]
    fn slow_and_failing_backends_are_the_last_resort() {
        let host = Host::new();
        let pool = host.pool(
            "web",
            (1..=3).map(|n| Backend::new(&format!("10.0.0.{n}:80"))),
        );
        let mut policy = host.load::<RetryAware>("{}").unwrap();
        pool.set_latency(0, Duration::from_millis(10));
        pool.set_latency(1, Duration::from_millis(41));
        pool.set_failures(2, 1);
        pool.set_in_flight(0, 9);
        host.draws([1, 1, 1]);
        assert_eq!(policy.select(&testing::get("/")), Decision::Backend(0));
        pool.set_healthy(0, false);
        assert_eq!(
            policy.select(&testing::get("/")),
            Decision::Backend(1),
            "now it is the fastest"
        );
        pool.set_healthy(1, false);
        assert_eq!(policy.select(&testing::get("/")), Decision::Backend(2));
    }

    #[test]
    fn who_was_slow_or_failed_is_tried_again() {
        let host = Host::new();
        let pool = host.pool(
            "web",
            (1..=3).map(|n| Backend::new(&format!("10.0.0.{n}:80"))),
        );
        let mut policy = host.load::<RetryAware>("{}").unwrap();
        pool.set_failures(0, 1);
        pool.set_latency(1, Duration::from_millis(90));
        pool.set_latency(2, Duration::from_millis(10));
        let mut chosen = [0; 3];
        for _ in 0..6400 {
            let Decision::Backend(backend) = policy.select(&testing::get("/")) else {
                panic!("no backend")
            };
            chosen[backend as usize] += 1;
        }
        assert!(
            chosen[0] > 15 && chosen[1] > 15 && chosen[2] > 6250,
            "{chosen:?}"
        );
        for _ in 0..640 {
            assert_eq!(
                policy.retry(&testing::get("/"), [0]),
                Decision::Backend(2),
                "a second attempt takes no risk"
            );
        }
    }

    #[test]
    fn mistakes_are_told() {
        let error = |settings: &str| Host::new().load::<RetryAware>(settings).unwrap_err();
        assert!(error(r#"{"slow": 0.5}"#).starts_with("slow: 0.5 would"));
        assert!(error(r#"{"attempts": 0}"#).starts_with("attempts: "));
        assert!(error(r#"{"attempts": "3"}"#).starts_with("attempts: invalid type"));
    }
}
