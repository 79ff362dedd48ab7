//! The listeners of the process: which are open, and which another configuration needs.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::certificates::ListenerCertificates;
use super::intake::{KERNEL_SPREADS, Opened, Opening};
use super::passed::PassedSockets;
use super::place::Place;
use super::unix_socket::{self, Identity, SocketFile};
use super::workers::{Hands, hand_out_all};
use crate::config::{Config, ListenAddress};
use crate::proxy::{Listening, Sockets};

/// The listeners that are open, in the order of the configuration.
#[derive(Debug, Default)]
pub(super) struct OpenListeners {
    all: Vec<OpenListener>,
}

#[derive(Debug)]
struct OpenListener {
    known: KnownListener,
    /// Where clients connect, with the real port in place of port 0.
    address: ListenAddress,
    /// Removed when the listener closes.
    file: Option<SocketFile>,
    /// Hands connections out, where the kernel does not spread them.
    acceptor: Option<AbortHandle>,
}

impl OpenListener {
    fn number(&self) -> usize {
        self.known.listening.sockets.number()
    }
}

/// What another configuration is compared with.
#[derive(Debug, Clone)]
pub(super) struct KnownListener {
    place: Place,
    listening: Arc<Listening>,
}

impl KnownListener {
    /// The address as it is configured, unless it is a path.
    pub(super) fn tcp(&self) -> Option<SocketAddr> {
        self.place.tcp()
    }
}

/// The listeners of another configuration.
#[derive(Debug)]
pub(super) struct NextListeners(Vec<Next>);

#[derive(Debug)]
enum Next {
    /// The socket of the one that was at this position.
    Kept(usize, KnownListener),
    New(KnownListener, Opened),
}

/// What the listeners of another configuration are made from.
pub(super) struct Wanted<'a> {
    pub known: &'a [KnownListener],
    /// What the known ones are served with.
    pub certificates: &'a ListenerCertificates,
    pub config: &'a Config,
    /// The same of the others.
    pub next_certificates: &'a ListenerCertificates,
}

impl Wanted<'_> {
    /// The listeners of the configuration, those that are new bound to their addresses, unless they
    /// are among those that were passed to this process.
    ///
    /// # Errors
    ///
    /// One can't be opened; none is open then that was not.
    pub(super) fn open(&self, passed: &mut PassedSockets) -> Result<NextListeners> {
        let kept = self.kept();
        let listeners = &self.config.listeners;
        let own: Vec<Place> = self.own().into_iter().chain(passed.places()).collect();
        let mut opened = self
            .opening(&own)
            .open(listeners, &missing(&kept), passed)?;
        let places = Place::all(listeners);
        let mut all = Vec::with_capacity(listeners.len());
        for (number, place) in places.into_iter().enumerate() {
            all.push(match kept[number] {
                Some(at) => Next::Kept(at, self.kept_listener(at, number, place)),
                None => {
                    let Some(at) = opened.iter().position(|o| o.number == number) else {
                        continue;
                    };
                    let mut opened = opened.swap_remove(at);
                    let by_worker = std::mem::take(&mut opened.by_worker);
                    let sockets = Arc::new(Sockets::new(by_worker));
                    let listening = Arc::new(self.listening(number, sockets));
                    Next::New(KnownListener { place, listening }, opened)
                }
            });
        }
        Ok(NextListeners(all))
    }

    /// Whether they could be opened.
    pub(super) fn probe(&self) -> Result<()> {
        let own = self.own();
        self.opening(&own)
            .probe(&self.config.listeners, &missing(&self.kept()))
    }

    fn own(&self) -> Vec<Place> {
        self.known.iter().map(|known| known.place.clone()).collect()
    }

    fn opening<'o>(&self, own: &'o [Place]) -> Opening<'o> {
        Opening {
            workers: self.config.workers,
            kernel_spreads: KERNEL_SPREADS,
            own,
        }
    }

    /// For each listener of the configuration, the position of the one that has its socket.
    fn kept(&self) -> Vec<Option<usize>> {
        let mut taken = vec![false; self.known.len()];
        let places = Place::all(&self.config.listeners);
        let kept = |place: &Place| {
            let mut known = self.known.iter().enumerate();
            let (at, _) = known.find(|(at, k)| !taken[*at] && k.place == *place)?;
            taken[at] = true;
            Some(at)
        };
        places.iter().map(kept).collect()
    }

    fn kept_listener(&self, at: usize, number: usize, place: Place) -> KnownListener {
        let known = &self.known[at];
        let is_same = known.listening.listener == self.config.listeners[number]
            && self
                .certificates
                .is_as_before(at, self.next_certificates, number);
        let listening = match is_same {
            true => Arc::clone(&known.listening),
            false => Arc::new(self.listening(number, Arc::clone(&known.listening.sockets))),
        };
        KnownListener { place, listening }
    }

    fn listening(&self, number: usize, sockets: Arc<Sockets>) -> Listening {
        let listener = self.config.listeners[number].clone();
        let certificates = self.next_certificates;
        let acceptor = certificates.acceptor(number);
        Listening::new(listener, sockets, acceptor, certificates.http_challenges())
    }
}

