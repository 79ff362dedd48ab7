//! Whether an endpoint is well, as its requests and its probes show.
//!
//! What is counted of each request belongs to its worker (`condition`); what follows from failures,
//! from probes and from comparing endpoints belongs to all workers (`shared`): each request reads
//! it, and only those that fail write it. `ejection` decides which endpoints of a pool may be
//! ejected, and `review` compares those of a pool beside the traffic. Policies read the result
//! through [`super::Facts`], the statistics through [`HealthReadings`]; neither changes it.

mod carried;
mod condition;
mod ejection;
mod marks;
mod review;
mod shared;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::doubt::Accuser;
use crate::stats::{HealthReading, HealthReadings, HealthState};

pub use carried::CarriedHealth;
pub(super) use condition::{Condition, microseconds};
pub use ejection::some_are_sought;
pub use marks::BackendHealth;
use marks::Marks;
pub use review::Review;
pub(super) use review::sums_are_asked_for;
use shared::Shared;
pub(super) use shared::milliseconds;

/// The health of one endpoint.
#[derive(Debug)]
pub struct Health {
    workers: Box<[Arc<Condition>]>,
    shared: Arc<Shared>,
    probes: AtomicU64,
    failed_probes: AtomicU64,
}

/// A worker's own hand on the health of an endpoint.
#[derive(Debug)]
pub(super) struct WorkerHealth {
    condition: Arc<Condition>,
    shared: Arc<Shared>,
}

impl Health {
    /// That of one that is well; `clock` is when its times begin.
    pub(super) fn new(workers: usize, clock: Instant) -> Self {
        Self {
            workers: (0..workers).map(|_| Arc::default()).collect(),
            shared: Arc::new(Shared::new(clock)),
            probes: AtomicU64::default(),
            failed_probes: AtomicU64::default(),
        }
    }

    /// To be had once for each worker, which is the one that writes what is counted.
    pub(super) fn of_worker(&self, worker: usize) -> WorkerHealth {
        WorkerHealth {
            condition: Arc::clone(&self.workers[worker]),
            shared: Arc::clone(&self.shared),
        }
    }

    /// Counts a probe.
    pub fn probed(&self, has_failed: bool) {
        self.probes.fetch_add(1, Relaxed);
        self.failed_probes.fetch_add(has_failed.into(), Relaxed);
    }

    /// Its probes fail: it gets no requests.
    pub fn goes_down(&self, reason: &str) {
        let ramps = Marks::RAMPS;
        self.shared.change(Marks::DOWN, ramps, || reason.to_owned());
    }

    /// Its probes succeed: it is neither down nor ejected.
    pub fn comes_up(&self) {
        let avoided = Marks::DOWN.and(Marks::EJECTED);
        if self.shared.marks().has(avoided) {
            self.shared.begin_slow_start(avoided.and(Marks::SOUGHT));
        }
    }

    /// It is not probed any more: whether it is up is not known.
    pub fn is_not_probed(&self) {
        if self.shared.marks().has(Marks::DOWN) {
            self.shared.begin_slow_start(Marks::DOWN);
        }
    }

    /// Whether it is ejected, and only a connection shows whether it can be reached again.
    pub fn is_sought(&self) -> bool {
        self.shared.is_sought()
    }

    /// It could not be connected to: no request tries it for so long.
    pub fn is_not_reached(&self, time: Duration) {
        self.shared.is_not_reached(time);
    }

    /// It was connected to: one request may try it.
    pub fn is_reached(&self) {
        self.shared.is_reached();
    }

    /// Nobody looks for it: when its time is over, a request tries it.
    pub fn is_not_sought(&self) {
        self.shared.is_not_sought();
    }

    /// When it was ejected last, as a number that grows with each time.
    pub fn last_ejection(&self) -> u64 {
        self.shared.ejected_at()
    }
}

