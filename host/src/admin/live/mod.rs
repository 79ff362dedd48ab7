//! What happens now, and what has in the last five minutes: read from the counters that exist
//! anyway, on the control side.

mod picture;
mod sampler;
mod samples;
mod series;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{MissedTickBehavior, interval};

pub(super) use self::picture::{
    EndpointPicture, Moment, Picture, PolicyPicture, PoolPicture, Rates,
};
use self::sampler::Sampler;
use self::samples::Samples;
pub(super) use self::series::{POINTS, Point, Series, WINDOW};
use super::control::Control;

/// A picture that is not older than this serves another page as well.
const FRESH: Duration = Duration::from_millis(900);
/// Pages that may get news at a time.
pub(super) const WATCHERS: usize = 32;

/// The rates and their history.
#[derive(Debug)]
pub(super) struct Live {
    state: Mutex<State>,
    watchers: Arc<Semaphore>,
}

#[derive(Debug)]
struct State {
    sampler: Sampler,
    picture: Option<(Instant, Picture)>,
    samples: Samples,
}

/// While it is there, requests are sampled for the page.
pub(super) struct Sampling<'a>(&'a Live);

impl Drop for Sampling<'_> {
    fn drop(&mut self) {
        self.0.state().samples.end();
    }
}

impl Live {
    pub(super) fn new() -> Self {
        let state = State {
            sampler: Sampler::new(Instant::now()),
            picture: None,
            samples: Samples::default(),
        };
        Self {
            state: Mutex::new(state),
            watchers: Arc::new(Semaphore::new(WATCHERS)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has requests sampled for as long as a page gets news.
    pub(super) fn sample(&self, control: &dyn Control) -> Sampling<'_> {
        self.state().samples.begin(control);
        Sampling(self)
    }

    /// Shows what happens now.
    pub(super) fn look<T>(&self, control: &dyn Control, show: impl FnOnce(&Moment<'_>) -> T) -> T {
        let mut state = self.state();
        let State {
            sampler,
            picture,
            samples,
        } = &mut *state;
        samples.take();
        let now = Instant::now();
        picture.take_if(|(at, _)| now.duration_since(*at) >= FRESH);
        let (_, picture) = picture.get_or_insert_with(|| {
            sampler.read(control, now);
            (now, Picture::new(control, sampler))
        });
        show(&Moment {
            picture,
            series: sampler,
            samples: samples.last(),
        })
    }

    /// Something was changed: the next look is at what is then.
    pub(super) fn renew(&self) {
        self.state().picture = None;
    }

    /// Keeps the history also while no page is open: one reading for each of its points.
    pub(super) async fn keep(&self, control: Arc<dyn Control>) {
        let mut ticks = interval(WINDOW);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.state().sampler.read(&*control, Instant::now());
        }
    }

    /// The right of one page to get news; `None` if too many have it.
    pub(super) fn watch(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.watchers).try_acquire_owned().ok()
    }
}
