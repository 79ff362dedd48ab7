//! From workers to watchers: sampled requests, by a bounded queue for each of them.
//!
//! Nothing of it is in a request's path without a watcher. Workers learn at their sweeps of
//! watchers, and say so; what a watcher does not take in time is dropped and counted.

use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::sample::Sample;

/// Watchers at a time, beside the page.
pub const WATCHES: usize = 8;
/// Samples that each of them gets from a worker in a second, at most.
pub const PER_SECOND: u32 = 50;
/// The same for all pages together.
const PAGE_PER_SECOND: u32 = 5;
/// Samples that wait for one of them.
const QUEUE: usize = 256;

/// Which requests are watched. What is `None` is not looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The beginning of the name of their route.
    pub route: Option<String>,
    /// The name of their pool.
    pub pool: Option<String>,
    /// A policy of their route.
    pub policy: Option<String>,
    /// Their status.
    pub status: Option<Statuses>,
}

/// Status codes, from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statuses(u16, u16);

impl Statuses {
    /// Whether this is one of them.
    pub fn has(self, status: u16) -> bool {
        (self.0..=self.1).contains(&status)
    }
}

impl FromStr for Statuses {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        let mistake = || format!("{written:?} is no status; write one such as 503, or 5xx for all");
        if let Some(hundreds) = written.strip_suffix("xx") {
            return match hundreds.as_bytes() {
                [digit @ b'1'..=b'9'] => {
                    let first = u16::from(digit - b'0') * 100;
                    Ok(Self(first, first + 99))
                }
                _ => Err(mistake()),
            };
        }
        match (written.len(), written.parse()) {
            (3, Ok(status @ 100..=999)) => Ok(Self(status, status)),
            _ => Err(mistake()),
        }
    }
}

/// Where requests are sampled. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tap(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    watching: Mutex<Vec<Arc<Watching>>>,
    /// Grows when that changes.
    version: AtomicU64,
    /// By worker: the version that it follows.
    followed: Box<[AtomicU64]>,
}

/// A watcher, as workers see it.
#[derive(Debug)]
pub struct Watching {
    /// Which requests.
    pub wanted: Wanted,
    /// Samples that it gets from a worker in a second, at most.
    pub per_second: u32,
    is_page: bool,
    sink: mpsc::Sender<Arc<Sample>>,
    dropped: AtomicU64,
}

/// The right to watch. When it is dropped, nothing is sampled for it any more.
#[derive(Debug)]
pub struct Watch {
    tap: Tap,
    watching: Arc<Watching>,
    samples: mpsc::Receiver<Arc<Sample>>,
    /// That of the tap once workers know of it.
    version: u64,
}

impl Tap {
    /// For this many workers.
    pub fn new(workers: usize) -> Self {
        Self(Arc::new(Shared {
            watching: Mutex::default(),
            version: AtomicU64::new(0),
            followed: (0..workers).map(|_| AtomicU64::new(0)).collect(),
        }))
    }

    fn watching(&self) -> MutexGuard<'_, Vec<Arc<Watching>>> {
        self.0
            .watching
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Has such requests sampled, from when the workers know of it; `None` if too many watch.
    pub fn watch(&self, wanted: Wanted) -> Option<Watch> {
        self.add(wanted, PER_SECOND, false)
    }

    /// Has some requests sampled for the page.
    pub fn watch_for_page(&self) -> Option<Watch> {
        self.add(Wanted::default(), PAGE_PER_SECOND, true)
    }

    fn add(&self, wanted: Wanted, per_second: u32, is_page: bool) -> Option<Watch> {
        let (sink, samples) = mpsc::channel(QUEUE);
        let watching = Arc::new(Watching {
            wanted,
            per_second,
            is_page,
            sink,
            dropped: AtomicU64::new(0),
        });
        let mut all = self.watching();
        let most = if is_page { 1 } else { WATCHES };
        if all.iter().filter(|w| w.is_page == is_page).count() >= most {
            return None;
        }
        all.push(Arc::clone(&watching));
        Some(Watch {
            version: self.0.version.fetch_add(1, Ordering::Release) + 1,
            tap: self.clone(),
            watching,
            samples,
        })
    }

