//! Clients that keep a limited connection waiting for them, while requests of others wait for one.
//!
//! Nothing is measured as long as no request waits. Then every sweep looks at the requests that
//! hold connections to a backend with a queue. The debt of a client is the time that the proxy
//! waited for it, less the time that its bytes pay for at the rate of `slow-client-rate`. A client
//! whose debt reaches `slow-client` is cut off, the one with the largest debt first, and no more
//! clients than requests wait. For some time after that, its other requests give way to those of
//! others, and get less time.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Timeouts;
use crate::net::{SWEEP, Slowness, Timer, Wait};
use crate::stats::PoolShard;
use crate::upstream::{WorkerEndpoint, WorkerPool};

/// A sweep later than this many milliseconds after the previous one starts from zero, because no
/// request waited in between.
const LAPSE: u64 = 10 * SWEEP.as_millis() as u64;

/// The requests of one worker that hold limited connections.
#[derive(Debug, Default)]
pub struct Holds(RefCell<Vec<Hold>>);

/// One of them.
#[derive(Debug)]
struct Hold {
    /// Of the client's connection.
    timer: Rc<Timer>,
    /// Whose connection it is.
    backend: Rc<WorkerEndpoint>,
    /// Counts those that are broken off.
    shard: Arc<PoolShard>,
    client: IpAddr,
    /// `slow-client` in milliseconds; 0 = for ever.
    patience: u64,
    /// `slow-client-rate`
    rate: u64,
    /// The time-outs of its waits for the client.
    body_read: Duration,
    send: Duration,
    /// Whether it holds the right of a slow upload as well.
    slow_place: bool,
    /// Milliseconds.
    debt: u64,
    /// When it was looked at last.
    looked: Option<u64>,
    /// What had moved by then.
    moved: u64,
    /// Whether it is being broken off.
    breaking: bool,
}

/// Who holds a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Holder<'a> {
    /// Of the client's connection.
    pub timer: &'a Rc<Timer>,
    /// The client.
    pub client: IpAddr,
    /// For how long the client may keep a read or a write waiting.
    pub timeouts: &'a Timeouts,
    /// Whether the request holds the right of a slow upload as well.
    pub slow_place: bool,
}

/// Counts a request among those that hold limited connections until it is dropped.
#[derive(Debug)]
pub(super) struct Holding<'a> {
    holds: &'a Holds,
    timer: Rc<Timer>,
}

impl<'a> Holding<'a> {
    /// From now on the request that waits by this timer holds a connection to the backend; `None`
    /// where these are not limited.
    pub(super) fn begin(
        holds: &'a Holds,
        holder: Holder<'_>,
        pool: &WorkerPool,
        backend: &Rc<WorkerEndpoint>,
    ) -> Option<Self> {
        backend.places()?;
        let timer = holder.timer;
        let hold = Hold {
            timer: Rc::clone(timer),
            backend: Rc::clone(backend),
            shard: Arc::clone(&pool.shard),
            client: holder.client,
            patience: u64::try_from(pool.topology.slow_client.as_millis()).unwrap_or(u64::MAX),
            rate: pool.topology.slow_client_rate.max(1),
            body_read: holder.timeouts.body_read,
            send: holder.timeouts.send,
            slow_place: holder.slow_place,
            debt: 0,
            looked: None,
            moved: 0,
            breaking: false,
        };
        timer.moved.broken_off.set(None);
        let mut all = holds.0.borrow_mut();
        timer.hold.set(all.len());
        all.push(hold);
        drop(all);
        Some(Self {
            holds,
            timer: Rc::clone(timer),
        })
    }
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        // A wait that was dropped in its middle leaves its mark.
        self.timer.disarm(Wait::Presence);
        let mut all = self.holds.0.borrow_mut();
        let at = self.timer.hold.get();
        let hold = all.swap_remove(at);
        if let Some(moved) = all.get(at) {
            moved.timer.hold.set(at);
        }
        if hold.breaking
            && let Some(places) = hold.backend.places()
        {
            places.broken_off();
        }
    }
}

