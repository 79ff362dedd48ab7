//! What all workers together know of an endpoint: whether requests should go to it, and why not.
//!
//! A request that goes well only reads here. Every change is rare, and made under a lock, so that
//! the marks, the state that is shown and its reason fit together.

mod ramp;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::marks::{BackendHealth, Marks, STATES};
use crate::stats::HealthState;
use crate::upstream::doubt::Accuser;

/// The whole share of the traffic.
pub(super) const FULL: u32 = 1 << 10;
/// What an endpoint has when its slow start begins: enough to be measured.
pub(super) const LEAST_SHARE: u32 = FULL / 20;

/// What all workers know of an endpoint.
#[derive(Debug)]
pub(super) struct Shared {
    clock: Instant,
    marks: AtomicU32,
    /// Failures since the last success.
    failures: AtomicU32,
    /// All failures that were held against it.
    held: AtomicU64,
    /// The next moments are in milliseconds of `clock`. Until this one it is ejected, and then
    /// until it has answered.
    ejected_until: AtomicU64,
    ejected_at: AtomicU64,
    /// How many times longer than the first the next ejection lasts.
    ejections: AtomicU32,
    /// A request tries it, although it is to be avoided.
    tried: AtomicBool,
    /// Of [`FULL`]; what the marks say so.
    share: AtomicU32,
    /// When its slow start began.
    returned_at: AtomicU64,
    /// How long that takes, in milliseconds; 0 = it has none.
    slow_start: AtomicU64,
    rest: Mutex<Rest>,
}

/// An ejection that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ejected {
    /// The time that is left of it; then one request tries the endpoint.
    pub left: Duration,
    /// How many times longer than the first it is.
    pub times: u32,
    /// Why it was.
    pub reason: String,
}

#[derive(Debug)]
struct Rest {
    /// The client of the last failure that counted since the endpoint answered last.
    accuser: Option<Accuser>,
    reasons: Vec<(Marks, String)>,
    state: BackendHealth,
    since: u64,
}

impl Shared {
    pub(super) fn new(clock: Instant) -> Self {
        let rest = Rest {
            accuser: None,
            reasons: Vec::new(),
            state: BackendHealth::Healthy,
            since: milliseconds(clock.elapsed()),
        };
        Self {
            clock,
            marks: AtomicU32::default(),
            failures: AtomicU32::default(),
            held: AtomicU64::default(),
            ejected_until: AtomicU64::default(),
            ejected_at: AtomicU64::default(),
            ejections: AtomicU32::default(),
            tried: AtomicBool::default(),
            share: AtomicU32::new(FULL),
            returned_at: AtomicU64::default(),
            slow_start: AtomicU64::default(),
            rest: Mutex::new(rest),
        }
    }

    pub(super) fn now(&self) -> u64 {
        milliseconds(self.clock.elapsed())
    }

    #[inline]
    pub(super) fn marks(&self) -> Marks {
        Marks::of_bits(self.marks.load(Relaxed))
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures.load(Relaxed)
    }

    pub(super) fn held(&self) -> u64 {
        self.held.load(Relaxed)
    }

    /// Whether requests should go there. One that is ejected may be tried by one request when its
    /// time is over.
    #[inline]
    pub(super) fn is_well(&self) -> bool {
        let marks = self.marks();
        !marks.has(Marks::AVOIDED) || self.may_be_tried(marks)
    }

    /// Whether it is well and has its whole share.
    #[inline]
    pub(super) fn is_whole(&self) -> bool {
        let marks = self.marks();
        !marks.has(Marks::AVOIDED.and(Marks::THINNED))
            || (!marks.has(Marks::AVOIDED) && self.share() == FULL)
    }

    /// Whether it may be worth a try where none is well.
    pub(super) fn is_likely(&self) -> bool {
        !self.marks().has(Marks::EJECTED.and(Marks::DOWN))
    }

    #[cold]
    fn may_be_tried(&self, marks: Marks) -> bool {
        if marks.has(Marks::DOWN) || self.tried.load(Relaxed) {
            return false;
        }
        let stays_ejected =
            marks.has(Marks::EJECTED) && self.now() < self.ejected_until.load(Relaxed);
        !stays_ejected && (!marks.has(Marks::STALLED) || marks.has(Marks::INVITES))
    }

