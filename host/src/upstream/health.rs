//! Whether an endpoint is well, as each worker has seen it.
//!
//! A worker judges by its own attempts, so that no request writes what another worker reads on its
//! path. Policies read the result through [`super::Facts`], the statistics through
//! [`HealthReadings`]; neither changes it.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Verdict;
use super::doubt::Accuser;
use crate::stats::{Gauge, HealthReading, HealthReadings};

/// The health of one endpoint, by worker.
#[derive(Debug)]
pub struct Health {
    workers: Box<[Arc<Condition>]>,
}

/// What one worker knows of an endpoint. The worker writes, any thread reads.
#[derive(Debug, Default)]
pub(super) struct Condition {
    /// Exchanges under way.
    in_flight: Gauge,
    /// Moving average of the time to the response head, in microseconds; 0 before the first.
    latency_microseconds: Gauge,
    /// Failures since the last success.
    consecutive_failures: Gauge,
    /// Ejected until this moment, in milliseconds since counting began, and then until it has
    /// answered; 0 if it is not.
    ejected_until: Gauge,
    /// Attempts under way that began while it was ejected.
    probing: Gauge,
}

/// A worker's own hand on the health of an endpoint: its only writer.
#[derive(Debug)]
pub(super) struct WorkerHealth {
    condition: Arc<Condition>,
    /// The client of the last failure that counted, since the endpoint answered last.
    accuser: Cell<Option<Accuser>>,
}

impl Health {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            workers: (0..workers).map(|_| Arc::default()).collect(),
        }
    }

    /// To be had once for each worker, which is the one that writes.
    pub(super) fn of_worker(&self, worker: usize) -> WorkerHealth {
        WorkerHealth {
            condition: Arc::clone(&self.workers[worker]),
            accuser: Cell::new(None),
        }
    }
}

impl HealthReadings for Health {
    fn by_worker(&self) -> Vec<HealthReading> {
        let read = |condition: &Arc<Condition>| HealthReading {
            in_flight: condition.in_flight.value(),
            latency_microseconds: condition.latency_microseconds.value(),
            consecutive_failures: condition.consecutive_failures.value(),
            ejected_until: condition.ejected_until.value(),
        };
        self.workers.iter().map(read).collect()
    }
}

impl Condition {
    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight.value()
    }

    pub(super) fn latency_microseconds(&self) -> u64 {
        self.latency_microseconds.value()
    }

    pub(super) fn consecutive_failures(&self) -> u64 {
        self.consecutive_failures.value()
    }

    /// Whether requests should go there. When an ejection's time is over, one request tries the
    /// endpoint, and the others avoid it until that one has a response. `started` is when counting
    /// began; the clock is read only for an endpoint that is ejected.
    pub(super) fn is_well(&self, started: Instant) -> bool {
        let until = self.ejected_until.value();
        until == 0
            || (self.probing.value() == 0 && started.elapsed().as_millis() >= u128::from(until))
    }
}

impl WorkerHealth {
    /// What may be read from elsewhere.
    pub(super) fn condition(&self) -> &Arc<Condition> {
        &self.condition
    }

    pub(super) fn accuser(&self) -> Option<Accuser> {
        self.accuser.get()
    }

    /// Notes whose failure counted last.
    pub(super) fn accused_by(&self, accuser: Accuser) {
        self.accuser.set(Some(accuser));
    }

    pub(super) fn exchange_begins(&self) {
        self.condition.in_flight.increment();
    }

    pub(super) fn exchange_ends(&self) {
        self.condition.in_flight.decrement();
    }

    /// Begins an attempt; whether it tries an endpoint that is ejected. If so, its end is to be
    /// followed by [`WorkerHealth::probe_ends`].
    pub(super) fn probe(&self) -> bool {
        let ejected = self.condition.ejected_until.value() != 0;
        if ejected {
            self.condition.probing.increment();
        }
        ejected
    }

    pub(super) fn probe_ends(&self) {
        self.condition.probing.decrement();
    }

    /// A response head arrived this long after the request was sent.
    pub(super) fn took(&self, took: Duration) {
        let average = self.condition.latency_microseconds.value();
        let sample = microseconds(took);
        // One eighth, as TCP smooths its round-trip time (RFC 6298 section 2).
        self.condition.latency_microseconds.set(if average == 0 {
            sample
        } else {
            (average - average / 8 + sample / 8).max(1)
        });
    }