impl Holds {
    /// Looks at those that others wait for, and breaks off those that were slow for too long.
    pub fn sweep(&self, now: u64) {
        let mut all = self.0.borrow_mut();
        let mut slow: Vec<(u64, usize, Slowness)> = Vec::new();
        for (at, hold) in all.iter_mut().enumerate() {
            if hold
                .backend
                .places()
                .is_some_and(|places| places.is_wanted(hold.slow_place))
            {
                let slowness = hold.look(now);
                slow.extend(slowness.map(|slowness| (hold.debt, at, slowness)));
            }
        }
        slow.sort_unstable_by_key(|(debt, ..)| std::cmp::Reverse(*debt));
        for (_, at, slowness) in slow {
            all[at].break_off(slowness);
        }
    }
}

impl Hold {
    /// In which way the client has been slow for too long.
    fn look(&mut self, now: u64) -> Option<Slowness> {
        let patience = |wait: Wait| match wait {
            Wait::ClientRead => self.body_read,
            _ => self.send,
        };
        let (timer, slowness) = (&self.timer, self.timer.slowness(patience));
        let gap = self
            .looked
            .replace(now)
            .map_or(u64::MAX, |looked| now.saturating_sub(looked));
        let begins = gap > LAPSE;
        // Clients are not charged for a delay of the worker itself.
        let took = gap.min(2 * SWEEP.as_millis() as u64);
        let unsent = timer.moved.unsent.get();
        if slowness.is_some_and(|(slowness, _)| slowness == Slowness::Takes)
            && unsent.is_none()
            && !begins
        {
            // Asked, and not yet noted.
            timer.ask();
            return None;
        }
        let moved = timer.moved.arrived(unsent.unwrap_or(0));
        let progress = moved.saturating_sub(self.moved);
        self.moved = moved;
        self.debt = match slowness {
            // Less than the whole debt, because the client's bytes may not have been read yet.
            Some((_, since)) if begins => since
                .map_or(0, |since| now.saturating_sub(since))
                .min(self.patience().saturating_sub(1)),
            Some(_) => {
                (self.debt + took).saturating_sub(progress.saturating_mul(1_000) / self.rate)
            }
            None => self.debt.saturating_sub(took),
        };
        timer.ask();
        let enough = self.patience > 0 && self.debt >= self.patience();
        slowness.map(|(slowness, _)| slowness).filter(|_| enough)
    }

    /// How much debt the client may have, in milliseconds: a suspect the less, the more requests
    /// wait.
    fn patience(&self) -> u64 {
        match self.backend.places() {
            Some(places) if places.is_suspect(self.client) => {
                let part = 4 * (1 + places.pressure() as u64);
                (self.patience / part).max(SWEEP.as_millis() as u64)
            }
            _ => self.patience,
        }
    }

