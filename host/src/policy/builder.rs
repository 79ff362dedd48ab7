//! The threads that build instances beside the workers, and whose turn it is.
//!
//! Each policy pays for its builds with time: the policy that has used the least comes first, one
//! build of a policy runs at a time, and a policy that keeps losing slow instances waits until its
//! builds take no more than its share of a thread's time. One thread serves only quick builds, so
//! that these never wait for slow ones.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::deadline::thread_time;
use crate::ground;

/// Threads.
const THREADS: usize = 3;
/// Threads that may have a slow build at once.
const SLOW_AT_ONCE: usize = THREADS - 1;
/// What takes longer is slow.
const SLOW: Duration = Duration::from_millis(20);
/// A policy's builds may take this fraction (1 / SHARE) of a thread's time ...
const SHARE: u32 = 4;
/// ... beyond this, or beyond one instance for each worker and two more.
const CREDIT: Duration = Duration::from_millis(500);
/// While a policy is being loaded, its instances are not built here.
const LOADING: Duration = Duration::from_millis(20);

/// Where instances are asked for. The threads end when it is dropped.
pub(super) struct Builders {
    shared: Arc<Shared>,
    workers: u32,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: Vec<Job>,
    policies: HashMap<Arc<str>, Account>,
    slow_under_way: usize,
    closed: bool,
}

/// What has instances that are built here.
pub(super) trait Rebuild: Send + Sync {
    /// Builds one for this worker. Tells whether it was done: if not, it is tried again.
    fn rebuild(&self, worker: usize) -> bool;

    /// After `rebuild` has panicked.
    fn rebuilding_failed(&self, worker: usize);
}

/// An instance to be built.
struct Job {
    generation: Weak<dyn Rebuild>,
    policy: Arc<str>,
    worker: usize,
    /// The expected time of the build, if it is known.
    expected: Duration,
    credit: Duration,
    not_before: Instant,
}

/// The build time that a policy has used.
struct Account {
    building: bool,
    /// When the used time will be paid off.
    clear_at: Instant,
    /// What its latest build took: a guest can take its time later than at first.
    latest: Duration,
}

impl Builders {
    /// Starts the threads.
    pub(super) fn start(workers: usize) -> std::io::Result<Self> {
        let builders = Self {
            shared: Arc::new(Shared::default()),
            workers: u32::try_from(workers).unwrap_or(u32::MAX),
        };
        for _ in 0..THREADS {
            let shared = Arc::clone(&builders.shared);
            thread::Builder::new()
                .name("policy-builder".to_owned())
                .spawn(move || shared.work())?;
        }
        Ok(builders)
    }

    /// Asks for an instance for this worker, whose like took so long to build.
    pub(super) fn ask(
        &self,
        generation: Weak<dyn Rebuild>,
        policy: &Arc<str>,
        worker: usize,
        expected: Duration,
    ) {
        let job = Job {
            generation,
            policy: Arc::clone(policy),
            worker,
            expected,
            credit: CREDIT.max(expected.saturating_mul(self.workers.saturating_add(2))),
            not_before: Instant::now(),
        };
        self.shared.lock().jobs.push(job);
        self.shared.changed.notify_one();
    }
}

impl Drop for Builders {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some((job, slow)) = self.next() {
            // Of the thread, as a client is charged: on a busy machine a build may take many times
            // as long, and the policy would wait for what others do.
            let (began, used) = (Instant::now(), thread_time());
            let generation = job.generation.upgrade();
            let built = generation.as_ref().map(|generation| {
                // What goes wrong in here must not leave the others without a builder.
                ground::goes_on(|| generation.rebuild(job.worker)).unwrap_or_else(|| {
                    generation.rebuilding_failed(job.worker);
                    true
                })
            });
            // The last one to go takes its time as well: it is the policy's.
            drop(generation);
            let took = used.zip(thread_time()).map_or_else(
                || began.elapsed(),
                |(before, now)| now.saturating_sub(before),
            );
            let mut queue = self.lock();
            queue.finish(&job.policy, slow, took, Instant::now());
            if built == Some(false) {
                queue.jobs.push(Job {
                    not_before: Instant::now() + LOADING,
                    ..job
                });
            }
            drop(queue);
            self.changed.notify_all();
        }
    }

    /// The next build, and whether it is a slow one; `None` if there will be no more.
    fn next(&self) -> Option<(Job, bool)> {
        let mut queue = self.lock();
        loop {
            if queue.closed {
                return None;
            }
            let now = Instant::now();
            match queue.choose(now) {
                Ok(chosen) => return Some(queue.begin(chosen, now)),
                Err(None) => {
                    queue = self
                        .changed
                        .wait(queue)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                Err(Some(at)) => {
                    let wait = at.saturating_duration_since(now);
                    queue = self
                        .changed
                        .wait_timeout(queue, wait)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0;
                }
            }
        }
    }
}

impl Queue {
    /// The job whose turn it is, or when there may be one.
    fn choose(&mut self, now: Instant) -> Result<usize, Option<Instant>> {
        self.jobs.retain(|job| job.generation.strong_count() > 0);
        let mut chosen: Option<(Instant, usize)> = None;
        let mut soonest: Option<Instant> = None;
        for (at, job) in self.jobs.iter().enumerate() {
            let account = self.policies.get(&job.policy);
            if account.is_some_and(|account| account.building)
                || (self.is_slow(job) && self.slow_under_way >= SLOW_AT_ONCE)
            {
                continue;
            }
            let clear_at = account.map_or(now, |account| account.clear_at.max(now));
            let begins = (clear_at - job.credit.saturating_mul(SHARE).min(clear_at - now))
                .max(job.not_before);
            if begins > now {
                soonest = Some(soonest.map_or(begins, |soonest| soonest.min(begins)));
            } else if chosen.is_none_or(|(least, _)| clear_at < least) {
                chosen = Some((clear_at, at));
            }
        }
        chosen.map(|(_, at)| at).ok_or(soonest)
    }

