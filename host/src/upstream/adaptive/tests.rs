use std::collections::VecDeque;

use super::*;

/// A backend that works on so many requests at once, each for 10 ms, and its clients.
struct Backend {
    slots: f64,
    work: f64,
    demand: usize,
    failing: f64,
    now: u64,
    counted: Counted,
}

impl Backend {
    fn new(slots: f64, demand: usize) -> Self {
        Self {
            slots,
            work: 10_000.0,
            demand,
            failing: 0.0,
            now: 0,
            counted: Counted::default(),
        }
    }

    /// So many intervals of 100 ms.
    fn run(&mut self, gradient: &mut Gradient, intervals: usize) -> usize {
        for _ in 0..intervals {
            let held = self.demand.min(gradient.limit());
            let took = self.work * (held as f64 / self.slots).max(1.0);
            let responses = held as f64 * 100_000.0 / took;
            self.counted.responses += responses as u64;
            self.counted.microseconds += (responses * took) as u64;
            self.counted.failures += (responses * self.failing) as u64;
            self.now += 100;
            let of = Use {
                held,
                is_short: self.demand > held,
            };
            let counted = self.counted;
            gradient.look(self.now, of, || counted);
        }
        gradient.limit()
    }
}

fn gradient() -> Gradient {
    Gradient::new(AdaptiveRequests::default())
}

#[test]
fn a_limit_ends_near_what_a_backend_works_on_at_once_and_stays_there() {
    for slots in [4.0, 8.0, 32.0, 200.0] {
        let (mut gradient, mut backend) = (gradient(), Backend::new(slots, 5_000));
        let soon = backend.run(&mut gradient, 100);
        // Three hours of overload are not the usual.
        for limit in [soon, backend.run(&mut gradient, 100_000)] {
            // A test of it may be under way.
            let near = (slots * 0.7) as usize..=(slots * 2.5) as usize;
            assert!(near.contains(&limit), "{slots}: {limit}");
        }
    }
}

#[test]
fn what_is_never_slow_is_not_limited_and_nothing_grows_unused() {
    let (mut gradient, mut backend) = (gradient(), Backend::new(1e6, 300));
    let limit = backend.run(&mut gradient, 50);
    assert!((300..=450).contains(&limit), "{limit}");
    assert_eq!(backend.run(&mut gradient, 1_000), limit);
    backend.demand = 1;
    assert_eq!(backend.run(&mut gradient, 1_000), limit);
    backend.demand = 5_000;
    assert_eq!(backend.run(&mut gradient, 100), 1_000, "the most");
}

#[test]
fn tests_that_a_lull_ends_take_nothing_away() {
    for busy in 1..10 {
        let (mut gradient, mut backend) = (gradient(), Backend::new(1e6, 5_000));
        backend.run(&mut gradient, 50);
        for _ in 0..500 {
            backend.demand = 5_000;
            backend.run(&mut gradient, busy);
            backend.demand = 10;
            assert_eq!(backend.run(&mut gradient, 2), 1_000, "{busy}");
        }
    }
}

#[test]
fn a_limit_follows_a_backend_that_is_slow_for_a_while() {
    let (mut gradient, mut backend) = (gradient(), Backend::new(200.0, 150));
    assert!(backend.run(&mut gradient, 100) >= 150);
    backend.slots = 8.0;
    let low = backend.run(&mut gradient, 100);
    assert!((8..=20).contains(&low), "{low}");
    backend.slots = 200.0;
    assert!(backend.run(&mut gradient, 100) >= 150);
}

#[test]
fn a_backend_whose_work_takes_longer_from_now_on_is_known_again_soon() {
    let (mut gradient, mut backend) = (gradient(), Backend::new(200.0, 150));
    backend.run(&mut gradient, 100);
    backend.work *= 4.0;
    assert!(backend.run(&mut gradient, 400) >= 150);
    // Beside traffic that the limit does not touch as well.
    backend.demand = 1;
    backend.work *= 4.0;
    backend.run(&mut gradient, 600);
    backend.demand = 150;
    assert!(backend.run(&mut gradient, 400) >= 150);
}

#[test]
fn failures_lower_it_however_quick_they_are() {
    let (mut gradient, mut backend) = (gradient(), Backend::new(200.0, 150));
    let before = backend.run(&mut gradient, 100);
    (backend.failing, backend.work) = (0.5, 100.0);
    let low = backend.run(&mut gradient, 100);
    assert!(low < 10, "{before}, {low}");
    (backend.failing, backend.work) = (0.0, 10_000.0);
    assert!(backend.run(&mut gradient, 100) >= 150);
}

#[test]
fn rules_change_and_hold() {
    let mut gradient = gradient();
    let rule = AdaptiveRequests::default();
    gradient.follow(AdaptiveRequests { least: 50, ..rule });
    assert_eq!(gradient.limit(), 50);
    gradient.follow(AdaptiveRequests { most: 20, ..rule });
    assert_eq!(gradient.limit(), 20);
}

