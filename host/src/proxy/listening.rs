//! A listener as a snapshot has it: its sockets, and what becomes of the connections.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use super::challenges::HttpChallenges;
use super::entry::Entry;
use crate::config::Listener;
use crate::net::StdListener;
use crate::net::tls::Acceptor;

/// How many sockets there have been.
static NUMBERS: AtomicUsize = AtomicUsize::new(0);

/// A listener as it is published. Another one with the same sockets stands for the same listener
/// after its settings have changed.
pub struct Listening {
    /// As it is configured.
    pub listener: Listener,
    /// Its sockets.
    pub sockets: Arc<Sockets>,
    tls: Option<Acceptor>,
    challenges: Option<HttpChallenges>,
}

/// The sockets of a listener. Each worker takes its own once.
#[derive(Debug)]
pub struct Sockets {
    number: usize,
    by_worker: Mutex<Vec<Vec<StdListener>>>,
    /// Another process accepts from them now.
    handed_over: AtomicBool,
}

impl Listening {
    /// One with TLS needs an acceptor; see [`Entry::new`].
    pub fn new(
        listener: Listener,
        sockets: Arc<Sockets>,
        tls: Option<Acceptor>,
        challenges: Option<HttpChallenges>,
    ) -> Self {
        Self {
            listener,
            sockets,
            tls,
            challenges,
        }
    }

    /// What a worker does with its connections.
    pub fn entry(&self) -> Entry {
        Entry::new(&self.listener, self.tls.clone(), self.challenges.clone())
    }
}

impl Sockets {
    /// With the sockets of each worker: usually one; several after an upgrade to fewer workers, and
    /// none where an acceptor hands connections out.
    pub fn new(by_worker: Vec<Vec<StdListener>>) -> Self {
        Self {
            number: NUMBERS.fetch_add(1, Relaxed),
            by_worker: Mutex::new(by_worker),
            handed_over: AtomicBool::new(false),
        }
    }

    /// Never given twice.
    pub fn number(&self) -> usize {
        self.number
    }

    /// The sockets of a worker, if it has not taken them.
    pub fn take(&self, worker: usize) -> Vec<StdListener> {
        let mut all = self
            .by_worker
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.get_mut(worker).map(std::mem::take).unwrap_or_default()
    }

    /// Another process accepts from them: what waits in their queues is that process's.
    pub fn hand_over(&self) {
        self.handed_over.store(true, Relaxed);
    }

    /// Whether another process accepts from them.
    pub fn is_handed_over(&self) -> bool {
        self.handed_over.load(Relaxed)
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listening")
            .field("address", &self.listener.address)
            .finish_non_exhaustive()
    }
}