    /// A response head arrived: the endpoint is no longer ejected, even if the rest fails.
    pub(super) fn answered(&self) {
        if self.condition.ejected_until.value() != 0 {
            self.condition.ejected_until.set(0);
        }
    }

    /// What an attempt says of the endpoint. After `max_failures` in a row (0 = never) it is
    /// ejected until `until`, in milliseconds since counting began.
    pub(super) fn judged(&self, verdict: Verdict, max_failures: u32, until: impl FnOnce() -> u64) {
        let failures = &self.condition.consecutive_failures;
        match verdict {
            Verdict::Unknown => {}
            Verdict::Well => {
                if failures.value() != 0 {
                    failures.set(0);
                    self.accuser.set(None);
                }
            }
            Verdict::Failed => {
                failures.increment();
                if max_failures > 0 && failures.value() >= u64::from(max_failures) {
                    self.condition.ejected_until.set(until());
                }
            }
        }
    }
}

/// At least 1, because 0 means no sample.
pub(super) fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros())
        .unwrap_or(u64::MAX)
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health() -> WorkerHealth {
        Health::new(1).of_worker(0)
    }

    /// Failures in a row, and until when it is ejected.
    fn state(health: &WorkerHealth) -> (u64, u64) {
        let condition = &health.condition;
        (
            condition.consecutive_failures.value(),
            condition.ejected_until.value(),
        )
    }

    #[test]
    fn failures_in_a_row_eject_and_a_response_head_ends_that() {
        let health = health();
        let judge = |verdict| health.judged(verdict, 2, || 77);
        judge(Verdict::Failed);
        judge(Verdict::Unknown);
        assert_eq!(state(&health), (1, 0), "unknown says nothing");
        judge(Verdict::Well);
        assert_eq!(state(&health), (0, 0));
        judge(Verdict::Failed);
        judge(Verdict::Failed);
        assert_eq!(state(&health), (2, 77));
        health.answered();
        assert_eq!(state(&health), (2, 0), "a head ends an ejection");
        // A head proves little: a backend that cuts one body after another is ejected again.
        judge(Verdict::Failed);
        assert_eq!(state(&health), (3, 77));
        health.answered();
        judge(Verdict::Well);
        judge(Verdict::Failed);
        assert_eq!(state(&health), (1, 0));
        for _ in 0..9 {
            health.judged(Verdict::Failed, 0, || 77);
        }
        assert_eq!(state(&health), (10, 0), "0 means never");
    }

    #[test]
    fn an_ejected_endpoint_is_well_again_for_one_request_at_a_time() {
        let (health, started) = (health(), Instant::now());
        let is_well = || health.condition.is_well(started);
        assert!(!health.probe(), "one that is well needs no probe");
        health.judged(Verdict::Failed, 1, || u64::MAX);
        assert!(!is_well());
        // Its time is over: the first moment is always past.
        health.condition.ejected_until.set(1);
        let _past = std::iter::repeat_with(Instant::now)
            .find(|now| now.duration_since(started).as_millis() > 1);
        assert!(is_well());
        assert!(health.probe());
        assert!(!is_well(), "one tries it");
        assert!(health.probe());
        health.probe_ends();
        assert!(!is_well(), "another does still");
        health.probe_ends();
        assert!(is_well(), "that said nothing, so the next may try");
        assert!(health.probe());
        health.answered();
        assert!(is_well(), "it has answered");
        health.probe_ends();
        assert!(is_well());
    }

    #[test]
    fn latency_is_smoothed() {
        let health = health();
        let average = || health.condition.latency_microseconds();
        health.took(Duration::from_micros(800));
        assert_eq!(average(), 800, "the first counts in full");
        health.took(Duration::from_micros(1_600));
        assert_eq!(average(), 900);
        health.took(Duration::ZERO);
        assert!(average() > 0, "0 stands for none so far");
    }

    #[test]
    fn statistics_read_the_health_of_each_worker() {
        let health = Health::new(2);
        let (_, two) = (health.of_worker(0), health.of_worker(1));
        two.exchange_begins();
        two.judged(Verdict::Failed, 1, || 9);
        two.took(Duration::from_micros(5));
        two.answered();
        two.judged(Verdict::Failed, 1, || 10);
        let read = |r: HealthReading| {
            let load = (r.in_flight, r.latency_microseconds);
            (load, r.consecutive_failures, r.ejected_until)
        };
        let all: Vec<_> = health.by_worker().into_iter().map(read).collect();
        assert_eq!(all, [((0, 0), 0, 0), ((1, 5), 2, 10)]);
    }
}