/// A backend as it is, to the millisecond: requests wait in a queue for one of its slots. Its
/// clients send as many as the limit lets pass.
struct Queueing {
    slots: usize,
    demand: usize,
    /// What a request takes that begins at this moment, in milliseconds.
    work: fn(u64) -> u64,
    now: u64,
    /// When those that wait came.
    waiting: VecDeque<u64>,
    /// When those being worked on end and came.
    working: Vec<(u64, u64)>,
    counted: Counted,
}

impl Queueing {
    fn new(demand: usize, work: fn(u64) -> u64) -> Self {
        Self {
            slots: 8,
            demand,
            work,
            now: 0,
            waiting: VecDeque::new(),
            working: Vec::new(),
            counted: Counted::default(),
        }
    }

    /// The mean limit of so many seconds, and the responses in them.
    fn run(&mut self, gradient: &mut Gradient, seconds: u64) -> (u64, u64) {
        let (end, mut sum) = (self.now + seconds * 1_000, 0);
        let before = self.counted.responses;
        while self.now < end {
            self.now += 1;
            let (now, counted) = (self.now, &mut self.counted);
            self.working.retain(|(ends, came)| {
                if *ends <= now {
                    counted.responses += 1;
                    counted.microseconds += (now - came) * 1_000;
                }
                *ends > now
            });
            let held = self.waiting.len() + self.working.len();
            let wanted = self.demand.min(gradient.limit());
            self.waiting.extend((held..wanted).map(|_| now));
            while self.working.len() < self.slots
                && let Some(came) = self.waiting.pop_front()
            {
                self.working.push((now + (self.work)(now), came));
            }
            let held = self.waiting.len() + self.working.len();
            let of = Use {
                held,
                is_short: self.demand > held,
            };
            let counted = self.counted;
            gradient.look(now, of, || counted);
            sum += gradient.limit() as u64;
        }
        (sum / (seconds * 1_000), self.counted.responses - before)
    }
}

const COLD: fn(u64) -> u64 = |now| if now < 900 { 300 } else { 20 };
/// It takes ten times as long at first, and less and less for 20 seconds.
const WARMS_UP: fn(u64) -> u64 = |now| 20 + 180 * 20_000_u64.saturating_sub(now) / 20_000;
const QUICK_LATER: fn(u64) -> u64 = |now| if now < 60_000 { 80 } else { 20 };
const STEADY: fn(u64) -> u64 = |_| 20;

#[test]
fn a_backend_that_was_cold_has_its_limit_soon() {
    for work in [COLD, WARMS_UP, QUICK_LATER] {
        let (mut gradient, mut backend) = (gradient(), Queueing::new(200, work));
        backend.run(&mut gradient, 120);
        // Overload goes on, and does not become the usual.
        for seconds in [20, 600] {
            let (limit, _) = backend.run(&mut gradient, seconds);
            assert!((8..=18).contains(&limit), "{limit}");
        }
    }
    let (mut gradient, mut backend) = (gradient(), Queueing::new(200, COLD));
    backend.run(&mut gradient, 5);
    let (limit, _) = backend.run(&mut gradient, 5);
    assert!((8..=20).contains(&limit), "{limit}");
}

#[test]
fn work_that_takes_longer_for_good_is_told_from_a_queue() {
    let twice: fn(u64) -> u64 = |now| if now < 60_000 { 20 } else { 40 };
    let more: fn(u64) -> u64 = |now| if now < 60_000 { 20 } else { 46 };
    let four_times: fn(u64) -> u64 = |now| if now < 60_000 { 20 } else { 80 };
    for (work, takes) in [(twice, 40), (more, 46), (four_times, 80)] {
        let (mut gradient, mut backend) = (gradient(), Queueing::new(500, work));
        backend.slots = 64;
        backend.run(&mut gradient, 120);
        let (limit, responses) = backend.run(&mut gradient, 60);
        assert!((64..=130).contains(&limit), "{takes}: {limit}");
        let can_be = 64 * 60_000 / takes;
        assert!(responses * 100 >= can_be * 97, "{responses} of {can_be}");
    }
}

#[test]
fn a_test_of_the_limit_takes_next_to_nothing() {
    // One with a queue, and one without: its limit is as high as it may be.
    for (slots, places) in [(64, 64), (2_000, 1_000)] {
        let (mut gradient, mut backend) = (gradient(), Queueing::new(1_500, STEADY));
        backend.slots = slots;
        backend.run(&mut gradient, 10);
        let (_, responses) = backend.run(&mut gradient, 100);
        let can_be = places * 100 * 50;
        assert!(responses * 100 >= can_be * 98, "{responses} of {can_be}");
    }
}
