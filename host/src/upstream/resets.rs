//! Resets of streams that ended early, paced as an endpoint can bear.

use std::any::Any;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep};

/// How many resets an endpoint gets at once, and how long it has peace after each further one. Many
/// servers take more than 20 at once for an attack.
const BURST: u32 = 16;
const PAUSE: Duration = Duration::from_millis(5);

/// What is left of streams that ended early, until the endpoint can bear to learn of it.
#[derive(Default)]
pub(super) struct Resets {
    left: VecDeque<Box<dyn Any>>,
    /// From when on there is no debt of pauses.
    free_at: Option<Instant>,
}

impl Resets {
    /// Takes what holds a stream. Comes back if it may be dropped now, which resets the stream.
    pub(super) fn add(&mut self, left: Box<dyn Any>, now: Instant) -> Option<Box<dyn Any>> {
        if self.left.is_empty() && self.may_send(now) {
            return Some(left);
        }
        self.left.push_back(left);
        None
    }

    fn may_send(&mut self, now: Instant) -> bool {
        let free_at = self.free_at.filter(|free_at| *free_at > now).unwrap_or(now);
        if free_at.duration_since(now) >= PAUSE * BURST {
            return false;
        }
        self.free_at = Some(free_at + PAUSE);
        true
    }
}

/// Sends resets that wait, one after each pause.
pub(super) fn poll_resets(
    resets: &RefCell<Resets>,
    cx: &mut Context<'_>,
    pause: &mut Option<Pin<Box<Sleep>>>,
) {
    while !resets.borrow().left.is_empty() {
        if poll_timer(pause, PAUSE, cx).is_pending() {
            return;
        }
        *pause = None;
        // Dropped here, and not while it is borrowed.
        let first = resets.borrow_mut().left.pop_front();
        drop(first);
    }
}

/// Waits so long from the first time.
pub(super) fn poll_timer(
    timer: &mut Option<Pin<Box<Sleep>>>,
    patience: Duration,
    cx: &mut Context<'_>,
) -> Poll<()> {
    let timer = timer.get_or_insert_with(|| Box::pin(sleep(patience)));
    timer.as_mut().poll(cx)
}

impl fmt::Debug for Resets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resets")
            .field("left", &self.left.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_resets_is_sent_at_once_and_more_as_time_passes() {
        let (mut resets, now) = (Resets::default(), Instant::now());
        let mut at_once = |at: Instant| resets.add(Box::new(()), at).is_some();
        assert_eq!((0..100).filter(|_| at_once(now)).count(), 16);
        // Those that wait come first.
        assert!(!at_once(now + PAUSE * 1_000));
        let mut resets = Resets::default();
        for n in 0..100 {
            assert!(
                resets.may_send(now + PAUSE * n),
                "{n}: one after each pause"
            );
        }
    }
}