    /// Whether it is the turn of one that has less than its whole share, which is passed over in
    /// the rest of the time. `salt` tells endpoints apart. The answer is the same for a
    /// millisecond, so that all questions of one decision agree.
    #[cold]
    pub(super) fn has_turn(&self, salt: u32) -> bool {
        let turn = (self.now() ^ u64::from(salt) << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let turn = (turn ^ turn >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        u32::try_from(turn >> 54).unwrap_or(FULL) < self.share.load(Relaxed)
    }

    /// An attempt begins; whether it is the one that tries an endpoint that is to be avoided.
    #[inline]
    pub(super) fn try_it(&self) -> bool {
        let marks = self.marks();
        marks.has(Marks::AVOIDED) && self.claim(marks)
    }

    #[cold]
    fn claim(&self, marks: Marks) -> bool {
        let claimed = self.may_be_tried(marks) && !self.tried.swap(true, Relaxed);
        if claimed {
            self.change(Marks::NONE, Marks::INVITES, String::new);
        }
        claimed
    }

    /// The attempt that tried it is over.
    pub(super) fn tried(&self) {
        self.tried.store(false, Relaxed);
    }

    /// A response head arrived; the request was sent at this moment or later.
    #[inline]
    pub(super) fn answered(&self, took: Duration) {
        if self.marks().has(Marks::EJECTED) {
            self.answered_while_ejected(took);
        }
    }

    /// The answer to a request that was sent before the ejection shows nothing.
    #[cold]
    fn answered_while_ejected(&self, took: Duration) {
        let sent = self.now().saturating_sub(milliseconds(took));
        if sent >= self.ejected_at.load(Relaxed) {
            self.comes_back();
        }
    }

    /// It is no longer ejected.
    #[cold]
    pub(super) fn comes_back(&self) {
        if self.marks().has(Marks::EJECTED) {
            self.begin_slow_start(Marks::EJECTION);
        }
    }

    /// A response arrived whole.
    #[inline]
    pub(super) fn succeeded(&self) {
        if self.failures() != 0 {
            self.forget_failures();
        }
    }

    #[cold]
    fn forget_failures(&self) {
        self.failures.store(0, Relaxed);
        self.rest().accuser = None;
        if self.marks().has(Marks::FAILING) {
            self.change(Marks::NONE, Marks::FAILING, String::new);
        }
    }

    /// A failure is held against it; how many that is in a row.
    #[cold]
    pub(super) fn failed(&self) -> u32 {
        self.held.fetch_add(1, Relaxed);
        self.failures.fetch_add(1, Relaxed).saturating_add(1)
    }

    pub(super) fn accuser(&self) -> Option<Accuser> {
        self.rest().accuser
    }

    pub(super) fn accused_by(&self, accuser: Accuser) {
        self.rest().accuser = Some(accuser);
    }

    /// Ejects it: for `base` the first time, and longer each time, up to `most`. One that is tried
    /// and fails is ejected again; else an ejection under way stays as it is. `sought` says whether
    /// a connection beside the traffic is to look for it.
    pub(super) fn eject(
        &self,
        (base, most): (Duration, Duration),
        sought: Marks,
        reason: impl FnOnce() -> String,
    ) {
        let now = self.now();
        if self.marks().has(Marks::EJECTED) && now < self.ejected_until.load(Relaxed) {
            return;
        }
        let nth = self.ejections.load(Relaxed).saturating_add(1);
        self.ejections.store(nth, Relaxed);
        let long = base.saturating_mul(nth).min(most.max(base));
        self.ejected_at.store(now, Relaxed);
        let until = now.saturating_add(milliseconds(long));
        self.ejected_until.store(until, Relaxed);
        self.change(sought, Marks::SOUGHT, String::new);
        self.change(Marks::EJECTED, Marks::RAMPS.and(Marks::FAILING), reason);
    }

    /// Whether a connection beside the traffic is to look for it.
    pub(super) fn is_sought(&self) -> bool {
        self.marks().has(Marks::SOUGHT)
    }

    /// It could not be connected to beside the traffic: no request tries it for so long from now.
    /// That is not for as long as it is away, because nobody may look for it any more.
    pub(super) fn is_not_reached(&self, time: Duration) {
        if self.marks().has(Marks::EJECTED) {
            self.change(Marks::UNREACHED, Marks::CUT_OFF, String::new);
            self.put_off(time);
        }
    }

    /// It was connected to. If it could not be before, one request may try it.
    pub(super) fn is_reached(&self) {
        if self.marks().has(Marks::UNREACHED) {
            self.ejected_until.store(self.now(), Relaxed);
        }
        self.change(Marks::NONE, Marks::SOUGHT, String::new);
    }

    /// It is not looked for any more: when its time is over, a request tries it.
    pub(super) fn is_not_sought(&self) {
        self.change(Marks::NONE, Marks::SOUGHT, String::new);
    }

    /// One that was tried has failed by what may be the request's doing: it is tried again after
    /// this time.
    #[cold]
    pub(super) fn put_off(&self, time: Duration) {
        let until = self.now().saturating_add(milliseconds(time));
        self.ejected_until.fetch_max(until, Relaxed);
    }

    /// Ends an ejection from which nothing is gained, because all others fail as well.
    pub(super) fn is_as_good_as_others(&self) {
        if self.marks().has(Marks::EJECTED) {
            self.ejections.store(0, Relaxed);
            self.change(Marks::FAILING, Marks::EJECTION, || {
                "it fails as all others of its pool do, and is not ejected".to_owned()
            });
        }
    }

    /// It was well for another interval: the next ejection is shorter.
    pub(super) fn was_well(&self) {
        if self.failures() == 0 && self.marks().has(Marks::FAILING) {
            self.change(Marks::NONE, Marks::FAILING, String::new);
        }
        let ejections = self.ejections.load(Relaxed);
        if ejections > 0 && !self.marks().has(Marks::EJECTED.and(Marks::FAILING)) {
            self.ejections.store(ejections - 1, Relaxed);
        }
    }

    /// Sets and clears marks; `reason` is why those that are set are.
    pub(super) fn change(&self, set: Marks, clear: Marks, reason: impl FnOnce() -> String) {
        let mut rest = self.rest();
        let marks = self.marks().without(clear).and(set);
        self.marks.store(marks.bits(), Relaxed);
        rest.reasons.retain(|(of, _)| !of.has(clear.and(set)));
        if set != Marks::NONE {
            rest.reasons.push((set, reason()));
        }
        if rest.state != marks.state() {
            (rest.state, rest.since) = (marks.state(), self.now());
        }
    }

    /// Goes on with an ejection of another process.
    pub(super) fn take_up(&self, ejected: &Ejected, most: Duration) {
        let until = self
            .now()
            .saturating_add(milliseconds(ejected.left.min(most)));
        self.ejections.store(ejected.times, Relaxed);
        self.ejected_at.store(self.now(), Relaxed);
        self.ejected_until.store(until, Relaxed);
        let reason = || ejected.reason.clone();
        self.change(Marks::EJECTED, Marks::RAMPS, reason);
    }

    /// The time that is left of its ejection.
    pub(super) fn left(&self) -> Duration {
        let until = self.ejected_until.load(Relaxed);
        Duration::from_millis(until.saturating_sub(self.now()))
    }

    /// How many times longer than the first its last ejection is.
    pub(super) fn times_ejected(&self) -> u32 {
        self.ejections.load(Relaxed)
    }

    /// Why it has this mark; `None` if it has not.
    pub(super) fn reason(&self, mark: Marks) -> Option<String> {
        let rest = self.rest();
        let mut all = rest.reasons.iter();
        let found = all.find(|(of, _)| of.has(mark));
        found.map(|(_, reason)| reason.clone())
    }

    /// When it was ejected last.
    pub(super) fn ejected_at(&self) -> u64 {
        self.ejected_at.load(Relaxed)
    }

    /// What is shown of it.
    pub(super) fn state(&self) -> HealthState {
        let (now, marks, rest) = (self.now(), self.marks(), self.rest());
        let left = self.ejected_until.load(Relaxed).saturating_sub(now);
        HealthState {
            state: rest.state.name(),
            reason: rest.reason().to_owned(),
            milliseconds: now.saturating_sub(rest.since),
            healthy: !marks.has(Marks::AVOIDED.and(Marks::FAILING)),
            consecutive_failures: self.failures().into(),
            ejections: self.ejections.load(Relaxed).into(),
            ejected_milliseconds: if marks.has(Marks::EJECTED) { left } else { 0 },
            probes: 0,
            failed_probes: 0,
            share_percent: u64::from(self.share()) * 100 / u64::from(FULL),
        }
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rest {
    fn reason(&self) -> &str {
        let of = |mark: Marks| self.reasons.iter().find(|(of, _)| of.has(mark));
        let shown = STATES.iter().find_map(|(mark, _)| of(*mark));
        shown.map_or("", |(_, reason)| reason)
    }
}

pub(in crate::upstream) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
