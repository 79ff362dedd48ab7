//! The clients of the admin listener, and which of them makes room for the next.
//!
//! Every connection is accepted immediately: a health check must not wait behind silent clients. If
//! there are too many, in total or from one address, the one that has been idle longest is closed;
//! if none is idle, the upload that has been silent longest.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Doing {
    /// No complete head has arrived since the last answer.
    Idle = 0,
    /// The client sends a body, or waits for its turn to deploy it.
    Uploading = 1,
    /// The proxy works on the request.
    Working = 2,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Caller {
    from: IpAddr,
    doing: AtomicU8,
    /// Milliseconds since the crowd began.
    since: AtomicU64,
    began: Instant,
    leave: Notify,
}

/// All connections.
#[derive(Debug)]
pub(super) struct Crowd {
    callers: Mutex<Vec<Arc<Caller>>>,
    most: usize,
    most_of_one: usize,
    began: Instant,
}

impl Crowd {
    pub(super) fn new(most: usize, most_of_one: usize) -> Self {
        Self {
            callers: Mutex::default(),
            most,
            most_of_one,
            began: Instant::now(),
        }
    }

    /// Admits one more connection. `None` if the proxy works for all others.
    pub(super) fn enter(&self, from: IpAddr) -> Option<Arc<Caller>> {
        let from = network(from);
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if callers.iter().filter(|g| g.from == from).count() >= self.most_of_one {
            make_room(&mut callers, |caller| caller.from == from)?;
        }
        if callers.len() >= self.most {
            make_room(&mut callers, |_| true)?;
        }
        let caller = Arc::new(Caller {
            from,
            doing: AtomicU8::new(Doing::Idle as u8),
            since: AtomicU64::new(milliseconds(self.began)),
            began: self.began,
            leave: Notify::new(),
        });
        callers.push(Arc::clone(&caller));
        Some(caller)
    }

    /// Removes a connection that has ended.
    pub(super) fn left(&self, caller: &Arc<Caller>) {
        self.callers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|g| !Arc::ptr_eq(g, caller));
    }
}

/// Closes the connection that has been idle longest, or else silent longest.
fn make_room(callers: &mut Vec<Arc<Caller>>, of: impl Fn(&Caller) -> bool) -> Option<()> {
    let order = |caller: &Caller| {
        (
            caller.doing.load(Ordering::Relaxed),
            caller.since.load(Ordering::Relaxed),
        )
    };
    let may_go = callers
        .iter()
        .enumerate()
        .filter(|(_, g)| of(g) && order(g).0 < Doing::Working as u8);
    let (first, _) = may_go.min_by_key(|(_, g)| order(g))?;
    callers.remove(first).leave.notify_one();
    Some(())
}

impl Caller {
    /// Notes what the client does from now on. Each piece of an upload restarts the time.
    pub(super) fn is(&self, doing: Doing) {
        self.doing.store(doing as u8, Ordering::Relaxed);
        self.since
            .store(milliseconds(self.began), Ordering::Relaxed);
    }

    /// The client's address; of IPv6, its network.
    pub(super) fn network(&self) -> IpAddr {
        self.from
    }

    /// Completes when another connection needs the room.
    pub(super) async fn sent_away(&self) {
        self.leave.notified().await;
    }
}

/// An IPv6 client controls a network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away(caller: &Caller) -> bool {
        let mut leave = std::pin::pin!(caller.sent_away());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        leave.as_mut().poll(&mut context).is_ready()
    }

    fn from(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    #[test]
    fn the_longest_idle_goes_first_then_the_longest_silent_upload_and_none_at_work() {
        let crowd = Crowd::new(3, 3);
        let callers: Vec<_> = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
            .map(|a| crowd.enter(from(a)).unwrap())
            .into();
        // Set by hand: the clock is too coarse to tell them apart.
        for (at, caller) in callers.iter().enumerate() {
            caller.since.store(at as u64, Ordering::Relaxed);
        }
        callers[0]
            .doing
            .store(Doing::Working as u8, Ordering::Relaxed);
        callers[1]
            .doing
            .store(Doing::Uploading as u8, Ordering::Relaxed);
        let fourth = crowd.enter(from("10.0.0.4")).unwrap();
        assert_eq!(
            [away(&callers[0]), away(&callers[1]), away(&callers[2])],
            [false, false, true]
        );
        fourth.is(Doing::Working);
        let fifth = crowd.enter(from("10.0.0.5")).unwrap();
        assert!(away(&callers[1]), "the upload goes");
        fifth.is(Doing::Working);
        assert!(crowd.enter(from("10.0.0.6")).is_none(), "all are at work");
        crowd.left(&fourth);
        assert!(crowd.enter(from("10.0.0.6")).is_some());
    }

    #[test]
    fn one_address_makes_room_by_itself() {
        let crowd = Crowd::new(10, 2);
        let other = crowd.enter(from("10.0.0.9")).unwrap();
        other.since.store(0, Ordering::Relaxed);
        let first = crowd.enter(from("2001:db8::1")).unwrap();
        let second = crowd.enter(from("2001:db8::2")).unwrap();
        first.since.store(1, Ordering::Relaxed);
        second.since.store(2, Ordering::Relaxed);
        let _third = crowd.enter(from("2001:db8::3")).unwrap();
        assert_eq!([away(&other), away(&first)], [false, true]);
    }
}