impl HealthReadings for Health {
    fn by_worker(&self) -> Vec<HealthReading> {
        let read = |condition: &Arc<Condition>| HealthReading {
            in_flight: condition.in_flight(),
            latency_microseconds: condition.latency_microseconds(),
        };
        self.workers.iter().map(read).collect()
    }

    fn state(&self) -> HealthState {
        HealthState {
            probes: self.probes.load(Relaxed),
            failed_probes: self.failed_probes.load(Relaxed),
            ..self.shared.state()
        }
    }
}

impl WorkerHealth {
    /// What may be read of it from elsewhere.
    pub(super) fn known(&self) -> (Arc<Condition>, SharedHealth) {
        let shared = SharedHealth(Arc::clone(&self.shared));
        (Arc::clone(&self.condition), shared)
    }

    pub(super) fn accuser(&self) -> Option<Accuser> {
        self.shared.accuser()
    }

    /// Notes whose failure counted last.
    pub(super) fn accused_by(&self, accuser: Accuser) {
        self.shared.accused_by(accuser);
    }

    /// An attempt begins. Whether it is the one that tries an endpoint that is to be avoided: then
    /// its end is followed by [`WorkerHealth::tried`].
    #[inline]
    pub(super) fn begins(&self) -> bool {
        self.condition.begins();
        self.shared.try_it()
    }

    /// An attempt is over, which may have waited for its client.
    #[inline]
    pub(super) fn ends(&self, was_paced: bool) {
        self.condition.ends(was_paced);
    }

    /// An attempt waits for its client: it shows nothing of how long the endpoint takes.
    pub(super) fn is_paced(&self) {
        self.condition.is_paced();
    }

    /// The attempt that tried it is over.
    pub(super) fn tried(&self) {
        self.shared.tried();
    }

    /// The attempt that tried it was answered.
    pub(super) fn comes_back(&self) {
        self.shared.comes_back();
    }

    /// The attempt that tried it has failed, perhaps by the request's doing.
    pub(super) fn put_off(&self, time: Duration) {
        self.shared.put_off(time);
    }

    /// A response head arrived, this long after the request was sent, if all of it was. If that was
    /// after it was ejected, it no longer is, even if the rest fails.
    #[inline]
    pub(super) fn answered(&self, took: Option<Duration>) {
        self.condition.answered();
        if let Some(took) = took {
            self.condition.took(took);
            self.shared.answered(took);
        }
    }

    /// Whether requests should go there.
    pub(super) fn is_well(&self) -> bool {
        self.shared.is_well()
    }

    /// An attempt was given up before a response head came.
    pub(super) fn gives_up(&self) {
        self.condition.gives_up();
    }

    /// A response head did not come in so long, and is not waited for any more.
    pub(super) fn was_slow(&self, waited: Duration) {
        self.condition.took(waited);
    }

    /// Requests under way at this worker.
    pub(super) fn in_flight(&self) -> u64 {
        self.condition.in_flight()
    }

    /// A response head arrived, with a status that is a failure.
    pub(super) fn refused(&self) {
        self.condition.answered();
    }

    /// A response arrived whole.
    #[inline]
    pub(super) fn succeeded(&self) {
        self.shared.succeeded();
    }
}

/// What all workers know of an endpoint, for the choice among several.
#[derive(Debug, Clone)]
pub(super) struct SharedHealth(Arc<Shared>);

impl SharedHealth {
    /// See [`Shared::has_turn`].
    pub(super) fn has_turn(&self, salt: u32) -> bool {
        self.0.has_turn(salt)
    }

    pub(super) fn is_well(&self) -> bool {
        self.0.is_well()
    }

    /// See [`Shared::is_whole`].
    #[inline]
    pub(super) fn is_whole(&self) -> bool {
        self.0.is_whole()
    }

    /// See [`Shared::is_likely`].
    pub(super) fn is_likely(&self) -> bool {
        self.0.is_likely()
    }

    /// Failures since the last success.
    pub(super) fn failures(&self) -> u32 {
        self.0.failures()
    }

    pub(super) fn state(&self) -> BackendHealth {
        self.0.marks().state()
    }
}