/// The socket of a listener for its settings of now.
fn kept(known: KnownListener, former: OpenListener) -> OpenListener {
    let wanted = &known.listening.listener.address;
    let address = match wanted {
        ListenAddress::Tcp { .. } => former.address,
        ListenAddress::Unix { path, mode } => {
            if unix_socket::mode(&former.address) != Some(*mode)
                && let Some(Err(e)) = former.file.as_ref().map(|file| file.set_mode(*mode))
            {
                tracing::warn!("the mode of {} can't be changed: {e}", path.display());
            }
            wanted.clone()
        }
    };
    OpenListener {
        known,
        address,
        ..former
    }
}

fn missing(kept: &[Option<usize>]) -> Vec<usize> {
    let numbered = kept.iter().enumerate();
    let missing = numbered.filter(|(_, kept)| kept.is_none());
    missing.map(|(number, _)| number).collect()
}

impl NextListeners {
    /// As workers use them.
    pub(super) fn listening(&self) -> Vec<Arc<Listening>> {
        let listening = |next: &Next| match next {
            Next::Kept(_, known) | Next::New(known, _) => Arc::clone(&known.listening),
        };
        self.0.iter().map(listening).collect()
    }
}

impl OpenListeners {
    /// What another configuration is compared with.
    pub(super) fn known(&self) -> Vec<KnownListener> {
        self.all.iter().map(|open| open.known.clone()).collect()
    }

    /// Where clients connect.
    pub(super) fn addresses(&self) -> Vec<ListenAddress> {
        self.all.iter().map(|open| open.address.clone()).collect()
    }

    /// For each listener, the number of its sockets, its place, and what tells its file from
    /// another one at its path.
    pub(super) fn passable(&self) -> Vec<(usize, Place, Option<Identity>)> {
        let all = self.all.iter();
        all.map(|open| {
            let file = open.file.as_ref().map(SocketFile::identity);
            (open.number(), open.known.place.clone(), file)
        })
        .collect()
    }

    /// Another process accepts from the listeners with these numbers now.
    pub(super) fn hand_over(&mut self, numbers: &[usize]) {
        for open in &mut self.all {
            if numbers.contains(&open.number()) {
                open.known.listening.sockets.hand_over();
                if let Some(file) = &mut open.file {
                    file.leave();
                }
            }
        }
    }

    /// The files of Unix sockets are this process's from now on.
    pub(super) fn adopt_files(&mut self) {
        let files = self.all.iter_mut().filter_map(|open| open.file.as_mut());
        files.for_each(SocketFile::adopt);
    }

    /// Removes the files of Unix sockets: another process may listen on the paths from now on.
    pub(super) fn remove_files(&mut self) {
        self.all.iter_mut().for_each(|open| open.file = None);
    }

    /// These are open from now on, and the others close. Where the kernel does not spread
    /// connections, they are handed to `hands`. Returns the addresses that are new, and those that
    /// are gone.
    pub(super) fn follow(
        &mut self,
        next: NextListeners,
        hands: &Hands,
        stopping: &watch::Receiver<bool>,
    ) -> (Vec<ListenAddress>, Vec<ListenAddress>) {
        let mut new = Vec::new();
        let mut former: Vec<Option<OpenListener>> = std::mem::take(&mut self.all)
            .into_iter()
            .map(Some)
            .collect();
        for next in next.0 {
            let open = match next {
                Next::Kept(at, known) => {
                    let Some(former) = former.get_mut(at).and_then(Option::take) else {
                        continue;
                    };
                    kept(known, former)
                }
                Next::New(known, opened) => {
                    let number = known.listening.sockets.number();
                    new.push(opened.address.clone());
                    let acceptor = opened.shared.map(|listener| {
                        let all = hand_out_all(number, listener, hands.clone(), stopping.clone());
                        tokio::spawn(all).abort_handle()
                    });
                    OpenListener {
                        known,
                        address: opened.address,
                        file: opened.file,
                        acceptor,
                    }
                }
            };
            self.all.push(open);
        }
        let gone: Vec<OpenListener> = former.into_iter().flatten().collect();
        for acceptor in gone.iter().filter_map(|gone| gone.acceptor.as_ref()) {
            acceptor.abort();
        }
        (new, gone.iter().map(|gone| gone.address.clone()).collect())
    }
}
