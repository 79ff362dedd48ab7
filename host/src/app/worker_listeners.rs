//! The listeners of one worker, which follow the snapshots.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::sleep;

use crate::ground;
use crate::net::{Listener, SWEEP};
use crate::proxy::{
    Admission, Entries, Entry, Equipment, GRACE, Handed, Listening, Worker, accept, accept_rest,
    hand_in,
};

/// The listeners of one worker.
pub(super) struct WorkerListeners {
    worker: Rc<Worker>,
    admission: Arc<Admission>,
    open: Vec<Open>,
    /// For connections from an acceptor, where the kernel does not spread them.
    entries: Entries,
    handing: JoinHandle<()>,
}

/// A listener that is open.
struct Open {
    listening: Arc<Listening>,
    entry: Rc<Entry>,
    /// As it was before it changed, while there are connections that came by that.
    former: Vec<Rc<Entry>>,
    /// The worker's own sockets and what accepts from each; none if an acceptor hands connections
    /// in.
    own: Vec<(Rc<Listener>, JoinHandle<()>)>,
}

/// Gets copies of the sockets that a worker accepts from, by the number of their listener.
pub(super) type CopiesWanted = oneshot::Sender<Vec<(usize, OwnedFd)>>;

impl WorkerListeners {
    /// None yet.
    pub(super) fn new(
        worker: &Rc<Worker>,
        admission: Arc<Admission>,
        handed: mpsc::UnboundedReceiver<Handed>,
    ) -> Self {
        let entries = Entries::default();
        let (handed, into) = (Rc::new(RefCell::new(handed)), Rc::clone(&entries));
        let (taker, admits) = (Rc::clone(worker), Arc::clone(&admission));
        let task = move || {
            let (into, handed) = (Rc::clone(&into), Rc::clone(&handed));
            hand_in(Rc::clone(&taker), into, handed, Arc::clone(&admits))
        };
        Self {
            worker: Rc::clone(worker),
            admission,
            open: Vec::new(),
            entries,
            handing: spawn_local(async move { ground::stays("a worker's intake", task).await }),
        }
    }

    /// Opens, changes and closes what is another one than before.
    pub(super) async fn adopt(&mut self, equipment: &Equipment) {
        let mut former = std::mem::take(&mut self.open);
        for listening in &equipment.listeners {
            let is_same = |open: &Open| Arc::ptr_eq(&open.listening.sockets, &listening.sockets);
            let open = match former.iter().position(is_same) {
                Some(at) => self.changed(former.swap_remove(at), listening).await,
                None => self.opened(listening),
            };
            self.open.push(open);
        }
        let numbered = |open: &Open| (open.listening.sockets.number(), Rc::clone(&open.entry));
        *self.entries.borrow_mut() = self.open.iter().map(numbered).collect();
        for open in former {
            self.close(open, true).await;
        }
    }

    /// Copies of all sockets, for another process. One that can't be copied is missing.
    pub(super) fn copies(&self) -> Vec<(usize, OwnedFd)> {
        let mut copies = Vec::new();
        for open in &self.open {
            let number = open.listening.sockets.number();
            for (socket, _) in &open.own {
                match socket.copy() {
                    Ok(copy) => copies.push((number, copy)),
                    Err(e) => tracing::warn!("a listening socket can't be copied: {e}"),
                }
            }
        }
        copies
    }

    /// Closes all, when the process stops.
    pub(super) async fn close_all(mut self) {
        self.handing.abort();
        let _ = (&mut self.handing).await;
        for open in std::mem::take(&mut self.open) {
            self.close(open, false).await;
        }
    }

    fn opened(&self, listening: &Arc<Listening>) -> Open {
        let entry = Rc::new(listening.entry());
        let sockets = listening.sockets.take(self.worker.index);
        let watched = sockets.into_iter().filter_map(|socket| {
            let failed = |e: &_| tracing::error!("a listening socket can't be used: {e}");
            Listener::new(socket).inspect_err(failed).ok()
        });
        let own = watched.map(|socket| {
            let socket = Rc::new(socket);
            let task = self.accept(&socket, &entry);
            (socket, task)
        });
        Open {
            listening: Arc::clone(listening),
            own: own.collect(),
            former: Vec::new(),
            entry,
        }
    }

    /// Its socket stays. Connections that came by its former settings end after their present
    /// request.
    async fn changed(&self, mut open: Open, listening: &Arc<Listening>) -> Open {
        if Arc::ptr_eq(&open.listening, listening) {
            return open;
        }
        open.entry.replace();
        let former = std::mem::replace(&mut open.entry, Rc::new(listening.entry()));
        open.former.push(former);
        open.former.retain(|former| former.has_connections());
        open.listening = Arc::clone(listening);
        for (socket, task) in &mut open.own {
            // Between two connections: none is lost.
            task.abort();
            let _ = (&mut *task).await;
            *task = self.accept(socket, &open.entry);
        }
        self.worker.timers.wake_all();
        open
    }

    async fn close(&self, open: Open, drains: bool) {
        let Open {
            listening,
            entry,
            own,
            former: mut entries,
        } = open;
        for (socket, task) in own {
            task.abort();
            let _ = task.await;
            // What waits in the queue of a socket that another process has is for that one.
            if let Some(socket) = Rc::into_inner(socket)
                && !listening.sockets.is_handed_over()
            {
                accept_rest(&self.worker, socket, &entry, &self.admission);
            }
        }
        if drains {
            entries.push(entry);
            entries.iter().for_each(|entry| entry.drain());
            let worker = Rc::clone(&self.worker);
            worker.timers.wake_all();
            spawn_local(async move {
                sleep(GRACE + SWEEP).await;
                worker.timers.wake_all();
                let drain = worker.latest(|settings| settings.timeouts.drain);
                sleep(drain.saturating_sub(GRACE + SWEEP)).await;
                let connections: usize = entries.iter().map(|entry| entry.cut()).sum();
                if connections > 0 {
                    tracing::warn!(
                        worker = worker.index,
                        connections,
                        "the drain time of a listener that is gone is over; closing its connections"
                    );
                }
            });
        }
    }

    /// Accepts connections. A task that panics is restarted on the same listener, so that the
    /// worker stays reachable.
    fn accept(&self, socket: &Rc<Listener>, entry: &Rc<Entry>) -> JoinHandle<()> {
        let (worker, admission) = (Rc::clone(&self.worker), Arc::clone(&self.admission));
        let (socket, entry) = (Rc::clone(socket), Rc::clone(entry));
        let task = move || {
            let listening = (Rc::clone(&socket), Rc::clone(&entry));
            accept(Rc::clone(&worker), listening, Arc::clone(&admission))
        };
        spawn_local(async move { ground::stays("a worker's listener", task).await })
    }
}