    fn break_off(&mut self, slowness: Slowness) {
        let Some(places) = self.backend.places() else {
            return;
        };
        if !self.breaking {
            if !places.break_off(self.client) {
                return;
            }
            self.breaking = true;
            self.shard.slow_clients.increment();
        }
        self.timer.break_off(slowness);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::sync::Notify;

    use super::*;
    use crate::net::Timers;
    use crate::stats::Stats;
    use crate::upstream::{Endpoint, Places, Registry};

    const PATIENCE: Duration = Duration::from_secs(60);
    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    /// A request that may owe two seconds, at 1,000 bytes a second.
    fn hold(timers: &Timers) -> Hold {
        let address = ([127, 0, 0, 1], 1).into();
        let endpoint = Endpoint {
            places: Some(Arc::new(Places::new(1, &Arc::new(Notify::new())))),
            ..Endpoint::new(address, &"a.test".into(), &Registry::new(1))
        };
        let backend = WorkerEndpoint::new(&endpoint, &Stats::new(1), 0);
        Hold {
            timer: timers.register(),
            backend: Rc::new(backend),
            shard: Arc::default(),
            client: CLIENT,
            patience: 2_000,
            rate: 1_000,
            body_read: PATIENCE,
            send: PATIENCE,
            slow_place: false,
            debt: 0,
            looked: None,
            moved: 0,
            breaking: false,
        }
    }

    #[test]
    fn waits_for_a_client_that_sends_are_its_debt_and_bytes_pay_it_back() {
        let timers = Timers::new();
        let mut hold = hold(&timers);
        let timer = Rc::clone(&hold.timer);
        timers.arm(&timer, Wait::ClientRead, PATIENCE);
        assert_eq!(
            (hold.look(900), hold.debt),
            (None, 900),
            "from the beginning of the wait"
        );
        assert_eq!((hold.look(950), hold.debt), (None, 950));
        assert_eq!(
            (hold.look(1_350), hold.debt),
            (None, 1_050),
            "being late is no client's doing"
        );
        timer.moved.read.set(500);
        assert_eq!(
            (hold.look(1_400), hold.debt),
            (None, 600),
            "500 bytes are half a second"
        );
        assert_eq!((hold.look(1_450), hold.debt), (None, 650), "and count once");
        timer.moved.read.set(100_000);
        assert_eq!(
            (hold.look(1_500), hold.debt),
            (None, 0),
            "nothing is saved up"
        );
        timer.disarm(Wait::ClientRead);
        hold.debt = 80;
        assert_eq!(
            (hold.look(1_550), hold.debt),
            (None, 30),
            "nobody waits for it"
        );
        assert_eq!((hold.look(1_600), hold.debt), (None, 0));
    }

    #[test]
    fn enough_debt_is_found_at_the_second_look_at_the_earliest() {
        let timers = Timers::new();
        let mut hold = hold(&timers);
        timers.arm(&hold.timer, Wait::ClientRead, PATIENCE);
        assert_eq!((hold.look(30_000), hold.debt), (None, 1_999));
        assert_eq!(hold.look(30_050), Some(Slowness::Sends));
        hold.patience = 0;
        assert_eq!(hold.look(30_100), None, "0 = for ever");
        hold.patience = 2_000;
        assert_eq!(
            (hold.look(31_000), hold.debt),
            (None, 1_999),
            "after a lapse it begins anew"
        );
    }

    #[test]
    fn acknowledged_bytes_count_and_not_those_that_the_socket_took() {
        let timers = Timers::new();
        let mut hold = hold(&timers);
        let timer = Rc::clone(&hold.timer);
        timers.arm(&timer, Wait::ClientWrite, PATIENCE);
        timer.moved.written.set(50_000);
        assert_eq!(
            (hold.look(9_000), hold.debt),
            (None, 0),
            "nothing is known of the time before"
        );
        assert!(timer.moved.asked.get());
        assert_eq!(
            (hold.look(9_050), hold.debt),
            (None, 0),
            "asked, and not yet noted"
        );
        let mut look = |now, unsent| {
            timer.moved.unsent.set(Some(unsent));
            (hold.look(now), hold.debt)
        };
        assert_eq!(look(9_100, 50_000), (None, 50));
        assert_eq!(look(9_150, 50_000), (None, 100));
        assert_eq!(look(9_200, 49_900), (None, 50), "100 bytes arrived");
        for now in (9_250..11_150).step_by(50) {
            assert_eq!(look(now, 49_900).0, None, "{now}");
        }
        assert_eq!(look(11_150, 49_900), (Some(Slowness::Takes), 2_000));
    }

    #[test]
    fn a_client_that_hides_counts_as_slow_only_while_it_is_watched() {
        let timers = Timers::new();
        let mut hold = hold(&timers);
        let timer = Rc::clone(&hold.timer);
        let mut look = |now, hidden| {
            timer.moved.hidden.set(hidden);
            hold.look(now);
            hold.debt
        };
        assert_eq!(
            (look(1_000, true), look(1_050, true)),
            (0, 0),
            "it is not watched"
        );
        timer.watch(Wait::Presence);
        assert_eq!((look(1_100, true), look(1_150, true)), (50, 100));
        assert_eq!(look(1_200, false), 50);
    }

    #[test]
    fn a_suspect_may_owe_less_the_more_requests_wait() {
        let timers = Timers::new();
        let hold = hold(&timers);
        assert_eq!(hold.patience(), 2_000);
        let places = hold.backend.places().unwrap();
        let mut waiting: Vec<_> = (0..4)
            .map(|_| Box::pin(hold.backend.wait(9, CLIENT)))
            .collect();
        let place = hold.backend.place();
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(waiting[0].as_mut().poll(&mut cx).is_pending());
        assert!(places.break_off(CLIENT));
        assert_eq!(hold.patience(), 2_000 / 8);
        waiting[1..]
            .iter_mut()
            .for_each(|w| assert!(w.as_mut().poll(&mut cx).is_pending()));
        assert_eq!(hold.patience(), 2_000 / 20);
        drop((waiting, place));
        assert_eq!(hold.patience(), 2_000 / 4);
    }
}