    fn begin(&mut self, at: usize, now: Instant) -> (Job, bool) {
        let job = self.jobs.remove(at);
        let slow = self.is_slow(&job);
        self.slow_under_way += usize::from(slow);
        let account = self.policies.entry(Arc::clone(&job.policy));
        account
            .or_insert(Account {
                building: false,
                clear_at: now,
                latest: Duration::ZERO,
            })
            .building = true;
        (job, slow)
    }

    fn finish(&mut self, policy: &Arc<str>, slow: bool, took: Duration, now: Instant) {
        self.slow_under_way -= usize::from(slow);
        if let Some(account) = self.policies.get_mut(policy) {
            account.building = false;
            account.clear_at = account.clear_at.max(now) + took.saturating_mul(SHARE);
            account.latest = took;
        }
        // A quick policy without a debt needs no account.
        self.policies.retain(|_, account| {
            account.building || account.clear_at > now || account.latest >= SLOW
        });
    }

    fn is_slow(&self, job: &Job) -> bool {
        let latest = self
            .policies
            .get(&job.policy)
            .map_or(Duration::ZERO, |account| account.latest);
        job.expected.max(latest) >= SLOW
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Generation;
    use crate::policy::tests::{TestEngine, editing_guest, spec};

    const SECOND: Duration = Duration::from_secs(1);

    struct Waiting {
        queue: Queue,
        now: Instant,
        generation: Arc<Generation>,
    }

    impl Waiting {
        fn new() -> Self {
            let generation = TestEngine::new()
                .load(&spec(&editing_guest("", "", "", "")))
                .unwrap();
            Self {
                queue: Queue::default(),
                now: Instant::now(),
                generation,
            }
        }

        fn ask(&mut self, policy: &str, expected: Duration) {
            let generation = Arc::downgrade(&self.generation);
            self.queue.jobs.push(Job {
                generation,
                policy: policy.into(),
                worker: 0,
                expected,
                credit: CREDIT.max(2 * expected),
                not_before: self.now,
            });
        }

        /// Whose build begins now.
        fn begin(&mut self) -> Option<(Arc<str>, bool)> {
            let at = self.queue.choose(self.now).ok()?;
            let (job, slow) = self.queue.begin(at, self.now);
            Some((job.policy, slow))
        }
    }

    #[test]
    fn quick_builds_never_wait_for_slow_ones() {
        let mut waiting = Waiting::new();
        for policy in ["slow", "slow too", "as slow"] {
            waiting.ask(policy, 2 * SECOND);
        }
        waiting.ask("slow", 2 * SECOND);
        let begun = [waiting.begin().unwrap(), waiting.begin().unwrap()];
        assert_eq!(
            begun
                .map(|(policy, slow)| (policy.to_string(), slow))
                .map(|(_, slow)| slow),
            [true, true]
        );
        assert!(waiting.begin().is_none(), "the third thread is kept");
        waiting.ask("quick", Duration::from_millis(2));
        assert_eq!(waiting.begin(), Some(("quick".into(), false)));
    }

    #[test]
    fn a_policy_has_one_build_at_a_time_and_waits_in_proportion_to_its_use() {
        let mut waiting = Waiting::new();
        for _ in 0..8 {
            waiting.ask("greedy", 2 * SECOND);
        }
        let mut builds = 0;
        for _ in 0..3 {
            let Some((policy, slow)) = waiting.begin() else {
                break;
            };
            assert!(
                waiting.begin().is_none(),
                "two builds of one policy at once"
            );
            builds += 1;
            waiting.queue.finish(&policy, slow, 2 * SECOND, waiting.now);
        }
        assert_eq!(
            builds, 3,
            "its credit is two builds, and it had used nothing"
        );
        let soonest = waiting.queue.choose(waiting.now).unwrap_err().unwrap();
        let wait = soonest - waiting.now;
        assert!(wait > 7 * SECOND && wait < 60 * SECOND, "{wait:?}");
        // One that takes its time only after it was loaded is found out with the first build.
        waiting.ask("pretender", Duration::from_millis(1));
        assert_eq!(waiting.begin(), Some(("pretender".into(), false)));
        waiting
            .queue
            .finish(&"pretender".into(), false, 2 * SECOND, waiting.now);
        waiting.queue.jobs.clear();
        waiting.now += 60 * SECOND;
        waiting.ask("pretender", Duration::from_millis(1));
        assert_eq!(waiting.begin(), Some(("pretender".into(), true)));
    }

    #[test]
    fn the_policy_that_used_least_comes_first_and_generations_that_are_gone_never() {
        let mut waiting = Waiting::new();
        waiting.ask("used", Duration::from_millis(5));
        let (policy, slow) = waiting.begin().unwrap();
        waiting
            .queue
            .finish(&policy, slow, Duration::from_millis(5), waiting.now);
        waiting.ask("used", Duration::from_millis(5));
        waiting.ask("fresh", Duration::from_millis(5));
        assert_eq!(waiting.begin(), Some(("fresh".into(), false)));
        assert_eq!(waiting.begin(), Some(("used".into(), false)));
        waiting.ask("gone", Duration::from_millis(5));
        waiting.generation = TestEngine::new()
            .load(&spec(&editing_guest("", "", "", "")))
            .unwrap();
        assert_eq!(waiting.begin(), None);
        assert!(waiting.queue.jobs.is_empty());
    }
}