    /// The watchers, if they are not those of this version.
    pub fn changed_since(&self, version: u64) -> Option<(u64, Vec<Arc<Watching>>)> {
        if self.0.version.load(Ordering::Acquire) == version {
            return None;
        }
        let all = self.watching();
        Some((self.0.version.load(Ordering::Acquire), all.clone()))
    }

    /// This worker follows this version.
    pub fn follows(&self, worker: usize, version: u64) {
        if let Some(followed) = self.0.followed.get(worker) {
            followed.store(version, Ordering::Release);
        }
    }
}

impl Watching {
    /// Hands a sample over, or counts it as dropped; whether it was handed over.
    pub fn send(&self, sample: &Arc<Sample>) -> bool {
        match self.sink.try_send(Arc::clone(sample)) {
            Ok(()) => true,
            // One that has left loses nothing.
            Err(TrySendError::Closed(_)) => false,
            Err(TrySendError::Full(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }
}

impl Watch {
    /// The next sample.
    pub async fn next(&mut self) -> Option<Arc<Sample>> {
        self.samples.recv().await
    }

    /// The next sample, if there is one.
    pub fn next_now(&mut self) -> Option<Arc<Sample>> {
        self.samples.try_recv().ok()
    }

    /// Samples that were dropped so far, because they were not taken in time.
    pub fn dropped(&self) -> u64 {
        self.watching.dropped.load(Ordering::Relaxed)
    }

    /// How many workers sample for it, and how many there are.
    pub fn workers(&self) -> (usize, usize) {
        let followed = &self.tap.0.followed;
        let follows = |w: &&AtomicU64| w.load(Ordering::Acquire) >= self.version;
        (followed.iter().filter(follows).count(), followed.len())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut all = self.tap.watching();
        all.retain(|watching| !Arc::ptr_eq(watching, &self.watching));
        self.tap.0.version.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Arc<Sample> {
        Arc::new(Sample {
            time: String::new(),
            id: "".into(),
            method: "GET".into(),
            host: "a.test".into(),
            path: "/".into(),
            protocol: "HTTP/1.1",
            status: 200,
            reason: None,
            route: "".into(),
            pool: "".into(),
            backend: None,
            microseconds: 1,
            policies: Vec::new(),
            choices: Vec::new(),
            attempts: Vec::new(),
            left_out: 0,
        })
    }

    #[test]
    fn one_that_takes_nothing_loses_samples_and_the_others_none() {
        let tap = Tap::new(2);
        let slow = tap.watch(Wanted::default()).unwrap();
        let mut quick = tap.watch(Wanted::default()).unwrap();
        let (version, all) = tap.changed_since(0).unwrap();
        assert!(tap.changed_since(version).is_none());
        for _ in 0..QUEUE + 3 {
            for watching in &all {
                watching.send(&sample());
            }
            assert!(quick.next_now().is_some());
        }
        assert_eq!((slow.dropped(), quick.dropped()), (3, 0));
        assert_eq!(quick.workers(), (0, 2));
        tap.follows(1, version);
        assert_eq!(quick.workers(), (1, 2));
        drop((slow, quick));
        let (_, rest) = tap.changed_since(version).unwrap();
        assert!(rest.is_empty(), "nothing is sampled any more");
    }

    #[test]
    fn watchers_are_bounded_and_the_page_is_apart() {
        let tap = Tap::new(1);
        let mut all: Vec<_> = (0..WATCHES).map(|_| tap.watch(Wanted::default())).collect();
        assert!(all.iter().all(Option::is_some));
        assert!(tap.watch(Wanted::default()).is_none());
        let page = tap.watch_for_page();
        assert!(page.is_some() && tap.watch_for_page().is_none());
        all.pop();
        assert!(tap.watch(Wanted::default()).is_some());
    }

    #[test]
    fn a_status_is_one_or_a_hundred_of_them() {
        let has = |written: &str, status| written.parse::<Statuses>().map(|s| s.has(status));
        assert_eq!(has("503", 503), Ok(true));
        assert_eq!(has("503", 502), Ok(false));
        assert_eq!(has("5xx", 599), Ok(true));
        assert_eq!(has("4xx", 500), Ok(false));
        for wrong in [
            "", "5", "xx", "0xx", "50x", "1000", "+50", "ok", "55xx", "+5xx", "05xx",
        ] {
            assert!(wrong.parse::<Statuses>().is_err(), "{wrong}");
        }
    }
}
